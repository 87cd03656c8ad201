//! What the new disk's ESP holds: the boot loaders and the slot's files as they are on the medium, and the few texts that are a disk's own.

use super::act::InstallError;
use super::disks::INSTALLED_FROM;
use super::medium::SLOT;
use super::window::Window;
use crate::config::volume::Volume;
use kmimage_contract::boot_records::uefi::{self, BootEntry, EntryName};
use kmimage_contract::boot_records::{BootRecords, grub};
use kmimage_contract::paths::ESP_MACHINE_CONFIG;
use kmimage_contract::release::Release;
use std::io::{Read, Seek};
use uuid::Uuid;

/// The longest file that is taken over, in bytes.
pub(super) const LIMIT: u64 = 1 << 30;

/// A file of the new ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EspFile {
    /// Relative path, components parted by `/`.
    pub path: String,
    /// Its length in bytes.
    pub len: u64,
    /// What it holds; `None`: what the medium's file of this path does.
    pub text: Option<Vec<u8>>,
}

/// The files, sorted by path. `config` is the machine config in force.
pub(super) fn files(
    volume: &mut Volume<Window<'_>>,
    release: &Release,
    medium_esp: Uuid,
    config: Option<Vec<u8>>,
) -> Result<Vec<EspFile>, InstallError> {
    let entry = BootEntry::for_slot(SLOT, &release.role, &release.version, 1);
    let entry_path = format!("{}/{}", uefi::DIRECTORY, EntryName { slot: SLOT, tries: None }.render());
    let slots = grub::EnvironmentBlock::for_records(&BootRecords::factory(SLOT)).render();
    let texts = [
        (uefi::LOADER_CONF_PATH.to_owned(), Some(uefi::LOADER_CONF.as_bytes().to_vec())),
        (uefi::ENTRIES_SREL_PATH.to_owned(), Some(uefi::ENTRIES_SREL.as_bytes().to_vec())),
        (entry_path, Some(entry.render().into_bytes())),
        // The medium's own leads to its menu.
        (grub::CONFIGURATION.to_owned(), Some(grub::CONFIGURATION_TEXT.as_bytes().to_vec())),
        (grub::SLOTS.to_owned(), Some(slots)),
        (INSTALLED_FROM.to_owned(), Some(format!("{medium_esp}\n").into_bytes())),
        (ESP_MACHINE_CONFIG.to_owned(), config),
    ];
    let mut files: Vec<EspFile> = texts
        .into_iter()
        .filter_map(|(path, text)| Some(EspFile { path: relative(&path), len: text.as_ref()?.len() as u64, text }))
        .collect();
    let copied = [
        "EFI/BOOT/BOOTX64.EFI".to_owned(),
        "EFI/systemd/systemd-bootx64.efi".to_owned(),
        uefi::uki_path(SLOT).to_owned(),
        grub::BOOT_IMAGE.to_owned(),
        grub::CORE_IMAGE.to_owned(),
        grub::kernel_path(SLOT),
        grub::initramfs_path(SLOT),
        grub::command_line_path(SLOT),
    ];
    for path in copied {
        let path = relative(&path);
        let len = length(volume, &path)?.ok_or_else(|| InstallError::MissingFile(path.clone()))?;
        files.push(EspFile { path, len, text: None });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// What a file holds.
pub(super) fn content<R: Read + Seek>(volume: &mut Volume<R>, path: &str) -> Result<Vec<u8>, InstallError> {
    volume.read(path, LIMIT)?.ok_or_else(|| InstallError::MissingFile(path.to_owned()))
}

fn length<R: Read + Seek>(volume: &mut Volume<R>, path: &str) -> Result<Option<u64>, InstallError> {
    match volume {
        Volume::Fat(fat) => Ok(fat.length(path)?),
        Volume::Iso(_) => Err(InstallError::NoFileSystem),
    }
}

fn relative(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}
