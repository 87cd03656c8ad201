//! From the ISO to a disk: a machine that was started from the medium writes the system to its empty disk, starts anew with the medium
//! still in, and runs from the disk.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage::run::machine::{Bios, Chipset, DiskBus};
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::image::{artefact, kmimage, test};
use kmimage_qemu_tests::output::Mark;
use std::time::Duration;

/// An installation takes half a minute under software emulation on an idle host.
const INSTALLATION: Duration = Duration::from_secs(300);

const CONFIG: &str = "\
version = 1

[machine]
hostname = \"installed\"

[install]
disk = { size = \">= 1 GiB\" }
";

fn installs_and_runs_from_the_disk(bios: Bios, chipset: Chipset, bus: DiskBus) {
    let folder = tempfile::tempdir().unwrap();
    let [disk, config, seed] = ["disk.qcow2", "node.toml", "seed.iso"].map(|name| folder.path().join(name));
    run(program("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&disk).arg("4G"));
    fs_err::write(&config, CONFIG).unwrap();
    run(kmimage().args(["config", "seed"]).arg(&config).arg("-o").arg(&seed));

    // Firmware finds nothing on the disk, and takes the medium; once the disk boots, it comes first.
    let guest = Guest::from_cd(&artefact(test(), ".iso")).disk_file(&disk).on(chipset, bus).memory(1024);
    let guest = guest.cdrom(&seed).with_probe().user_network();
    let mut vm = if bios == Bios::Seabios { guest.bios() } else { guest }.start();
    let live = vm.state_after(Mark::default(), "storage", INSTALLATION, |line| line.get("var").is_some());
    assert_eq!(live.get("medium"), Some("iso"), "{live}");
    vm.state_after(Mark::default(), "installed", INSTALLATION, |_| true);
    let installed = vm.mark();

    vm.ready_after(installed);
    let medium = vm.state_after(installed, "install", INSTALLATION, |line| line.get("medium").is_some());
    assert_eq!(medium.get("medium"), Some("no"), "{medium}");
    let mut probe = vm.probe();
    assert_eq!(probe.read("/etc/hostname"), "installed\n");
    assert!(probe.space("/var").total > 2 << 30, "var has not grown to the end of the disk");
    drop(probe);
    vm.power_off();
    vm.assert_no_crash();
}

#[test]
fn vm_the_iso_installs_under_uefi() {
    installs_and_runs_from_the_disk(Bios::Ovmf, Chipset::Q35, DiskBus::Virtio);
}

#[test]
fn vm_the_iso_installs_under_a_bios_as_proxmox_makes_machines() {
    installs_and_runs_from_the_disk(Bios::Seabios, Chipset::Pc, DiskBus::Lsi);
}
