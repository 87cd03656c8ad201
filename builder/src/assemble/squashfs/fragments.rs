//! Small files are packed together into fragment blocks, cut so that a changed file moves few others.
//!
//! A block that is simply filled up shifts every block after it when one file grows. Here, when the pending files no longer fit in a
//! block, the cut is made behind the file with the lowest digest among those that fill at least two thirds of it. Two runs that
//! differ in one file see the same lowest digest soon after it, and from there their blocks are equal: the block cache knows them.
//! So that "soon" has a bound, a block also ends behind every file whose own digest says so, about one in [`FIRM`] blocks.

use super::plan::{Block, Piece, Plan};
use crate::hash::Sha256Digest;

/// Blocks between two cuts that depend on nothing but the file before them, on average.
const FIRM: u64 = 8;

/// Files that wait for their fragment block.
pub(super) struct Fragments<'a> {
    block_size: usize,
    pending: Vec<(usize, Piece<'a>)>,
    pending_len: usize,
}

impl<'a> Fragments<'a> {
    pub(super) fn new(block_size: usize) -> Self {
        Self { block_size, pending: Vec::new(), pending_len: 0 }
    }

    /// Adds a content (by its index in the plan) that is shorter than a block.
    pub(super) fn add(&mut self, content: usize, piece: Piece<'a>, plan: &mut Plan<'a>) {
        while self.pending_len + piece.len > self.block_size {
            let cut = cut(self.block_size, self.pending.iter().map(|(_, piece)| (piece.len, piece.content.sha256())));
            self.emit(cut, plan);
        }
        self.pending_len += piece.len;
        self.pending.push((content, piece));
        if is_firm(self.block_size, piece.len, piece.content.sha256()) {
            self.emit(self.pending.len(), plan);
        }
    }

    /// Packs what is left.
    pub(super) fn finish(&mut self, plan: &mut Plan<'a>) {
        if !self.pending.is_empty() {
            self.emit(self.pending.len(), plan);
        }
    }

    fn emit(&mut self, count: usize, plan: &mut Plan<'a>) {
        let number = plan.fragments;
        let mut pieces = Vec::with_capacity(count);
        let mut len = 0;
        for (content, piece) in self.pending.drain(..count) {
            plan.contents[content].fragment = Some((number, len as u32));
            len += piece.len;
            pieces.push(piece);
        }
        self.pending_len -= len;
        plan.fragments += 1;
        plan.blocks.push(Block { pieces, len, is_fragment: true });
    }
}

/// True if a block ends behind this file, whatever came before. The chance grows with the file, so that it is even over the bytes.
fn is_firm(block_size: usize, len: usize, digest: Sha256Digest) -> bool {
    let lot = digest.0.iter().take(8).fold(0, |lot, byte| lot << 8 | u64::from(*byte));
    lot < u64::MAX / (block_size as u64 * FIRM) * len as u64
}

/// How many of the pending files go into the next block.
fn cut(block_size: usize, pending: impl ExactSizeIterator<Item = (usize, Sha256Digest)>) -> usize {
    let all = pending.len();
    let mut filled = 0;
    let candidates = pending.enumerate().filter_map(|(at, (len, digest))| {
        filled += len;
        (filled >= block_size / 3 * 2).then_some((digest, at + 1))
    });
    candidates.min().map_or(all, |(_, count)| count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(files: &[(usize, Sha256Digest)]) -> Vec<Vec<Sha256Digest>> {
        let mut blocks = Vec::new();
        let mut pending: Vec<(usize, Sha256Digest)> = Vec::new();
        for &(len, digest) in files {
            while pending.iter().map(|(len, _)| len).sum::<usize>() + len > 1000 {
                let count = cut(1000, pending.iter().copied());
                blocks.push(pending.drain(..count).map(|(_, digest)| digest).collect());
            }
            pending.push((len, digest));
            if is_firm(1000, len, digest) {
                blocks.push(pending.drain(..).map(|(_, digest)| digest).collect());
            }
        }
        blocks
    }

    #[test]
    fn a_change_moves_few_cuts() {
        let files: Vec<(usize, Sha256Digest)> = (0..4000u32)
            .map(|at| {
                let digest = Sha256Digest::of(&at.to_le_bytes());
                (usize::from(digest.0[9]) % 90 + 1, digest)
            })
            .collect();
        let before = blocks(&files);
        let mut lost = 0;
        for at in (0..4000).step_by(50) {
            let mut changed = files.clone();
            changed[at] = (changed[at].0 + 40, Sha256Digest::of(b"changed"));
            let after = blocks(&changed);
            let new = after.iter().filter(|block| !before.contains(block)).count();
            assert!(new <= 24, "{new} of {} blocks differ", after.len());
            lost += new;
        }
        assert!(lost <= 80 * 4, "{lost} blocks lost in 80 changes, of {}", before.len());
        let fill = files.iter().map(|(len, _)| len).sum::<usize>() / before.len();
        assert!(fill > 780, "blocks are filled to {fill} of 1000");
    }
}
