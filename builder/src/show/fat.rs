//! Listing a FAT32 file system and reading small files of it: the EFI system partition of an image, also after firmware and boot
//! loader have written to it. Every chain is bounded by the number of clusters, so a damaged one ends.

use super::source::{Source, read_some};
use std::io;

/// Why a file system can't be listed.
#[derive(Debug, thiserror::Error)]
pub enum FatError {
    /// The boot sector is not one of FAT32.
    #[error("no FAT32 file system: {0}")]
    BootSector(&'static str),
    /// A chain leaves the file system or never ends.
    #[error("the FAT32 file system is damaged: {0}")]
    Damaged(&'static str),
    /// It can't be read.
    #[error("can't read the FAT32 file system")]
    Read(#[from] io::Error),
}

/// A file that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FatFile {
    /// Path, components parted by `/`, the long names where there are.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    first_cluster: u32,
}

/// Directories deeper than this are damage.
const DEEPEST: usize = 16;
/// More files than any boot partition has.
const MOST_FILES: usize = 10_000;

/// A FAT32 file system.
pub struct Fat<'a> {
    source: &'a dyn Source,
    cluster_bytes: u64,
    fat_offset: u64,
    data_offset: u64,
    clusters: u32,
    root: u32,
}

impl<'a> Fat<'a> {
    /// Reads the boot sector.
    pub fn open(source: &'a dyn Source) -> Result<Self, FatError> {
        let sector = read_some(source, 0, 512)?;
        let u16_at = |at: usize| sector.get(at..at + 2).map(|bytes| u64::from(bytes[0]) | u64::from(bytes[1]) << 8).unwrap_or(0);
        let u32_at = |at: usize| u16_at(at) | u16_at(at + 2) << 16;
        if u16_at(510) != 0xaa55 || sector.get(82..87) != Some(b"FAT32") {
            return Err(FatError::BootSector("the signature is missing"));
        }
        let sector_bytes = u16_at(11);
        let per_cluster = u16_at(13) & 0xff;
        if !matches!(sector_bytes, 512 | 1024 | 2048 | 4096) || !per_cluster.is_power_of_two() {
            return Err(FatError::BootSector("its sector or cluster size is not valid"));
        }
        let fats = u16_at(16) & 0xff;
        let (reserved, fat_sectors, sectors) = (u16_at(14), u32_at(36), u32_at(32));
        let data_sector = reserved + fats * fat_sectors;
        let clusters = sectors.saturating_sub(data_sector) / per_cluster;
        Ok(Self {
            source,
            cluster_bytes: sector_bytes * per_cluster,
            fat_offset: reserved * sector_bytes,
            data_offset: data_sector * sector_bytes,
            clusters: u32::try_from(clusters.min(fat_sectors * sector_bytes / 4)).unwrap_or(0),
            root: u32_at(44) as u32,
        })
    }

    /// Every file, in the order of the directories.
    pub fn files(&self) -> Result<Vec<FatFile>, FatError> {
        let mut files = Vec::new();
        self.list("", self.root, 0, &mut files)?;
        Ok(files)
    }

