//! Bytes at offsets: a file, a window of another source, a disk inside a qcow2. What every decoder reads from.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Something of a known length that can be read anywhere.
pub trait Source {
    /// Length in bytes.
    fn size(&self) -> u64;
    /// Fills `buffer` from `at`, or fails.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
}

/// Up to `len` bytes from `at`: fewer where the source ends. Callers bound `len`.
pub fn read_some(source: &dyn Source, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let len = len.min(source.size().saturating_sub(at));
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?];
    source.read_at(&mut bytes, at)?;
    Ok(bytes)
}

/// An open file of which the length was asked once.
pub struct FileSource {
    file: File,
    size: u64,
}

impl FileSource {
    /// Takes an open regular file.
    pub fn new(file: File) -> io::Result<Self> {
        Ok(Self { size: file.metadata()?.len(), file })
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Source for FileSource {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, at)
    }
}

impl Source for &[u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let start = usize::try_from(at).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A part of another source, such as a partition of a disk.
pub struct Window<'a> {
    source: &'a dyn Source,
    offset: u64,
    size: u64,
}

impl<'a> Window<'a> {
    /// `size` bytes from `offset`; cut off where the source ends.
    pub fn new(source: &'a dyn Source, offset: u64, size: u64) -> Self {
        let offset = offset.min(source.size());
        Self { source, offset, size: size.min(source.size() - offset) }
    }
}

impl Source for Window<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        if at.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.source.read_at(buffer, self.offset + at)
    }
}

/// A source as a stream.
pub struct Stream<'a> {
    source: &'a dyn Source,
    at: u64,
}

impl<'a> Stream<'a> {
    /// Begins at the source's start.
    pub fn new(source: &'a dyn Source) -> Self {
        Self { source, at: 0 }
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.size().saturating_sub(self.at);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.source.read_at(&mut buffer[..len], self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl Seek for Stream<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.source.size().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
