//! A pack: blocks one after the other, then their index, then what finds and seals the index. Written once, never changed.
//!
//! ```text
//! stored blocks                 one after the other
//! index, 64 bytes per block     key 32, offset 8, length 4, form 1, zero 3, digest of key, form and stored bytes 16
//! trailer, 48 bytes             number of blocks 8, BLAKE3 of the index 32, magic 8
//! ```

use super::{BlockCache, BlockKey, CacheError};
use crate::failure::innermost;
use crate::kept_file::{self, Durability};
use fs_err as fs;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use tempfile::NamedTempFile;

/// Ends every pack; another number for another format, and old packs are then removed.
const MAGIC: &[u8; 8] = b"kmimgB01";
const ENTRY: usize = 64;
const TRAILER: usize = 48;
/// What packs are called behind their digest.
pub(super) const EXTENSION: &str = "blocks";
/// So many small packs are merged into one.
pub(super) const MANY: usize = 12;
/// A pack up to this many bytes is small.
const SMALL: u64 = 16 << 20;
/// No block is longer than this, so no longer one is read.
const LONGEST: u32 = 1 << 20;

/// How a block is stored in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All zeros: nothing is stored.
    Hole,
    /// As it is, since compression does not shorten it.
    Raw,
    /// A zstd frame.
    Compressed,
}

impl Form {
    fn from_byte(byte: u8) -> Option<Self> {
        [Form::Hole, Form::Raw, Form::Compressed].into_iter().find(|form| *form as u8 == byte)
    }
}

/// Where a block is in its pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    offset: u64,
    len: u32,
    pub(super) form: Form,
    check: [u8; 16],
}

impl Entry {
    /// True if `bytes` are those that were put under `key`.
    pub(super) fn fits(&self, key: &BlockKey, bytes: &[u8]) -> bool {
        self.check == check(key, self.form, bytes)
    }
}

fn check(key: &BlockKey, form: Form, bytes: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&key.0);
    hasher.update(&[form as u8]);
    hasher.update(bytes);
    let mut check = [0; 16];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    check
}

/// What a pack holds.
pub(super) type Index = Vec<(BlockKey, Entry)>;

/// An open pack.
#[derive(Debug)]
pub(super) struct Pack {
    file: File,
    path: PathBuf,
    len: u64,
}

impl Pack {
    /// Opens a pack and reads its index. None: it is not sound.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, Index)>> {
        let file = fs::File::open(path)?.into_file();
        let len = file.metadata()?.len();
        let Some(trailer_at) = len.checked_sub(TRAILER as u64) else { return Ok(None) };
        let mut trailer = [0; TRAILER];
        file.read_exact_at(&mut trailer, trailer_at)?;
        let (count, rest) = trailer.split_at(8);
        let count = u64::from_le_bytes(count.try_into().unwrap_or_default());
        let index_len = count.checked_mul(ENTRY as u64).filter(|&index_len| index_len <= trailer_at);
        let (Some(index_len), Some(digest)) = (index_len, rest.strip_suffix(MAGIC)) else { return Ok(None) };
        let index_at = trailer_at - index_len;
        let mut index = vec![0; index_len as usize];
        file.read_exact_at(&mut index, index_at)?;
        if blake3::hash(&index).as_bytes() != digest {
            return Ok(None);
        }
        let entries = index.chunks_exact(ENTRY).map(|bytes| decode(bytes, index_at)).collect::<Option<Vec<_>>>();
        Ok(entries.map(|entries| (Self { file, path: path.to_path_buf(), len }, entries)))
    }

    /// Reads an entry's bytes; the caller checks them. False: they can't be read.
    pub(super) fn read(&self, entry: &Entry, bytes: &mut Vec<u8>) -> bool {
        bytes.resize(entry.len as usize, 0);
        self.file.read_exact_at(bytes, entry.offset).is_ok()
    }
}

fn decode(bytes: &[u8], index_at: u64) -> Option<(BlockKey, Entry)> {
    let (key, rest) = bytes.split_first_chunk::<32>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (offset, len) = (u64::from_le_bytes(*offset), u32::from_le_bytes(*len));
    let form = Form::from_byte(*rest.first()?)?;
    let check = *rest.last_chunk::<16>()?;
    let inside = offset.checked_add(u64::from(len)).is_some_and(|end| end <= index_at);
    (inside && len <= LONGEST).then_some((BlockKey(*key), Entry { offset, len, form, check }))
}

