//! The output: bytes in order, cut into aligned chunks, each written and hashed for dm-verity by whichever thread is free.

use super::error::Error;
use crate::assemble::verity::{DATA_BLOCK, LeafHasher, Leaves, Salt};
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes per write; a multiple of verity's block.
const CHUNK: usize = 1 << 20;

/// Chunks of a replaced file that the page cache forgets at a time.
const FORGOTTEN: usize = 8;

/// Where a squashfs goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// A file open for writing: the squashfs's own, or a disk image.
    pub file: &'a File,
    /// Offset of the squashfs in it.
    pub offset: u64,
    /// How many bytes the squashfs may have at most: the size of its partition. Not a byte is written beyond.
    pub room: Option<u64>,
    /// The file that this one will replace, if it is known: the page cache forgets it bit by bit, and its memory is at hand for this one.
    pub replaces: Option<&'a File>,
}

/// Takes the squashfs front to back; the first block once more at the end.
pub(super) struct Sink<'a> {
    target: Target<'a>,
    pending: Vec<u8>,
    /// Bytes handed on before `pending`.
    written: u64,
    /// The first block as it was written, to be changed at the end.
    head: Vec<u8>,
    /// Where it is hashed, the threads that hash it write it, too.
    hasher: Option<LeafHasher>,
    /// What went wrong on one of them.
    failed: Arc<Mutex<Option<Error>>>,
}

impl<'a> Sink<'a> {
    /// `hash` has the salt and the number of threads, if there is something to hash.
    pub(super) fn new(target: Target<'a>, hash: Option<(Salt, usize)>) -> Result<Self, Error> {
        let failed = Arc::new(Mutex::new(None));
        let hasher = match hash {
            None => None,
            Some((salt, jobs)) => {
                let file = target.file.try_clone().map_err(|source| Error::Write { at: target.offset, source })?;
                let replaced = target.replaces.and_then(|file| file.try_clone().ok());
                let (offset, failed) = (target.offset, Arc::clone(&failed));
                Some(LeafHasher::start(salt, jobs, move |number, bytes| {
                    if let Some(old) = replaced.as_ref().filter(|_| number.is_multiple_of(FORGOTTEN)) {
                        forget(old, offset + (number * CHUNK) as u64);
                    }
                    if let Err(error) = write_at(&file, bytes, offset + (number * CHUNK) as u64) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }))
            }
        };
        Ok(Self { target, pending: Vec::with_capacity(CHUNK), written: 0, head: Vec::new(), hasher, failed })
    }

    /// The first error of a thread that writes.
    fn check(&self) -> Result<(), Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    /// Offset of the next byte in the squashfs.
    pub(super) fn position(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        if let Some(room) = self.target.room
            && self.position() + bytes.len() as u64 > room
        {
            return Err(Error::DoesNotFit { room });
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.pending.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() == CHUNK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.written == 0 {
            self.head = self.pending[..DATA_BLOCK.min(self.pending.len())].to_vec();
        }
        let at = self.target.offset + self.written;
        self.written += self.pending.len() as u64;
        match &mut self.hasher {
            Some(hasher) => {
                let chunk = std::mem::replace(&mut self.pending, Vec::with_capacity(CHUNK));
                hasher.add(chunk);
                self.check()
            }
            None => {
                write_at(self.target.file, &self.pending, at)?;
                self.pending.clear();
                Ok(())
            }
        }
    }

    /// Pads to `padding` bytes, then puts `start` over the first bytes. Returns the length and the digests.
    pub(super) fn finish(mut self, padding: u64, start: &[u8]) -> Result<(u64, Option<Leaves>), Error> {
        let rest = self.position().next_multiple_of(padding) - self.position();
        self.write(&vec![0; rest as usize])?;
        if !self.pending.is_empty() {
            self.flush()?;
        }
        let head = self.head.get_mut(..start.len()).ok_or(Error::Write { at: 0, source: io::ErrorKind::UnexpectedEof.into() })?;
        head.copy_from_slice(start);
        let leaves = match self.hasher.take() {
            None => None,
            Some(mut hasher) => {
                hasher.replace_first(&self.head);
                Some(hasher.finish().map_err(|_| Error::Thread)?)
            }
        };
        // Every chunk is written now, or failed to be.
        self.check()?;
        write_at(self.target.file, start, self.target.offset)?;
        Ok((self.written, leaves))
    }
}

/// Memory that is free for longer may be gone when it is needed: a hypervisor takes it back, and giving it again takes ten times as long as
/// the write that needs it. It is only a hint, so a failure is none.
fn forget(file: &File, at: u64) {
    let _ = fadvise(file, at, NonZeroU64::new((FORGOTTEN * CHUNK) as u64), Advice::DontNeed);
}

fn write_at(file: &File, bytes: &[u8], at: u64) -> Result<(), Error> {
    file.write_all_at(bytes, at).map_err(|source| Error::Write { at, source })
}
