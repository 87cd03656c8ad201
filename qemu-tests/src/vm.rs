//! One machine under test: started from a plan, watched on its serial console, spoken to by QMP, killed on drop.

use crate::qmp::Qmp;
use kmimage::run::machine::Machine;
use kmimage::run::qemu::{self, Prepared, Request};
use std::io::Read as _;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What no console may ever show unless a test injects it (the list grows; it never shrinks).
const FORBIDDEN: [&str; 7] = ["Kernel panic", "Oops:", "BUG:", "segfault at", "soft lockup", "Out of memory", "kmimage: panic"];

/// A running machine.
pub struct Vm {
    child: Child,
    console: Arc<Console>,
    reader: Option<JoinHandle<()>>,
    /// QEMU's control socket.
    pub qmp: Qmp,
    _prepared: Prepared,
}

#[derive(Default)]
struct Console {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    text: String,
    closed: bool,
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
        let console = Arc::new(Console::default());
        let reader = {
            let (console, mut output) = (Arc::clone(&console), child.stdout.take().expect("a pipe"));
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = output.read(&mut buffer) {
                    console.state.lock().expect("console").text.push_str(&String::from_utf8_lossy(&buffer[..n]));
                    console.changed.notify_all();
                }
                console.state.lock().expect("console").closed = true;
                console.changed.notify_all();
            })
        };
        let qmp = Qmp::connect(&socket);
        Self { child, console, reader: Some(reader), qmp, _prepared: prepared }
    }

    /// Waits until a complete console line satisfies `wanted`; returns what it made of it.
    ///
    /// # Panics
    /// With the console's text, when the time passes, the machine ends, or something forbidden shows first.
    pub fn wait_for<T>(&self, what: &str, wait: Duration, mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + wait;
        let mut state = self.console.state.lock().expect("console");
        let mut seen = 0;
        loop {
            while let Some(length) = state.text[seen..].find('\n') {
                let line = state.text[seen..seen + length].trim_end_matches('\r');
                if let Some(found) = wanted(line) {
                    return found;
                }
                seen += length + 1;
            }
            let left = deadline.checked_duration_since(Instant::now());
            assert!(left.is_some() && !state.closed, "no {what} in {wait:?}; the console:\n{}", state.text);
            state = self.console.changed.wait_timeout(state, left.unwrap_or_default()).expect("console").0;
        }
    }

    /// Everything that the console has said.
    pub fn console(&self) -> String {
        self.console.state.lock().expect("console").text.clone()
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
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the console's reader");
        }
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
