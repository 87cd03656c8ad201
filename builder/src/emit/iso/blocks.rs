//! The bytes of a volume, written block by block.

use super::BLOCK;

/// A volume while it is written.
#[derive(Debug)]
pub(super) struct Blocks {
    bytes: Vec<u8>,
}

impl Blocks {
    /// So many blocks of zeros.
    pub(super) fn new(blocks: u32) -> Self {
        Self { bytes: vec![0; blocks as usize * BLOCK] }
    }

    /// Writes from the beginning of a block on; what would lie behind the end is a fault of the plan and left out.
    pub(super) fn put(&mut self, block: u32, content: &[u8]) {
        let start = block as usize * BLOCK;
        debug_assert!(start + content.len() <= self.bytes.len());
        if let Some(place) = self.bytes.get_mut(start..start + content.len()) {
            place.copy_from_slice(content);
        }
    }

    /// All of it.
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
