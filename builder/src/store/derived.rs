//! Small derived data: what could be computed again, kept because that costs time.
//!
//! An entry is its payload, then the BLAKE3 digest of key and payload, then a magic. One that does not fit (torn by a power cut, a
//! flipped bit) counts as absent and is removed.

use super::{Store, StoreError, key_name};
use crate::kept_file::{self, Durability};
use fs_err as fs;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

/// Ends every sealed entry; another number for another format, and old entries are then absent.
pub(super) const MAGIC: &[u8; 8] = b"kmimgE01";
const TRAILER: usize = 32 + MAGIC.len();

impl Store {
    /// Where an entry is. `kind` is a plain word that names what is kept; `key` any text that says from what it was derived (name
    /// every input in it: content hashes, options, a format version).
    pub(super) fn cached_path(&self, kind: &str, key: &str) -> PathBuf {
        let name = key_name(key);
        self.directory.join("cached").join(kind).join(name.get(..2).unwrap_or_default()).join(name)
    }

    /// What was kept under `kind` and `key`; none if nothing was, or if it is damaged.
    pub fn cached(&self, kind: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.cached_path(kind, key);
        let mut file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Vec::with_capacity(file.metadata()?.len() as usize);
        file.read_to_end(&mut bytes)?;
        match unseal(&key_name(key), &bytes) {
            Some(len) => {
                bytes.truncate(len);
                kept_file::mark_used(file.file());
                Ok(Some(bytes))
            }
            None => {
                kept_file::remove(&path)?;
                Ok(None)
            }
        }
    }

    /// Keeps `bytes` under `kind` and `key`, replacing what was there.
    pub fn put_cached(&self, kind: &str, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let digest = seal(&key_name(key), bytes);
        self.write_whole(&self.cached_path(kind, key), &[bytes, digest.as_bytes(), MAGIC], Durability::Sealed)
    }
}

fn seal(name: &str, payload: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The length of the payload of a sound entry that is called `name` (the file's name, so that verify can do without the key).
pub(super) fn unseal(name: &str, entry: &[u8]) -> Option<usize> {
    let len = entry.len().checked_sub(TRAILER)?;
    let (payload, trailer) = entry.split_at(len);
    let (digest, magic) = trailer.split_at(32);
    (magic == MAGIC && digest == seal(name, payload).as_bytes()).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_unless_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.cached("facts", "a").unwrap(), None);
        store.put_cached("facts", "a", b"payload").unwrap();
        assert_eq!(store.cached("facts", "a").unwrap().as_deref(), Some(&b"payload"[..]));
        assert_eq!(store.cached("facts", "b").unwrap(), None);
        assert_eq!(store.cached("other", "a").unwrap(), None);

        let path = store.cached_path("facts", "a");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert_eq!(store.cached("facts", "a").unwrap(), None, "byte {at}");
            assert!(!path.exists());
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(store.cached("facts", "a").unwrap(), None, "{at} bytes");
        }
        store.put_cached("facts", "a", b"").unwrap();
        assert_eq!(store.cached("facts", "a").unwrap().as_deref(), Some(&b""[..]));
    }
}
