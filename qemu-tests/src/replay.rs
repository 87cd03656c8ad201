//! Power cuts, from a record of everything that a machine wrote to its disk (QEMU's `blklogwrites`, the format of Linux' dm-log-writes).
//!
//! At a cut everything is on the disk that was written before the last flush, and of what was written since any part: whole requests
//! in any choice, some of them torn between two blocks of 4 KiB. A disk that keeps to its word leaves nothing else, if it writes 4 KiB
//! whole or not at all, as today's do. One that tears 512-byte sectors apart can break ext4's superblock, which has two: see
//! docs/reliability.md.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
/// What a disk writes whole or not at all, in bytes.
const WHOLE: u64 = 4096;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it writes, in bytes.
    pub offset: u64,
    /// How much, in bytes.
    pub length: u64,
    /// Where its data is in the record; `None`: it discards, or writes nothing.
    pub data: Option<u64>,
    /// Whether everything before it is on the medium when it ends.
    pub flush: bool,
    /// Whether it is on the medium itself when it ends.
    pub through: bool,
}

/// A record.
pub struct Record {
    file: File,
    /// All requests in their order.
    pub entries: Vec<Entry>,
}

impl Record {
    /// Reads a record's list of requests.
    ///
    /// # Panics
    /// When it is none.
    pub fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut head = [0; 512];
        file.read_exact_at(&mut head, 0).expect("the record's head");
        let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        assert_eq!((word(&head, 0), word(&head, 8)), (MAGIC, 1), "no record of writes");
        let sector = u64::from(u32::from_le_bytes(head[24..28].try_into().expect("four bytes")));
        let (count, mut at, mut entries) = (word(&head, 16), sector, Vec::new());
        for _ in 0..count {
            file.read_exact_at(&mut head, at).expect("an entry");
            let (offset, length, flags) = (word(&head, 0) * sector, word(&head, 8) * sector, word(&head, 16));
            at += sector;
            let data = (flags & DISCARD == 0 && length > 0).then_some(at);
            entries.push(Entry { offset, length, data, flush: flags & FLUSH != 0, through: flags & FUA != 0 });
            at += if data.is_some() { length } else { 0 };
        }
        Self { file, entries }
    }

    /// The last request before `cut` that flushes: everything before it is on the medium.
    pub fn last_flush(&self, cut: usize) -> usize {
        self.entries[..cut].iter().rposition(|entry| entry.flush).unwrap_or(0)
    }

    /// What a power cut before request `cut` leaves on the disk: requests in their order, and how many bytes from the begin of each.
    pub fn kept(&self, cut: usize, chance: &mut Chance) -> Vec<(&Entry, u64)> {
        let sure = self.last_flush(cut);
        let written = self.entries[..cut].iter().enumerate().filter(|(_, entry)| entry.data.is_some());
        let kept = written.map(|(number, entry)| {
            let kept = match () {
                () if number < sure || entry.through => entry.length,
                // Torn: its first blocks only. Each request may be; most are there or not.
                () if chance.below(8) == 0 => {
                    let end = entry.offset + chance.below(entry.length + 1);
                    (end / WHOLE * WHOLE).saturating_sub(entry.offset)
                }
                () => entry.length * chance.below(2),
            };
            (entry, kept)
        });
        kept.collect()
    }

    /// Makes what a power cut before request `cut` leaves: writes into `disk`, which has the content before the record.
    ///
    /// # Panics
    /// On any I/O error.
    pub fn replay(&self, disk: &File, cut: usize, chance: &mut Chance) {
        for (entry, kept) in self.kept(cut, chance) {
            disk.write_all_at(&self.data(entry)[..kept as usize], entry.offset).expect("a write");
        }
    }

    /// Every byte that was written up to a request, in the order of the requests: as if no cache were there.
    ///
    /// # Panics
    /// On any I/O error.
    pub fn replay_all(&self, disk: &File, cut: usize) {
        for entry in &self.entries[..cut] {
            disk.write_all_at(&self.data(entry), entry.offset).expect("a write");
        }
    }

    /// The data of a request.
    ///
    /// # Panics
    /// On any I/O error.
    pub fn data(&self, entry: &Entry) -> Vec<u8> {
        let mut data = vec![0; if entry.data.is_some() { entry.length as usize } else { 0 }];
        if let Some(at) = entry.data {
            self.read_at(&mut data, at);
        }
        data
    }

    /// Bytes of the record itself.
    pub(crate) fn read_at(&self, buffer: &mut [u8], at: u64) {
        self.file.read_exact_at(buffer, at).expect("an entry's data");
    }

    /// The same requests in another order, or others left out: what a machine might have done.
    ///
    /// # Panics
    /// When the record's file can't be opened once more.
    pub fn with_entries(&self, entries: Vec<Entry>) -> Self {
        Self { file: self.file.try_clone().expect("the record's file"), entries }
    }
}

