//! Boot counting with entries written by hand: three tries, then the other slot; without another slot the back-off; a slot that got
//! ready is blessed. The ESP is written and read by mtools, dosfstools and grub-editenv.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage::run::machine::{Chipset, DiskBus};
use kmimage_contract::disk_layout::Slot;
use kmimage_contract::state_line::{Ready, StateLine};
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::image::{artefact, base, faulty};
use kmimage_qemu_tests::output::Mark;
use kmimage_qemu_tests::raw_disk::RawDisk;
use kmimage_qemu_tests::vm::{BOOT, Vm};
use std::time::Duration;

/// Gives slot A's entry another name.
fn rename_entry_a(disk: &RawDisk, to: &str) {
    disk.mtools("mren", &["::loader/entries/kmimage-a.conf", to]);
}

/// Slot B: a system that ends in stage 1, as an update that went wrong may leave it, with this entry.
fn add_bad_slot_b(disk: &RawDisk, entry: &str, generation: u32) {
    disk.put("EFI/kmimage/b.efi", &without_root_hash(disk.read("EFI/kmimage/a.efi")));
    let text = format!("title slot b\nsort-key kmimage\nversion {generation}\nefi /EFI/kmimage/b.efi\n");
    disk.put(&format!("loader/entries/{entry}"), text.as_bytes());
}

/// The same for a BIOS, with these records.
fn add_bad_slot_b_for_bios(disk: &RawDisk, records: &[&str]) {
    disk.mtools("mmd", &["::boot/b"]);
    for file in ["vmlinuz", "initramfs", "cmdline.env"] {
        let bytes = disk.read(&format!("boot/a/{file}"));
        let bytes = if file == "cmdline.env" { without_root_hash(bytes) } else { bytes };
        disk.put(&format!("boot/b/{file}"), &bytes);
    }
    disk.put_grub_records(records);
}

fn guest(disk: &RawDisk) -> Guest<'_> {
    Guest::of(disk.path()).disk_file(disk.path()).user_network()
}

fn faulty_guest(disk: &RawDisk) -> Vm {
    guest(disk).with_probe().oem_string("kmimage.fault=early-fail").start()
}

/// A command line whose root hash is none, wherever it stands.
fn without_root_hash(mut bytes: Vec<u8>) -> Vec<u8> {
    const KEY: &[u8] = b"roothash=";
    let places: Vec<usize> = bytes.windows(KEY.len()).enumerate().filter(|(_, part)| *part == KEY).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at + KEY.len()..at + KEY.len() + 4].copy_from_slice(b"none");
    }
    bytes
}

fn reset(vm: &mut Vm) {
    let came = vm.qmp.event("RESET", BOOT);
    assert!(came.is_some(), "no reset; the console:\n{}", vm.console());
}

/// The pause of the next failed boot after a mark, which then restarts.
fn pause(vm: &mut Vm, mark: &mut Mark) -> String {
    let line = vm.state_after(*mark, "restarting", BOOT, |line| line.get("in").is_some());
    *mark = vm.mark();
    reset(vm);
    line.get("in").unwrap().to_owned()
}

fn said(vm: &Vm, state: &str) -> Vec<StateLine> {
    vm.console().lines().filter_map(StateLine::find).filter(|line| line.state() == state).collect()
}

/// Three boots that end in stage 1, then slot A, which is as good as it was.
fn three_tries_and_then_the_other_slot(vm: &mut Vm) {
    for _ in 0..3 {
        reset(vm);
    }
    assert_eq!(vm.ready().slot, Slot::A);
    let blessed = vm.state_after(Mark::default(), "blessed", BOOT, |_| true);
    assert_eq!((blessed.get("slot"), blessed.get("wrote")), (Some("a"), Some("nothing")), "{blessed}");
    assert_eq!(said(vm, "failed").len(), 3, "{}", vm.console());
    assert_eq!(said(vm, Ready::STATE).len(), 1);
    vm.power_off();
}

