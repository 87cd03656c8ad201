//! Whether an output folder still is what the last build with the same inputs put there.
//!
//! A build leaves a [`Record`] (in the store): the key of its inputs, and a fast digest of every artefact. Size and time of a file
//! prove nothing, so all bytes are read again, apart from holes, by several threads; all but the raw disk, which a build leaves in memory,
//! past the page cache.

use super::artifacts::{RAW, SHA256SUMS};
use super::sparse;
use crate::parallel;
use crate::unbuffered::{Pool, Unbuffered};
use crate::zeros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

const PIECE: u64 = sparse::STEP;
/// Threads per processor that read and hash: while one waits for the disk, another one hashes.
const READERS: usize = 2;

/// Length and fast digest of a file: BLAKE3 over (number, digest) of every piece that is not all zeros.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal(u64, String);

/// What a build left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What was built, from what, by which kmimage: a digest that the pipeline makes.
    pub key: String,
    /// The seal of each file in the folder, by name.
    files: BTreeMap<String, Seal>,
}

impl Record {
    /// Reads the folder as it is now, apart from the files whose seals are known.
    pub fn of(directory: &Path, key: &str, known: BTreeMap<String, Seal>, jobs: usize) -> io::Result<Self> {
        let mut files = open(directory)?;
        files.retain(|(name, _)| !known.contains_key(name));
        let mut seals = seals(files, jobs)?;
        seals.extend(known);
        Ok(Self { key: key.to_owned(), files: seals })
    }

    /// True if the folder holds exactly what was recorded for this key. A folder that can't be read is not current.
    pub fn is_current(&self, directory: &Path, key: &str, jobs: usize) -> bool {
        self.key == key && open(directory).and_then(|files| seals(files, jobs)).is_ok_and(|files| files == self.files)
    }
}

/// The seal of bytes.
pub fn seal_of(bytes: &[u8]) -> Seal {
    let mut sealing = Sealing::default();
    sealing.update(bytes);
    sealing.finish()
}

/// The seal of one file. Moves its position.
#[cfg(test)]
pub(super) fn seal(file: File) -> io::Result<Seal> {
    let seals = seals(vec![(String::new(), file)], 1)?;
    seals.into_values().next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The files of a set, by name.
fn open(directory: &Path) -> io::Result<Vec<(String, File)>> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} is not a regular file")));
        }
        files.push((name, fs_err::File::open(entry.path())?.into()));
    }
    if !files.iter().any(|(name, _)| name == SHA256SUMS) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(files)
}

/// A [`Seal`] of bytes that come one after another.
#[derive(Debug, Clone, Default)]
pub(super) struct Sealing {
    len: u64,
    /// Of the piece that is not complete: its hash, and whether it has anything but zeros.
    piece: blake3::Hasher,
    holds: bool,
    pieces: blake3::Hasher,
}

impl Sealing {
    /// Takes the next bytes.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = (PIECE - self.len % PIECE) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.holds |= !zeros::is_zero(now);
            self.piece.update(now);
            self.len += now.len() as u64;
            if self.len.is_multiple_of(PIECE) {
                self.complete(self.len / PIECE - 1);
            }
            bytes = later;
        }
    }

    /// Takes that many zeros.
    pub(super) fn zeros(&mut self, len: u64) {
        let before = len.min(self.len.next_multiple_of(PIECE) - self.len);
        sparse::zeros(before, |zeros| self.update(zeros));
        let whole = (len - before) / PIECE * PIECE;
        self.len += whole;
        sparse::zeros(len - before - whole, |zeros| self.update(zeros));
    }

    fn complete(&mut self, number: u64) {
        if std::mem::take(&mut self.holds) {
            self.pieces.update(&number.to_le_bytes()).update(self.piece.finalize().as_bytes());
        }
        self.piece.reset();
    }

    /// The seal of all that was taken.
    pub(super) fn finish(mut self) -> Seal {
        self.complete(self.len / PIECE);
        Seal(self.len, self.pieces.finalize().to_hex().to_string())
    }
}

fn open_again((name, file): &(String, File)) -> io::Result<Unbuffered> {
    if name.ends_with(RAW) { Unbuffered::cached(file) } else { Unbuffered::of(file) }
}

/// A part of a file that is hashed at once.
struct Piece<'a> {
    file: usize,
    open: &'a Unbuffered,
    number: u64,
    len: usize,
}

