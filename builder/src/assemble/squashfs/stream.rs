//! The heavy part: blocks are read and compressed by as many threads as there are jobs, and written in order by the caller's.
//!
//! Nothing is held but a window of a few blocks per job. The bytes don't depend on the number of jobs: each block is compressed
//! by itself, and blocks are written in the plan's order.

use super::error::Error;
use super::format::DATA_RAW;
use super::metadata::Compressor;
use super::plan::{Block, Piece};
use super::sink::Sink;
use crate::assemble::block_cache::{BlockCache, BlockKey, BlockWriter, Form};
use crate::report::{Event, Reporter, Unit};
use crate::zeros::is_zero;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Where a block is in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredBlock {
    /// Offset of its first byte.
    pub(super) at: u64,
    /// Stored length, with [`DATA_RAW`]; 0 for a hole.
    pub(super) word: u32,
}

/// What the stream needs to know.
pub(super) struct Stream<'a> {
    pub(super) blocks: &'a [Block<'a>],
    pub(super) block_size: usize,
    pub(super) level: i32,
    pub(super) jobs: usize,
    pub(super) cache: Option<&'a BlockCache>,
    pub(super) reporter: Reporter<'a>,
}

/// A finished block on its way to the writer.
struct Done {
    form: Form,
    bytes: Vec<u8>,
    /// Its key, if the cache should keep it.
    new: Option<BlockKey>,
}

/// What the threads share.
struct Queue {
    state: Mutex<State>,
    /// Told when a block is written, or all is lost.
    room: Condvar,
    /// Told when the block that is next to be written is there.
    ready: Condvar,
}

struct State {
    /// The next block to work on.
    next: usize,
    /// The next block to write.
    written: usize,
    /// Finished blocks, by index modulo the window.
    slots: Vec<Option<Done>>,
    /// Buffers to use again.
    spare: Vec<Vec<u8>>,
    /// The first error of a worker, or nothing but the wish to stop.
    stopped: bool,
    error: Option<Error>,
}

impl Queue {
    /// A poisoned lock means that a thread died; its scope reports that, and the state itself is sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn stop(&self, error: Option<Error>) {
        let mut state = self.lock();
        state.stopped = true;
        if state.error.is_none() {
            state.error = error;
        }
        self.room.notify_all();
        self.ready.notify_all();
    }
}

/// How many of the blocks came from the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Blocks that were in the cache.
    pub hits: usize,
    /// Blocks that had to be read and compressed.
    pub misses: usize,
}

