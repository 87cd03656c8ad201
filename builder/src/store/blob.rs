//! Downloads by their SHA-256.

use super::{Store, StoreError};
use crate::hash::Sha256Digest;
use crate::kept_file::{self, Durability};
use fs_err as fs;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::PathBuf;

impl Store {
    /// Where the blob of a digest is, or would be.
    pub(super) fn blob_path(&self, digest: &Sha256Digest) -> PathBuf {
        let name = digest.to_string();
        self.directory.join("blobs").join(name.get(..2).unwrap_or_default()).join(&name)
    }

    /// True if a blob of this name is there; its content is not looked at.
    pub fn has_blob(&self, digest: &Sha256Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Opens a blob, verified, at its start; none if the store does not have it.
    pub fn blob(&self, digest: &Sha256Digest) -> Result<Option<File>, StoreError> {
        let path = self.blob_path(digest);
        let mut file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let found = Sha256Digest::of_reader(&mut file)?;
        if found != *digest {
            return Err(StoreError::Damaged { path, found });
        }
        file.rewind()?;
        kept_file::mark_used(file.file());
        Ok(Some(file.into_file()))
    }

    /// Takes all that `reader` yields in as a blob; what is already there is not written again. The digest is checked first.
    pub fn put_blob(&self, mut reader: impl Read, expected: &Sha256Digest) -> Result<File, StoreError> {
        let path = self.blob_path(expected);
        let mut file = self.temporary()?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut bytes = 0;
        loop {
            let n = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            hasher.update(&buffer[..n]);
            bytes += n as u64;
            file.write_all(&buffer[..n]).map_err(|error| StoreError::from_write(error, &path, bytes))?;
        }
        let found = Sha256Digest(hasher.finalize().into());
        if found != *expected {
            return Err(StoreError::Mismatch { expected: *expected, found });
        }
        let mut file = self.settle(file, &path, Durability::Synced)?;
        file.rewind()?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Classified;

    #[test]
    fn a_blob_comes_back_or_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let digest = Sha256Digest::of(b"hello");
        assert!(store.blob(&digest).unwrap().is_none());

        let refused = store.put_blob(&b"other"[..], &digest).unwrap_err();
        assert_eq!(refused.to_string(), format!("expected sha256 {digest}, got {}", Sha256Digest::of(b"other")));
        assert!(!store.has_blob(&digest));

        store.put_blob(&b"hello"[..], &digest).unwrap();
        let mut text = String::new();
        store.blob(&digest).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);

        let path = store.blob_path(&digest);
        fs::write(&path, "hellp").unwrap();
        let damaged = store.blob(&digest).unwrap_err();
        assert_eq!(
            damaged.to_string(),
            format!("{} in the store is damaged: its sha256 is {}", path.display(), Sha256Digest::of(b"hellp"))
        );
        assert!(damaged.hints()[0].contains("kmimage cache verify --repair"));
        store.put_blob(&b"hello"[..], &digest).unwrap();
        assert!(store.blob(&digest).unwrap().is_some());
    }
}
