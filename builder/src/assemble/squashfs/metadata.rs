//! Metadata blocks: 8 KiB each, compressed, with a length in front; and the tables that are made of them.

use super::error::Error;
use super::format::{InodeRef, METADATA_RAW, METADATA_SIZE};
use zstd_safe::CCtx;

/// Writes a stream of metadata into memory and tells where each byte of it goes.
pub(super) struct MetadataWriter<'a> {
    compressor: &'a mut Compressor,
    stored: Vec<u8>,
    pending: Vec<u8>,
    scratch: Vec<u8>,
    /// Where each block starts in `stored`.
    starts: Vec<u64>,
}

/// zstd with one level and one context, used again and again.
pub(super) struct Compressor {
    context: CCtx<'static>,
    level: i32,
}

impl Compressor {
    pub(super) fn new(level: i32) -> Result<Self, Error> {
        let context = CCtx::try_create().ok_or(Error::Compress("no memory"))?;
        Ok(Self { context, level })
    }

    /// Compresses `raw` into `out`. False: it does not get shorter, and is to be stored as it is.
    pub(super) fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<bool, Error> {
        out.clear();
        out.reserve(zstd_safe::compress_bound(raw.len()));
        self.context.compress(out, raw, self.level).map_err(|code| Error::Compress(zstd_safe::get_error_name(code)))?;
        Ok(out.len() < raw.len())
    }
}

impl<'a> MetadataWriter<'a> {
    pub(super) fn new(compressor: &'a mut Compressor) -> Self {
        Self { compressor, stored: Vec::new(), pending: Vec::new(), scratch: Vec::new(), starts: Vec::new() }
    }

    /// Where the next byte goes: the start of its block, the offset in it.
    pub(super) fn position(&self) -> Result<InodeRef, Error> {
        let block = u32::try_from(self.stored.len()).map_err(|_| Error::TooMany { what: "inodes or directory entries" })?;
        Ok(InodeRef { block, offset: self.pending.len() as u16 })
    }

    /// Adds bytes to the stream.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(METADATA_SIZE - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == METADATA_SIZE {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.starts.push(self.stored.len() as u64);
        let shorter = self.compressor.compress(&self.pending, &mut self.scratch)?;
        let (bytes, mark) = if shorter { (&self.scratch, 0) } else { (&self.pending, METADATA_RAW) };
        self.stored.extend_from_slice(&(bytes.len() as u16 | mark).to_le_bytes());
        self.stored.extend_from_slice(bytes);
        self.pending.clear();
        Ok(())
    }

    /// The blocks, and where each starts.
    pub(super) fn finish(mut self) -> Result<(Vec<u8>, Vec<u64>), Error> {
        if !self.pending.is_empty() {
            self.flush()?;
        }
        Ok((self.stored, self.starts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_blocks() {
        let mut compressor = Compressor::new(3).unwrap();
        let mut writer = MetadataWriter::new(&mut compressor);
        writer.write(&[7; 8191]).unwrap();
        assert_eq!(writer.position().unwrap(), InodeRef { block: 0, offset: 8191 });
        writer.write(&[7]).unwrap();
        let second = writer.position().unwrap();
        assert_eq!(second.offset, 0);
        writer.write(b"ab").unwrap();
        let (stored, starts) = writer.finish().unwrap();
        assert_eq!(starts, [0, u64::from(second.block)]);
        assert_eq!(stored[second.block as usize..], [2, 0x80, b'a', b'b']);
    }
}
