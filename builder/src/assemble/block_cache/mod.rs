//! Compressed blocks of earlier builds, by what was in them: a rebuild costs what changed.
//!
//! A build appends the blocks it had to compress to one pack of its own and gives that its name when it is complete, so builds may
//! share a cache and none sees half a pack. An entry is keyed by the digests of the contents in the block, the level and zstd's
//! version, so a known block is not even read from its source. What did not get shorter is kept as a verdict and read from the source.
//! Every entry has a digest of its own, checked before use: a damaged one counts as absent, as does a damaged pack.
//!
//! Many small packs become one when there are [`pack::MANY`]; a pack that a build used is marked by its time, and the store's gc
//! removes those that none used for long.

mod pack;

pub use pack::{BlockWriter, Form};

use crate::failure::{Classified, Kind, io_kind};
use crate::hash::Sha256Digest;
use crate::kept_file;
use fs_err as fs;
use pack::{Entry, Pack};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The folder of a store that holds the packs.
pub const FOLDER: &str = "blocks";

/// Names a compressed block by what it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BlockKey([u8; 32]);

impl BlockKey {
    /// The key of a block made of these ranges (digest of the whole content, offset, length) by this level of this zstd.
    /// Another number in the label when blocks are made in another way.
    pub fn new(level: i32, is_fragment: bool, pieces: impl Iterator<Item = (Sha256Digest, u64, u64)>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("kmimage 2026 squashfs block 1");
        hasher.update(&zstd_safe::version_number().to_le_bytes());
        hasher.update(&level.to_le_bytes());
        hasher.update(&[u8::from(is_fragment)]);
        for (digest, at, len) in pieces {
            hasher.update(&digest.0);
            hasher.update(&at.to_le_bytes());
            hasher.update(&len.to_le_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// Why the cache could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file or folder of the cache could not be read or made.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A pack could not be written.
    #[error("failed to write to the block cache in {}", directory.display())]
    Write {
        /// The cache's folder.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Classified for CacheError {
    fn kind(&self) -> Kind {
        match self {
            CacheError::Io(source) | CacheError::Write { source, .. } => io_kind(source),
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            CacheError::Write { directory, source } if source.kind() == io::ErrorKind::StorageFull => {
                vec![format!("Free space on the file system of {}, or choose another store with --store.", directory.display())]
            }
            _ => Vec::new(),
        }
    }
}

/// The blocks that were there when the cache was opened.
#[derive(Debug)]
pub struct BlockCache {
    directory: PathBuf,
    packs: Vec<OpenPack>,
    index: HashMap<BlockKey, (usize, Entry)>,
}

#[derive(Debug)]
struct OpenPack {
    pack: Pack,
    used: AtomicBool,
}

impl BlockCache {
    /// Opens the cache in `directory`, made if missing. Packs that are not sound are removed.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, CacheError> {
        let directory = directory.into();
        fs::create_dir_all(&directory)?;
        let mut cache = Self { packs: Vec::new(), index: HashMap::new(), directory };
        for path in pack_paths(&cache.directory)? {
            match Pack::open(&path) {
                Ok(Some((pack, entries))) => {
                    let number = cache.packs.len();
                    cache.index.extend(entries.into_iter().map(|(key, entry)| (key, (number, entry))));
                    cache.packs.push(OpenPack { pack, used: AtomicBool::new(false) });
                }
                Ok(None) => kept_file::remove(&path)?,
                // Another build merged it into a bigger one just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(cache)
    }

    /// Looks a block up and puts what is to be stored into `bytes`. `read` reads the block from its source: it is called for a block
    /// that is stored as it is, which the cache does not keep a second time. None: not there, or damaged.
    pub fn get(&self, key: &BlockKey, bytes: &mut Vec<u8>, read: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<Form> {
        let (number, entry) = self.index.get(key)?;
        let open = self.packs.get(*number)?;
        let sound = match entry.form {
            Form::Compressed => open.pack.read(entry, bytes),
            Form::Raw => read(bytes),
            Form::Hole => {
                bytes.clear();
                true
            }
        };
        if !sound || !entry.fits(key, bytes) {
            return None;
        }
        open.used.store(true, Ordering::Relaxed);
        Some(entry.form)
    }

    /// Takes the blocks that this build makes.
    pub fn writer(&self) -> BlockWriter<'_> {
        BlockWriter::new(self)
    }

    /// How many blocks are known.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// True if no block is known.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }
}

fn pack_paths(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == pack::EXTENSION) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
