//! From the ISO to a disk: a machine that was started from the medium writes the system to its empty disk, starts anew with the medium
//! still in, and runs from the disk: because the disk comes first now, or because the medium hands over.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage::run::machine::{Chipset, DiskBus};
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::image::{artefact, kmimage, test};
use kmimage_qemu_tests::output::Mark;
use std::ffi::OsString;
use std::path::Path;
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

/// Where the disk comes in the boot order.
enum Order {
    /// Before the medium: firmware finds nothing on it at first, and takes the medium.
    DiskFirst,
    /// The medium alone is in it.
    MediumOnly,
}

fn installs_and_runs_from_the_disk(order: &Order, size: &str, machine: impl for<'a> FnOnce(Guest<'a>, &'a Path) -> Guest<'a>) {
    let folder = tempfile::tempdir().unwrap();
    let [disk, config, seed] = ["disk.qcow2", "node.toml", "seed.iso"].map(|name| folder.path().join(name));
    run(program("qemu-img").args(["create", "-q", "-f", "qcow2"]).arg(&disk).arg(size));
    fs_err::write(&config, CONFIG).unwrap();
    run(kmimage().args(["config", "seed"]).arg(&config).arg("-o").arg(&seed));

    let guest = Guest::from_cd(&artefact(test(), ".iso")).with_probe().user_network().cdrom(&seed);
    let mut vm = machine(guest, &disk).start();
    let live = vm.state_after(Mark::default(), "storage", INSTALLATION, |line| line.get("var").is_some());
    assert_eq!(live.get("medium"), Some("iso"), "{live}");
    vm.state_after(Mark::default(), "installed", INSTALLATION, |_| true);
    let installed = vm.mark();

    if matches!(order, Order::MediumOnly) {
        let line = vm.state_after(installed, "hand-over", INSTALLATION, |_| true);
        assert_eq!(line.get("slot"), Some("a"), "{line}");
    }
    vm.ready_after(installed);
    // Where the disk comes first it has booted by itself: the medium behind it would have handed over.
    let handed_over = vm.console().contains("kmimage: hand-over");
    assert_eq!(handed_over, matches!(order, Order::MediumOnly), "{}", vm.console());
    let medium = vm.state_after(installed, "install", INSTALLATION, |line| line.get("medium").is_some());
    assert_eq!(medium.get("medium"), Some("no"), "{medium}");
    // The slot that the disk's records name is the one that runs, also where no loader has read them.
    let blessed = vm.state_after(installed, "blessed", INSTALLATION, |_| true);
    assert_eq!((blessed.get("slot"), blessed.get("wrote")), (Some("a"), Some("nothing")), "{blessed}");
    // The installer put the config on the disk; `state` has it now, and it came by the seed besides.
    let erased = vm.state_after(installed, "esp", INSTALLATION, |_| true);
    assert_eq!(erased.get("erased"), Some("/kmimage/machine.toml"), "{erased}");
    let mut probe = vm.probe();
    assert_eq!(probe.read("/etc/hostname"), "installed\n");
    assert!(probe.space("/var").total > 2 << 30, "var has not grown to the end of the disk");
    drop(probe);
    vm.power_off();
    vm.assert_no_crash();
}

#[test]
fn vm_the_iso_installs_under_uefi() {
    installs_and_runs_from_the_disk(&Order::DiskFirst, "4G", |guest, disk| {
        guest.disk_file(disk).on(Chipset::Q35, DiskBus::Virtio).memory(1024)
    });
}

#[test]
fn vm_the_iso_installs_under_a_bios() {
    installs_and_runs_from_the_disk(&Order::DiskFirst, "4G", |guest, disk| {
        guest.bios().disk_file(disk).on(Chipset::Q35, DiskBus::Sata).memory(1024)
    });
}

#[test]
fn vm_the_iso_hands_over_to_its_installation_under_uefi() {
    installs_and_runs_from_the_disk(&Order::MediumOnly, "4G", |guest, disk| {
        guest.on(Chipset::Q35, DiskBus::Virtio).data_disk(disk, "target").memory(1024)
    });
}

/// A template as Proxmox' users make one: SeaBIOS, i440FX, LSI controller, the ISO on ide2, an empty 20G scsi0, boot order ide2 only, 2 GiB.
#[test]
fn vm_the_iso_hands_over_to_its_installation_in_a_proxmox_template() {
    installs_and_runs_from_the_disk(&Order::MediumOnly, "20G", |guest, disk| {
        let mut drive = OsString::from("if=none,id=drive-scsi0,format=qcow2,file=");
        drive.push(disk);
        let guest = guest.bios().on(Chipset::Pc, DiskBus::Lsi).memory(2048).option("-device", "lsi53c895a,id=scsihw0");
        guest.option("-drive", drive).option("-device", "scsi-hd,bus=scsihw0.0,scsi-id=0,drive=drive-scsi0")
    });
}
