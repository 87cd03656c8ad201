//! The boot matrix: every firmware, chipset and way to attach the disk, from both formats, and the ISO as a CD and as a stick, to `kmimage: ready`; then off by the power
//! button.
//!
//! CI boots a part in which each firmware meets each chipset and each bus; the other cells are ignored there, and `just matrix` boots
//! all. Debian's OVMF has no drivers for lsi53c895a and megasas, so those four cells are nobody's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage::run::machine::{Bios, Chipset, DiskBus};
use kmimage::run::qemu::Request;
use kmimage_contract::disk_layout::Slot;
use kmimage_contract::manifest::Manifest;
use kmimage_contract::state_line::{Ready, StateLine};
use kmimage_qemu_tests::image::{artefact, base};
use kmimage_qemu_tests::vm::Vm;
use std::time::Duration;

/// A boot takes 8 to 15 s under software emulation on an idle host; a loaded one gets twenty times that.
const BOOT: Duration = Duration::from_secs(300);

fn boots(bios: Bios, chipset: Chipset, bus: DiskBus, ending: &str) {
    let image = Some(artefact(base(), ending));
    is_ready(&Request { image, cdrom: None, bios, memory_mib: 512, cpus: 1, chipset, bus, persistent: false });
}

/// Boots the ISO from a CD (on i440fx IDE, on q35 SATA) or as a USB stick; its `state` and `var` are in memory.
fn boots_iso(bios: Bios, chipset: Chipset, stick: bool) {
    let medium = Some(artefact(base(), ".iso"));
    let (image, cdrom) = if stick { (medium, None) } else { (None, medium) };
    let console =
        is_ready(&Request { image, cdrom, bios, memory_mib: 512, cpus: 1, chipset, bus: DiskBus::Usb, persistent: false });
    for what in ["state", "var"] {
        let line = format!("kmimage: storage {what}=mounted medium=iso size=");
        assert!(console.contains(&line), "no {line:?} on the console:\n{console}");
    }
}

/// Boots a machine with the image `base`, sees that it is ready with what the image's manifest says, and switches it off. Returns
/// what the console has said.
fn is_ready(request: &Request) -> String {
    let mut vm = Vm::start(request, |_| {});
    let ready = vm.wait_for("`kmimage: ready`", BOOT, |line| Ready::from_line(&StateLine::find(line)?));
    let ready = ready.expect("a well-formed state line");
    assert_eq!((ready.role.as_str(), ready.slot), ("base", Slot::A));
    let manifest = fs_err::read(artefact(base(), "-amd64.json")).expect("the manifest");
    let manifest: Manifest = serde_json::from_slice(&manifest).expect("a manifest");
    assert_eq!((ready.root_hash, ready.version), (manifest.verity.root_hash, manifest.image_version));
    vm.power_off();
    vm.assert_no_crash();
    vm.console()
}

macro_rules! cells {
    ($($(#[$ignore:meta])? $name:ident: $bios:ident $chipset:ident $bus:ident $ending:literal;)*) => {
        $($(#[$ignore])? #[test] fn $name() { boots(Bios::$bios, Chipset::$chipset, DiskBus::$bus, $ending); })*
    };
}

cells! {
    vm_ovmf_q35_virtio: Ovmf Q35 Virtio ".qcow2";
    #[ignore = "just matrix"]
    vm_ovmf_q35_scsi: Ovmf Q35 Scsi ".raw";
    vm_ovmf_q35_sata: Ovmf Q35 Sata ".raw";
    #[ignore = "just matrix"]
    vm_ovmf_q35_nvme: Ovmf Q35 Nvme ".qcow2";
    vm_ovmf_q35_usb: Ovmf Q35 Usb ".raw";
    #[ignore = "just matrix"]
    vm_ovmf_pc_virtio: Ovmf Pc Virtio ".raw";
    vm_ovmf_pc_scsi: Ovmf Pc Scsi ".qcow2";
    #[ignore = "just matrix"]
    vm_ovmf_pc_sata: Ovmf Pc Sata ".qcow2";
    vm_ovmf_pc_nvme: Ovmf Pc Nvme ".raw";
    #[ignore = "just matrix"]
    vm_ovmf_pc_usb: Ovmf Pc Usb ".qcow2";

    #[ignore = "just matrix"]
    vm_seabios_q35_virtio: Seabios Q35 Virtio ".raw";
    vm_seabios_q35_scsi: Seabios Q35 Scsi ".raw";
    #[ignore = "just matrix"]
    vm_seabios_q35_lsi: Seabios Q35 Lsi ".raw";
    vm_seabios_q35_megasas: Seabios Q35 Megasas ".qcow2";
    #[ignore = "just matrix"]
    vm_seabios_q35_sata: Seabios Q35 Sata ".raw";
    vm_seabios_q35_nvme: Seabios Q35 Nvme ".raw";
    vm_seabios_q35_usb: Seabios Q35 Usb ".qcow2";
    vm_seabios_pc_virtio: Seabios Pc Virtio ".qcow2";
    #[ignore = "just matrix"]
    vm_seabios_pc_scsi: Seabios Pc Scsi ".raw";
    vm_seabios_pc_lsi: Seabios Pc Lsi ".raw";
    #[ignore = "just matrix"]
    vm_seabios_pc_megasas: Seabios Pc Megasas ".raw";
    vm_seabios_pc_sata: Seabios Pc Sata ".raw";
    #[ignore = "just matrix"]
    vm_seabios_pc_nvme: Seabios Pc Nvme ".raw";
    #[ignore = "just matrix"]
    vm_seabios_pc_usb: Seabios Pc Usb ".qcow2";
}

macro_rules! iso_cells {
    ($($(#[$ignore:meta])? $name:ident: $bios:ident $chipset:ident $stick:literal;)*) => {
        $($(#[$ignore])? #[test] fn $name() { boots_iso(Bios::$bios, Chipset::$chipset, $stick); })*
    };
}

iso_cells! {
    vm_iso_ovmf_ide_cd: Ovmf Pc false;
    #[ignore = "just matrix"]
    vm_iso_ovmf_sata_cd: Ovmf Q35 false;
    #[ignore = "just matrix"]
    vm_iso_ovmf_usb_stick: Ovmf Q35 true;
    vm_iso_seabios_ide_cd: Seabios Pc false;
    #[ignore = "just matrix"]
    vm_iso_seabios_sata_cd: Seabios Q35 false;
    vm_iso_seabios_usb_stick: Seabios Q35 true;
}