/// Numbers by chance, the same ones for the same seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit` (0, if that is 0).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31).checked_rem(limit).unwrap_or(0)
    }
}

/// The value of QEMU's `-drive` for a raw disk that is written through a record: the machine's first disk.
pub(crate) fn drive(disk: &Path, record: &Path) -> OsString {
    let mut drive = "if=none,id=disk0,format=blklogwrites".to_owned();
    for (node, path) in [("file", disk), ("log", record)] {
        let path = path.to_str().expect("a path in UTF-8").replace(',', ",,");
        drive.push_str(&format!(",{node}.driver=raw,{node}.file.driver=file,{node}.file.filename={path}"));
    }
    drive.into()
}

/// A record of these requests: first sector, sectors, flags, and what each byte of it is.
#[cfg(test)]
pub(crate) fn made(folder: &Path, requests: &[(u64, u64, u64, u8)]) -> Record {
    let mut bytes = vec![0; 512];
    bytes[0..8].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[8] = 1;
    bytes[24..28].copy_from_slice(&512_u32.to_le_bytes());
    bytes[16..24].copy_from_slice(&(requests.len() as u64).to_le_bytes());
    for (sector, sectors, flags, letter) in requests {
        let mut head = vec![0; 512];
        for (at, value) in [*sector, *sectors, *flags, 0].into_iter().enumerate() {
            head[at * 8..at * 8 + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes.extend(head);
        if flags & DISCARD == 0 {
            bytes.extend(vec![*letter; *sectors as usize * 512]);
        }
    }
    let path = folder.join("record");
    std::fs::write(&path, bytes).unwrap();
    Record::read(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record of: write A, write B, flush, write C through, write D, discard.
    fn record(folder: &Path) -> Record {
        made(
            folder,
            &[(0, 2, 0, b'A'), (2, 1, 0, b'B'), (0, 0, FLUSH, 0), (3, 1, FUA, b'C'), (4, 28, 0, b'D'), (0, 8, DISCARD, 0)],
        )
    }

    fn cut(record: &Record, folder: &Path, at: usize, seed: u64) -> String {
        let path = folder.join("disk");
        std::fs::write(&path, vec![b'-'; 32 * 512]).unwrap();
        let disk = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        record.replay(&disk, at, &mut Chance::new(seed));
        std::fs::read(&path).unwrap().chunks(512).map(|sector| char::from(sector[0])).collect()
    }

    #[test]
    fn what_was_flushed_is_there_and_of_the_rest_anything() {
        let folder = tempfile::tempdir().unwrap();
        let record = record(folder.path());
        assert_eq!(record.entries.len(), 6);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..400 {
            let four = |at: usize| cut(&record, folder.path(), at, seed)[..4].to_owned();
            assert_eq!(four(0), "----");
            // Less than 4 KiB is there or not.
            assert!(["----", "AA--"].contains(&four(1).as_str()));
            assert_eq!(four(3), "AAB-");
            let all = cut(&record, folder.path(), 6, seed);
            assert!(all.starts_with("AABC"), "{all}");
            seen.insert(all);
        }
        assert_eq!(seen.len(), 5, "{seen:?}");
    }

    #[test]
    fn the_same_seed_makes_the_same_numbers() {
        let mut numbers = [Chance::new(1), Chance::new(1), Chance::new(2)].map(|mut chance| [(); 8].map(|()| chance.below(1000)));
        assert_eq!(numbers[0], numbers[1]);
        assert_ne!(numbers[0], numbers[2]);
        numbers[0].sort_unstable();
        assert!(numbers[0].windows(2).any(|pair| pair[0] != pair[1]));
        assert_eq!(Chance::new(1).below(0), 0);
    }
}
