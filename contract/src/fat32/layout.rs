//! A FAT32 file system as a list of extents: boot sector, FSInfo, the used part of both tables, directories, files in one piece.
//!
//! Everything is laid out in the order of the paths, each file contiguous, so the same files give the same bytes. Times are all
//! the same and come in as a value. No free space is written: the target must read as zeros there. Read only by firmware,
//! boot loaders and Linux; format: Microsoft's "FAT32 File System Specification", 2000.

use super::names::{self, Record, ShortName};
use super::record::{self, ATTRIBUTE_ARCHIVE, ATTRIBUTE_DIRECTORY, ATTRIBUTE_VOLUME};
use super::time;
use std::collections::{BTreeMap, BTreeSet};

const SECTOR: u64 = 512;
const FATS: u64 = 2;
/// Every file begins at a multiple of this: a block of ISO 9660, so that the volume of a hybrid medium can show the same bytes.
const FILE_ALIGNMENT: u64 = 2048;
/// FAT32 by definition: with fewer clusters, readers take it for FAT16.
const LEAST_CLUSTERS: u64 = 65_525;
const END_OF_CHAIN: u32 = 0x0fff_ffff;

/// Why files can't be laid out.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FatError {
    /// A path that FAT can't hold.
    #[error("{path} can't be on the EFI system partition: {fault}")]
    Name {
        /// The path.
        path: String,
        /// Why.
        fault: &'static str,
    },
    /// Two paths that FAT does not tell apart, or a file that is also a directory.
    #[error("{path} is on the EFI system partition twice (FAT does not tell upper from lower case)")]
    Twice {
        /// The second path.
        path: String,
    },
    /// The files need more than there is.
    #[error("the EFI system partition's files need {needed} bytes, it has {free}")]
    Full {
        /// Bytes of all clusters that are needed.
        needed: u64,
        /// Bytes of all clusters there are.
        free: u64,
    },
    /// A partition of this size can't be FAT32.
    #[error("a partition of {0} bytes can't hold FAT32 (33 MiB to 128 GiB)")]
    Size(u64),
}

/// The file system apart from its files.
#[derive(Debug, Clone, Copy)]
pub struct Volume<'a> {
    /// Size of the partition in bytes.
    pub size: u64,
    /// Where the partition begins on the disk, in bytes (the boot sector's "hidden sectors").
    pub disk_offset: u64,
    /// Volume serial number.
    pub serial: u32,
    /// Volume label, at most 11 upper-case characters.
    pub label: &'a str,
    /// The time of every file, in seconds since 1970, UTC; before 1980 it is taken as 1980.
    pub epoch: i64,
}

/// Bytes at a place, relative to the partition's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Where.
    pub offset: u64,
    /// What.
    pub data: Data,
}

/// What an extent holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// These bytes.
    Bytes(Vec<u8>),
    /// The whole file of this index, in the list that was laid out.
    File(usize),
}

/// A path inside the file system (`EFI/BOOT/BOOTX64.EFI`) and the length of its file in bytes.
#[derive(Debug, Clone, Copy)]
pub struct FileAt<'a> {
    /// Relative path, components parted by `/`.
    pub path: &'a str,
    /// Length in bytes; less than 4 GiB.
    pub len: u64,
}

struct Geometry {
    sectors: u64,
    sectors_per_cluster: u64,
    reserved: u64,
    fat_sectors: u64,
    clusters: u64,
}

impl Geometry {
    fn new(size: u64) -> Result<Self, FatError> {
        let sectors = size / SECTOR;
        if u32::try_from(sectors).is_err() || size > 128 << 30 {
            return Err(FatError::Size(size));
        }
        // 4 KiB where that leaves enough clusters, as mkfs.fat does; larger ones where the table would grow past 2^20 entries.
        let sizes: [u64; 7] = [64, 32, 16, 8, 4, 2, 1];
        let large_enough = |per_cluster: &u64| *per_cluster <= 8 || sectors / (per_cluster / 2) > 1 << 22;
        for sectors_per_cluster in sizes.into_iter().filter(large_enough) {
            let fat_sectors = (sectors / sectors_per_cluster + 2).div_ceil(SECTOR / 4);
            // Data begins on a multiple of 4 KiB of the partition, so clusters are pages.
            let reserved = (32 + FATS * fat_sectors).next_multiple_of(8) - FATS * fat_sectors;
            let data = sectors.saturating_sub(reserved + FATS * fat_sectors);
            let clusters = data / sectors_per_cluster;
            if clusters >= LEAST_CLUSTERS {
                return Ok(Self { sectors, sectors_per_cluster, reserved, fat_sectors, clusters });
            }
        }
        Err(FatError::Size(size))
    }

