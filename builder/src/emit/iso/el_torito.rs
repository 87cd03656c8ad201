//! What makes firmware start from a CD: El Torito's descriptor, its catalogue, and the table that a boot image of a BIOS finds itself by.
//! All of it is pure. Specification: Phoenix and IBM, '"El Torito" Bootable CD-ROM Format', 1.0; for platform 0xEF the UEFI
//! specification, 13.3.2.1; the boot info table is isolinux' and mkisofs'.

use super::{BLOCK, IsoError, Place};
use std::collections::BTreeMap;

/// How a bootable volume begins to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// Blocks of the whole volume, with what lies elsewhere.
    pub blocks: u32,
    /// What there is to start, the first for firmware that knows no others; one for each platform.
    pub entries: Vec<BootEntry>,
}

/// A boot image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootEntry {
    /// For a BIOS: a file of the volume, by its path without a leading `/`; its first block is loaded and run.
    Bios(String),
    /// For UEFI: the FAT file system that begins at this block.
    Efi(u32),
}

/// Bytes in an entry of the catalogue.
const ENTRY: usize = 32;
/// The sectors of 512 bytes in a block.
const BLOCK_SECTORS: u16 = 4;
/// "From here to the end of the medium": the field has 16 bits, and a file system of more than 32 MiB has no other way to be right. (The
/// specification allows 0, too, which some firmware takes at its word.)
const TO_THE_END: u16 = 1;

impl BootEntry {
    fn platform(&self) -> u8 {
        match self {
            BootEntry::Bios(_) => 0,
            BootEntry::Efi(_) => 0xef,
        }
    }

    /// The entry itself: bootable, no emulation.
    fn encode(&self, files: &BTreeMap<String, Place>) -> Result<Vec<u8>, IsoError> {
        let (sectors, block) = match self {
            BootEntry::Bios(path) => (BLOCK_SECTORS, files.get(path).ok_or_else(|| IsoError::NoBootImage(path.clone()))?.block),
            BootEntry::Efi(block) => (TO_THE_END, *block),
        };
        let mut out = vec![0x88, 0, 0, 0, 0, 0];
        out.extend(sectors.to_le_bytes());
        out.extend(block.to_le_bytes());
        out.resize(ENTRY, 0);
        Ok(out)
    }
}

impl Boot {
    /// The catalogue's block.
    pub(super) fn catalogue(&self, files: &BTreeMap<String, Place>) -> Result<Vec<u8>, IsoError> {
        let mut out = Vec::with_capacity(BLOCK);
        for (number, entry) in self.entries.iter().enumerate() {
            if number == 0 {
                out.extend(validation(entry.platform()));
            } else {
                // A section of one; the last is marked as such.
                let is_last = number + 1 == self.entries.len();
                let mut header = vec![if is_last { 0x91 } else { 0x90 }, entry.platform(), 1, 0];
                header.resize(ENTRY, 0);
                out.extend(header);
            }
            out.extend(entry.encode(files)?);
        }
        out.resize(BLOCK, 0);
        Ok(out)
    }
}

/// The entry that a catalogue begins with. Its words sum up to zero.
fn validation(platform: u8) -> Vec<u8> {
    let mut out = vec![1, platform, 0, 0];
    out.extend(b"KMIMAGE");
    out.resize(ENTRY - 2, 0);
    out.extend([0x55, 0xaa]);
    let sum = out.chunks_exact(2).fold(0u16, |sum, word| sum.wrapping_add(u16::from_le_bytes([word[0], word[1]])));
    let [low, high] = sum.wrapping_neg().to_le_bytes();
    out.splice(28..30, [low, high]);
    out
}

/// The descriptor that says where the catalogue is.
pub(super) fn descriptor(catalogue: u32) -> Vec<u8> {
    let mut out = b"\0CD001\x01EL TORITO SPECIFICATION".to_vec();
    out.resize(0x47, 0);
    out.extend(catalogue.to_le_bytes());
    out.resize(BLOCK, 0);
    out
}

/// Writes the boot info table into a boot image: where the volume and the image itself lie, and the image's checksum. `None`: an image that
/// is too short for the table.
pub fn put_boot_info_table(image: &mut [u8], block: u32) -> Option<()> {
    const TABLE: std::ops::Range<usize> = 8..64;
    let length = u32::try_from(image.len()).ok()?;
    let words = image.get(TABLE.end..)?.chunks(4);
    let sum = words.fold(0u32, |sum, word| {
        let mut bytes = [0; 4];
        bytes.iter_mut().zip(word).for_each(|(to, from)| *to = *from);
        sum.wrapping_add(u32::from_le_bytes(bytes))
    });
    let mut table: Vec<u8> = [super::SYSTEM_AREA, block, length, sum].into_iter().flat_map(u32::to_le_bytes).collect();
    table.resize(TABLE.len(), 0);
    image.get_mut(TABLE)?.copy_from_slice(&table);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalogue_is_these_bytes() {
        let boot = Boot { blocks: 100, entries: vec![BootEntry::Bios("core.img".to_owned()), BootEntry::Efi(0x1234)] };
        let files = BTreeMap::from([("core.img".to_owned(), Place { block: 33, length: 5000 })]);
        let catalogue = boot.catalogue(&files).unwrap();
        assert_eq!(catalogue.len(), BLOCK);
        let words = catalogue[..ENTRY].chunks(2).fold(0u16, |sum, word| sum.wrapping_add(u16::from_le_bytes([word[0], word[1]])));
        assert_eq!(words, 0);
        assert_eq!(catalogue[ENTRY..ENTRY + 12], [0x88, 0, 0, 0, 0, 0, 4, 0, 33, 0, 0, 0]);
        assert_eq!(catalogue[2 * ENTRY..2 * ENTRY + 4], [0x91, 0xef, 1, 0]);
        assert_eq!(catalogue[3 * ENTRY..3 * ENTRY + 12], [0x88, 0, 0, 0, 0, 0, 1, 0, 0x34, 0x12, 0, 0]);
        assert!(catalogue[4 * ENTRY..].iter().all(|&byte| byte == 0));
        let only_efi = Boot { blocks: 100, entries: vec![BootEntry::Efi(5)] };
        assert_eq!(only_efi.catalogue(&files).unwrap()[..2], [1, 0xef]);
        assert_eq!(boot.catalogue(&BTreeMap::new()), Err(IsoError::NoBootImage("core.img".to_owned())));
    }

    #[test]
    fn a_boot_image_is_told_where_it_lies() {
        let mut image = vec![1u8; 70];
        put_boot_info_table(&mut image, 40).unwrap();
        let word = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap());
        assert_eq!((word(8), word(12), word(16), word(20)), (16, 40, 70, 0x0101_0101 + 0x0101));
        assert_eq!((image[7], image[24], image[63], image[64]), (1, 0, 0, 1));
        assert_eq!(put_boot_info_table(&mut [0; 63], 1), None);
    }
}
