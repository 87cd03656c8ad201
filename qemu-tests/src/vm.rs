//! One machine under test: started from a plan, watched on its serial console, spoken to by QMP, killed on drop.

use crate::output::{Mark, Output};
use crate::qmp::Qmp;
use kmimage::run::machine::Machine;
use kmimage::run::qemu::{self, Prepared, Request};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What no console may ever show unless a test injects it (the list grows; it never shrinks).
const FORBIDDEN: [&str; 7] = ["Kernel panic", "Oops:", "BUG:", "segfault at", "soft lockup", "Out of memory", "kmimage: panic"];

/// A running machine.
pub struct Vm {
    child: Child,
    console: Output,
    /// QEMU's control socket.
    pub qmp: Qmp,
    _prepared: Prepared,
}

impl Vm {
    /// Starts a machine; `adjust` may change its plan.
    ///
    /// # Panics
    /// When the host lacks QEMU or OVMF: a missing tool is a failure, never a skip.
    pub fn start(request: &Request, adjust: impl FnOnce(&mut Machine)) -> Self {
        let mut prepared = qemu::prepare(request).unwrap_or_else(|error| panic!("{error}"));
        let socket = prepared.folder().join("qmp");
        prepared.machine.qmp = Some(socket.clone());
        adjust(&mut prepared.machine);
        let mut child = prepared
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", prepared.qemu.display()));
        let console = Output::of(vec![Box::new(child.stdout.take().expect("a pipe"))]);
        let qmp = Qmp::connect(&socket);
        Self { child, console, qmp, _prepared: prepared }
    }

    /// Waits until a complete console line satisfies `wanted`; returns what it made of it.
    ///
    /// # Panics
    /// With the console's text, when the time passes, the machine ends, or something forbidden shows first.
    pub fn wait_for<T>(&self, what: &str, wait: Duration, wanted: impl FnMut(&str) -> Option<T>) -> T {
        self.console.wait_for(Mark::default(), what, wait, wanted)
    }

    /// Everything that the console has said.
    pub fn console(&self) -> String {
        self.console.text()
    }

    /// Waits for QEMU to end by itself and for the last of its console.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait_for_exit(&mut self, wait: Duration) -> ExitStatus {
        let deadline = Instant::now() + wait;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("waitpid") {
                break status;
            }
            assert!(Instant::now() < deadline, "QEMU runs on; the console:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(50));
        };
        self.console.finish();
        status
    }

    /// Fails if the console shows a crash of any kind.
    ///
    /// # Panics
    /// With the console's text.
    pub fn assert_no_crash(&self) {
        let text = self.console();
        for word in FORBIDDEN {
            assert!(!text.contains(word), "`{word}` on the console:\n{text}");
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