    fn cluster_bytes(&self) -> u64 {
        self.sectors_per_cluster * SECTOR
    }

    fn cluster_offset(&self, cluster: u64) -> u64 {
        (self.reserved + FATS * self.fat_sectors + (cluster - 2) * self.sectors_per_cluster) * SECTOR
    }
}

/// A directory or a file on its way to its place.
enum Node<'a> {
    Directory(BTreeMap<String, (&'a str, Node<'a>)>),
    File { index: usize, len: u64 },
}

fn grow<'a>(files: &[FileAt<'a>]) -> Result<Node<'a>, FatError> {
    let mut root = Node::Directory(BTreeMap::new());
    for (index, file) in files.iter().enumerate() {
        let path = || file.path.to_owned();
        if u32::try_from(file.len).is_err() {
            return Err(FatError::Name { path: path(), fault: "a file on FAT is smaller than 4 GiB" });
        }
        let mut at = &mut root;
        let mut components = file.path.split('/').peekable();
        while let Some(name) = components.next() {
            if let Some(fault) = names::fault(name) {
                return Err(FatError::Name { path: path(), fault });
            }
            let Node::Directory(children) = at else { return Err(FatError::Twice { path: path() }) };
            let new = !children.contains_key(&names::folded(name));
            let last = components.peek().is_none();
            if last && !new {
                return Err(FatError::Twice { path: path() });
            }
            let node = if last { Node::File { index, len: file.len } } else { Node::Directory(BTreeMap::new()) };
            let (stored, next) = children.entry(names::folded(name)).or_insert((name, node));
            if *stored != name {
                return Err(FatError::Twice { path: path() });
            }
            at = next;
        }
    }
    Ok(root)
}

struct Layout {
    geometry: Geometry,
    table: Vec<u32>,
    extents: Vec<Extent>,
    stamp: [u8; 4],
}

impl Layout {
    /// Takes the next free clusters for `len` bytes; the first one, or 0 for none.
    fn allocate(&mut self, len: u64) -> u32 {
        let count = len.div_ceil(self.geometry.cluster_bytes());
        if count == 0 {
            return 0;
        }
        // The total was held against the geometry before, so the numbers fit.
        let first = self.table.len() as u32;
        self.table.extend((1..count as u32).map(|index| first + index));
        self.table.push(END_OF_CHAIN);
        first
    }

    /// Leaves clusters free up to where a file may begin.
    fn align(&mut self) {
        while !self.geometry.cluster_offset(self.table.len() as u64).is_multiple_of(FILE_ALIGNMENT) {
            self.table.push(0);
        }
    }

    fn record(&self, name: &ShortName, attributes: u8, cluster: u32, len: u32) -> Record {
        record::record(name, attributes, cluster, len, self.stamp)
    }

