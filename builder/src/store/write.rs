//! Writing beside, then renaming: a file in the store has its name only when it is complete.

use super::{Store, StoreError};
use fs_err as fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::NamedTempFile;

/// Whether a finished file must survive a power cut at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Flushed to the disk before it is renamed.
    Synced,
    /// Left to the system: for data that carries its own seal, where a torn file merely counts as absent. (A build makes hundreds
    /// of these; flushing each would cost more than the work it saves.)
    Sealed,
}

impl Store {
    /// A file in `tmp/`, removed unless it is given a name by [`Store::settle`].
    pub(super) fn temporary(&self) -> Result<NamedTempFile, StoreError> {
        let directory = self.directory.join("tmp");
        tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o644))
            .tempfile_in(&directory)
            .map_err(|error| StoreError::from_write(error, &directory, 0))
    }

    /// Gives a finished file its name.
    pub(super) fn settle(&self, file: NamedTempFile, path: &Path, durability: Durability) -> Result<std::fs::File, StoreError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let bytes = file.as_file().metadata()?.len();
        if durability == Durability::Synced {
            file.as_file().sync_all().map_err(|error| StoreError::from_write(error, path, bytes))?;
        }
        let file = file.persist(path).map_err(|error| StoreError::from_write(error.error, path, bytes))?;
        if durability == Durability::Synced {
            sync_parent(path)?;
        }
        Ok(file)
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

/// Makes a rename in the directory of `path` durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    if let Some(parent) = path.parent() {
        fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}
