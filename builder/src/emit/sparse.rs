//! Sparse files: where their data is, copies that share blocks, hashing without reading holes.
//!
//! What `SEEK_DATA` reports depends on the host's file system (some report written zeros, some whole blocks, some no holes at
//! all), so nothing here lets it into an output: it only saves reading.

use crate::hash::Sha256Digest;
use crate::unbuffered::{Pool, Unbuffered};
use rustix::fs::{SeekFrom, fstatfs, seek};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::ops::Range;

/// How much is read or hashed at once.
pub(super) const STEP: u64 = 1 << 20;
/// Pieces begin and end at multiples of this (a qcow2's cluster), or at the end of the file.
const GRAIN: u64 = 1 << 16;
static ZEROS: [u8; GRAIN as usize] = [0; GRAIN as usize];

/// The ranges of `file` that may hold other bytes than zeros, ascending, none touching another. Moves the file's position.
pub fn data_ranges(file: &File) -> io::Result<Vec<Range<u64>>> {
    let len = file.metadata()?.len();
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    while at < len {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            // A file system without holes: all is data.
            Err(Errno::INVAL | Errno::NOTSUP) => {
                ranges.push(at..len);
                break;
            }
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?.min(len);
        if end <= start {
            break;
        }
        ranges.push(start..end);
        at = end;
    }
    Ok(ranges)
}

/// The same ranges in pieces for reading: each within one of the file's [`STEP`]s, and of whole [`GRAIN`]s.
pub(super) fn pieces(file: &File) -> io::Result<Vec<Range<u64>>> {
    let len = file.metadata()?.len();
    let mut pieces: Vec<Range<u64>> = Vec::new();
    let mut done = 0;
    for range in data_ranges(file)? {
        let mut at = (range.start / GRAIN * GRAIN).max(done);
        let end = range.end.next_multiple_of(GRAIN).min(len);
        while at < end {
            let next = end.min((at / STEP + 1) * STEP);
            pieces.push(at..next);
            at = next;
        }
        done = done.max(end);
    }
    Ok(pieces)
}

/// Gives each of `pieces` to `take`, with its offset, in a buffer that can be written past the page cache.
pub(super) fn read<E: From<io::Error>>(
    file: &File,
    pieces: &[Range<u64>],
    mut take: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let file = Unbuffered::cached(file)?;
    let mut buffer = Pool::new(STEP as usize).take();
    for piece in pieces {
        file.read_exact_at(&mut buffer, piece.start, (piece.end - piece.start) as usize)?;
        take(piece.start, &buffer)?;
    }
    Ok(())
}

/// True on file systems where a copy inside the kernel shares the blocks of its source, and so costs neither time nor room.
pub(super) fn shares_blocks(file: &File) -> bool {
    const BTRFS: u64 = 0x9123_683e;
    const XFS: u64 = 0x5846_5342;
    fstatfs(file).is_ok_and(|known| [BTRFS, XFS].contains(&(known.f_type as u64)))
}

/// Copies `len` bytes inside the kernel. False: these two files don't allow it, and nothing or a part of it is copied.
pub(super) fn copy(from: &File, from_offset: u64, to: &File, to_offset: u64, len: u64) -> io::Result<bool> {
    let (mut read_at, mut write_at) = (from_offset, to_offset);
    let end = from_offset + len;
    while read_at < end {
        let want = usize::try_from(end - read_at).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), want) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM | Errno::BADF) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// SHA-256 of the whole file; its holes are not read. Moves the file's position.
pub fn sha256(file: &File) -> io::Result<Sha256Digest> {
    let len = file.metadata()?.len();
    let mut hasher = Sha256::new();
    let mut done = 0;
    read(file, &pieces(file)?, |at, bytes| {
        zeros(at - done, |zeros| hasher.update(zeros));
        hasher.update(bytes);
        done = at + bytes.len() as u64;
        Ok::<_, io::Error>(())
    })?;
    zeros(len - done, |zeros| hasher.update(zeros));
    Ok(Sha256Digest(hasher.finalize().into()))
}

/// Gives `len` zeros to `take`, some at a time.
pub(super) fn zeros(mut len: u64, mut take: impl FnMut(&[u8])) {
    while len > 0 {
        let now = usize::try_from(len).unwrap_or(usize::MAX).min(ZEROS.len());
        take(&ZEROS[..now]);
        len -= now as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_hash_as_zeros_and_copies_are_equal() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 << 20).unwrap();
        file.write_all_at(&[7; 5000], 3 << 20).unwrap();
        file.write_all_at(&[8; 1], (10 << 20) - 1).unwrap();
        let mut whole = vec![0; 10 << 20];
        file.read_exact_at(&mut whole, 0).unwrap();
        assert_eq!(sha256(&file).unwrap(), Sha256Digest::of(&whole));
        let bytes: u64 = data_ranges(&file).unwrap().iter().map(|range| range.end - range.start).sum();
        assert!((5001..1 << 20).contains(&bytes), "{bytes}");
        assert!(pieces(&file).unwrap().iter().all(|piece| {
            let is_whole = |at: u64| at.is_multiple_of(GRAIN);
            is_whole(piece.start) && is_whole(piece.end) && piece.start / STEP == (piece.end - 1) / STEP
        }));
        let to = tempfile::tempfile().unwrap();
        to.set_len(6000).unwrap();
        if copy(&file, (3 << 20) - 10, &to, 20, 5000).unwrap() {
            let mut bytes = vec![0; 6000];
            to.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes.iter().filter(|&&byte| byte == 7).count(), 4990);
            assert_eq!((bytes[29], bytes[30]), (0, 7));
            let beyond = copy(&file, 0, &tempfile::tempfile().unwrap(), 0, 11 << 20);
            assert_eq!(beyond.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
        assert_eq!(sha256(&tempfile::tempfile().unwrap()).unwrap(), Sha256Digest::of(b""));
    }
}
