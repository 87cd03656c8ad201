//! A disk in memory that remembers every write and flush, so that power can fail anywhere; and disks that fail.

use super::super::act::Target;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

const PAGE: u64 = 4096;

/// A disk that is mostly zero.
#[derive(Debug, Clone)]
pub(super) struct Sparse {
    pub(super) size: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Sparse {
    pub(super) fn new(size: u64) -> Self {
        Self { size, pages: BTreeMap::new() }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8], mut offset: u64) {
        assert!(offset + bytes.len() as u64 <= self.size, "a write behind the disk's end");
        while !bytes.is_empty() {
            let (page, at) = (offset / PAGE, (offset % PAGE) as usize);
            let length = bytes.len().min(PAGE as usize - at);
            let (now, rest) = bytes.split_at(length);
            let whole_zero = length == PAGE as usize && now.iter().all(|&byte| byte == 0);
            if whole_zero {
                self.pages.remove(&page);
            } else {
                self.pages.entry(page).or_insert_with(|| vec![0; PAGE as usize])[at..at + length].copy_from_slice(now);
            }
            (bytes, offset) = (rest, offset + length as u64);
        }
    }

    pub(super) fn bytes(&self, offset: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        self.fill(&mut bytes, offset);
        bytes
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) {
        buffer.fill(0);
        let end = offset + buffer.len() as u64;
        for (page, bytes) in self.pages.range(offset / PAGE..end.div_ceil(PAGE)) {
            let start = page * PAGE;
            let (from, to) = (offset.max(start), end.min(start + PAGE));
            let source = &bytes[(from - start) as usize..(to - start) as usize];
            buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
        }
    }

    pub(super) fn window(&self, start: u64, len: u64) -> Reader<'_> {
        Reader { disk: self, start, len, at: 0 }
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        self.window(0, self.size)
    }
}

/// A part of a disk, read in order.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    disk: &'a Sparse,
    start: u64,
    len: u64,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.len.saturating_sub(self.at) as usize);
        self.disk.fill(&mut buffer[..length], self.start + self.at);
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.len.checked_add_signed(by).unwrap(),
            SeekFrom::Current(by) => self.at.checked_add_signed(by).unwrap(),
        };
        Ok(self.at)
    }
}

/// What a disk was asked for.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Write { offset: u64, bytes: Vec<u8> },
    Flush,
}

/// A disk that remembers.
#[derive(Debug)]
pub(super) struct Recorder {
    disk: RefCell<Sparse>,
    ops: RefCell<Vec<Op>>,
    /// A byte that comes back with a bit turned.
    flipped: Option<u64>,
    /// Where writes begin to fail.
    full: u64,
}

impl Recorder {
    pub(super) fn new(disk: Sparse) -> Self {
        Self { disk: RefCell::new(disk), ops: RefCell::default(), flipped: None, full: u64::MAX }
    }

    pub(super) fn flipping(self, byte: u64) -> Self {
        Self { flipped: Some(byte), ..self }
    }

    pub(super) fn failing_from(self, full: u64) -> Self {
        Self { full, ..self }
    }

    pub(super) fn disk(&self) -> Sparse {
        self.disk.borrow().clone()
    }

    pub(super) fn ops(&self) -> Vec<Op> {
        self.ops.borrow().clone()
    }
}

impl Target for Recorder {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // Not the backup table's end of the disk, which is cleared before.
        if (self.full..self.full.saturating_add(1 << 20)).contains(&offset) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.disk.borrow_mut().write(bytes, offset);
        self.ops.borrow_mut().push(Op::Write { offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        assert!(offset.is_multiple_of(512) && buffer.len().is_multiple_of(512) && buffer.as_ptr().addr().is_multiple_of(512));
        self.disk.borrow().fill(buffer, offset);
        if let Some(byte) = self.flipped.and_then(|at| buffer.get_mut(at.checked_sub(offset)? as usize)) {
            *byte ^= 4;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.ops.borrow_mut().push(Op::Flush);
        Ok(())
    }
}

/// The disk after power failed before operation `cut`: what was flushed is there, of the rest any sectors are.
pub(super) fn cut(before: &Sparse, ops: &[Op], cut: usize, random: &mut Random) -> Sparse {
    let mut disk = before.clone();
    let flushed = ops[..cut].iter().rposition(|op| matches!(op, Op::Flush)).unwrap_or(0);
    // All, nothing, or by chance.
    let mode = random.below(4);
    for (number, op) in ops[..cut].iter().enumerate() {
        let Op::Write { offset, bytes } = op else { continue };
        if number < flushed {
            disk.write(bytes, *offset);
            continue;
        }
        for (sector, bytes) in (0u64..).zip(bytes.chunks(512)) {
            if mode == 0 || mode > 1 && random.below(2) == 0 {
                disk.write(bytes, offset + sector * 512);
            }
        }
    }
    disk
}

/// A small generator (xorshift), so that every run makes the same cuts.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
