//! FAT12, FAT16 and FAT32 with long names, read only (Microsoft's FAT specification 1.03).
//!
//! Written here because the kept crate wants to write, and follows chains and trusts numbers that a hostile volume chooses; this
//! process is built to end on a panic. Names are compared without regard to ASCII case, as the format asks.

#[cfg(test)]
mod tests;

use super::{VolumeError, read_at, u16_at, u32_at};
use std::io::{Read, Seek};

/// Bytes in a record of a folder.
const RECORD: usize = 32;
/// The longest folder that is read, in bytes: the format's own limit.
const FOLDER: u64 = 65536 * RECORD as u64;
/// The attributes that mark a piece of a long name.
const LONG_NAME: u8 = 0x0f;
/// The attribute of a label.
const LABEL: u8 = 0x08;
/// The attribute of a folder.
const SUBFOLDER: u8 = 0x10;

/// How many bits an entry of the table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    W12,
    W16,
    W32,
}

/// Where things lie, in bytes. Every product fits: the boot sector's numbers have at most 32 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Geometry {
    width: Width,
    cluster_bytes: u64,
    table: u64,
    /// Of FAT12 and FAT16: where the root is, and its length.
    root: (u64, u64),
    /// Of FAT32: the root's first cluster.
    root_cluster: u32,
    data: u64,
    clusters: u32,
    label: String,
}

/// A volume.
#[derive(Debug)]
pub struct Fat<R> {
    source: R,
    geometry: Geometry,
    label: String,
}

/// A folder to look into.
#[derive(Debug, Clone, Copy)]
enum Folder {
    /// The root of FAT12 and FAT16, which is no chain of clusters.
    Root,
    Chain(u32),
}

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    long: Option<String>,
    short: String,
    attributes: u8,
    cluster: u32,
    size: u32,
}

