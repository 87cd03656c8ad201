//! Big derived files (a package's unpacked data): read by offset, never in memory whole.
//!
//! A pack is its payload from offset 0, then the length, a digest and a magic. The digest is BLAKE3 over the BLAKE3 digests of the
//! payload's 4 MiB chunks, so that several threads can check a big one when it is opened.

use super::{Store, StoreError, key_name};
use crate::kept_file::{self, Durability};
use crate::parallel;
use fs_err as fs;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Ends every pack; another number for another format, and old packs are then absent.
const MAGIC: &[u8; 8] = b"kmimgP01";
const TRAILER: u64 = 8 + 32 + MAGIC.len() as u64;
const CHUNK: u64 = 4 << 20;

/// An open, verified pack.
#[derive(Debug)]
pub struct Pack {
    /// The file; the payload begins at offset 0.
    pub file: File,
    /// Length of the payload in bytes (the file is a little longer).
    pub len: u64,
}

/// Takes a pack's payload.
#[derive(Debug)]
pub struct PackWriter {
    file: BufWriter<NamedTempFile>,
    path: PathBuf,
    chunk: blake3::Hasher,
    chunks: blake3::Hasher,
    len: u64,
    /// A full disk is remembered (with the bytes wanted until then), so that the caller's own error cannot hide it.
    full: Option<(io::Error, u64)>,
}

impl PackWriter {
    /// How many bytes were written so far; the next byte's offset in the pack.
    pub fn position(&self) -> u64 {
        self.len
    }

    fn write_all_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let wanted = self.len + bytes.len() as u64;
        self.file.write_all(bytes).inspect_err(|error| {
            if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
                self.full = Some((error.kind().into(), wanted));
            }
        })
    }
}

impl Write for PackWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK - self.len % CHUNK;
        let n = room.min(bytes.len() as u64) as usize;
        let bytes = &bytes[..n];
        self.write_all_raw(bytes)?;
        self.chunk.update(bytes);
        self.len += n as u64;
        if self.len.is_multiple_of(CHUNK) && n > 0 {
            self.chunks.update(self.chunk.finalize().as_bytes());
            self.chunk.reset();
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Store {
    pub(super) fn pack_path(&self, kind: &str, key: &str) -> PathBuf {
        self.directory.join("packs").join(kind).join(key_name(key))
    }

    /// Opens the pack kept under `kind` and `key` (see [`Store::cached`]), verified; none if there is none, or if it is damaged.
    pub fn pack(&self, kind: &str, key: &str) -> Result<Option<Pack>, StoreError> {
        let path = self.pack_path(kind, key);
        let file = match fs::File::open(&path) {
            Ok(file) => file.into_file(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match check(&file).map_err(|source| with_path(source, &path))? {
            Some(len) => {
                kept_file::mark_used(&file);
                Ok(Some(Pack { file, len }))
            }
            None => {
                kept_file::remove(&path)?;
                Ok(None)
            }
        }
    }

    /// Makes a pack: `write` writes its payload; when it fails, nothing is kept. Returns the pack and what `write` returned.
    pub fn put_pack<T, E: From<StoreError>>(
        &self,
        kind: &str,
        key: &str,
        write: impl FnOnce(&mut PackWriter) -> Result<T, E>,
    ) -> Result<(Pack, T), E> {
        let path = self.pack_path(kind, key);
        let mut writer = PackWriter {
            file: BufWriter::with_capacity(256 * 1024, self.temporary()?),
            path: path.clone(),
            chunk: blake3::Hasher::new(),
            chunks: blake3::Hasher::new(),
            len: 0,
            full: None,
        };
        let written = write(&mut writer);
        if let Some((error, wanted)) = writer.full.take() {
            return Err(StoreError::from_write(error, &path, wanted).into());
        }
        let value = written?;
        Ok((self.seal_pack(writer)?, value))
    }

    fn seal_pack(&self, mut writer: PackWriter) -> Result<Pack, StoreError> {
        let (path, len) = (writer.path.clone(), writer.len);
        if !len.is_multiple_of(CHUNK) {
            writer.chunks.update(writer.chunk.finalize().as_bytes());
        }
        let digest = writer.chunks.finalize();
        let mut trailer = Vec::with_capacity(TRAILER as usize);
        trailer.extend_from_slice(&len.to_le_bytes());
        trailer.extend_from_slice(digest.as_bytes());
        trailer.extend_from_slice(MAGIC);
        let written = writer.file.write_all(&trailer).and_then(|()| writer.file.flush());
        written.map_err(|error| StoreError::from_write(error, &path, len))?;
        let file = writer.file.into_inner().map_err(|error| StoreError::from_write(error.into_error(), &path, len))?;
        let file = self.settle(file, &path, Durability::Sealed)?;
        Ok(Pack { file, len })
    }
}

/// The payload's length, if the pack is sound.
pub(super) fn check(file: &File) -> io::Result<Option<u64>> {
    let Some(len) = file.metadata()?.len().checked_sub(TRAILER) else { return Ok(None) };
    let mut trailer = [0; TRAILER as usize];
    file.read_exact_at(&mut trailer, len)?;
    let (length, rest) = trailer.split_at(8);
    let (digest, magic) = rest.split_at(32);
    if length != len.to_le_bytes() || magic != MAGIC {
        return Ok(None);
    }
    Ok((digest_of(file, len)?.as_bytes() == digest).then_some(len))
}

fn digest_of(file: &File, len: u64) -> io::Result<blake3::Hash> {
    let places: Vec<u64> = (0..len).step_by(CHUNK as usize).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(places.len() / 4 + 1);
    let buffer = || vec![0; CHUNK.min(len) as usize];
    let digests = parallel::each_with(&places, threads, buffer, |buffer, &at, _| {
        let chunk = &mut buffer[..CHUNK.min(len - at) as usize];
        file.read_exact_at(chunk, at)?;
        Ok::<_, io::Error>(blake3::hash(chunk))
    })?;
    let mut chunks = blake3::Hasher::new();
    for digest in &digests {
        chunks.update(digest.as_bytes());
    }
    Ok(chunks.finalize())
}

fn with_path(source: io::Error, path: &Path) -> StoreError {
    StoreError::Io(io::Error::new(source.kind(), format!("failed to read {}: {source}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_comes_back_unless_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        for len in [0, 1, CHUNK - 1, CHUNK, 5 * CHUNK + 7] {
            let payload: Vec<u8> = (0..len).map(|at| ((at * 31) >> 3) as u8).collect();
            assert!(store.pack("data", "k").unwrap().is_none());
            let (pack, value) = store
                .put_pack("data", "k", |writer| -> Result<u8, StoreError> {
                    writer.write_all(&payload)?;
                    assert_eq!(writer.position(), len);
                    Ok(7)
                })
                .unwrap();
            assert_eq!((pack.len, value), (len, 7));
            let pack = store.pack("data", "k").unwrap().unwrap();
            let mut bytes = vec![0; len as usize];
            pack.file.read_exact_at(&mut bytes, 0).unwrap();
            assert!(bytes == payload && pack.len == len);

            let path = store.pack_path("data", "k");
            let file = fs::File::options().write(true).open(&path).unwrap().into_file();
            file.write_all_at(b"X", len / 2).unwrap();
            assert!(store.pack("data", "k").unwrap().is_none());
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_failed_pack_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let failed = store.put_pack("data", "k", |writer| -> Result<(), StoreError> {
            writer.write_all(b"half")?;
            Err(io::Error::other("no").into())
        });
        assert_eq!(failed.unwrap_err().to_string(), "no");
        assert!(store.pack("data", "k").unwrap().is_none());
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
    }
}
