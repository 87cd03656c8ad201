//! Reading back, past the page cache, and comparing with what was to be written.

use super::device::Claimed;
use super::error::{FlashError, State};
use super::image::Content;
use super::{STEP, Stop, pieces, write};
use crate::report::{Event, Reporter, Unit};
use crate::unbuffered::Pool;
use crate::zeros::is_zero;

/// How much must be found elsewhere in the image to say that it belongs there.
const BLOCK: u64 = 4096;

/// Compares all of `content`. A device that differs or can't be read has its partition table taken away again.
pub fn verify(device: &Claimed, content: &Content<'_>, stop: Stop<'_>, report: Reporter<'_>) -> Result<(), FlashError> {
    let ranges = content.ranges();
    let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    let mut done = 0;
    let path = || device.path.clone();
    let pool = Pool::new(STEP as usize);
    let (mut found, mut wanted) = (pool.take(), vec![0; STEP as usize]);
    for piece in pieces(&ranges) {
        if stop() {
            let state = State::Unverified;
            return Err(FlashError::Interrupted { doing: "verifying", done: done >> 20, total: total >> 20, state });
        }
        let len = (piece.end - piece.start) as usize;
        if let Err(source) = device.direct.read_exact_at(&mut found, piece.start, len) {
            let state = write::erase_head(device, content);
            return Err(FlashError::ReadBack { path: path(), at: piece.start, state, source });
        }
        let wanted = &mut wanted[..len];
        content.read_at(wanted, piece.start).map_err(|source| content.lost(State::Unverified, source))?;
        if let Some(first) = found.iter().zip(wanted.iter()).position(|(found, wanted)| found != wanted) {
            let start = first / BLOCK as usize * BLOCK as usize;
            let block = found[start..len.min(start + BLOCK as usize)].to_vec();
            let written_at = belongs_to(content, &block, piece.start + start as u64);
            let state = write::erase_head(device, content);
            return Err(FlashError::Differs { path: path(), at: piece.start + first as u64, written_at, state });
        }
        done += piece.end - piece.start;
        report(Event::Progress { label: "verifying".into(), done, total, unit: Unit::Bytes });
    }
    Ok(())
}

/// Where else in the content a block is, behind `from`: a device that wraps around holds there what was written later.
fn belongs_to(content: &Content<'_>, block: &[u8], from: u64) -> Option<u64> {
    if block.len() != BLOCK as usize || is_zero(block) {
        return None;
    }
    let mut bytes = vec![0; STEP as usize];
    for piece in pieces(&content.ranges()).filter(|piece| piece.end > from) {
        let bytes = &mut bytes[..(piece.end - piece.start) as usize];
        content.read_at(bytes, piece.start).ok()?;
        let mut blocks = bytes.chunks_exact(BLOCK as usize).enumerate();
        let at = |index: usize| piece.start + index as u64 * BLOCK;
        if let Some((index, _)) = blocks.find(|(index, other)| at(*index) > from && *other == block) {
            return Some(at(index));
        }
    }
    None
}
