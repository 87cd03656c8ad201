//! The output: bytes in order, written in aligned chunks, each hashed for dm-verity on the way.

use super::error::Error;
use crate::assemble::verity::{DATA_BLOCK, LeafHasher};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes per write; a multiple of verity's block.
const CHUNK: usize = 1 << 20;

/// Where a squashfs goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// A file open for writing: the squashfs's own, or a disk image.
    pub file: &'a File,
    /// Offset of the squashfs in it.
    pub offset: u64,
    /// How many bytes the squashfs may have at most: the size of its partition. Not a byte is written beyond.
    pub room: Option<u64>,
}

/// Takes the squashfs front to back; the first block once more at the end.
pub(super) struct Sink<'a> {
    target: Target<'a>,
    pending: Vec<u8>,
    /// Bytes written before `pending`.
    written: u64,
    /// The first block as it was written, to be changed at the end.
    head: Vec<u8>,
    hasher: Option<LeafHasher>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(target: Target<'a>, hasher: Option<LeafHasher>) -> Self {
        Self { target, pending: Vec::with_capacity(CHUNK), written: 0, head: Vec::new(), hasher }
    }

    /// Offset of the next byte in the squashfs.
    pub(super) fn position(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        if let Some(room) = self.target.room
            && self.position() + bytes.len() as u64 > room
        {
            return Err(Error::DoesNotFit { room });
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == CHUNK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.write_at(&self.pending, self.written)?;
        if self.written == 0 {
            self.head = self.pending[..DATA_BLOCK.min(self.pending.len())].to_vec();
        }
        self.written += self.pending.len() as u64;
        match &mut self.hasher {
            Some(hasher) => {
                let chunk = std::mem::replace(&mut self.pending, Vec::with_capacity(CHUNK));
                hasher.add(chunk);
            }
            None => self.pending.clear(),
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> Result<(), Error> {
        let at = self.target.offset + at;
        self.target.file.write_all_at(bytes, at).map_err(|source| Error::Write { at, source })
    }

    /// Pads to `padding` bytes, then puts `start` over the first bytes. Returns the length and the hasher.
    pub(super) fn finish(mut self, padding: u64, start: &[u8]) -> Result<(u64, Option<LeafHasher>), Error> {
        let rest = self.position().next_multiple_of(padding) - self.position();
        self.write(&vec![0; rest as usize])?;
        if !self.pending.is_empty() {
            self.flush()?;
        }
        let head = self.head.get_mut(..start.len()).ok_or(Error::Write { at: 0, source: io::ErrorKind::UnexpectedEof.into() })?;
        head.copy_from_slice(start);
        self.write_at(start, 0)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.replace_first(&self.head);
        }
        Ok((self.written, self.hasher))
    }
}
