//! What the EFI system partition of a factory image holds: systemd-boot, its settings, slot A's entry and UKI.
//!
//! Slot A's entry has no boot counter: there is nothing to fall back to. Specifications: UAPI group, "Boot Loader
//! Specification"; systemd's loader.conf(5).

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

/// The files of a factory image, sorted by path.
pub fn factory(role: &str, image_version: &str, loader: &Arc<[u8]>, uki: &Arc<[u8]>) -> Vec<EspFile> {
    let file = |path: &str, bytes: &Arc<[u8]>| EspFile { path: path.to_owned(), bytes: Arc::clone(bytes) };
    let text = |path: &str, text: &str| EspFile { path: path.to_owned(), bytes: text.as_bytes().into() };
    let entry = BootEntry::for_slot(Slot::A, role, image_version, 1);
    let entry_path = format!("{}/{}", uefi::DIRECTORY, EntryName { slot: Slot::A, tries: None }.render());
    let mut files = vec![
        // Firmware starts this one; bootctl looks for the other.
        file("EFI/BOOT/BOOTX64.EFI", loader),
        file("EFI/systemd/systemd-bootx64.efi", loader),
        file(uefi::uki_path(Slot::A).trim_start_matches('/'), uki),
        text(uefi::LOADER_CONF_PATH, uefi::LOADER_CONF),
        text(uefi::ENTRIES_SREL_PATH, uefi::ENTRIES_SREL),
        text(&entry_path, &entry.render()),
    ];
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}