impl Stream<'_> {
    /// Writes all blocks to `sink` and returns where they went.
    pub(super) fn run(&self, sink: &mut Sink, keep: Option<&mut BlockWriter>) -> Result<(Vec<StoredBlock>, CacheUse), Error> {
        let jobs = self.jobs.clamp(1, 256).min(self.blocks.len().max(1));
        let queue = Queue {
            state: Mutex::new(State {
                next: 0,
                written: 0,
                slots: (0..jobs * 3 + 1).map(|_| None).collect(),
                spare: Vec::new(),
                stopped: false,
                error: None,
            }),
            room: Condvar::new(),
            ready: Condvar::new(),
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(|| self.work(&queue))).collect();
            let written = self.write(&queue, sink, keep);
            queue.stop(None);
            let dead = workers.into_iter().map(|worker| worker.join()).filter(Result::is_err).count();
            let failed = queue.lock().error.take();
            match (failed, dead) {
                (Some(error), _) => Err(error),
                (None, 0) => written,
                (None, _) => Err(Error::Thread),
            }
        })
    }

    fn write(
        &self,
        queue: &Queue,
        sink: &mut Sink,
        mut keep: Option<&mut BlockWriter>,
    ) -> Result<(Vec<StoredBlock>, CacheUse), Error> {
        let mut stored = Vec::with_capacity(self.blocks.len());
        let mut cache_use = CacheUse::default();
        let total = self.blocks.iter().map(|block| block.len as u64).sum();
        let mut done = 0;
        for (index, block) in self.blocks.iter().enumerate() {
            let Some(Done { form, mut bytes, new }) = self.wait(queue, index) else { return Err(Error::Thread) };
            let word = match form {
                Form::Hole => 0,
                Form::Raw => bytes.len() as u32 | DATA_RAW,
                Form::Compressed => bytes.len() as u32,
            };
            stored.push(StoredBlock { at: sink.position(), word });
            sink.write(&bytes)?;
            match new {
                None => cache_use.hits += 1,
                Some(key) => {
                    cache_use.misses += 1;
                    if let Some(keep) = keep.as_deref_mut() {
                        keep.put(&key, form, &bytes)?;
                    }
                }
            }
            bytes.clear();
            queue.lock().spare.push(bytes);
            done += block.len as u64;
            (self.reporter)(Event::Progress { label: "compressing".into(), done, total, unit: Unit::Bytes });
        }
        Ok((stored, cache_use))
    }

    fn wait(&self, queue: &Queue, index: usize) -> Option<Done> {
        let mut state = queue.lock();
        let slot = index % state.slots.len();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(done) = state.slots[slot].take() {
                state.written = index + 1;
                queue.room.notify_one();
                return Some(done);
            }
            state = queue.ready.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn work(&self, queue: &Queue) {
        // A worker that dies must not leave the writer waiting.
        struct StopWhenDead<'a>(&'a Queue);
        impl Drop for StopWhenDead<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.stop(Some(Error::Thread));
                }
            }
        }
        let _stop = StopWhenDead(queue);
        let mut worker = match Worker::new(self) {
            Ok(worker) => worker,
            Err(error) => return queue.stop(Some(error)),
        };
        loop {
            let mut state = queue.lock();
            while !state.stopped && state.next < self.blocks.len() && state.next >= state.written + state.slots.len() {
                state = queue.room.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            if state.stopped || state.next >= self.blocks.len() {
                return;
            }
            let index = state.next;
            state.next += 1;
            let spare = state.spare.pop().unwrap_or_default();
            drop(state);
            match worker.make(&self.blocks[index], spare) {
                Ok(done) => {
                    let mut state = queue.lock();
                    let slot = index % state.slots.len();
                    state.slots[slot] = Some(done);
                    if state.written == index {
                        queue.ready.notify_one();
                    }
                }
                Err(error) => return queue.stop(Some(error)),
            }
        }
    }
}

/// One thread's own: a compressor and a buffer.
struct Worker<'a> {
    stream: &'a Stream<'a>,
    compressor: Compressor,
    raw: Vec<u8>,
}

impl<'a> Worker<'a> {
    fn new(stream: &'a Stream<'a>) -> Result<Self, Error> {
        Ok(Self { stream, compressor: Compressor::new(stream.level)?, raw: Vec::with_capacity(stream.block_size) })
    }

    fn make(&mut self, block: &Block, mut out: Vec<u8>) -> Result<Done, Error> {
        let key = match self.stream.cache {
            None => BlockKey::default(),
            Some(cache) => {
                let pieces = block.pieces.iter().map(|piece| (piece.content.sha256(), piece.at, piece.len as u64));
                let key = BlockKey::new(self.stream.level, block.is_fragment, pieces);
                let read = |buffer: &mut Vec<u8>| read(block, buffer).is_ok();
                if let Some(form) = cache.get(&key, &mut out, read) {
                    return Ok(Done { form, bytes: out, new: None });
                }
                key
            }
        };
        read(block, &mut self.raw)?;
        if !block.is_fragment && is_zero(&self.raw) {
            out.clear();
            return Ok(Done { form: Form::Hole, bytes: out, new: Some(key) });
        }
        if self.compressor.compress(&self.raw, &mut out)? {
            return Ok(Done { form: Form::Compressed, bytes: out, new: Some(key) });
        }
        std::mem::swap(&mut self.raw, &mut out);
        Ok(Done { form: Form::Raw, bytes: out, new: Some(key) })
    }
}

fn read(block: &Block, buffer: &mut Vec<u8>) -> Result<(), Error> {
    buffer.resize(block.len, 0);
    let mut rest = buffer.as_mut_slice();
    for Piece { content, at, len, path } in &block.pieces {
        let (now, later) = rest.split_at_mut(*len);
        content.read_exact_at(now, *at).map_err(|source| Error::Read { path: (*path).clone(), source })?;
        rest = later;
    }
    Ok(())
}

/// A block's bytes before compression.
pub(super) fn block_in_memory(block: &Block) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    read(block, &mut bytes)?;
    Ok(bytes)
}
