//! One machine under test: started from a plan, watched on its serial console, spoken to by QMP, killed on drop.

use crate::agent::Agent;
use crate::output::{Mark, Output};
use crate::probe::Probe;
use crate::qmp::Qmp;
use kmimage::run::machine::Machine;
use kmimage::run::qemu::{self, Prepared, Request};
use kmimage_contract::state_line::{Ready, StateLine};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What no console may ever show unless a test injects it (the list grows; it never shrinks).
const FORBIDDEN: [&str; 7] = ["Kernel panic", "Oops:", "BUG:", "segfault at", "soft lockup", "Out of memory", "kmimage: panic"];

/// A running machine.
pub struct Vm {
    child: Child,
    console: Output,
    /// QEMU's control socket.
    pub qmp: Qmp,
    probe: Mutex<Option<Probe>>,
    sockets: Sockets,
    _prepared: Prepared,
}

/// Where QEMU's sockets are.
#[derive(Debug, Clone)]
pub struct Sockets {
    /// QEMU's machine protocol.
    pub qmp: PathBuf,
    /// The probe's port.
    pub probe: PathBuf,
    /// The guest agent's port.
    pub agent: PathBuf,
}

impl Sockets {
    /// In a machine's own folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self { qmp: folder.join("qmp"), probe: folder.join("probe"), agent: folder.join("agent") }
    }
}

/// A boot takes 8 to 15 s under software emulation on an idle host; a loaded one gets ten times that.
pub const BOOT: Duration = Duration::from_secs(180);

impl Vm {
    /// Starts a machine; `adjust` may change its plan.
    ///
    /// # Panics
    /// When the host lacks QEMU or OVMF: a missing tool is a failure, never a skip.
    pub fn start(request: &Request, adjust: impl FnOnce(&mut Machine)) -> Self {
        let mut prepared = qemu::prepare(request).unwrap_or_else(|error| panic!("{error}"));
        let sockets = Sockets::in_folder(prepared.folder());
        prepared.machine.qmp = Some(sockets.qmp.clone());
        adjust(&mut prepared.machine);
        Self::spawn(prepared.command(), prepared, sockets)
    }

