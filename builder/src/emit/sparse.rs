//! Sparse files: where their data is, copying without reading, hashing without reading holes.
//!
//! What `SEEK_DATA` reports depends on the host's file system (some report written zeros, some whole blocks, some no holes at
//! all), so nothing here lets it into an output: it only saves reading.

use crate::hash::Sha256Digest;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// How much is read or hashed at once.
const STEP: usize = 1 << 20;
static ZEROS: [u8; STEP] = [0; STEP];

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

/// Copies `len` bytes inside the kernel where both file systems allow it (sharing the blocks where they can), else by reading.
pub fn copy(from: &File, from_offset: u64, to: &File, to_offset: u64, len: u64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (from_offset, to_offset);
    let end = from_offset + len;
    while read_at < end {
        let want = usize::try_from(end - read_at).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), want) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM | Errno::BADF) => {
                return copy_by_reading(from, read_at, to, write_at, end - read_at);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_by_reading(from: &File, mut read_at: u64, to: &File, mut write_at: u64, len: u64) -> io::Result<()> {
    let mut buffer = vec![0; STEP];
    let end = read_at + len;
    while read_at < end {
        let n = usize::try_from(end - read_at).unwrap_or(STEP).min(STEP);
        let part = &mut buffer[..n];
        from.read_exact_at(part, read_at)?;
        to.write_all_at(part, write_at)?;
        read_at += n as u64;
        write_at += n as u64;
    }
    Ok(())
}

/// SHA-256 of the whole file; its holes are not read. Moves the file's position.
pub fn sha256(file: &File) -> io::Result<Sha256Digest> {
    let len = file.metadata()?.len();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; STEP];
    let mut at = 0;
    for range in data_ranges(file)? {
        hash_zeros(&mut hasher, range.start - at);
        at = range.start;
        while at < range.end {
            let n = usize::try_from(range.end - at).unwrap_or(STEP).min(STEP);
            let part = &mut buffer[..n];
            file.read_exact_at(part, at)?;
            hasher.update(&*part);
            at += n as u64;
        }
    }
    hash_zeros(&mut hasher, len - at);
    Ok(Sha256Digest(hasher.finalize().into()))
}

fn hash_zeros(hasher: &mut Sha256, mut len: u64) {
    while len > 0 {
        let n = usize::try_from(len).unwrap_or(STEP).min(STEP);
        hasher.update(&ZEROS[..n]);
        len -= n as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for by_reading in [false, true] {
            let to = tempfile::tempfile().unwrap();
            to.set_len(6000).unwrap();
            let function = if by_reading { copy_by_reading } else { copy };
            function(&file, (3 << 20) - 10, &to, 20, 5000).unwrap();
            let mut bytes = vec![0; 6000];
            to.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(bytes.iter().filter(|&&byte| byte == 7).count(), 4990);
            assert_eq!((bytes[29], bytes[30]), (0, 7));
        }
        assert_eq!(copy(&file, 0, &tempfile::tempfile().unwrap(), 0, 11 << 20).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(sha256(&tempfile::tempfile().unwrap()).unwrap(), Sha256Digest::of(b""));
    }
}
