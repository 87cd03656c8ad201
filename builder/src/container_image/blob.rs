//! A blob of an image where it lies: in memory, a file of its own, or a range of an archive. Its digest is checked by whoever reads it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes that nobody has verified yet.
#[derive(Debug, Clone)]
pub struct Blob {
    source: Source,
    offset: u64,
    len: u64,
}

#[derive(Debug, Clone)]
enum Source {
    Memory(Arc<[u8]>),
    File(Arc<File>),
}

impl Blob {
    /// Bytes in memory.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { offset: 0, len: bytes.len() as u64, source: Source::Memory(bytes) }
    }

    /// A whole file.
    pub fn from_file(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { source: Source::File(Arc::new(file)), offset: 0, len })
    }

    /// `len` bytes of this one from `offset`, as far as it has them.
    pub fn part(&self, offset: u64, len: u64) -> Self {
        let offset = offset.min(self.len);
        Self { source: self.source.clone(), offset: self.offset + offset, len: len.min(self.len - offset) }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True for no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes, where they are `most` at most; none where they are more.
    pub fn to_vec(&self, most: u64) -> io::Result<Option<Vec<u8>>> {
        if self.len > most {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(self.len as usize);
        self.reader().read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Reads from the start; a file that became shorter meanwhile is an error.
    pub fn reader(&self) -> impl Read + use<> {
        Reader { blob: self.clone(), at: 0 }
    }
}

struct Reader {
    blob: Blob,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.blob.len - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..want).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(0);
        }
        let at = self.blob.offset + self.at;
        let n = match &self.blob.source {
            Source::Memory(bytes) => bytes.get(at as usize..).unwrap_or_default().read(buffer)?,
            Source::File(file) => file.read_at(buffer, at)?,
        };
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += n as u64;
        Ok(n)
    }
}
