//! Sticks that lie, fill up, fail or are slow: each ends in its own words, leaves no partition table, and touches nothing else.

use crate::loops::{Loop, MIB, binary, bytes, image};
use crate::stick::{Fault, mount};
use crate::support::binary::{Binary, Outcome};
use fuser::Errno;
use kmimage_contract::gpt::SectorSize;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What every such stick claims to have.
const CLAIMED: u64 = 32 * MIB;

struct Bench {
    binary: Binary,
    decoy: Loop,
}

impl Bench {
    fn new() -> Self {
        let binary = binary();
        image(&binary.path("image.raw"), SectorSize::B512);
        let decoy = Loop::used(&binary.path(""), "decoy", CLAIMED);
        Self { binary, decoy }
    }

    /// Flashes a stick with this fault; gives the outcome and the path of its device.
    fn flash(&self, fault: Fault) -> (Outcome, String) {
        let mounted = mount(&self.binary.path("fuse"), &self.binary.path("store"), CLAIMED, fault);
        let device = Loop::over(&mounted.file);
        let path = device.path.display().to_string();
        let outcome = self.binary.run(&["flash", "--quiet", "--serial", mounted.file.to_str().unwrap(), "image.raw", &path]);
        drop(device);
        drop(mounted);
        assert!(bytes(&self.decoy.file, 0, CLAIMED).iter().all(|&byte| byte == 0xa5), "the other stick has changed");
        (outcome, path)
    }

    /// The stick has no partition table: no firmware takes it for a system.
    fn assert_erased(&self) {
        assert!(bytes(&self.binary.path("store"), 0, MIB).iter().all(|&byte| byte == 0), "there is a partition table");
    }
}

const ERASED: &str =
    "  help: What the device held is lost, and it has no partition table now: nothing boots from it until it is flashed again.\n";

#[test]
fn tools_a_stick_of_half_its_size_is_found_out() {
    let bench = Bench::new();
    let (outcome, path) = bench.flash(Fault::Wraps(CLAIMED / 2));
    // What belongs to 17 MiB has overwritten what was at 1 MiB.
    let expect = format!(
        "error: {path} holds other bytes than were written, first at 1 MiB (byte 1048576): what belongs to 17 MiB (byte 17825792). It has \
         less room than it claims to have\n{ERASED}  help: Don't use this device.\n"
    );
    assert_eq!((outcome.code, outcome.stderr), (4, expect));
    bench.assert_erased();
}

#[test]
fn tools_a_stick_that_is_full_or_fails_is_said_to_be() {
    for (error, cause, hint) in [
        (Errno::ENOSPC, "No space left on device (os error 28)", "It has less room than it claims to have."),
        (Errno::EIO, "Input/output error (os error 5)", "Try another port; a device that says so again is worn out."),
    ] {
        let bench = Bench::new();
        let (outcome, path) = bench.flash(Fault::Fails(9 * MIB + 5000, error));
        let expect =
            format!("error: {path} took no more at 9 MiB (byte 9437184)\n  caused by: {cause}\n{ERASED}  help: {hint}\n");
        assert_eq!((outcome.code, outcome.stderr), (7, expect));
        bench.assert_erased();
    }
}

#[test]
fn tools_a_flipped_bit_is_found_at_its_place() {
    let bench = Bench::new();
    let at = 7 * MIB + 12_345;
    let (outcome, path) = bench.flash(Fault::Flips(at));
    let expect = format!(
        "error: {path} holds other bytes than were written, first at 7 MiB (byte {at})\n{ERASED}  help: Don't use this device.\n"
    );
    assert_eq!((outcome.code, outcome.stderr), (4, expect));
    bench.assert_erased();
}

#[test]
fn tools_a_stick_that_can_not_be_read_back_is_no_success() {
    let bench = Bench::new();
    let (outcome, path) = bench.flash(Fault::Unreadable(20 * MIB));
    let first = format!("error: {path} can't be read back at 20 MiB (byte 20971520)");
    assert_eq!((outcome.code, outcome.stderr.lines().next()), (7, Some(first.as_str())), "{}", outcome.stderr);
    bench.assert_erased();
}

#[test]
fn tools_an_interrupted_write_says_what_is_left() {
    let bench = Bench::new();
    let slow = Fault::Slow(Duration::from_millis(50));
    let mounted = mount(&bench.binary.path("fuse"), &bench.binary.path("store"), CLAIMED, slow);
    let device = Loop::over(&mounted.file);
    let name = mounted.file.to_str().unwrap();
    let mut command = bench.binary.command(&["flash", "--serial", name, "image.raw", device.path.to_str().unwrap()]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // The first mebibyte is erased by now, and something behind it is written.
    while mounted.seen.written_to.load(Ordering::SeqCst) < 4 * MIB {
        assert!(child.try_wait().unwrap().is_none(), "it is over already");
        std::thread::sleep(Duration::from_millis(5));
    }
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let said =
        text.contains("error: interrupted while writing, ") && text.contains(" of 25 MiB done\n") && text.ends_with(ERASED);
    assert!(output.status.code() == Some(7) && said, "{:?}\n{text}", output.status);
    drop(device);
    drop(mounted);
    bench.assert_erased();
}
