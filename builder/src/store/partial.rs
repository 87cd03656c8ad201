//! Downloads under way: a file per digest, locked while somebody downloads it, kept when he is interrupted.

use super::{Store, StoreError};
use crate::hash::Sha256Digest;
use crate::kept_file;
use fs_err as fs;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A download that this process alone may write, until it is dropped (and so kept for later) or finished.
#[derive(Debug)]
pub struct Partial {
    file: File,
    path: PathBuf,
    digest: Sha256Digest,
    hasher: Sha256,
    len: u64,
}

/// What [`Store::download`] found.
#[derive(Debug)]
pub(crate) enum Download {
    /// The blob is there (perhaps another build brought it while we waited).
    There(File),
    /// It is to be downloaded, from [`Partial::len`] on.
    Wanted(Partial),
}

impl Store {
    /// Opens a blob, or takes its download over. Waits while another process downloads the same blob.
    pub(crate) fn download(&self, digest: &Sha256Digest) -> Result<Download, StoreError> {
        let path = self.directory.join("partial").join(digest.to_string());
        loop {
            if let Some(blob) = self.blob(digest)? {
                return Ok(Download::There(blob));
            }
            let file = fs::File::options().read(true).append(true).create(true).open(&path)?.into_file();
            file.lock().map_err(|source| StoreError::Lock { path: path.clone(), source })?;
            // Whoever held the lock may have finished the file (it is then a blob) or removed it: look again.
            let same = match fs::metadata(&path) {
                Ok(named) => named.ino() == file.metadata()?.ino() && named.dev() == file.metadata()?.dev(),
                Err(error) if error.kind() == ErrorKind::NotFound => false,
                Err(error) => return Err(error.into()),
            };
            if same && !self.has_blob(digest) {
                let mut partial = Partial { file, path, digest: *digest, hasher: Sha256::new(), len: 0 };
                partial.rehash()?;
                return Ok(Download::Wanted(partial));
            }
            if same {
                kept_file::remove(&path)?;
            }
        }
    }
}

impl Partial {
    /// How many bytes are there; the offset to go on from.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if nothing is there yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next bytes.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let wanted = self.len + bytes.len() as u64;
        if let Err(error) = self.file.write_all(bytes) {
            // A partial write is on disk, but not counted: cut it off, so that a resumed download is right.
            let _ = self.file.set_len(self.len);
            return Err(StoreError::from_write(error, &self.path, wanted));
        }
        self.hasher.update(bytes);
        self.len = wanted;
        Ok(())
    }

    /// Begins anew: a server that cannot resume, or bytes that were not the right ones.
    pub fn restart(&mut self) -> Result<(), StoreError> {
        self.file.set_len(0)?;
        self.hasher = Sha256::new();
        self.len = 0;
        Ok(())
    }

    /// Checks the digest and makes it a blob. Wrong bytes are thrown away.
    pub fn finish(mut self, store: &Store) -> Result<File, StoreError> {
        let found = Sha256Digest(std::mem::take(&mut self.hasher).finalize().into());
        if found != self.digest {
            kept_file::remove(&self.path)?;
            return Err(StoreError::Mismatch { expected: self.digest, found });
        }
        self.file.sync_all().map_err(|error| StoreError::from_write(error, &self.path, self.len))?;
        let path = store.blob_path(&self.digest);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::rename(&self.path, &path)?;
        kept_file::sync_folder_of(&path)?;
        // A file of its own: the one with the lock closes here.
        Ok(fs::File::open(&path)?.into_file())
    }

    /// Takes an earlier process's bytes into the digest.
    fn rehash(&mut self) -> Result<(), StoreError> {
        self.file.rewind()?;
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match self.file.read(&mut buffer)? {
                0 => return Ok(()),
                n => {
                    self.hasher.update(&buffer[..n]);
                    self.len += n as u64;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(store: &Store, digest: &Sha256Digest) -> Partial {
        match store.download(digest).unwrap() {
            Download::Wanted(partial) => partial,
            Download::There(_) => panic!("already there"),
        }
    }

    #[test]
    fn an_interrupted_download_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let digest = Sha256Digest::of(b"hello world");
        let mut first = wanted(&store, &digest);
        first.append(b"hello").unwrap();
        drop(first);
        let mut second = wanted(&store, &digest);
        assert_eq!(second.len(), 5);
        second.append(b" world").unwrap();
        second.finish(&store).unwrap();
        assert!(matches!(store.download(&digest).unwrap(), Download::There(_)));
        assert_eq!(fs::read_dir(directory.path().join("partial")).unwrap().count(), 0);
    }

    #[test]
    fn wrong_bytes_are_thrown_away() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let digest = Sha256Digest::of(b"right");
        let mut partial = wanted(&store, &digest);
        partial.append(b"wrong").unwrap();
        assert!(matches!(partial.finish(&store), Err(StoreError::Mismatch { .. })));
        assert!(wanted(&store, &digest).is_empty());
    }

    #[test]
    fn two_builds_download_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let bytes = vec![7; 100_000];
        let digest = Sha256Digest::of(&bytes);
        let downloads = AtomicCount::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let store = Store::open(directory.path()).unwrap();
                    if let Download::Wanted(mut partial) = store.download(&digest).unwrap() {
                        downloads.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        bytes.chunks(1000).for_each(|chunk| partial.append(chunk).unwrap());
                        partial.finish(&store).unwrap();
                    }
                });
            }
        });
        assert_eq!(downloads.0.into_inner(), 1);
        assert!(store.blob(&digest).unwrap().is_some());
    }

    #[derive(Default)]
    struct AtomicCount(std::sync::atomic::AtomicU32);
}
