//! Writing: the begin is erased, then all else is written, then the begin. Past the page cache, a mebibyte at a time.

use super::device::Claimed;
use super::error::{FlashError, State};
use super::image::Content;
use super::{HEAD, STEP, Stop, pieces};
use crate::report::{Event, Reporter, Unit};
use crate::unbuffered::{Buffer, Pool};
use crate::zeros::is_zero;
use rustix::fs::{FallocateFlags, fallocate};
use std::io;
use std::ops::Range;

/// Zeros that are given to the device in one request, where it takes such: small enough to stop in between.
const MOST_ZEROS: u64 = 64 << 20;

/// Writes all of `content`.
pub fn write(device: &Claimed, content: &Content<'_>, stop: Stop<'_>, report: Reporter<'_>) -> Result<(), FlashError> {
    let mut writer =
        Writer { device, content, buffer: Pool::new(STEP as usize).take(), takes_zeros: true, state: State::Untouched };
    let ranges = content.ranges();
    let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let head = ranges[0].start..ranges[0].end.min(HEAD);
    let body = [head.end..ranges[0].end, ranges[1].clone()];
    let mut done = 0;
    let mut progress = |by: u64| {
        done += by;
        report(Event::Progress { label: "writing".into(), done, total, unit: Unit::Bytes });
        done
    };
    if stop() {
        return Err(FlashError::Interrupted { doing: "writing", done: 0, total: total >> 20, state: State::Untouched });
    }
    writer.state = State::Unknown;
    writer.erase(head.clone())?;
    writer.flush(head.start)?;
    writer.state = State::Erased;
    // Zeros that were not given to the device yet.
    let mut zeros = 0..0;
    for piece in pieces(&body) {
        if stop() {
            let done = progress(0) >> 20;
            return Err(FlashError::Interrupted { doing: "writing", done, total: total >> 20, state: State::Erased });
        }
        if writer.read(&piece)? {
            if piece.start == zeros.end && piece.end - zeros.start <= MOST_ZEROS {
                zeros.end = piece.end;
            } else {
                writer.zeros(&zeros)?;
                zeros = piece.clone();
            }
        } else {
            if !zeros.is_empty() {
                writer.zeros(&zeros)?;
                zeros = 0..0;
                // Its buffer may have been used for zeros.
                writer.read(&piece)?;
            }
            writer.put(&piece)?;
        }
        progress(piece.end - piece.start);
    }
    writer.zeros(&zeros)?;
    writer.flush(head.end)?;
    writer.state = State::Unknown;
    for piece in pieces(std::slice::from_ref(&head)) {
        writer.read(&piece)?;
        writer.put(&piece)?;
    }
    writer.flush(head.start)?;
    progress(head.end - head.start);
    Ok(())
}

/// Takes the partition table away again, of a device that can't be trusted.
pub(super) fn erase_head(device: &Claimed, content: &Content<'_>) -> State {
    let head = 0..content.ranges()[0].end.min(HEAD);
    let mut writer =
        Writer { device, content, buffer: Pool::new(STEP as usize).take(), takes_zeros: false, state: State::Unknown };
    match writer.erase(head).and_then(|()| writer.flush(0)) {
        Ok(()) => State::Erased,
        Err(_) => State::Unknown,
    }
}

struct Writer<'a> {
    device: &'a Claimed,
    content: &'a Content<'a>,
    buffer: Buffer,
    /// The device has not refused yet to make zeros itself.
    takes_zeros: bool,
    /// What it holds, should the next step fail.
    state: State,
}

impl Writer<'_> {
    /// Reads a piece of the content; true if it is zeros.
    fn read(&mut self, piece: &Range<u64>) -> Result<bool, FlashError> {
        let bytes = self.buffer.zeroed((piece.end - piece.start) as usize);
        let result = self.content.read_at(bytes, piece.start);
        let zeros = is_zero(bytes);
        result.map(|()| zeros).map_err(|source| self.content.lost(self.state, source))
    }

    /// Writes what was read.
    fn put(&mut self, piece: &Range<u64>) -> Result<(), FlashError> {
        self.device.direct.write_all_at(&self.buffer, piece.start).map_err(|source| self.failed(piece.start, source))
    }

    /// Zeros: the device's own, if it can make them and the kernel need not write them, else written.
    fn zeros(&mut self, range: &Range<u64>) -> Result<(), FlashError> {
        if range.is_empty() {
            return Ok(());
        }
        // On a block device this is a "write zeroes" command, or EOPNOTSUPP; never a discard of which the outcome is open (block/fops.c).
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if self.takes_zeros && fallocate(&self.device.file, flags, range.start, range.end - range.start).is_ok() {
            return Ok(());
        }
        self.takes_zeros = false;
        self.erase(range.clone())
    }

    /// Writes zeros.
    fn erase(&mut self, range: Range<u64>) -> Result<(), FlashError> {
        for piece in pieces(&[range]) {
            self.buffer.zeroed((piece.end - piece.start) as usize);
            self.put(&piece)?;
        }
        Ok(())
    }

    fn flush(&self, at: u64) -> Result<(), FlashError> {
        self.device.flush().map_err(|source| self.failed(at, source))
    }

    fn failed(&self, at: u64, source: io::Error) -> FlashError {
        FlashError::Write { path: self.device.path.clone(), at, state: self.state, source }
    }
}
