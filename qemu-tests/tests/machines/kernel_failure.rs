//! Process 1 fails on purpose: the machine restarts in time, and afterwards knows why.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage::run::machine::{Chipset, DiskBus};
use kmimage_contract::state_line::StateLine;
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::image::{artefact, faulty};
use kmimage_qemu_tests::vm::{BOOT, Vm};
use std::time::{Duration, Instant};

/// A machine whose process 1 does this when that is due.
fn start(fault: &str) -> Vm {
    let guest = Guest::of(&artefact(faulty(), ".qcow2")).on(Chipset::Pc, DiskBus::Virtio).with_probe().user_network();
    guest.watchdog("i6300esb").oem_string(&format!("kmimage.fault={fault}")).start()
}

/// Waits for a reset; how long it took.
fn reset(vm: &mut Vm, bound: Duration) -> Duration {
    let begin = Instant::now();
    let came = vm.qmp.event("RESET", bound);
    assert!(came.is_some(), "no reset in {bound:?}; the console:\n{}", vm.console());
    begin.elapsed()
}

fn failed(vm: &Vm, since: kmimage_qemu_tests::output::Mark) -> StateLine {
    vm.state_after(since, "failed", BOOT, |_| true)
}

#[test]
fn vm_kernel_a_panic_of_process_1_restarts_and_is_remembered() {
    let mut vm = start("panic");
    vm.ready();
    let mark = vm.mark();
    let line = failed(&vm, Default::default());
    assert_eq!((line.get("step"), line.get("message")), (Some("panic"), Some("kmimage fault injection: a panic")));
    reset(&mut vm, Duration::from_secs(10));
    vm.ready_after(mark);
    let told = vm.state_after(mark, "boot", BOOT, |line| line.get("failed-before") == Some("1"));
    assert!(told.get("last-failure").unwrap().contains("a panic"), "{told}");
    let mut probe = vm.probe();
    probe.hello();
    let kept = probe.read("/run/kmimage/state/last-failure");
    assert!(kept.contains("step=panic") && kept.contains("fault.rs"), "{kept}");
    // A boot that became ready ends the count.
    probe
        .until("the end of the count", BOOT, |probe| (probe.read("/run/kmimage/state/failed-boots").trim() == "0").then_some(()));
}

#[test]
fn vm_kernel_a_hang_of_process_1_is_ended_by_the_watchdog() {
    let mut vm = start("hang");
    vm.ready();
    let mark = vm.mark();
    reset(&mut vm, Duration::from_secs(60));
    vm.ready_after(mark);
    let told = vm.state_after(mark, "boot", BOOT, |line| line.get("failed-before") == Some("1"));
    assert!(told.get("last-failure").unwrap().contains("without a word"), "{told}");
    let mut probe = vm.probe();
    probe.hello();
    assert!(probe.read("/run/kmimage/state/last-failure").contains("without a word"));
}

#[test]
fn vm_kernel_failed_boots_in_a_row_wait_longer() {
    let mut vm = start("early-fail");
    let mut mark = Default::default();
    for (before, pause) in [("0", "5s"), ("1", "10s")] {
        let line = failed(&vm, mark);
        assert_eq!(line.get("step"), Some("system"), "{line}");
        let pausing = vm.state_after(mark, "restarting", BOOT, |line| line.get("in").is_some());
        assert_eq!((pausing.get("in"), pausing.get("failed-before")), (Some(pause), Some(before)), "{pausing}");
        assert_eq!(pausing.get("reason-kept"), Some("yes"), "{pausing}");
        mark = vm.mark();
        reset(&mut vm, Duration::from_secs(20));
    }
}