fn encode(key: &BlockKey, entry: &Entry) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    bytes[..32].copy_from_slice(&key.0);
    bytes[32..40].copy_from_slice(&entry.offset.to_le_bytes());
    bytes[40..44].copy_from_slice(&entry.len.to_le_bytes());
    bytes[44] = entry.form as u8;
    bytes[48..].copy_from_slice(&entry.check);
    bytes
}

/// Collects a build's new blocks. Dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct BlockWriter<'a> {
    cache: &'a BlockCache,
    file: Option<BufWriter<NamedTempFile>>,
    index: Vec<u8>,
    len: u64,
}

impl<'a> BlockWriter<'a> {
    pub(super) fn new(cache: &'a BlockCache) -> Self {
        Self { cache, file: None, index: Vec::new(), len: 0 }
    }

    /// Keeps a block.
    pub fn put(&mut self, key: &BlockKey, form: Form, bytes: &[u8]) -> Result<(), CacheError> {
        let check = check(key, form, bytes);
        let bytes = if form == Form::Compressed { bytes } else { &[] };
        let entry = Entry { offset: self.len, len: bytes.len() as u32, form, check };
        self.index.extend_from_slice(&encode(key, &entry));
        self.append(bytes).map_err(|source| self.failed(source))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = kept_file::begin(&self.cache.directory, ".tmp", 0o644)?;
                self.file.insert(BufWriter::with_capacity(256 * 1024, file))
            }
        };
        file.write_all(bytes)
    }

    fn failed(&self, source: io::Error) -> CacheError {
        CacheError::Write { directory: self.cache.directory.clone(), source: innermost(source) }
    }

    /// Gives the pack its name. Not flushed to the disk: a torn pack counts as absent.
    pub fn finish(mut self) -> Result<(), CacheError> {
        self.touch_used();
        let merged = self.merge()?;
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let digest = blake3::hash(&self.index);
        let count = (self.index.len() / ENTRY) as u64;
        let parts: [&[u8]; 4] = [&self.index, &count.to_le_bytes(), digest.as_bytes(), MAGIC];
        let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.flush());
        written.map_err(|source| self.failed(source))?;
        let file = file.into_inner().map_err(|error| self.failed(error.into_error()))?;
        let path = self.cache.directory.join(format!("{}.{EXTENSION}", digest.to_hex()));
        kept_file::settle(file, &path, Durability::Sealed).map_err(|error| self.failed(error))?;
        for old in merged.iter().filter(|old| **old != path) {
            kept_file::remove(old)?;
        }
        Ok(())
    }

    /// The time of a pack is that of its last use: by it the cache is swept.
    fn touch_used(&self) {
        for open in self.cache.packs.iter().filter(|open| open.used.load(Ordering::Relaxed)) {
            kept_file::mark_used(&open.pack.file);
        }
    }

    /// Takes the blocks of the small packs over, if there are many. Returns the packs that are no longer needed.
    fn merge(&mut self) -> Result<Vec<PathBuf>, CacheError> {
        let cache = self.cache;
        let small = |open: &&super::OpenPack| open.pack.len <= SMALL;
        if self.file.is_none() || cache.packs.iter().filter(small).count() < MANY {
            return Ok(Vec::new());
        }
        let mut entries: Vec<_> =
            cache.index.iter().map(|(key, (number, entry))| (*number, entry.offset, *key, *entry)).collect();
        entries.sort_unstable_by_key(|(number, offset, key, _)| (*number, *offset, *key));
        let mut bytes = Vec::new();
        for (number, _, key, entry) in entries {
            let Some(open) = cache.packs.get(number).filter(small) else { continue };
            let sound = open.pack.read(&entry, &mut bytes) && (entry.form != Form::Compressed || entry.fits(&key, &bytes));
            if sound {
                let moved = Entry { offset: self.len, ..entry };
                self.index.extend_from_slice(&encode(&key, &moved));
                self.append(&bytes).map_err(|source| self.failed(source))?;
                self.len += bytes.len() as u64;
            }
        }
        Ok(cache.packs.iter().filter(small).map(|open| open.pack.path.clone()).collect())
    }
}
