//! Tree -> squashfs 4.0 with zstd, straight into a file at an offset.
//!
//! ```text
//! plan      pure: inodes in order, contents (each once) cut into data and fragment blocks
//! stream    every core reads, compresses and asks the block cache; one thread writes in order and hashes for dm-verity
//! inodes    inodes and listings, once it is known where the blocks went
//! tables    fragments, export, ids, extended attributes; then the superblock
//! ```
//!
//! The same tree, options and zstd give the same bytes, whatever `jobs` and the cache are. All times are the options' one epoch.
//! Contents are known by their SHA-256 ([`Content::sha256`](crate::compose::content::Content::sha256) is trusted): equal ones are
//! stored once, and a block that the cache has is neither read nor compressed.
//!
//! Deliberately not here: other compressions than zstd, other versions than 4.0, sockets, POSIX ACLs (squashfs has none),
//! appending to a squashfs. [`read`] reads back what an image holds.

mod error;
mod format;
mod fragments;
mod inodes;
mod metadata;
mod plan;
pub mod read;
#[cfg(test)]
mod read_tests;
mod sink;
mod stream;
mod tables;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use format::{Superblock, SuperblockError};
pub use sink::Target;
pub use stream::CacheUse;

use super::block_cache::BlockCache;
use super::verity::{Leaves, Salt};
use crate::compose::tree::Tree;
use crate::report::Reporter;
use format::{InodeRef, METADATA_RAW, NO_TABLE, PADDING, SUPERBLOCK_SIZE, ZSTD, flag};
use metadata::Compressor;
use plan::Plan;
use sink::Sink;
use stream::{StoredBlock, Stream};

/// How a squashfs is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// zstd level, 1 to 22.
    pub level: i32,
    /// Bytes per block: a power of two, 4096 to 1048576.
    pub block_size: u32,
    /// Seconds since 1970: the time of the image and of every file in it.
    pub epoch: u32,
    /// Threads that compress.
    pub jobs: usize,
    /// Hash every 4 KiB block for dm-verity with this salt while it is in memory.
    pub salt: Option<Salt>,
}

/// What was written.
#[derive(Debug)]
pub struct Summary {
    /// Length of the squashfs with its padding: a multiple of 4096.
    pub len: u64,
    /// The digests of its blocks, if a salt was given.
    pub leaves: Option<Leaves>,
    /// Inodes.
    pub inodes: usize,
    /// Bytes of file content, equal files counted once.
    pub content_bytes: u64,
    /// Bytes of file content as stored.
    pub stored_bytes: u64,
    /// What the cache knew; all blocks are misses without one.
    pub cache: CacheUse,
}

/// Writes `tree` as a squashfs to `target`. The file is not flushed to the disk.
pub fn write(
    tree: &Tree,
    options: &Options,
    cache: Option<&BlockCache>,
    target: Target,
    reporter: Reporter,
) -> Result<Summary, Error> {
    if !format::valid_block_size(options.block_size) {
        return Err(Error::BlockSize(options.block_size));
    }
    if !(1..=22).contains(&options.level) {
        return Err(Error::Level(options.level));
    }
    let plan = Plan::new(tree, options.block_size)?;
    let mut sink = Sink::new(target, options.salt.map(|salt| (salt, options.jobs)))?;
    // The superblock comes last; until then its place holds zeros, which nothing takes for a squashfs.
    sink.write(&[0; SUPERBLOCK_SIZE])?;
    sink.write(&compressor_options(options.level))?;

    let stream = Stream {
        blocks: &plan.blocks,
        block_size: options.block_size as usize,
        level: options.level,
        jobs: options.jobs,
        cache,
        reporter,
    };
    let data_at = sink.position();
    let mut keep = cache.map(BlockCache::writer);
    let (blocks, cache_use) = stream.run(&mut sink, keep.as_mut())?;
    if let Some(keep) = keep {
        keep.finish()?;
    }
    let stored_bytes = sink.position() - data_at;

    let superblock = write_tables(&plan, &blocks, options, &mut sink)?;
    let (len, leaves) = sink.finish(PADDING, &superblock.encode())?;
    Ok(Summary { len, leaves, inodes: plan.inodes.len(), content_bytes: plan.bytes, stored_bytes, cache: cache_use })
}

/// The blocks that [`write`] would compress, in its order and all in memory: what benchmarks hold it against.
pub fn blocks_in_memory(tree: &Tree, block_size: u32) -> Result<Vec<Vec<u8>>, Error> {
    if !format::valid_block_size(block_size) {
        return Err(Error::BlockSize(block_size));
    }
    let plan = Plan::new(tree, block_size)?;
    plan.blocks.iter().map(stream::block_in_memory).collect()
}

/// Writes all that follows the data. The order is the kernel's: it refuses tables that are not in it.
fn write_tables(plan: &Plan, blocks: &[StoredBlock], options: &Options, sink: &mut Sink) -> Result<Superblock, Error> {
    let inodes = inodes::encode(plan, blocks, options.epoch, options.level)?;
    let inode_table = sink.position();
    sink.write(&inodes.inode_table)?;
    let directory_table = sink.position();
    sink.write(&inodes.directory_table)?;

    let mut compressor = Compressor::new(options.level)?;
    let mut put = |bytes: Vec<u8>| -> Result<u64, Error> {
        let (table, index) = tables::table(&mut compressor, sink.position(), &bytes)?;
        sink.write(&table)?;
        Ok(index)
    };
    let fragments = plan.blocks.iter().zip(blocks).filter(|(block, _)| block.is_fragment);
    let fragments: Vec<u8> =
        fragments.flat_map(|(_, stored)| [stored.at.to_le_bytes(), u64::from(stored.word).to_le_bytes()]).flatten().collect();
    let fragment_table = if fragments.is_empty() { NO_TABLE } else { put(fragments)? };
    let export_table = put(inodes.places.iter().flat_map(|place| place.to_u64().to_le_bytes()).collect())?;
    let id_table = put(plan.ids.bytes())?;
    let xattr_table = match plan.xattrs.encode(&mut compressor, sink.position())? {
        None => NO_TABLE,
        Some((table, index)) => {
            sink.write(&table)?;
            index
        }
    };
    Ok(Superblock {
        inodes: plan.inodes.len() as u32,
        time: options.epoch,
        block_size: options.block_size,
        fragments: plan.fragments,
        compression: ZSTD,
        flags: flag::DUPLICATES | flag::EXPORTABLE | flag::COMPRESSOR_OPTIONS,
        ids: plan.ids.len(),
        root: inodes.places.last().copied().unwrap_or(InodeRef::default()),
        bytes_used: sink.position(),
        id_table,
        xattr_table,
        inode_table,
        directory_table,
        fragment_table,
        export_table,
    })
}

/// The level, as a metadata block that is stored as it is.
fn compressor_options(level: i32) -> [u8; 6] {
    let [a, b] = (4 | METADATA_RAW).to_le_bytes();
    let [c, d, e, f] = level.to_le_bytes();
    [a, b, c, d, e, f]
}
