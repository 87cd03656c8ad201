//! Metadata blocks: found, decompressed once, and read across their borders.

use super::{Image, ReadError};
use crate::assemble::squashfs::format::{METADATA_RAW, METADATA_SIZE};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// As many metadata blocks are held at most (256 MiB).
const MOST_BLOCKS: usize = 32_768;

/// Where the bytes of a squashfs are.
pub(super) enum Source<'a> {
    Bytes(&'a [u8]),
    File { file: &'a File, offset: u64 },
}

impl Source<'_> {
    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> Result<(), ReadError> {
        let read = match self {
            Source::Bytes(bytes) => usize::try_from(at)
                .ok()
                .and_then(|start| bytes.get(start..start.checked_add(buffer.len())?))
                .map(|bytes| buffer.copy_from_slice(bytes))
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
            Source::File { file, offset } => match offset.checked_add(at) {
                Some(at) => file.read_exact_at(buffer, at),
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        };
        read.map_err(|source| ReadError::Read { at, source })
    }
}

/// A metadata block, decompressed, and where the next one begins.
pub(super) struct MetadataBlock {
    bytes: Vec<u8>,
    next: u64,
}

impl<'a> Image<'a> {
    pub(super) fn cursor(&mut self, block: u64, offset: usize) -> Cursor<'_, 'a> {
        Cursor { image: self, block, offset }
    }

    /// The metadata block at `at`, decompressed.
    fn block(&mut self, at: u64) -> Result<Rc<MetadataBlock>, ReadError> {
        if let Some(block) = self.blocks.get(&at) {
            return Ok(Rc::clone(block));
        }
        if self.blocks.len() >= MOST_BLOCKS {
            return Err(ReadError::TooMany("metadata blocks"));
        }
        let damaged = |what| ReadError::Damaged { at, what };
        if at.checked_add(2).is_none_or(|end| end > self.superblock.bytes_used) {
            return Err(damaged("a metadata block beyond the end"));
        }
        let mut head = [0; 2];
        self.source.read(&mut head, at)?;
        let head = u16::from_le_bytes(head);
        let len = usize::from(head & !METADATA_RAW);
        if len == 0 || len > METADATA_SIZE {
            return Err(damaged("a metadata block of no or too many bytes"));
        }
        let mut stored = vec![0; len];
        self.source.read(&mut stored, at + 2)?;
        let bytes = if head & METADATA_RAW != 0 {
            stored
        } else {
            let mut bytes = Vec::with_capacity(METADATA_SIZE);
            zstd_safe::decompress(&mut bytes, &stored).map_err(|_| damaged("a metadata block that can't be decompressed"))?;
            bytes
        };
        let block = Rc::new(MetadataBlock { bytes, next: at + 2 + len as u64 });
        self.blocks.insert(at, Rc::clone(&block));
        Ok(block)
    }
}

/// Reads fields that may cross metadata blocks.
pub(super) struct Cursor<'b, 'a> {
    image: &'b mut Image<'a>,
    block: u64,
    offset: usize,
}

impl Cursor<'_, '_> {
    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), ReadError> {
        while !buffer.is_empty() {
            let block = self.image.block(self.block)?;
            let Some(rest) = block.bytes.get(self.offset..) else {
                return Err(ReadError::Damaged { at: self.block, what: "a place beyond its metadata block" });
            };
            if rest.is_empty() {
                if block.bytes.len() < METADATA_SIZE {
                    return Err(ReadError::Damaged { at: self.block, what: "a table that is cut short" });
                }
                (self.block, self.offset) = (block.next, 0);
                continue;
            }
            let n = rest.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(n);
            now.copy_from_slice(&rest[..n]);
            buffer = later;
            self.offset += n;
        }
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ReadError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ReadError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, ReadError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; len];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}