    /// Starts QEMU by this command.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn spawn(mut command: Command, prepared: Prepared, sockets: Sockets) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{}: {error}", prepared.qemu.display()));
        let console = Output::of(vec![Box::new(child.stdout.take().expect("a pipe"))]);
        let qmp = Qmp::connect(&sockets.qmp);
        Self { child, console, qmp, probe: Mutex::new(None), sockets, _prepared: prepared }
    }

    /// Waits until a complete console line satisfies `wanted`; returns what it made of it.
    ///
    /// # Panics
    /// With the console's text, when the time passes, the machine ends, or something forbidden shows first.
    pub fn wait_for<T>(&self, what: &str, wait: Duration, wanted: impl FnMut(&str) -> Option<T>) -> T {
        self.console.wait_for(Mark::default(), what, wait, wanted)
    }

    /// As [`Vm::wait_for`], of lines after a mark: of the next boot, of what follows an act.
    ///
    /// # Panics
    /// As [`Vm::wait_for`].
    pub fn wait_after<T>(&self, mark: Mark, what: &str, wait: Duration, wanted: impl FnMut(&str) -> Option<T>) -> T {
        self.console.wait_for(mark, what, wait, wanted)
    }

    /// The end of what the console has said up to now.
    pub fn mark(&self) -> Mark {
        self.console.mark()
    }

    /// Waits for `kmimage: ready`.
    ///
    /// # Panics
    /// When it does not come in time, or is malformed.
    pub fn ready(&self) -> Ready {
        self.ready_after(Mark::default())
    }

    /// Waits for `kmimage: ready` after a mark.
    ///
    /// # Panics
    /// As [`Vm::ready`].
    pub fn ready_after(&self, mark: Mark) -> Ready {
        let ready = self.wait_after(mark, "`kmimage: ready`", BOOT, |line| Ready::from_line(&StateLine::find(line)?));
        ready.expect("a well-formed state line")
    }

    /// Waits for a state line with this word that pleases, after a mark.
    ///
    /// # Panics
    /// When none comes in time.
    pub fn state_after(&self, mark: Mark, state: &str, wait: Duration, wanted: impl Fn(&StateLine) -> bool) -> StateLine {
        let line = |line: &str| StateLine::find(line).filter(|line| line.state() == state && wanted(line));
        self.wait_after(mark, &format!("`kmimage: {state}`"), wait, line)
    }

    /// The probe inside, once it answers.
    ///
    /// # Panics
    /// When the image has none.
    pub fn probe(&self) -> ProbeOf<'_> {
        let mut probe = self.probe.lock().unwrap_or_else(PoisonError::into_inner);
        if probe.is_none() {
            *probe = Probe::connect(&self.sockets.probe);
            assert!(probe.is_some(), "no probe answers: is it in the image, was it started? the console:\n{}", self.console());
        }
        ProbeOf(probe)
    }

    /// The guest agent's port, as the hypervisor has it. One connection at a time.
    ///
    /// # Panics
    /// When the machine has none.
    pub fn agent(&self) -> Agent {
        Agent::connect(&self.sockets.agent)
    }

    /// Puts a medium into a CD drive (`cd0`), or another in the place of the one that is there.
    ///
    /// # Panics
    /// When QEMU refuses.
    pub fn insert(&mut self, drive: &str, image: &Path) {
        let arguments = json!({ "id": drive, "filename": image, "format": "raw", "read-only-mode": "read-only" });
        self.qmp.execute_with("blockdev-change-medium", arguments);
    }

    /// Plugs a raw disk in while it runs, in a slot of [`crate::guest::Guest::hot_slots`] (0 or 1).
    ///
    /// # Panics
    /// When QEMU refuses.
    pub fn plug_disk(&mut self, slot: u32, image: &Path, serial: &str, read_only: bool) {
        let file = json!({ "driver": "file", "filename": image, "read-only": read_only });
        let node = json!({ "node-name": format!("node{slot}"), "driver": "raw", "file": file, "read-only": read_only });
        self.qmp.execute_with("blockdev-add", node);
        let device = json!({ "driver": "virtio-blk-pci", "drive": format!("node{slot}"), "serial": serial });
        self.plug(slot, device);
    }

    /// Plugs a network card in while it runs, on a tap of the namespace that it runs in.
    ///
    /// # Panics
    /// When QEMU refuses.
    pub fn plug_card(&mut self, slot: u32, tap: &str, mac: &str) {
        let netdev = json!({ "type": "tap", "id": format!("net-hot{slot}"), "ifname": tap, "script": "no", "downscript": "no" });
        self.qmp.execute_with("netdev_add", netdev);
        let device = json!({ "driver": "virtio-net-pci", "netdev": format!("net-hot{slot}"), "mac": mac, "romfile": "" });
        self.plug(slot, device);
    }

    fn plug(&mut self, slot: u32, mut device: serde_json::Value) {
        device["id"] = format!("plugged{slot}").into();
        device["bus"] = format!("hot{slot}").into();
        self.qmp.execute_with("device_add", device);
    }

    /// Pulls what is in a slot: asks the machine to let go of it, and waits until it has.
    ///
    /// # Panics
    /// When it does not let go in time.
    pub fn unplug(&mut self, slot: u32) {
        self.qmp.execute_with("device_del", json!({ "id": format!("plugged{slot}") }));
        let gone = self.qmp.event("DEVICE_DELETED", Duration::from_secs(60));
        assert!(gone.is_some(), "slot {slot} is not let go; the console:\n{}", self.console());
    }

    /// Pulls the cable of a network card (`card0` is the first that [`crate::guest::Guest::tap`] made), or puts it back.
    ///
    /// # Panics
    /// When QEMU refuses.
    pub fn carrier(&mut self, card: &str, on: bool) {
        self.qmp.execute_with("set_link", json!({ "name": card, "up": on }));
    }

    /// Presses the power button and waits for the end. The button's driver is among what a machine loads without waiting for it: who
    /// presses too early presses again.
    ///
    /// # Panics
    /// When the machine does not go off in time, or QEMU fails.
    pub fn power_off(&mut self) {
        // A node lets its pods end first, and the host may be loaded.
        let deadline = Instant::now() + Duration::from_secs(240);
        let status = loop {
            // None: it is off already.
            let _ = self.qmp.try_execute("system_powerdown", json!({}));
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(status) = self.exit_within(left.min(Duration::from_secs(5))) {
                break status;
            }
            assert!(!left.is_zero(), "the machine does not go off; the console:\n{}", self.console());
        };
        assert!(status.success(), "QEMU: {status}");
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
        self.exit_within(wait).unwrap_or_else(|| panic!("QEMU runs on; the console:\n{}", self.console()))
    }

    fn exit_within(&mut self, wait: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + wait;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("waitpid") {
                self.console.finish();
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
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

/// A machine's probe, for one statement or a few.
pub struct ProbeOf<'a>(MutexGuard<'a, Option<Probe>>);

impl std::ops::Deref for ProbeOf<'_> {
    type Target = Probe;

    fn deref(&self) -> &Probe {
        self.0.as_ref().expect("it is there since the connection")
    }
}

impl std::ops::DerefMut for ProbeOf<'_> {
    fn deref_mut(&mut self) -> &mut Probe {
        self.0.as_mut().expect("it is there since the connection")
    }
}
