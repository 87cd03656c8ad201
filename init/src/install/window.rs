//! A part of a device, or of a file, read as if it were a file of its own.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// The bytes of `file` from `start` on, `len` of them.
#[derive(Debug)]
pub(super) struct Window<'a, F = File> {
    file: &'a F,
    start: u64,
    len: u64,
    at: u64,
}

impl<'a, F> Window<'a, F> {
    pub(super) fn new(file: &'a F, start: u64, len: u64) -> Self {
        Self { file, start, len, at: 0 }
    }
}

impl<F: FileExt> Read for Window<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let Some(buffer) = buffer.get_mut(..length).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let read = self.file.read_at(buffer, self.start.saturating_add(self.at))?;
        self.at += read as u64;
        Ok(read)
    }
}

impl<F> Seek for Window<'_, F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
