//! The hardware that docs/hardware.md promises: its drivers are in the root or built into the kernel, and those of disks in the
//! initramfs, too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use crate::unsquashed::unsquash;
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::image::{artefact, base};
use std::collections::BTreeSet;
use std::path::Path;

/// What reaches a disk: of Proxmox's and other virtual machines, of SATA, NVMe and USB, of servers' controllers.
const DISKS: &str = "virtio_pci virtio_blk virtio_scsi sym53c8xx megaraid_sas vmw_pvscsi mptspi mptsas hv_storvsc xen_blkfront ahci \
    ata_piix nvme sd_mod sr_mod usb_storage uas xhci_pci ehci_pci mpt3sas mpi3mr smartpqi hpsa aacraid arcmsr vmd";

/// Network cards: virtual, then those of servers and of small machines, then USB.
const NETWORK: &str = "virtio_net e1000 e1000e vmxnet3 8139cp pcnet32 hv_netvsc xen_netfront ena igb igbvf igc ixgbe ixgbevf i40e iavf ice \
    mlx4_en mlx5_core bnx2 bnx2x bnxt_en tg3 r8169 qede sfc be2net cxgb4 enic atlantic r8152 ax88179_178a cdc_ether";

/// What else a machine has that a node uses.
const OTHERS: &str = "virtio_console virtio_rng virtio_balloon button evdev i6300esb iTCO_wdt sp5100_tco wdat_wdt tpm_tis tpm_crb efivarfs isofs \
    vfat ipmi_si coretemp k10temp";

fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

fn lacks(there: &BTreeSet<String>, promised: &str) -> Vec<String> {
    promised.split_whitespace().map(|module| module.replace('-', "_")).filter(|module| !there.contains(module)).collect()
}

/// The modules of a UKI's initramfs, by cpio.
fn in_initramfs(uki: &Path, folder: &Path) -> BTreeSet<String> {
    let initramfs = folder.join("initramfs.zst");
    run(program("objcopy").args(["-O", "binary", "--only-section=.initrd"]).arg(uki).arg(&initramfs));
    run(program("zstd").args(["--quiet", "--decompress"]).arg(&initramfs));
    let archive = fs_err::File::open(folder.join("initramfs")).unwrap();
    let list = run(program("cpio").args(["--quiet", "--list"]).stdin(archive.into_file()));
    list.lines().filter(|path| path.contains(".ko")).map(name).collect()
}

#[test]
fn tools_the_drivers_that_are_promised_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let image = unsquash(&artefact(base(), ".root.squashfs"), folder.path());
    let files = image.nodes.keys().filter(|path| path.starts_with("/usr/lib/modules/"));
    let modules: BTreeSet<String> = files.clone().filter(|path| path.contains(".ko")).map(|path| name(path)).collect();
    let builtin = files.filter(|path| path.ends_with("/modules.builtin")).map(|path| &path[1..]).next().unwrap();
    let builtin = fs_err::read_to_string(image.folder.join(builtin)).unwrap();
    let builtin: BTreeSet<String> = builtin.lines().map(name).collect();

    let root = modules.union(&builtin).cloned().collect();
    assert_eq!(lacks(&root, &[DISKS, NETWORK, OTHERS].join(" ")), [""; 0], "not in the root");
    let early = in_initramfs(&artefact(base(), ".efi"), folder.path()).union(&builtin).cloned().collect();
    assert_eq!(lacks(&early, DISKS), [""; 0], "not in the initramfs");
}
