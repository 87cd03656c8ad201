//! A file's bytes by reference: where they lie, how long they are, what they hash to. Never held in memory whole.

use crate::hash::Sha256Digest;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The bytes of one regular file of the image.
#[derive(Debug, Clone)]
pub struct Content {
    source: Source,
    len: u64,
    sha256: Sha256Digest,
}

#[derive(Debug, Clone)]
enum Source {
    /// Made by kmimage (a derive step), or small.
    Memory(Arc<[u8]>),
    /// A range of an open file: a package's unpacked data in the store, an overlay's file.
    Range { file: Arc<File>, offset: u64 },
}

impl Content {
    /// Bytes that kmimage made.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { len: bytes.len() as u64, sha256: Sha256Digest::of(&bytes), source: Source::Memory(bytes) }
    }

    /// `len` bytes of `file` from `offset`, whose digest the caller has computed.
    pub fn from_range(file: Arc<File>, offset: u64, len: u64, sha256: Sha256Digest) -> Self {
        Self { source: Source::Range { file, offset }, len, sha256 }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True for an empty file.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// SHA-256 of the bytes.
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }

    /// Fills `buffer` from byte `at`; an error if the content ends before the buffer is full.
    pub fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        if at.checked_add(buffer.len() as u64).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match &self.source {
            Source::Memory(bytes) => {
                let at = at as usize;
                buffer.copy_from_slice(&bytes[at..at + buffer.len()]);
                Ok(())
            }
            Source::Range { file, offset } => file.read_exact_at(buffer, offset + at),
        }
    }

    /// All bytes, for files known to be small (configuration, an ELF header's file); the caller bounds `len`.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len as usize];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Reads from the start.
    pub fn reader(&self) -> impl Read + use<> {
        ContentReader { content: self.clone(), at: 0 }
    }
}

struct ContentReader {
    content: Content,
    at: u64,
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = (self.content.len - self.at).min(buffer.len() as u64) as usize;
        self.content.read_exact_at(&mut buffer[..n], self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}