/// What the boot sector says. `None`: this is no FAT volume.
pub(super) fn find(source: &mut (impl Read + Seek)) -> Result<Option<Geometry>, VolumeError> {
    match read_at(source, 0, 512) {
        Ok(sector) => Ok(geometry(&sector)),
        Err(VolumeError::Truncated { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn geometry(sector: &[u8]) -> Option<Geometry> {
    let byte = |at: usize| sector.get(at).copied();
    let half = |at| u16_at(sector, at).map(u64::from);
    if byte(510)? != 0x55 || byte(511)? != 0xaa || !matches!(byte(0)?, 0xeb | 0xe9) {
        return None;
    }
    let sector_bytes = half(11).filter(|size| matches!(size, 512 | 1024 | 2048 | 4096))?;
    let per_cluster = u64::from(byte(13)?);
    let (reserved, tables, root_records) = (half(14)?, u64::from(byte(16)?), half(17)?);
    if !per_cluster.is_power_of_two() || reserved == 0 || !(1..=4).contains(&tables) {
        return None;
    }
    let or_wide = |narrow: u64, at| if narrow == 0 { u32_at(sector, at).map(u64::from) } else { Some(narrow) };
    let sectors = or_wide(half(19)?, 32)?;
    let table_sectors = or_wide(half(22)?, 36)?;
    let root_sectors = (root_records * RECORD as u64).div_ceil(sector_bytes);
    let before_data = reserved + tables * table_sectors + root_sectors;
    let clusters = sectors.checked_sub(before_data)? / per_cluster;
    // As Linux tells them apart: by the field that only FAT32 leaves empty, for small FAT32 volumes are common (ESPs).
    let width = match (half(22)?, clusters) {
        (0, 0..0x0fff_fff5) => Width::W32,
        (1.., 0..4085) => Width::W12,
        (1.., 4085..65525) => Width::W16,
        _ => return None,
    };
    if table_sectors == 0 || (width == Width::W32) != (root_records == 0) {
        return None;
    }
    let label = sector.get(if width == Width::W32 { 71..82 } else { 43..54 })?;
    Some(Geometry {
        width,
        cluster_bytes: per_cluster * sector_bytes,
        table: reserved * sector_bytes,
        root: ((reserved + tables * table_sectors) * sector_bytes, root_records * RECORD as u64),
        root_cluster: u32_at(sector, 44)?,
        data: before_data * sector_bytes,
        clusters: u32::try_from(clusters).ok()?,
        label: text(label),
    })
}

impl<R: Read + Seek> Fat<R> {
    /// The volume of this geometry. Its label is the one in the root, else the boot sector's.
    pub(super) fn new(source: R, geometry: Geometry) -> Self {
        let mut fat = Self { source, label: String::new(), geometry };
        // A volume whose root can't be read is still known by the boot sector's label; reading a file says what is wrong.
        let root = fat.folder(fat.root()).unwrap_or_default();
        let label = root.into_iter().find(|entry| entry.attributes & (LABEL | SUBFOLDER) == LABEL);
        fat.label = label.map_or_else(|| fat.geometry.label.clone(), |entry| entry.short);
        fat
    }

    /// The volume's label, without the padding.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The content of a file. `None`: there is no such file.
    pub fn read(&mut self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, VolumeError> {
        let Some(entry) = self.find(path)? else { return Ok(None) };
        let size = u64::from(entry.size);
        if size > limit {
            return Err(VolumeError::TooLarge { path: path.to_owned(), size, limit });
        }
        self.content(&entry).map(Some)
    }

    /// A file's length in bytes. `None`: there is no such file.
    pub fn length(&mut self, path: &str) -> Result<Option<u64>, VolumeError> {
        Ok(self.find(path)?.map(|entry| entry.size.into()))
    }

    fn find(&mut self, path: &str) -> Result<Option<Entry>, VolumeError> {
        let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
        let mut folder = self.root();
        while let Some(part) = parts.next() {
            let is_named = |name: &str| name.eq_ignore_ascii_case(part);
            let found = self.folder(folder)?.into_iter().find(|entry| {
                entry.attributes & LABEL == 0 && (is_named(&entry.short) || entry.long.as_deref().is_some_and(is_named))
            });
            match found {
                Some(entry) if entry.attributes & SUBFOLDER != 0 => folder = Folder::Chain(entry.cluster),
                Some(entry) if parts.peek().is_none() => return Ok(Some(entry)),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn root(&self) -> Folder {
        if self.geometry.width == Width::W32 { Folder::Chain(self.geometry.root_cluster) } else { Folder::Root }
    }

    fn content(&mut self, entry: &Entry) -> Result<Vec<u8>, VolumeError> {
        if entry.size == 0 {
            return Ok(Vec::new());
        }
        let mut bytes = self.chain(entry.cluster, u64::from(entry.size))?;
        if bytes.len() < entry.size as usize {
            return Err(VolumeError::Damaged("a file that ends before its length"));
        }
        bytes.truncate(entry.size as usize);
        Ok(bytes)
    }

    /// The clusters of a chain, until it ends or there are `enough` bytes.
    fn chain(&mut self, first: u32, enough: u64) -> Result<Vec<u8>, VolumeError> {
        let Geometry { cluster_bytes, data, clusters, .. } = self.geometry;
        let mut bytes = Vec::new();
        let mut cluster = first;
        while (bytes.len() as u64) < enough {
            let index = cluster.checked_sub(2).filter(|index| *index < clusters);
            let index = index.ok_or(VolumeError::Damaged("a chain of clusters that leaves the volume"))?;
            bytes.extend(read_at(&mut self.source, data + u64::from(index) * cluster_bytes, cluster_bytes as usize)?);
            match self.next(cluster)? {
                Some(next) => cluster = next,
                None => break,
            }
        }
        Ok(bytes)
    }

    /// What the table says of a cluster. `None`: the chain ends here.
    fn next(&mut self, cluster: u32) -> Result<Option<u32>, VolumeError> {
        let table = self.geometry.table;
        let mut number = |offset: u64, length: usize| -> Result<u32, VolumeError> {
            let bytes = read_at(&mut self.source, table + offset, length)?;
            Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
        };
        let wide = u64::from(cluster);
        let (next, end) = match self.geometry.width {
            Width::W12 => {
                let pair = number(wide + wide / 2, 2)?;
                (if cluster % 2 == 1 { pair >> 4 } else { pair & 0xfff }, 0xff8)
            }
            Width::W16 => (number(wide * 2, 2)?, 0xfff8),
            Width::W32 => (number(wide * 4, 4)? & 0x0fff_ffff, 0x0fff_fff8),
        };
        Ok((next < end).then_some(next))
    }

    fn folder(&mut self, folder: Folder) -> Result<Vec<Entry>, VolumeError> {
        let bytes = match folder {
            Folder::Root => read_at(&mut self.source, self.geometry.root.0, self.geometry.root.1 as usize)?,
            Folder::Chain(cluster) => self.chain(cluster, FOLDER)?,
        };
        Ok(entries(&bytes))
    }
}

/// The entries of a folder. A long name that is not whole, or of another entry, is left out; the short one is always there.
fn entries(folder: &[u8]) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut long = LongName::default();
    for record in folder.chunks_exact(RECORD) {
        match (record[0], record[11]) {
            (0, _) => break,
            (0xe5, _) => long = LongName::default(),
            (_, attributes) if attributes & 0x3f == LONG_NAME => long.add(record),
            (_, attributes) => {
                let high = u16_at(record, 20).unwrap_or(0);
                let low = u16_at(record, 26).unwrap_or(0);
                found.push(Entry {
                    long: std::mem::take(&mut long).finish(record),
                    short: short_name(record, attributes),
                    attributes,
                    cluster: u32::from(high) << 16 | u32::from(low),
                    size: u32_at(record, 28).unwrap_or(0),
                });
            }
        }
    }
    found
}

/// NAME.EXT; a label has no dot.
fn short_name(record: &[u8], attributes: u8) -> String {
    if attributes & (LABEL | SUBFOLDER) == LABEL {
        return text(&record[..11]);
    }
    match text(&record[8..11]) {
        extension if extension.is_empty() => text(&record[..8]),
        extension => format!("{}.{extension}", text(&record[..8])),
    }
}

/// Bytes of some code page without their padding; only ASCII means the same in all of them.
fn text(bytes: &[u8]) -> String {
    let text: String =
        bytes.iter().map(|&byte| if byte.is_ascii() { char::from(byte) } else { char::REPLACEMENT_CHARACTER }).collect();
    text.trim_end_matches([' ', '\0']).to_owned()
}

/// A long name while its pieces come, the last one first.
#[derive(Debug, Default)]
struct LongName {
    units: Vec<u16>,
    /// The number of the piece that must come next; the name is whole at 0.
    next: Option<u8>,
    checksum: u8,
}

impl LongName {
    fn add(&mut self, record: &[u8]) {
        let number = record[0] & 0x1f;
        if record[0] & 0x40 != 0 {
            *self = Self { units: Vec::new(), next: Some(number), checksum: record[13] };
        }
        if number == 0 || self.next != Some(number) || self.checksum != record[13] {
            *self = Self::default();
            return;
        }
        let places = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
        let mut units: Vec<u16> = places.iter().filter_map(|at| u16_at(record, *at)).collect();
        units.append(&mut self.units);
        self.units = units;
        self.next = Some(number - 1);
    }

    /// The name, if it is whole and belongs to this record.
    fn finish(self, record: &[u8]) -> Option<String> {
        let checksum = record[..11].iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        if self.next != Some(0) || self.checksum != checksum {
            return None;
        }
        let units: Vec<u16> = self.units.into_iter().take_while(|unit| *unit != 0).collect();
        Some(String::from_utf16_lossy(&units))
    }
}