#[test]
fn vm_boot_counting_under_uefi_gives_three_tries_and_then_the_other_slot() {
    let disk = RawDisk::of(&artefact(base(), ".raw"));
    add_bad_slot_b(&disk, "kmimage-b+3.conf", 2);
    three_tries_and_then_the_other_slot(&mut guest(&disk).start());
    assert_eq!(disk.entries(), ["kmimage-a.conf", "kmimage-b+0-3.conf"]);
}

#[test]
fn vm_boot_counting_under_a_bios_gives_three_tries_and_then_the_other_slot() {
    let disk = RawDisk::of(&artefact(base(), ".raw"));
    add_bad_slot_b_for_bios(&disk, &["good=a", "next=b", "left=3"]);
    three_tries_and_then_the_other_slot(&mut guest(&disk).bios().on(Chipset::Pc, DiskBus::Virtio).start());
    assert_eq!(disk.grub_records(), ["good=a", "left=0", "next=b"]);
}

#[test]
fn vm_boot_counting_blesses_the_slot_that_got_ready_in_both_records() {
    let disk = RawDisk::of(&artefact(base(), ".raw"));
    rename_entry_a(&disk, "kmimage-a+3.conf");
    disk.put_grub_records(&["good=b", "next=a", "left=2", "other=kept"]);

    let mut vm = guest(&disk).start();
    assert_eq!(vm.ready().slot, Slot::A);
    let blessed = vm.state_after(Mark::default(), "blessed", BOOT, |_| true);
    assert_eq!((blessed.get("slot"), blessed.get("wrote")), (Some("a"), Some("uefi,grub")), "{blessed}");
    // No clean end: what was blessed is on the disk.
    drop(vm);
    assert_eq!(disk.entries(), ["kmimage-a.conf"]);
    assert_eq!(disk.grub_records(), ["good=a", "other=kept"]);

    vm = guest(&disk).start();
    assert_eq!(vm.ready().slot, Slot::A);
    let blessed = vm.state_after(Mark::default(), "blessed", BOOT, |_| true);
    assert_eq!(blessed.get("wrote"), Some("nothing"), "{blessed}");
}

#[test]
fn vm_boot_counting_without_another_slot_backs_off() {
    let disk = RawDisk::of(&artefact(faulty(), ".raw"));
    rename_entry_a(&disk, "kmimage-a+1.conf");
    let mut vm = faulty_guest(&disk);
    let mut mark = Mark::default();
    assert_eq!(pause(&mut vm, &mut mark), "5s");
    // No tries are left, and there is nothing else to boot.
    assert_eq!(pause(&mut vm, &mut mark), "10s");
    drop(vm);
    let entries = disk.entries();
    assert!(entries.len() == 1 && entries[0].starts_with("kmimage-a+0-"), "{entries:?}");
}

#[test]
fn vm_boot_counting_does_not_back_off_on_the_way_to_a_good_slot() {
    let disk = RawDisk::of(&artefact(faulty(), ".raw"));
    rename_entry_a(&disk, "kmimage-a+2.conf");
    add_bad_slot_b(&disk, "kmimage-b.conf", 0);
    let mut vm = faulty_guest(&disk);
    let mut mark = Mark::default();
    assert_eq!(pause(&mut vm, &mut mark), "5s");
    assert_eq!(pause(&mut vm, &mut mark), "5s");
    // Slot B is none either, but that only it can tell.
    let failed = vm.state_after(mark, "failed", BOOT, |_| true);
    assert!(failed.to_string().contains("roothash"), "{failed}");
    let came = vm.qmp.event("RESET", Duration::from_secs(60));
    assert!(came.is_some(), "{}", vm.console());
    drop(vm);
    assert_eq!(disk.entries(), ["kmimage-a+0-2.conf", "kmimage-b.conf"]);
}
