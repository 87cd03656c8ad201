//! Both encodings of the boot records, as they lie on a volume, and what blessing a slot changes in them.

use super::bless::Wish;
use kmimage_contract::Slot;
use kmimage_contract::boot_records::BootRecords;
use kmimage_contract::boot_records::grub::{self, EnvironmentBlock};
use kmimage_contract::boot_records::uefi::{self, BootEntry, Change, EntryName, Listed};
use kmimage_contract::fat32::edit::{EditError, Fat32};
use std::path::Path;

/// The most bytes of a record's file that are read.
const MOST: u64 = 64 << 10;

/// What started the boot loader: each has records of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Firmware {
    Uefi,
    Bios,
}

impl Firmware {
    pub(super) fn of_this_machine() -> Self {
        if Path::new("/sys/firmware/efi").exists() { Self::Uefi } else { Self::Bios }
    }
}

/// What a volume says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Records {
    entries: Vec<Listed>,
    /// GRUB's block and its file's bytes. A block that can't be read is empty; `None`: there is no such file.
    block: Option<(EnvironmentBlock, Vec<u8>)>,
}

impl Records {
    pub(super) fn read(volume: &Fat32<'_>) -> Result<Self, EditError> {
        let mut entries = Vec::new();
        for file in volume.list(uefi::DIRECTORY)?.unwrap_or_default() {
            let Some(name) = EntryName::parse(&file.name).filter(|_| !file.directory && file.len <= MOST) else { continue };
            let content = volume.read(&format!("{}/{}", uefi::DIRECTORY, file.name), MOST)?.unwrap_or_default();
            // Somebody else's entry is none of ours.
            if let Ok(entry) = BootEntry::parse(&String::from_utf8_lossy(&content)) {
                entries.push(Listed { name, entry });
            }
        }
        let block = volume.read(grub::SLOTS, MOST)?.map(|bytes| (EnvironmentBlock::parse(&bytes).unwrap_or_default(), bytes));
        Ok(Self { entries, block })
    }

    /// What the loader of this firmware is told; `None`: there is nothing for it.
    pub(super) fn of(&self, firmware: Firmware) -> Option<BootRecords> {
        match firmware {
            Firmware::Uefi => (!self.entries.is_empty()).then(|| uefi::records(&self.entries)),
            Firmware::Bios => self.block.as_ref().map(|(block, _)| block.records()),
        }
    }

    /// What the loader of this firmware would boot next, and what it would write before. `None`: there is nothing to boot.
    pub(super) fn next_boot(&self, firmware: Firmware) -> Option<(Slot, Option<Wish>)> {
        match firmware {
            Firmware::Uefi => uefi::next_boot(&self.entries).map(|(slot, change)| (slot, change.map(Wish::Entry))),
            Firmware::Bios => {
                let (block, bytes) = self.block.as_ref()?;
                let next = block.records().next_boot()?;
                let mut counted = block.clone();
                counted.set_records(&next.after);
                let write = (next.after != block.records()).then(|| counted.render_in(bytes.len()).ok()).flatten();
                Some((next.slot, write.map(Wish::Block)))
            }
        }
    }

    /// What GRUB's block is to be for `slot` to be the good one; `None`: it says so, or is not there.
    pub(super) fn block_blessing(&self, slot: Slot) -> Option<Vec<u8>> {
        let (block, bytes) = self.block.as_ref()?;
        let mut blessed = block.clone();
        blessed.set_records(&block.records().bless(slot));
        if blessed == *block {
            return None;
        }
        blessed.render_in(bytes.len()).ok()
    }

    /// The same for the entries.
    pub(super) fn entries_blessing(&self, slot: Slot) -> Vec<Change> {
        uefi::bless(&self.entries, slot)
    }
}
