//! What a machine costs: memory to boot at all, memory of init's processes, time from stage 1 to `ready`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_qemu_tests::guest::{Guest, WritableDisk};
use kmimage_qemu_tests::image::{artefact, test};
use kmimage_qemu_tests::trace::Trace;

#[test]
fn vm_memory_and_time_stay_within_their_bounds() {
    let disk = WritableDisk::of(&artefact(test(), ".qcow2"), None);
    let mut vm = Guest::test().memory(192).user_network().disk(&disk).start();
    vm.ready();
    let processes = vm.probe().processes();
    let of_init: Vec<_> = processes
        .iter()
        .filter(|process| !process.is_kernel() && !process.command.first().is_some_and(|name| name.ends_with("/probe")))
        .collect();
    let table: Vec<String> = of_init.iter().map(|process| format!("{} KiB {:?}", process.pss_kib, process.command)).collect();
    let sum: u64 = of_init.iter().map(|process| process.pss_kib).sum();
    assert!(sum <= 12 << 10, "init's processes take {sum} KiB:\n{}", table.join("\n"));
    assert!(processes.iter().all(|process| !process.is_zombie()), "{processes:#?}");
    vm.power_off();
    vm.assert_no_crash();

    let trace = Trace::second_boot(&disk);
    println!("{trace}\ninit's processes take {sum} KiB:\n{}", table.join("\n"));
    // The target is 0.4, and it is missed (docs/performance.md, "A boot"); this only keeps the ratio from growing.
    assert!(trace.ratio() <= 1.5, "{trace}");
}
