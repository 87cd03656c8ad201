//! The hash tree of a root, made anew from what is read back: dm-verity's format 1 with blocks of 4096 bytes.

use kmimage_contract::RootHash;
use kmimage_contract::verity::{SuperblockError, VerityParams};
use sha2::{Digest as _, Sha256};

/// Bytes of a block of data or of the tree.
pub(super) const BLOCK: usize = 4096;
/// Bytes of a digest.
const DIGEST: usize = 32;

/// Takes in a root's bytes, in order.
pub(super) struct Verifier {
    salted: Sha256,
    digests: Vec<u8>,
}

impl Verifier {
    pub(super) fn new(params: &VerityParams) -> Self {
        Self { salted: Sha256::new_with_prefix(&params.salt), digests: Vec::new() }
    }

    /// Takes the next bytes: whole blocks.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for block in bytes.chunks(BLOCK) {
            self.digests.extend_from_slice(&self.salted.clone().chain_update(block).finalize());
        }
    }

    /// The root hash, and the bytes of the hash partition: superblock, then the levels from the top down.
    pub(super) fn finish(self, params: &VerityParams) -> Result<(RootHash, Vec<u8>), SuperblockError> {
        let Self { salted, mut digests } = self;
        let mut levels = Vec::new();
        while digests.len() > DIGEST {
            digests.resize(digests.len().next_multiple_of(BLOCK), 0);
            let next = digests.chunks(BLOCK).flat_map(|block| salted.clone().chain_update(block).finalize()).collect();
            levels.push(std::mem::replace(&mut digests, next));
        }
        let mut hash = [0; DIGEST];
        hash.iter_mut().zip(&digests).for_each(|(to, from)| *to = *from);
        let mut tree = params.encode_superblock()?.to_vec();
        tree.resize(BLOCK, 0);
        tree.extend(levels.into_iter().rev().flatten());
        Ok((RootHash(hash), tree))
    }
}

/// Bytes of the superblock and the tree over so many blocks of data.
pub(super) fn tree_size(data_blocks: u64) -> u64 {
    let per_block = (BLOCK / DIGEST) as u64;
    let (mut level, mut blocks) = (data_blocks, 1);
    while level > 1 {
        level = level.div_ceil(per_block);
        blocks += level;
    }
    blocks * BLOCK as u64
}
