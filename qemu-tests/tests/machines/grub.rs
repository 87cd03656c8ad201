//! GRUB on a BIOS, where its files are not what they should be: it boots what it can, and gives nobody a shell.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage::run::machine::{Chipset, DiskBus};
use kmimage_contract::boot_records::grub;
use kmimage_contract::disk_layout::Slot;
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::image::{artefact, base};
use kmimage_qemu_tests::raw_disk::RawDisk;
use kmimage_qemu_tests::vm::Vm;
use serde_json::json;
use std::time::{Duration, Instant};

/// GRUB waits half a minute before it restarts; a loaded host takes longer.
const RESTART: Duration = Duration::from_secs(150);

fn disk() -> RawDisk {
    RawDisk::of(&artefact(base(), ".raw"))
}

fn start(disk: &RawDisk) -> Vm {
    Guest::of(disk.path()).disk_file(disk.path()).bios().on(Chipset::Pc, DiskBus::Virtio).user_network().start()
}

/// Presses every key that has a meaning in GRUB's menu, editor or shell, until the machine restarts.
fn press_keys_until_restart(vm: &mut Vm) {
    let deadline = Instant::now() + RESTART;
    loop {
        for keys in [&["c"][..], &["e"], &["esc"], &["ret"], &["ctrl", "c"], &["ctrl", "x"], &["shift"]] {
            let keys: Vec<_> = keys.iter().map(|key| json!({ "type": "qcode", "data": key })).collect();
            vm.qmp.execute_with("send-key", json!({ "keys": keys }));
        }
        if let Some(reset) = vm.qmp.event("RESET", Duration::from_millis(500)) {
            assert_eq!(reset["data"]["guest"], true, "{reset}");
            return;
        }
        assert!(Instant::now() < deadline, "it does not restart; the console:\n{}", vm.console());
    }
}

#[test]
fn vm_without_its_configuration_grub_restarts_whatever_keys_are_pressed() {
    let disk = disk();
    disk.mtools("mdel", &[&format!("::{}", grub::CONFIGURATION)]);
    let mut vm = start(&disk);
    press_keys_until_restart(&mut vm);
}

#[test]
fn vm_without_any_slot_grub_says_so_and_restarts_whatever_keys_are_pressed() {
    let disk = disk();
    disk.mtools("mdel", &[&format!("::{}", grub::kernel_path(Slot::A))]);
    let mut vm = start(&disk);
    press_keys_until_restart(&mut vm);
    let console = vm.console();
    assert!(console.contains("kmimage: no slot boots; restarting in 30 seconds"), "{console}");
    assert!(!console.contains("grub>") && !console.contains("grub rescue>"), "{console}");
}

#[test]
fn vm_a_slot_on_trial_that_lacks_files_loses_a_try_and_the_good_one_boots() {
    let disk = disk();
    // All but its initramfs.
    disk.mtools("mmd", &[&format!("::{}", grub::directory(Slot::B))]);
    for path in [grub::command_line_path, grub::kernel_path] {
        disk.put(&path(Slot::B), &disk.read(&path(Slot::A)));
    }
    disk.put_grub_records(&["good=a", "next=b", "left=3"]);
    let mut vm = start(&disk);
    assert_eq!(vm.ready().slot, Slot::A);
    vm.power_off();
    vm.assert_no_crash();
    assert_eq!(disk.grub_records(), ["good=a", "left=2", "next=b"]);
}
