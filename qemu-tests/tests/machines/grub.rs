//! GRUB on a BIOS, where its files are not what they should be: it boots what it can, and gives nobody a shell.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage::run::machine::{Bios, Chipset, DiskBus};
use kmimage::run::qemu::Request;
use kmimage_contract::boot_records::grub::{self, EnvironmentBlock};
use kmimage_contract::boot_records::{BootRecords, Trial};
use kmimage_contract::disk_layout::Slot;
use kmimage_qemu_tests::disk::partitions;
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::image::{artefact, base};
use kmimage_qemu_tests::vm::Vm;
use serde_json::json;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// GRUB waits half a minute before it restarts; a loaded host takes longer.
const RESTART: Duration = Duration::from_secs(150);

/// A raw disk of its own, whose ESP mtools can change.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn new() -> Self {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        run(program("cp").arg("--sparse=always").arg(artefact(base(), ".raw")).arg(disk.path()));
        disk
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk.raw")
    }

    /// Runs one of mtools over the ESP.
    fn esp(&self, tool: &str, arguments: &[&str]) -> String {
        let esp = partitions(&self.path()).into_iter().find(|partition| partition.name == "esp").expect("an ESP");
        let mut place = OsString::from(self.path());
        place.push(format!("@@{}", esp.offset));
        run(program(tool).arg("-i").arg(place).args(arguments))
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let file = self.folder.path().join("file");
        fs_err::write(&file, bytes).unwrap();
        self.esp("mcopy", &["-o", file.to_str().unwrap(), &format!("::{path}")]);
    }

    fn records(&self) -> BootRecords {
        let file = self.folder.path().join("slots.env");
        self.esp("mcopy", &["-n", "-o", &format!("::{}", grub::SLOTS), file.to_str().unwrap()]);
        EnvironmentBlock::parse(&fs_err::read(file).unwrap()).unwrap().records()
    }

    fn start(&self) -> Vm {
        let (image, persistent) = (Some(self.path()), true);
        let bios = Bios::Seabios;
        let (chipset, bus) = (Chipset::Pc, DiskBus::Virtio);
        Vm::start(&Request { image, cdrom: None, bios, memory_mib: 512, cpus: 1, chipset, bus, persistent }, |_| {})
    }
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
    let disk = Disk::new();
    disk.esp("mdel", &[&format!("::{}", grub::CONFIGURATION)]);
    let mut vm = disk.start();
    press_keys_until_restart(&mut vm);
}

#[test]
fn vm_without_any_slot_grub_says_so_and_restarts_whatever_keys_are_pressed() {
    let disk = Disk::new();
    disk.esp("mdel", &[&format!("::{}", grub::kernel_path(Slot::A))]);
    let mut vm = disk.start();
    press_keys_until_restart(&mut vm);
    let console = vm.console();
    assert!(console.contains("kmimage: no slot boots; restarting in 30 seconds"), "{console}");
    assert!(!console.contains("grub>") && !console.contains("grub rescue>"), "{console}");
}

#[test]
fn vm_a_slot_on_trial_that_lacks_files_loses_a_try_and_the_good_one_boots() {
    let disk = Disk::new();
    let records = BootRecords::factory(Slot::A).try_slot(Slot::B, 3);
    disk.write(grub::SLOTS, &EnvironmentBlock::for_records(&records).render());
    // All but its initramfs.
    disk.esp("mmd", &[&format!("::{}", grub::directory(Slot::B))]);
    disk.write(&grub::command_line_path(Slot::B), &EnvironmentBlock::for_command_line("quiet").render());
    let kernel = disk.folder.path().join("vmlinuz");
    disk.esp("mcopy", &["-n", &format!("::{}", grub::kernel_path(Slot::A)), kernel.to_str().unwrap()]);
    disk.write(&grub::kernel_path(Slot::B), &fs_err::read(&kernel).unwrap());
    let mut vm = disk.start();
    assert_eq!(vm.ready().slot, Slot::A);
    vm.power_off();
    vm.assert_no_crash();
    assert_eq!(disk.records(), BootRecords { good: Some(Slot::A), trial: Some(Trial { slot: Slot::B, left: 2 }) });
}
