//! Where the records of a new name go in a directory: always into one sector, so that one write makes the name appear.

use super::directory::{Directory, END, FREE, RECORD};
use super::{EditError, Write};
use crate::fat32::names::{self, Record, ShortName};
use std::collections::BTreeSet;

/// The most records of a name: with `.` and `..` they fit in the smallest cluster.
const MOST_RECORDS: usize = 14;

/// How many records a name takes. `path` is what an error names.
pub(super) fn records_of(name: &str, path: &str) -> Result<usize, EditError> {
    let count = names::exact_short(name).map_or_else(|| 1 + name.encode_utf16().count().div_ceil(13), |_| 1);
    if count > MOST_RECORDS {
        return Err(EditError::Name { path: path.to_owned(), fault: "a name that is written has at most 169 UTF-16 units" });
    }
    Ok(count)
}

/// A name's records: `last` is the record of its short name, made from that name.
pub(super) fn named(name: &str, taken: &mut BTreeSet<ShortName>, last: impl FnOnce(&ShortName) -> Record) -> Vec<Record> {
    match names::exact_short(name) {
        Some(short) => vec![last(&short)],
        None => {
            let short = names::alias(name, taken);
            let mut records = names::long_records(name, &short);
            records.push(last(&short));
            records
        }
    }
}

enum Place {
    /// There is room in this sector, from this record on.
    In(usize, usize),
    /// The directory ends in this sector and has too little room there: the records come into the sector behind it.
    Behind(usize),
    /// They come into a new cluster.
    NewCluster,
}

/// The writes that add records to a directory, in their order.
pub(super) struct Placement {
    /// Invisible yet: behind the directory's end, or in a cluster of nobody.
    pub(super) before: Vec<Write<'static>>,
    /// After that, the directory's last cluster gets this one behind it.
    pub(super) link: Option<(u32, u32)>,
    /// After that, this shows them, if the link did not.
    pub(super) shows: Option<Write<'static>>,
}

impl Directory {
    /// Whether `count` more records need a new cluster.
    pub(super) fn needs_cluster(&self, count: usize) -> bool {
        match self.place(count) {
            Place::In(..) => false,
            Place::Behind(sector) => sector + 1 >= self.sectors.len(),
            Place::NewCluster => true,
        }
    }

    /// A run of `count` records that are free in the sector `index`; it may lie behind the directory's end.
    pub(super) fn room(&self, index: usize, count: usize) -> Option<usize> {
        let start = index * self.per_sector;
        let free = |place: usize| {
            let free = self.records.get(place).is_some_and(|record| record[0] == FREE);
            free || self.end.is_some_and(|end| place >= end)
        };
        let mut run = 0;
        (0..self.per_sector).find_map(|at| {
            run = if free(start + at) { run + 1 } else { 0 };
            (run == count).then(|| at + 1 - count)
        })
    }

    fn place(&self, count: usize) -> Place {
        let last = self.end.map_or(self.sectors.len(), |end| end / self.per_sector + 1);
        match (0..last).find_map(|index| self.room(index, count).map(|at| Place::In(index, at))) {
            Some(place) => place,
            None => self.end.map_or(Place::NewCluster, |end| Place::Behind(end / self.per_sector)),
        }
    }

    /// Plans where `records` go; `cluster` is the number of a new cluster of `len` bytes at an offset, if one is needed.
    pub(super) fn place_records(&self, records: &[Record], cluster: Option<(u32, u64, u64)>) -> Placement {
        let new_cluster = |shows| {
            let (number, offset, len) = cluster.unwrap_or_default();
            let mut bytes = records.concat();
            bytes.resize(len as usize, END);
            let before = vec![Write { offset, bytes: bytes.into() }];
            Placement { before, link: Some((self.last, number)), shows }
        };
        match self.place(records.len()) {
            Place::In(index, at) => self.place_in(index, at, records),
            Place::Behind(index) => {
                let end = self.end.unwrap_or(self.records.len()) % self.per_sector;
                let shows = self.sector_with(index, end, &vec![free_record(); self.per_sector - end]);
                let mut padded = records.to_vec();
                padded.resize(self.per_sector, [END; RECORD]);
                match self.sector_with(index + 1, 0, &padded) {
                    Some(next) => Placement { before: vec![next], link: None, shows },
                    None => new_cluster(shows),
                }
            }
            Place::NewCluster => new_cluster(None),
        }
    }

    /// Plans `records` into a sector. Where they go over the directory's end, everything behind them becomes its end.
    pub(super) fn place_in(&self, index: usize, at: usize, records: &[Record]) -> Placement {
        let mut padded = records.to_vec();
        let mut before = Vec::new();
        let behind = index * self.per_sector + at + records.len();
        if self.end.is_some_and(|end| behind > end) {
            padded.resize(self.per_sector - at, [END; RECORD]);
            let next = (index + 1) * self.per_sector;
            if behind == next && self.records.get(next).is_some_and(|record| record[0] != END) {
                before.extend(self.sector_with(index + 1, 0, &vec![[END; RECORD]; self.per_sector]));
            }
        }
        Placement { before, link: None, shows: self.sector_with(index, at, &padded) }
    }
}

fn free_record() -> Record {
    let mut record = [0; RECORD];
    record[0] = FREE;
    record
}
