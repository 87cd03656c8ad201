//! An EFI system partition in a file, for tests.

use super::Esp;
use kmimage_contract::boot_records::BootRecords;
use kmimage_contract::boot_records::grub::{self, EnvironmentBlock};
use kmimage_contract::boot_records::uefi::{self, DIRECTORY, EntryName};
use kmimage_contract::fat32::layout::{Data, FileAt, Volume, lay_out};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use tempfile::TempDir;

const SIZE: u64 = 34 << 20;

/// A volume with these records and files; the folder goes with it.
pub(super) fn volume(entries: &[(&str, u64)], block: Option<&BootRecords>, files: &[(&str, &[u8])]) -> (TempDir, Esp) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("esp");
    let mut all: Vec<(String, Vec<u8>)> = entries
        .iter()
        .map(|(name, generation)| {
            let slot = EntryName::parse(name).unwrap().slot;
            let entry = uefi::BootEntry::for_slot(slot, "base", "1", *generation);
            (format!("{DIRECTORY}/{name}"), entry.render().into_bytes())
        })
        .collect();
    all.extend(block.map(|records| (grub::SLOTS[1..].to_owned(), EnvironmentBlock::for_records(records).render())));
    all.extend(files.iter().map(|(path, bytes)| (path.trim_start_matches('/').to_owned(), bytes.to_vec())));
    all.sort();
    let list: Vec<FileAt<'_>> = all.iter().map(|(path, bytes)| FileAt { path, len: bytes.len() as u64 }).collect();
    let volume = Volume { size: SIZE, disk_offset: 0, serial: 1, label: "ESP", epoch: 0 };
    let file = File::create(&path).unwrap();
    file.set_len(SIZE).unwrap();
    for extent in lay_out(&volume, &list).unwrap() {
        let bytes = match extent.data {
            Data::Bytes(bytes) => bytes,
            Data::File(index) => all[index].1.clone(),
        };
        file.write_all_at(&bytes, extent.offset).unwrap();
    }
    (folder, Esp { path, size: SIZE, slot: None })
}
