//! A directory's records, and the names that they make up.

use super::volume::Fat32;
use super::{EditError, Write};
use crate::fat32::names::{self, Record, ShortName};
use crate::fat32::record::{ATTRIBUTE_DIRECTORY, ATTRIBUTE_VOLUME};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// The first byte of a record that is free.
pub(super) const FREE: u8 = 0xe5;
/// The first byte of the record that ends a directory, and of all behind it.
pub(super) const END: u8 = 0;
/// Bytes of a record.
pub(super) const RECORD: usize = 32;
const ATTRIBUTE_LONG_NAME: u8 = 0x0f;
/// The most records that a directory has.
const RECORDS: u64 = 65_536;
/// The most long-name records of one name.
const LONG_NAME_RECORDS: u8 = 20;

/// A directory as it was read.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    /// The offset of each of its sectors, in order.
    pub(super) sectors: Vec<u64>,
    /// Its first cluster as `..` says it: 0 for the root.
    pub(super) first: u32,
    /// Its last cluster.
    pub(super) last: u32,
    /// The records of all its sectors.
    pub(super) records: Vec<Record>,
    /// How many of them a sector has.
    pub(super) per_sector: usize,
    /// The record that ends it, if one does.
    pub(super) end: Option<usize>,
    /// Files and directories in it, without `.` and `..`.
    pub(super) nodes: Vec<Node>,
}

/// A file or directory in a directory.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) directory: bool,
    pub(super) first: u32,
    pub(super) len: u32,
    /// Where its records are in the directory; the last one is the short name's.
    pub(super) places: RangeInclusive<usize>,
    pub(super) record: Record,
}

impl Directory {
    pub(super) fn find(&self, name: &str) -> Option<&Node> {
        let name = names::folded(name);
        let short = |node: &Node| names::folded(&short_text(&node.record)) == name;
        self.nodes.iter().find(|node| names::folded(&node.name) == name || short(node))
    }

    /// The short names that a new one must not take.
    pub(super) fn taken(&self) -> BTreeSet<ShortName> {
        self.nodes.iter().map(|node| short_bytes(&node.record)).collect()
    }

    /// The sector `index` with `records` from the record `from` on; the caller sees that they fit.
    pub(super) fn sector_with(&self, index: usize, from: usize, records: &[Record]) -> Option<Write<'static>> {
        let start = index * self.per_sector;
        let mut sector = self.records.get(start..start + self.per_sector)?.to_vec();
        sector.get_mut(from..from + records.len())?.copy_from_slice(records);
        Some(Write { offset: *self.sectors.get(index)?, bytes: sector.concat().into() })
    }

    /// Takes over the records that are written to its sectors; files that appear or go are not looked for.
    pub(super) fn absorb<'w, 'c: 'w>(&mut self, writes: impl IntoIterator<Item = &'w Write<'c>>) {
        for write in writes {
            let Some(index) = self.sectors.iter().position(|offset| *offset == write.offset) else { continue };
            let start = index * self.per_sector;
            for (record, bytes) in self.records.iter_mut().skip(start).zip(write.bytes.chunks_exact(RECORD)) {
                record.copy_from_slice(bytes);
            }
        }
    }

    /// The sectors in which the records of these places are free, the last one first.
    pub(super) fn without(&self, places: &RangeInclusive<usize>) -> Vec<Write<'static>> {
        let sector = |index: usize| index / self.per_sector;
        (sector(*places.start())..=sector(*places.end()))
            .rev()
            .filter_map(|index| {
                let from = (*places.start()).max(index * self.per_sector);
                let to = (*places.end()).min((index + 1) * self.per_sector - 1);
                let mut records = self.records.get(from..=to)?.to_vec();
                records.iter_mut().for_each(|record| record[0] = FREE);
                self.sector_with(index, from % self.per_sector, &records)
            })
            .collect()
    }
}

