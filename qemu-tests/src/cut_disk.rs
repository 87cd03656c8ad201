//! A disk as a power cut leaves it, written nowhere: the content before a record, and above it what of the record has reached the disk.
//! Making one costs no copy of any data, so that thousands can be judged.

use crate::replay::{Chance, Entry, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// How much is compared or copied at once, in bytes.
const CHUNK: u64 = 1 << 20;

/// A disk after a power cut.
pub struct CutDisk<'a> {
    before: &'a File,
    record: &'a Record,
    /// By place on the disk; none lies over another.
    pieces: BTreeMap<u64, Piece>,
}

/// Bytes of the record.
#[derive(Debug, Clone, Copy)]
struct Piece {
    length: u64,
    /// Where in the record.
    data: u64,
}

impl<'a> CutDisk<'a> {
    /// What a power cut before request `cut` leaves of a disk with this content; the same by the same chance as [`Record::replay`].
    pub fn cut(before: &'a File, record: &'a Record, cut: usize, chance: &mut Chance) -> Self {
        Self::of(before, record, record.kept(cut, chance))
    }

    /// The disk after the whole record.
    pub fn whole(before: &'a File, record: &'a Record) -> Self {
        Self::of(before, record, record.entries.iter().map(|entry| (entry, entry.length)).collect())
    }

    fn of(before: &'a File, record: &'a Record, kept: Vec<(&Entry, u64)>) -> Self {
        let mut disk = Self { before, record, pieces: BTreeMap::new() };
        for (entry, length) in kept {
            if let Some(data) = entry.data.filter(|_| length > 0) {
                disk.put(entry.offset, Piece { length, data });
            }
        }
        disk
    }

    fn put(&mut self, at: u64, piece: Piece) {
        let end = at + piece.length;
        let under: Vec<u64> = self.overlapping(at..end).map(|(start, _)| start).collect();
        for start in under {
            let Some(old) = self.pieces.remove(&start) else { continue };
            if start < at {
                self.pieces.insert(start, Piece { length: at - start, ..old });
            }
            if start + old.length > end {
                self.pieces.insert(end, Piece { length: start + old.length - end, data: old.data + (end - start) });
            }
        }
        self.pieces.insert(at, piece);
    }

    /// Those that have bytes of a place, the last one first.
    fn overlapping(&self, place: Range<u64>) -> impl Iterator<Item = (u64, Piece)> {
        let before = self.pieces.range(..place.end).rev().map(|(start, piece)| (*start, *piece));
        before.take_while(move |(start, piece)| start + piece.length > place.start)
    }

    /// Where a byte is from: a place of the record, or the disk as it was.
    fn origin(&self, at: u64) -> Option<u64> {
        self.overlapping(at..at + 1).next().map(|(start, piece)| piece.data + (at - start))
    }

    /// Where it differs from another disk that was cut out of the same requests over the same content. What has the same origin is not
    /// read, all else is compared; each place is a part of one request, up to 1 MiB of it.
    ///
    /// # Panics
    /// When a disk can't be read.
    pub fn differences(&self, other: &Self) -> Vec<Range<u64>> {
        let edges = |disk: &Self| disk.pieces.iter().flat_map(|(start, piece)| [*start, start + piece.length]).collect();
        let (own, others): (BTreeSet<u64>, BTreeSet<u64>) = (edges(self), edges(other));
        let edges: Vec<u64> = own.union(&others).copied().collect();
        let mut differences = Vec::new();
        for (&start, &end) in edges.iter().zip(edges.iter().skip(1)) {
            if self.origin(start) == other.origin(start) {
                continue;
            }
            for at in (start..end).step_by(CHUNK as usize) {
                let place = at..end.min(at + CHUNK);
                if self.bytes(place.clone()) != other.bytes(place.clone()) {
                    differences.push(place);
                }
            }
        }
        differences
    }

    /// The bytes of a place.
    ///
    /// # Panics
    /// When they can't be read.
    pub fn bytes(&self, place: Range<u64>) -> Vec<u8> {
        let mut bytes = vec![0; (place.end - place.start) as usize];
        self.read_exact_at(&mut bytes, place.start).expect("a disk at a cut");
        bytes
    }

    /// Writes what the record has changed into a copy of the disk as it was before.
    ///
    /// # Panics
    /// On any I/O error.
    pub fn write_over(&self, copy: &File) {
        for (&start, piece) in &self.pieces {
            for at in (start..start + piece.length).step_by(CHUNK as usize) {
                let place = at..(start + piece.length).min(at + CHUNK);
                copy.write_all_at(&self.bytes(place), at).expect("a write");
            }
        }
    }
}

impl FileExt for CutDisk<'_> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let length = self.before.read_at(buffer, offset)?;
        let end = offset + length as u64;
        for (start, piece) in self.overlapping(offset..end) {
            let (from, to) = (start.max(offset), (start + piece.length).min(end));
            let part = &mut buffer[(from - offset) as usize..(to - offset) as usize];
            self.record.read_at(part, piece.data + (from - start));
        }
        Ok(length)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::made;
    use std::fs::OpenOptions;
    use std::path::Path;

    const SECTORS: u64 = 96;

    fn disk(path: &Path) -> File {
        std::fs::write(path, vec![b'-'; SECTORS as usize * 512]).unwrap();
        OpenOptions::new().read(true).write(true).open(path).unwrap()
    }

    fn content(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; SECTORS as usize * 512];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// Requests by chance, many of them over one another, are the same bytes as when they are written to a file.
    #[test]
    fn a_disk_at_a_cut_is_what_a_replay_writes() {
        let folder = tempfile::tempdir().unwrap();
        let before = disk(&folder.path().join("before"));
        for seed in 0..300 {
            let mut chance = Chance::new(seed);
            let requests: Vec<(u64, u64, u64, u8)> = (0..24_u8)
                .map(|number| {
                    let sector = chance.below(SECTORS - 1);
                    let flags = u64::from(chance.below(6) == 0);
                    // A flush writes nothing.
                    (sector, (1 - flags) * (1 + chance.below(SECTORS - sector)), flags, b'a' + number)
                })
                .collect();
            let record = made(folder.path(), &requests);
            let cut = chance.below(25) as usize;
            let replayed = disk(&folder.path().join("replayed"));
            record.replay(&replayed, cut, &mut chance.clone());
            let at_cut = CutDisk::cut(&before, &record, cut, &mut chance);
            let expected = content(&replayed);
            assert_eq!(at_cut.bytes(0..SECTORS * 512), expected, "seed {seed}");
            let copy = disk(&folder.path().join("copy"));
            at_cut.write_over(&copy);
            assert_eq!(content(&copy), expected, "seed {seed}");

            let whole = CutDisk::whole(&before, &record);
            let all = whole.bytes(0..SECTORS * 512);
            let mut named = vec![false; all.len()];
            for place in at_cut.differences(&whole) {
                assert_ne!(at_cut.bytes(place.clone()), whole.bytes(place.clone()));
                named[place.start as usize..place.end as usize].fill(true);
            }
            for (at, named) in named.into_iter().enumerate() {
                assert_eq!(named, all[at] != expected[at], "seed {seed}: byte {at}");
            }
        }
    }
}
