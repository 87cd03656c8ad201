//! Big files past the page cache: `O_DIRECT` where the file system has it, from aligned buffers that are used again.
//!
//! What is written once and read next by somebody else needs no pages that keep it in memory, and getting them costs more than copying
//! into them: up to ten times as much where a hypervisor takes a guest's free memory back. A file system that can't
//! do without the cache (or a buffer, length or place that doesn't fit) gets ordinary reads and writes; the bytes are the same.
//!
//! Deliberately not here: asynchronous I/O. One request of a mebibyte at a time keeps a disk busy enough.

use rustix::fs::{Mode, OFlags, fcntl_getfl};
use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What addresses, lengths and places must be a multiple of: no disk in use asks for more.
pub(crate) const ALIGNMENT: usize = 4096;

/// Less than this is written faster into the page cache.
const WORTH: usize = 1 << 20;

/// Bytes at an address that is a multiple of [`ALIGNMENT`]; goes back to its [`Pool`] when dropped.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// Never grows, so that its bytes stay where they are.
    bytes: Vec<u8>,
    start: usize,
    len: usize,
    pool: Option<Arc<Pool>>,
}

/// Buffers of one size, to be used again: memory that was used before costs nothing.
#[derive(Debug)]
pub(crate) struct Pool {
    size: usize,
    spare: Mutex<Vec<(Vec<u8>, usize)>>,
}

impl Pool {
    /// A pool of buffers with room for `size` bytes, a multiple of [`ALIGNMENT`].
    pub(crate) fn new(size: usize) -> Arc<Self> {
        debug_assert!(size.is_multiple_of(ALIGNMENT));
        Arc::new(Self { size, spare: Mutex::default() })
    }

    /// An empty buffer.
    pub(crate) fn take(self: &Arc<Self>) -> Buffer {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (bytes, start) = spare.unwrap_or_else(|| {
            let bytes = vec![0; self.size + ALIGNMENT];
            // Where it can't be aligned, ordinary I/O is all that is lost.
            let start = Some(bytes.as_ptr().align_offset(ALIGNMENT)).filter(|start| *start < ALIGNMENT);
            (bytes, start.unwrap_or(0))
        });
        Buffer { bytes, start, len: 0, pool: Some(Arc::clone(self)) }
    }
}

impl Buffer {
    /// Appends as many of `bytes` as there is room for, and returns the others.
    pub(crate) fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let room = self.capacity() - self.len;
        let (now, later) = bytes.split_at(room.min(bytes.len()));
        let at = self.start + self.len;
        self.bytes[at..at + now.len()].copy_from_slice(now);
        self.len += now.len();
        later
    }

    /// Has it hold `len` zeros, as far as there is room, in the place of what it held; to be written to.
    pub(crate) fn zeroed(&mut self, len: usize) -> &mut [u8] {
        self.len = len.min(self.capacity());
        let bytes = &mut self.bytes[self.start..self.start + self.len];
        bytes.fill(0);
        bytes
    }

    fn capacity(&self) -> usize {
        self.pool.as_ref().map_or(0, |pool| pool.size)
    }

    /// The bytes from `from` on, those behind the last one with them, up to a multiple of [`ALIGNMENT`].
    fn room_from(&mut self, from: usize) -> &mut [u8] {
        let end = self.len.next_multiple_of(ALIGNMENT).min(self.capacity());
        &mut self.bytes[self.start + from..self.start + end]
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.spare.lock().unwrap_or_else(PoisonError::into_inner).push((std::mem::take(&mut self.bytes), self.start));
        }
    }
}

/// A file that is read and written by position, past the page cache where that works.
#[derive(Debug)]
pub(crate) struct Unbuffered {
    ordinary: File,
    direct: Option<File>,
    /// A request was refused for its form: the file system wants more than [`ALIGNMENT`], or no such request at all.
    refused: AtomicBool,
}

