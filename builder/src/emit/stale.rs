//! Whether an output folder still is what the last build with the same inputs put there.
//!
//! A build leaves a [`Record`] (in the store): the key of its inputs, and a fast digest of every artefact. Size and time of a file
//! prove nothing, so all bytes are read again, apart from holes, by several threads: 300 MB in about 0.1 s.

use super::artifacts::SHA256SUMS;
use super::sparse;
use crate::parallel;
use crate::zeros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const PIECE: u64 = 1 << 20;

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

/// The seal of one file, on this thread. Moves its position.
pub fn seal(file: File) -> io::Result<Seal> {
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

/// A part of a file that is hashed at once.
struct Piece<'a> {
    file: usize,
    open: &'a File,
    number: u64,
    len: usize,
}

fn seals(files: Vec<(String, File)>, jobs: usize) -> io::Result<BTreeMap<String, Seal>> {
    let mut lengths = Vec::new();
    let mut pieces = Vec::new();
    for (file, (_, open)) in files.iter().enumerate() {
        let len = open.metadata()?.len();
        lengths.push(len);
        let mut next = 0;
        for range in sparse::data_ranges(open)? {
            let end = range.end.min(len).div_ceil(PIECE);
            let numbers = next.max(range.start / PIECE)..end;
            pieces.extend(numbers.map(|number| Piece { file, open, number, len: PIECE.min(len - number * PIECE) as usize }));
            next = end.max(next);
        }
    }
    let hashes = parallel::each_with(
        &pieces,
        jobs,
        || vec![0; PIECE as usize],
        |buffer, piece, _| {
            let bytes = &mut buffer[..piece.len];
            piece.open.read_exact_at(bytes, piece.number * PIECE)?;
            Ok::<_, io::Error>((!zeros::is_zero(bytes)).then(|| blake3::hash(bytes)))
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
    drop(pieces);
    Ok(files.into_iter().map(|(name, _)| name).zip(seals).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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