    /// A file's bytes, at most `most`.
    pub fn read(&self, file: &FatFile, most: u64) -> Result<Vec<u8>, FatError> {
        let want = file.size.min(most);
        let mut bytes = self.chain(file.first_cluster, want)?;
        bytes.truncate(usize::try_from(want).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    /// The clusters from `first` on, until `most` bytes are there or the chain ends.
    fn chain(&self, first: u32, most: u64) -> Result<Vec<u8>, FatError> {
        let mut bytes = Vec::new();
        let mut cluster = first & 0x0fff_ffff;
        while (bytes.len() as u64) < most && cluster < 0x0fff_fff8 {
            let index = cluster.checked_sub(2).filter(|index| *index < self.clusters);
            let index = index.ok_or(FatError::Damaged("a chain leaves the file system"))?;
            if bytes.len() as u64 > u64::from(self.clusters) * self.cluster_bytes {
                return Err(FatError::Damaged("a chain never ends"));
            }
            bytes.extend(read_some(self.source, self.data_offset + u64::from(index) * self.cluster_bytes, self.cluster_bytes)?);
            let mut next = [0; 4];
            self.source.read_at(&mut next, self.fat_offset + u64::from(cluster) * 4)?;
            cluster = u32::from_le_bytes(next) & 0x0fff_ffff;
        }
        Ok(bytes)
    }

    fn list(&self, prefix: &str, cluster: u32, depth: usize, files: &mut Vec<FatFile>) -> Result<(), FatError> {
        if depth > DEEPEST {
            return Err(FatError::Damaged("its directories are too deep"));
        }
        let records = self.chain(cluster, 2 << 20)?;
        let mut long: Vec<u16> = Vec::new();
        for record in records.chunks_exact(32) {
            match (record[0], record[11]) {
                (0, _) => break,
                (0xe5, _) => long.clear(),
                (order, 0x0f) => {
                    if order & 0x40 != 0 {
                        long.clear();
                    }
                    let units = record[1..11].chunks(2).chain(record[14..26].chunks(2)).chain(record[28..32].chunks(2));
                    let units = units.map(|unit| u16::from(unit[0]) | u16::from(unit[1]) << 8);
                    let part: Vec<u16> = units.take_while(|&unit| unit != 0 && unit != 0xffff).collect();
                    long.splice(0..0, part);
                    long.truncate(260);
                }
                (_, attributes) if attributes & 0x08 != 0 || record[0] == b'.' => long.clear(),
                (_, attributes) => {
                    let name = if long.is_empty() { short_name(record) } else { String::from_utf16_lossy(&long) };
                    long.clear();
                    let path = format!("{prefix}{name}");
                    let half = |at: usize| u32::from(record[at]) | u32::from(record[at + 1]) << 8;
                    let first_cluster = half(26) | half(20) << 16;
                    if attributes & 0x10 != 0 {
                        self.list(&format!("{path}/"), first_cluster, depth + 1, files)?;
                    } else {
                        let size = u64::from(half(28) | half(30) << 16);
                        files.push(FatFile { path, size, first_cluster });
                    }
                    if files.len() > MOST_FILES {
                        return Err(FatError::Damaged("it has too many files"));
                    }
                }
            }
        }
        Ok(())
    }
}

fn short_name(record: &[u8]) -> String {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).trim_end().to_owned();
    let (base, extension) = (text(record.get(..8)), text(record.get(8..11)));
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::fat32::layout::{Data, FileAt, Volume, lay_out};

    fn sample() -> Vec<u8> {
        let volume = Volume { size: 34 << 20, disk_offset: 0, serial: 1, label: "ESP", epoch: 0 };
        let files = [("EFI/BOOT/BOOTX64.EFI", 3000), ("loader/entries/kmimage-a+3-0.conf", 10), ("empty file", 0)];
        let list: Vec<FileAt<'_>> = files.iter().map(|&(path, len)| FileAt { path, len }).collect();
        let mut image = vec![0; 34 << 20];
        for extent in lay_out(&volume, &list).unwrap() {
            let bytes = match extent.data {
                Data::Bytes(bytes) => bytes,
                Data::File(index) => vec![index as u8 + 1; list[index].len as usize],
            };
            image[extent.offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        image
    }

    #[test]
    fn files_are_listed_and_read() {
        let image = sample();
        let source = image.as_slice();
        let fat = Fat::open(&source).unwrap();
        let files = fat.files().unwrap();
        let rows: Vec<String> = files.iter().map(|file| format!("{} {}", file.path, file.size)).collect();
        assert_eq!(rows, ["EFI/BOOT/BOOTX64.EFI 3000", "empty file 0", "loader/entries/kmimage-a+3-0.conf 10"]);
        assert_eq!(fat.read(&files[0], 1 << 20).unwrap(), [1; 3000]);
        assert_eq!(fat.read(&files[2], 4).unwrap(), [2; 4]);
        assert!(fat.read(&files[1], 4).unwrap().is_empty());
    }

    #[test]
    fn damage_is_an_error_never_a_panic() {
        let image = sample();
        let data = Fat::open(&image.as_slice()).map(|fat| fat.data_offset as usize).unwrap();
        for at in (0..512).chain(data..data + 512) {
            for value in [0, 2, 0xff] {
                let mut damaged = image[..data + 8192].to_vec();
                damaged[at] = value;
                let source = damaged.as_slice();
                if let Ok(fat) = Fat::open(&source) {
                    let _ = fat.files();
                }
            }
        }
        // A directory that is its own child.
        let mut damaged = image.clone();
        let cluster = damaged[44..46].to_vec();
        damaged[data + 32 + 26..data + 32 + 28].copy_from_slice(&cluster);
        let source = damaged.as_slice();
        assert!(Fat::open(&source).unwrap().files().is_err());
    }
}
