//! Writing into the store, in its own error's words: a file has its name only when it is complete (see [`kept_file`]).

use super::{Store, StoreError};
use crate::kept_file::{self, Durability};
use fs_err as fs;
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;

impl Store {
    /// A file in `tmp/`, removed unless it is given a name by [`Store::settle`].
    pub(super) fn temporary(&self) -> Result<NamedTempFile, StoreError> {
        let directory = self.directory.join("tmp");
        kept_file::begin(&directory, ".tmp", 0o644).map_err(|error| StoreError::from_write(error, &directory, 0))
    }

    /// Gives a finished file its name.
    pub(super) fn settle(&self, file: NamedTempFile, path: &Path, durability: Durability) -> Result<std::fs::File, StoreError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let bytes = file.as_file().metadata()?.len();
        kept_file::settle(file, path, durability).map_err(|error| StoreError::from_write(error, path, bytes))
    }

    /// Writes a small file as a whole.
    pub(super) fn write_whole(&self, path: &Path, parts: &[&[u8]], durability: Durability) -> Result<(), StoreError> {
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        let mut file = self.temporary()?;
        for part in parts {
            file.write_all(part).map_err(|error| StoreError::from_write(error, path, bytes))?;
        }
        self.settle(file, path, durability).map(drop)
    }
}