impl Fat32<'_> {
    /// Reads a directory; cluster 0 is the root, as `..` says it.
    pub(super) fn directory(&self, first: u32) -> Result<Directory, EditError> {
        let first = if first == 0 { self.geometry.root } else { first };
        let bytes = RECORDS * RECORD as u64;
        let chain = self.chain(first, self.geometry.clusters_for(bytes))?;
        let mut sectors = Vec::new();
        let mut records: Vec<Record> = Vec::new();
        for (offset, len) in self.runs(&chain) {
            sectors.extend((offset..offset + len).step_by(self.geometry.sector as usize));
            let bytes = self.bytes(offset, len)?;
            records.extend(bytes.chunks_exact(RECORD).filter_map(|record| Record::try_from(record).ok()));
        }
        let end = records.iter().position(|record| record[0] == END);
        let nodes = nodes(records.get(..end.unwrap_or(records.len())).unwrap_or_default());
        let last = chain.last().copied().unwrap_or(first);
        let first = if first == self.geometry.root { 0 } else { first };
        Ok(Directory { sectors, first, last, records, per_sector: self.geometry.sector as usize / RECORD, end, nodes })
    }
}

fn nodes(records: &[Record]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut long = LongName::default();
    for (place, record) in records.iter().enumerate() {
        let attributes = record[11];
        if record[0] == FREE {
            long = LongName::default();
        } else if attributes & ATTRIBUTE_LONG_NAME == ATTRIBUTE_LONG_NAME {
            long.add(record);
        } else {
            let name = std::mem::take(&mut long);
            if attributes & ATTRIBUTE_VOLUME != 0 || record[0] == b'.' {
                continue;
            }
            let long = name.finish(&short_bytes(record));
            let start = place - long.as_ref().map_or(0, |(_, count)| *count);
            let u16_at = |at: usize| u32::from(record[at]) | u32::from(record[at + 1]) << 8;
            nodes.push(Node {
                name: long.map_or_else(|| short_text(record), |(name, _)| name),
                directory: attributes & ATTRIBUTE_DIRECTORY != 0,
                first: u16_at(20) << 16 | u16_at(26),
                len: u16_at(28) | u16_at(30) << 16,
                places: start..=place,
                record: *record,
            });
        }
    }
    nodes
}

/// The long-name records that were read of a name, the last part first.
#[derive(Default)]
struct LongName {
    parts: Vec<[u16; 13]>,
    /// Records that are still to come before the short name.
    left: u8,
    checksum: u8,
}

impl LongName {
    fn add(&mut self, record: &Record) {
        let number = record[0] & 0x3f;
        if record[0] & 0x40 != 0 && (1..=LONG_NAME_RECORDS).contains(&number) {
            *self = Self { parts: Vec::new(), left: number, checksum: record[13] };
        } else if self.left == 0 || number != self.left || record[13] != self.checksum {
            *self = Self::default();
            return;
        }
        self.left -= 1;
        let mut places = names::UNITS.iter();
        let unit = |at: &usize| u16::from_le_bytes([record[*at], record[*at + 1]]);
        self.parts.push(std::array::from_fn(|_| places.next().map_or(0, unit)));
    }

    /// The name and how many records it has, if these are the records of that short name.
    fn finish(self, short: &ShortName) -> Option<(String, usize)> {
        if self.parts.is_empty() || self.left != 0 || self.checksum != names::checksum(short) {
            return None;
        }
        let units = self.parts.iter().rev().flatten().copied().take_while(|unit| *unit != 0);
        Some((char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect(), self.parts.len()))
    }
}

fn short_bytes(record: &Record) -> ShortName {
    std::array::from_fn(|index| record[index])
}

/// A short name as a person reads it. A bit each says that the base or the extension is in lower case.
fn short_text(record: &Record) -> String {
    let text = |bytes: &[u8], lower: bool| {
        let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
        if lower { text.to_lowercase() } else { text }
    };
    let base = text(&record[..8], record[12] & 0x08 != 0);
    let extension = text(&record[8..11], record[12] & 0x10 != 0);
    if extension.is_empty() { base } else { format!("{base}.{extension}") }
}
