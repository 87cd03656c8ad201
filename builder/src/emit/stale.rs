//! Whether an output folder still is what the last build with the same inputs put there.
//!
//! A build leaves a [`Record`] (in the store): the key of its inputs, and a fast digest of every artefact. Size and time of a file
//! prove nothing, so all bytes are read again, apart from holes, by several threads: 300 MB in about 0.1 s.

use super::artifacts::SHA256SUMS;
use super::sparse;
use crate::zeros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

const PIECE: u64 = 1 << 20;

/// What a build left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What was built, from what, by which kmimage: a digest that the pipeline makes.
    pub key: String,
    /// Length and digest of each file in the folder, by name.
    files: BTreeMap<String, (u64, String)>,
}

impl Record {
    /// Reads the folder as it is now.
    pub fn of(directory: &Path, key: &str, jobs: usize) -> io::Result<Self> {
        Ok(Self { key: key.to_owned(), files: digests(directory, jobs)? })
    }

    /// True if the folder holds exactly what was recorded for this key. A folder that can't be read is not current.
    pub fn is_current(&self, directory: &Path, key: &str, jobs: usize) -> bool {
        self.key == key && digests(directory, jobs).is_ok_and(|files| files == self.files)
    }
}

/// Length and digest of each file: BLAKE3 over (number, digest) of every piece that is not all zeros.
fn digests(directory: &Path, jobs: usize) -> io::Result<BTreeMap<String, (u64, String)>> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} is not a regular file")));
        }
        let file: File = fs_err::File::open(entry.path())?.into();
        files.push((name, file.metadata()?.len(), file));
    }
    if !files.iter().any(|(name, _, _)| name == SHA256SUMS) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut pieces: Vec<(usize, u64)> = Vec::new();
    for (index, (_, len, file)) in files.iter().enumerate() {
        let mut next = 0;
        for range in sparse::data_ranges(file)? {
            let end = range.end.min(*len).div_ceil(PIECE);
            pieces.extend((next.max(range.start / PIECE)..end).map(|piece| (index, piece)));
            next = end.max(next);
        }
    }
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<BTreeMap<(usize, u64), blake3::Hash>> {
        let mut buffer = vec![0; PIECE as usize];
        let mut done = BTreeMap::new();
        while let Some(&(index, piece)) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some((_, len, file)) = files.get(index) else { continue };
            let bytes = &mut buffer[..PIECE.min(len - piece * PIECE) as usize];
            file.read_exact_at(bytes, piece * PIECE)?;
            if !zeros::is_zero(bytes) {
                done.insert((index, piece), blake3::hash(bytes));
            }
        }
        Ok(done)
    };
    let hashes = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let mut all = BTreeMap::new();
        for worker in workers {
            match worker.join() {
                Ok(done) => all.extend(done?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<_, io::Error>(all)
    })?;
    let digests = files.iter().enumerate().map(|(index, (name, len, _))| {
        let mut hasher = blake3::Hasher::new();
        for ((_, piece), hash) in hashes.range((index, 0)..(index + 1, 0)) {
            hasher.update(&piece.to_le_bytes()).update(hash.as_bytes());
        }
        (name.clone(), (*len, hasher.finalize().to_hex().to_string()))
    });
    Ok(digests.collect())
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
        let record = Record::of(directory.path(), "key", 2).unwrap();
        assert!(record.is_current(directory.path(), "key", 1));
        assert!(!record.is_current(directory.path(), "other key", 2));
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