impl Unbuffered {
    /// Opens an open file a second time. What was written to it in the ordinary way is read all the same: the system sees to that.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let access = fcntl_getfl(file)? & OFlags::RWMODE;
        // By way of /proc, since a file may have no name, or another one by now.
        let name = format!("/proc/self/fd/{}", file.as_raw_fd());
        let direct = rustix::fs::open(name, access | OFlags::DIRECT | OFlags::CLOEXEC, Mode::empty()).ok();
        Ok(Self { ordinary: file.try_clone()?, direct: direct.map(File::from), refused: AtomicBool::new(false) })
    }

    /// Takes a file as it is, for data that memory has.
    pub(crate) fn cached(file: &File) -> io::Result<Self> {
        Ok(Self { ordinary: file.try_clone()?, direct: None, refused: AtomicBool::new(false) })
    }

    /// The file for a request past the cache, if it can be one.
    fn direct(&self, bytes: &[u8], at: u64) -> Option<&File> {
        let is_aligned = |number: usize| number.is_multiple_of(ALIGNMENT);
        let fits = is_aligned(bytes.as_ptr().addr()) && is_aligned(bytes.len()) && at.is_multiple_of(ALIGNMENT as u64);
        self.direct.as_ref().filter(|_| fits && !self.refused.load(Ordering::Relaxed))
    }

    /// True if the error says no more than that the request has a form that the file system doesn't take; none is tried again then.
    fn notes_refusal(&self, error: &io::Error) -> bool {
        let refusal = matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported);
        if refusal {
            self.refused.store(true, Ordering::Relaxed);
        }
        refusal
    }

    /// Writes `bytes`: those of a [`Buffer`], or a part of it that begins at a multiple of [`ALIGNMENT`], go past the cache.
    pub(crate) fn write_all_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = at + (bytes.len() - rest.len()) as u64;
            let Some(direct) = self.direct(rest, at) else { return self.ordinary.write_all_at(rest, at) };
            match direct.write_at(rest, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => rest = &rest[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted || self.notes_refusal(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads `len` bytes into a buffer, which has room for them, in the place of what it held; an error if the file ends before.
    pub(crate) fn read_exact_at(&self, buffer: &mut Buffer, at: u64, len: usize) -> io::Result<()> {
        buffer.len = len.min(buffer.capacity());
        let mut done = 0;
        while done < buffer.len {
            let at = at + done as u64;
            let room = buffer.room_from(done);
            let Some(direct) = self.direct(room, at) else {
                return self.ordinary.read_exact_at(&mut buffer[done..], at);
            };
            match direct.read_at(room, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted || self.notes_refusal(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Writes bytes that are in no [`Buffer`], by way of one.
pub(crate) fn write(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    if bytes.len() < WORTH {
        return file.write_all_at(bytes, at);
    }
    let (file, pool) = (Unbuffered::of(file)?, Pool::new(WORTH));
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = at + (bytes.len() - rest.len()) as u64;
        let mut buffer = pool.take();
        rest = buffer.fill(rest);
        file.write_all_at(&buffer, at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 31 / 7) as u8).collect()
    }

    fn buffer(pool: &Arc<Pool>, bytes: &[u8]) -> Buffer {
        let mut buffer = pool.take();
        assert!(buffer.fill(bytes).is_empty());
        buffer
    }

    /// Beside the test program, which is on a disk; /tmp may be memory.
    fn folder() -> tempfile::TempDir {
        tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap()
    }

    fn file() -> File {
        tempfile::tempfile_in(folder().path()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_whatever_fits() {
        let pool = Pool::new(16 * ALIGNMENT);
        let all = bytes(16 * ALIGNMENT);
        for (at, from, len) in [
            (0, 0, 16 * ALIGNMENT),
            (3 * ALIGNMENT as u64, 0, ALIGNMENT),
            (3 * ALIGNMENT as u64, 0, ALIGNMENT + 1),
            (0, ALIGNMENT, 2 * ALIGNMENT),
            (0, 1, ALIGNMENT),
            (7, 0, 5),
            (512, 0, 512),
        ] {
            let plain = file();
            plain.set_len(40 * ALIGNMENT as u64).unwrap();
            let file = Unbuffered::of(&plain).unwrap();
            let written = buffer(&pool, &all);
            file.write_all_at(&written[from..from + len], at).unwrap();
            let mut ordinary = vec![0; len];
            plain.read_exact_at(&mut ordinary, at).unwrap();
            assert!(ordinary == all[from..from + len], "{at} {from} {len}");
            let mut again = pool.take();
            file.read_exact_at(&mut again, at, len).unwrap();
            assert!(*again == ordinary, "{at} {from} {len}");
        }
    }

    #[test]
    fn bytes_from_anywhere_are_written() {
        for (len, at) in [(5, 0), (WORTH, 0), (3 * WORTH + 1, 8192), (2 * WORTH, 77)] {
            let plain = file();
            write(&plain, &bytes(len), at).unwrap();
            let mut back = vec![0; len];
            plain.read_exact_at(&mut back, at).unwrap();
            assert!(back == bytes(len) && plain.metadata().unwrap().len() == at + len as u64, "{len} at {at}");
        }
    }

    #[test]
    fn a_refused_form_goes_the_ordinary_way() {
        let plain = file();
        let mut file = Unbuffered::of(&plain).unwrap();
        // Answers EINVAL to whatever is no number.
        file.direct = Some(File::options().write(true).open("/proc/self/clear_refs").unwrap());
        let pool = Pool::new(ALIGNMENT);
        file.write_all_at(&buffer(&pool, &bytes(ALIGNMENT)), 0).unwrap();
        assert!(file.refused.load(Ordering::Relaxed));
        let mut back = pool.take();
        file.read_exact_at(&mut back, 0, ALIGNMENT).unwrap();
        assert!(*back == bytes(ALIGNMENT));
    }

    #[test]
    fn the_end_of_a_file_is_an_end() {
        let plain = file();
        plain.write_all_at(&bytes(ALIGNMENT + 100), 0).unwrap();
        let file = Unbuffered::of(&plain).unwrap();
        let pool = Pool::new(4 * ALIGNMENT);
        let mut buffer = pool.take();
        file.read_exact_at(&mut buffer, 0, ALIGNMENT + 100).unwrap();
        assert!(*buffer == bytes(ALIGNMENT + 100));
        file.read_exact_at(&mut buffer, 0, 3).unwrap();
        assert_eq!(*buffer, bytes(3));
        for (at, len) in [(0, ALIGNMENT + 101), (0, 3 * ALIGNMENT), (2 * ALIGNMENT as u64, 1), (1 << 40, ALIGNMENT)] {
            let error = file.read_exact_at(&mut buffer, at, len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{at} {len}");
        }
    }

    #[test]
    fn a_file_open_one_way_is_used_that_way() {
        let folder = folder();
        let path = folder.path().join("file");
        let pool = Pool::new(ALIGNMENT);
        let block = buffer(&pool, &bytes(ALIGNMENT));
        Unbuffered::of(&File::create(&path).unwrap()).unwrap().write_all_at(&block, 0).unwrap();
        let file = Unbuffered::of(&File::open(&path).unwrap()).unwrap();
        assert!(file.write_all_at(&block, 0).is_err());
        let mut back = pool.take();
        file.read_exact_at(&mut back, 0, ALIGNMENT).unwrap();
        assert!(*back == *block);
    }

    #[test]
    fn buffers_are_used_again() {
        let pool = Pool::new(ALIGNMENT);
        let mut first = pool.take();
        assert_eq!(first.fill(&bytes(ALIGNMENT + 5)).len(), 5);
        assert!(first.len() == ALIGNMENT && first.as_ptr().addr().is_multiple_of(ALIGNMENT));
        let place = first.as_ptr();
        drop(first);
        let second = pool.take();
        assert!(second.is_empty() && second.as_ptr() == place);
    }
}
