//! Every way to attach the disk, on both chipsets, from both formats, to `kmimage: ready`; then off by the power button.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage::run::machine::{Chipset, DiskBus};
use kmimage::run::qemu::Request;
use kmimage_contract::disk_layout::Slot;
use kmimage_contract::manifest::Manifest;
use kmimage_contract::state_line::{Ready, StateLine};
use kmimage_qemu_tests::image::{artefact, base};
use kmimage_qemu_tests::vm::Vm;
use std::time::Duration;

/// A boot takes 8 to 15 s under software emulation on an idle host; a loaded one gets ten times that.
const BOOT: Duration = Duration::from_secs(180);

fn boots(ending: &str, chipset: Chipset, bus: DiskBus) {
    let image = artefact(base(), ending);
    let request = Request { image, memory_mib: 512, cpus: 1, chipset, bus, persistent: false };
    let mut vm = Vm::start(&request, |_| {});
    let ready = vm.wait_for("`kmimage: ready`", BOOT, |line| Ready::from_line(&StateLine::find(line)?));
    let ready = ready.expect("a well-formed state line");
    assert_eq!((ready.role.as_str(), ready.slot), ("base", Slot::A));
    let manifest = fs_err::read(artefact(base(), "-amd64.json")).expect("the manifest");
    let manifest: Manifest = serde_json::from_slice(&manifest).expect("a manifest");
    assert_eq!((ready.root_hash, ready.version), (manifest.verity.root_hash, manifest.image_version));
    vm.power_off();
    vm.assert_no_crash();
}

macro_rules! cells {
    ($($name:ident: $ending:literal $chipset:ident $bus:ident;)*) => {
        $(#[test] fn $name() { boots($ending, Chipset::$chipset, DiskBus::$bus); })*
    };
}

cells! {
    vm_raw_q35_virtio: ".raw" Q35 Virtio;
    vm_raw_q35_scsi: ".raw" Q35 Scsi;
    vm_raw_q35_sata: ".raw" Q35 Sata;
    vm_raw_q35_nvme: ".raw" Q35 Nvme;
    vm_raw_pc_virtio: ".raw" Pc Virtio;
    vm_raw_pc_scsi: ".raw" Pc Scsi;
    vm_raw_pc_sata: ".raw" Pc Sata;
    vm_raw_pc_nvme: ".raw" Pc Nvme;
    vm_qcow2_q35_virtio: ".qcow2" Q35 Virtio;
    vm_qcow2_q35_scsi: ".qcow2" Q35 Scsi;
    vm_qcow2_q35_sata: ".qcow2" Q35 Sata;
    vm_qcow2_q35_nvme: ".qcow2" Q35 Nvme;
    vm_qcow2_pc_virtio: ".qcow2" Pc Virtio;
    vm_qcow2_pc_scsi: ".qcow2" Pc Scsi;
    vm_qcow2_pc_sata: ".qcow2" Pc Sata;
    vm_qcow2_pc_nvme: ".qcow2" Pc Nvme;
}
