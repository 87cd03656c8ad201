//! What the EFI system partition of a factory image holds: systemd-boot, its settings, slot A's entry and UKI; for a BIOS, GRUB's
//! configuration and records, and slot A's kernel, initramfs and command line as files, which are the UKI's.
//!
//! Slot A's entry has no boot counter: there is nothing to fall back to. Specifications: UAPI group, "Boot Loader
//! Specification"; systemd's loader.conf(5); GRUB's manual, "The GRUB environment block".

use kmimage_contract::boot_records::BootRecords;
use kmimage_contract::boot_records::grub::{self, EnvironmentBlock};
use kmimage_contract::boot_records::uefi::{self, BootEntry, EntryName};
use kmimage_contract::disk_layout::Slot;
use std::sync::Arc;

/// A file of the EFI system partition.
#[derive(Debug, Clone)]
pub struct EspFile {
    /// Relative path, components parted by `/`.
    pub path: String,
    /// What it holds.
    pub bytes: Arc<[u8]>,
}

/// What a factory image boots.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The UKI of slot A.
    pub uki: Arc<[u8]>,
    /// The kernel in it.
    pub kernel: Arc<[u8]>,
    /// The initramfs in it.
    pub initramfs: Arc<[u8]>,
    /// The command line in it, with the root hash.
    pub cmdline: String,
    /// systemd-boot.
    pub loader: Arc<[u8]>,
    /// GRUB's boot code for a disk.
    pub grub_boot: Arc<[u8]>,
    /// GRUB's core image for a disk.
    pub grub_core: Arc<[u8]>,
}

/// The files of a factory image, sorted by path.
pub fn factory(role: &str, image_version: &str, boot: &Boot) -> Vec<EspFile> {
    let file = |path: &str, bytes: &Arc<[u8]>| EspFile { path: relative(path), bytes: Arc::clone(bytes) };
    let made = |path: &str, bytes: &[u8]| EspFile { path: relative(path), bytes: bytes.into() };
    let slot = Slot::A;
    let entry = BootEntry::for_slot(slot, role, image_version, 1);
    let entry_path = format!("{}/{}", uefi::DIRECTORY, EntryName { slot, tries: None }.render());
    let mut files = vec![
        // Firmware starts this one; bootctl looks for the other.
        file("EFI/BOOT/BOOTX64.EFI", &boot.loader),
        file("EFI/systemd/systemd-bootx64.efi", &boot.loader),
        file(uefi::uki_path(slot), &boot.uki),
        made(uefi::LOADER_CONF_PATH, uefi::LOADER_CONF.as_bytes()),
        made(uefi::ENTRIES_SREL_PATH, uefi::ENTRIES_SREL.as_bytes()),
        made(&entry_path, entry.render().as_bytes()),
        // What a disk has outside of partitions' files, for whoever makes another disk bootable.
        file(grub::BOOT_IMAGE, &boot.grub_boot),
        file(grub::CORE_IMAGE, &boot.grub_core),
        made(grub::CONFIGURATION, grub::CONFIGURATION_TEXT.as_bytes()),
        made(grub::SLOTS, &EnvironmentBlock::for_records(&BootRecords::factory(slot)).render()),
        file(&grub::kernel_path(slot), &boot.kernel),
        file(&grub::initramfs_path(slot), &boot.initramfs),
        made(&grub::command_line_path(slot), &EnvironmentBlock::for_command_line(&boot.cmdline).render()),
    ];
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn relative(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}