fn seals(files: Vec<(String, File)>, jobs: usize) -> io::Result<BTreeMap<String, Seal>> {
    let mut lengths = Vec::new();
    let mut pieces = Vec::new();
    let opened = files.iter().map(open_again).collect::<io::Result<Vec<_>>>()?;
    for (file, ((_, known), open)) in files.iter().zip(&opened).enumerate() {
        let len = known.metadata()?.len();
        lengths.push(len);
        let mut next = 0;
        for range in sparse::data_ranges(known)? {
            let end = range.end.min(len).div_ceil(PIECE);
            let numbers = next.max(range.start / PIECE)..end;
            pieces.extend(numbers.map(|number| Piece { file, open, number, len: PIECE.min(len - number * PIECE) as usize }));
            next = end.max(next);
        }
    }
    let pool = Pool::new(PIECE as usize);
    let hashes = parallel::each_with(
        &pieces,
        jobs * READERS,
        || pool.take(),
        |buffer, piece, _| {
            piece.open.read_exact_at(buffer, piece.number * PIECE, piece.len)?;
            Ok::<_, io::Error>((!zeros::is_zero(buffer)).then(|| blake3::hash(buffer)))
        },
    )?;
    let mut hashers = vec![blake3::Hasher::new(); files.len()];
    for (piece, hash) in pieces.iter().zip(&hashes) {
        if let (Some(hasher), Some(hash)) = (hashers.get_mut(piece.file), hash) {
            hasher.update(&piece.number.to_le_bytes()).update(hash.as_bytes());
        }
    }
    let seals = lengths
        .into_iter()
        .zip(hashers)
        .map(|(len, hasher)| Seal(len, hasher.finalize().to_hex().to_string()))
        .collect::<Vec<_>>();
    Ok(files.into_iter().map(|(name, _)| name).zip(seals).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn bytes_in_order_have_the_seal_of_their_file() {
        let piece = PIECE as usize;
        let parts: [&[(u64, &[u8])]; 6] = [
            &[],
            &[(0, b"short")],
            &[(3 << 20, b"")],
            &[(100, b"data"), (2 << 20, b"more"), (5, b"")],
            &[((1 << 20) - 2, b"over the border"), ((4 << 20) - 13, b"x")],
            &[(0, &vec![7; 3 * piece]), (1 << 20, &vec![8; piece / 2])],
        ];
        for parts in parts {
            let file = tempfile::tempfile().unwrap();
            let mut sealing = Sealing::default();
            let mut at = 0;
            for (zeros, bytes) in parts {
                sealing.zeros(*zeros);
                bytes.chunks(300_000).for_each(|bytes| sealing.update(bytes));
                file.write_all_at(bytes, at + zeros).unwrap();
                at += zeros + bytes.len() as u64;
            }
            file.set_len(at).unwrap();
            assert_eq!(sealing.finish(), seal(file).unwrap(), "{at} bytes");
        }
    }

    #[test]
    fn any_change_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let reset = || {
            fs_err::write(path(SHA256SUMS), "x").unwrap();
            fs_err::write(path("small"), "small").unwrap();
            let file = File::create(path("disk")).unwrap();
            file.set_len(5 << 20).unwrap();
            file.write_all_at(b"data", 2 << 20).unwrap();
        };
        reset();
        let record = Record::of(directory.path(), "key", BTreeMap::new(), 2).unwrap();
        assert!(record.is_current(directory.path(), "key", 1));
        assert!(!record.is_current(directory.path(), "other key", 2));
        // A file whose seal is known is not read, and counts as what it was.
        let known = BTreeMap::from([("disk".to_owned(), seal(File::open(path("disk")).unwrap()).unwrap())]);
        assert_eq!(Record::of(directory.path(), "key", known, 1).unwrap(), record);
        // The record survives the store.
        let again: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(again, record);

        let check = |what: &str, change: &dyn Fn()| {
            change();
            assert!(!record.is_current(directory.path(), "key", 2), "{what}");
            let _ = fs_err::remove_file(path("new"));
            reset();
            assert!(record.is_current(directory.path(), "key", 2), "{what}");
        };
        let modify = |name: &str, at: u64, bytes: &[u8]| {
            let file = File::options().write(true).open(path(name)).unwrap();
            let times = file.metadata().unwrap();
            file.write_all_at(bytes, at).unwrap();
            file.set_modified(times.modified().unwrap()).unwrap();
        };
        check("same size and time", &|| modify("small", 0, b"S"));
        check("data in a hole", &|| modify("disk", 4 << 20, b"!"));
        check("data moved by a piece", &|| {
            modify("disk", 2 << 20, &[0; 4]);
            modify("disk", 3 << 20, b"data");
        });
        check("longer by zeros", &|| File::options().write(true).open(path("disk")).unwrap().set_len(6 << 20).unwrap());
        check("gone", &|| fs_err::remove_file(path("small")).unwrap());
        check("one more", &|| fs_err::write(path("new"), "").unwrap());
        check("no sums", &|| fs_err::remove_file(path(SHA256SUMS)).unwrap());
        // Written zeros are holes: nothing changed.
        modify("disk", 4 << 20, &[0; 4096]);
        assert!(record.is_current(directory.path(), "key", 2));
    }
}