    /// Lays `children` out as the directory whose records are to begin with `records`.
    fn directory(&mut self, children: &BTreeMap<String, (&str, Node<'_>)>, label: Option<Record>, parent: Option<u32>) -> u32 {
        let cluster = self.allocate(directory_bytes(children, parent.is_none()));
        let mut records: Vec<Record> = label.into_iter().collect();
        if let Some(parent) = parent {
            records.push(self.record(b".          ", ATTRIBUTE_DIRECTORY, cluster, 0));
            records.push(self.record(b"..         ", ATTRIBUTE_DIRECTORY, parent, 0));
        }
        let mut taken: BTreeSet<ShortName> = children.values().filter_map(|(name, _)| names::exact_short(name)).collect();
        let root = parent.is_none();
        for (name, node) in children.values() {
            let short = names::exact_short(name).unwrap_or_else(|| {
                let short = names::alias(name, &mut taken);
                records.extend(names::long_records(name, &short));
                short
            });
            records.push(match node {
                Node::File { index, len } => {
                    self.align();
                    let first = self.allocate(*len);
                    if first != 0 {
                        let offset = self.geometry.cluster_offset(u64::from(first));
                        self.extents.push(Extent { offset, data: Data::File(*index) });
                    }
                    self.record(&short, ATTRIBUTE_ARCHIVE, first, *len as u32)
                }
                Node::Directory(children) => {
                    // The root is written as cluster 0 in the `..` of its children.
                    let first = self.directory(children, None, Some(if root { 0 } else { cluster }));
                    self.record(&short, ATTRIBUTE_DIRECTORY, first, 0)
                }
            });
        }
        let offset = self.geometry.cluster_offset(u64::from(cluster));
        self.extents.push(Extent { offset, data: Data::Bytes(records.concat()) });
        cluster
    }
}

/// Bytes of a directory's records: the label or the two dots, and one record and the long-name records for each child.
fn directory_bytes(children: &BTreeMap<String, (&str, Node<'_>)>, root: bool) -> u64 {
    let names = children.values().map(|(name, _)| match names::exact_short(name) {
        Some(_) => 1,
        None => 1 + name.encode_utf16().count().div_ceil(13) as u64,
    });
    (names.sum::<u64>() + if root { 1 } else { 2 }) * 32
}

fn clusters_of(node: &Node<'_>, cluster_bytes: u64, root: bool) -> u64 {
    match node {
        // With what may have to be left free before it.
        Node::File { len, .. } => len.div_ceil(cluster_bytes) + (FILE_ALIGNMENT / cluster_bytes).saturating_sub(1),
        Node::Directory(children) => {
            let below: u64 = children.values().map(|(_, node)| clusters_of(node, cluster_bytes, false)).sum();
            below + directory_bytes(children, root).div_ceil(cluster_bytes)
        }
    }
}

/// The file system that holds `files`, as extents sorted by offset, none overlapping another.
pub fn lay_out(volume: &Volume<'_>, files: &[FileAt<'_>]) -> Result<Vec<Extent>, FatError> {
    let geometry = Geometry::new(volume.size)?;
    let root = grow(files)?;
    let Node::Directory(children) = &root else { return Ok(Vec::new()) };
    let needed = clusters_of(&root, geometry.cluster_bytes(), true);
    if needed > geometry.clusters {
        let bytes = |clusters: u64| clusters * geometry.cluster_bytes();
        return Err(FatError::Full { needed: bytes(needed), free: bytes(geometry.clusters) });
    }
    let mut label = [b' '; 11];
    label.iter_mut().zip(volume.label.bytes()).for_each(|(to, from)| *to = from);
    let mut layout =
        Layout { geometry, table: vec![0x0fff_fff8, 0x0fff_ffff], extents: Vec::new(), stamp: time::stamp(volume.epoch) };
    let label_record = layout.record(&label, ATTRIBUTE_VOLUME, 0, 0);
    let root_cluster = layout.directory(children, Some(label_record), None);
    let Layout { geometry, table, mut extents, .. } = layout;

    let used = table.iter().skip(2).filter(|entry| **entry != 0).count() as u64;
    let free = geometry.clusters.saturating_sub(used);
    let boot = boot_sector(&geometry, volume, &label, root_cluster);
    let info = info_sector(free, table.len() as u64);
    for at in [0, 6] {
        extents.push(Extent { offset: at * SECTOR, data: Data::Bytes([&boot[..], &info[..], &third_sector()[..]].concat()) });
    }
    let table: Vec<u8> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    for copy in 0..FATS {
        let offset = (geometry.reserved + copy * geometry.fat_sectors) * SECTOR;
        extents.push(Extent { offset, data: Data::Bytes(table.clone()) });
    }
    extents.sort_by_key(|extent| extent.offset);
    Ok(extents)
}

fn boot_sector(geometry: &Geometry, volume: &Volume<'_>, label: &[u8; 11], root_cluster: u32) -> [u8; 512] {
    let mut sector = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0xeb, 0x58, 0x90]);
    put(3, b"KMIMAGE ");
    put(11, &(SECTOR as u16).to_le_bytes());
    put(13, &[geometry.sectors_per_cluster as u8]);
    put(14, &(geometry.reserved as u16).to_le_bytes());
    put(16, &[FATS as u8]);
    put(21, &[0xf8]);
    put(24, &32u16.to_le_bytes());
    put(26, &64u16.to_le_bytes());
    put(28, &u32::try_from(volume.disk_offset / SECTOR).unwrap_or(0).to_le_bytes());
    put(32, &(geometry.sectors as u32).to_le_bytes());
    put(36, &(geometry.fat_sectors as u32).to_le_bytes());
    put(44, &root_cluster.to_le_bytes());
    put(48, &1u16.to_le_bytes());
    put(50, &6u16.to_le_bytes());
    put(64, &[0x80, 0, 0x29]);
    put(67, &volume.serial.to_le_bytes());
    put(71, label);
    put(82, b"FAT32   ");
    // In place of boot code: an endless wait, should a BIOS ever jump here.
    put(90, &[0xf4, 0xeb, 0xfd]);
    put(510, &[0x55, 0xaa]);
    sector
}

fn info_sector(free: u64, next: u64) -> [u8; 512] {
    let mut sector = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| sector[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"RRaA");
    put(484, b"rrAa");
    put(488, &(free as u32).to_le_bytes());
    put(492, &(next as u32).to_le_bytes());
    put(510, &[0x55, 0xaa]);
    sector
}

fn third_sector() -> [u8; 512] {
    let mut sector = [0; 512];
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[cfg(test)]
mod tests;
