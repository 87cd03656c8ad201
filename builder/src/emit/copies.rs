//! The artefacts that are copied out of the finished raw disk: the root image and the qcow2. One pass reads the disk, writes both,
//! and takes every digest of what passes: nothing is read again. A thread for each copy.
//!
//! On a file system that shares blocks the copies are made first, inside the kernel, and the pass only hashes.

use super::qcow2::{CLUSTER, Layout};
use super::sparse;
use super::stale::{Seal, Sealing};
use crate::hash::Sha256Digest;
use crate::unbuffered::{Buffer, Pool, Unbuffered};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::ScopedJoinHandle;

/// What to make.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The finished raw disk.
    pub disk: &'a File,
    /// Where the root image is on it. Nothing of it is looked for zeros that the qcow2 could leave out: it is compressed.
    pub root_at: Range<u64>,
    /// The root image's file, empty.
    pub root: &'a File,
    /// The qcow2's file, empty, if there is to be one.
    pub qcow2: Option<&'a File>,
}

/// What was made; every file is on the disk.
#[derive(Debug, PartialEq, Eq)]
pub struct Copies {
    /// The root image.
    pub root: Copied,
    /// The qcow2.
    pub qcow2: Option<Copied>,
    /// The seal of the raw disk itself.
    pub disk: Seal,
}

/// A file that was made.
#[derive(Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: Sha256Digest,
    /// Their fast digest.
    pub seal: Seal,
}

/// Which file it was that failed.
#[derive(Debug)]
pub enum CopyError {
    /// The raw disk could not be read.
    Disk(io::Error),
    /// The root image could not be written.
    Root(io::Error),
    /// The qcow2 could not be written.
    Qcow2(io::Error),
}

impl From<io::Error> for CopyError {
    fn from(error: io::Error) -> Self {
        CopyError::Disk(error)
    }
}

/// Makes the copies. Moves the position of the disk's file.
pub fn make(wanted: &Wanted<'_>) -> Result<Copies, CopyError> {
    make_by(wanted, sparse::shares_blocks)
}

fn make_by(wanted: &Wanted<'_>, shares: fn(&File) -> bool) -> Result<Copies, CopyError> {
    let Wanted { disk, ref root_at, root, qcow2 } = *wanted;
    let size = disk.metadata()?.len();
    let mut root =
        Copy::begin((disk, root, shares(root)), root_at.end - root_at.start, 0, [root_at.clone()]).map_err(CopyError::Root)?;
    let image = match qcow2 {
        None => None,
        Some(file) => {
            let layout = Layout::of(disk, root_at.clone())?;
            let copy = Copy::begin((disk, file, shares(file)), layout.len(), layout.data_offset(), layout.data());
            Some((copy.and_then(|copy| copy.with(&layout.head())).map_err(CopyError::Qcow2)?, layout))
        }
    };

    let mut seal = Sealing::default();
    let mut done = 0;
    let (pool, pieces) = (Pool::new(sparse::STEP as usize), sparse::pieces(disk)?);
    let disk = Unbuffered::cached(disk)?;
    std::thread::scope(|scope| {
        // A thread for each copy: while one waits for the disk, the other one hashes.
        let (to_root, pieces_of_root) = sync_channel(WAITING);
        let root = scope.spawn(move || {
            pieces_of_root.iter().try_for_each(|piece: Piece| root.pass(piece.0, &piece.1))?;
            root.finish(&[])
        });
        let (to_qcow2, pieces_of_qcow2) = sync_channel(WAITING);
        let qcow2 = image.map(|(mut copy, layout)| {
            scope.spawn(move || {
                pieces_of_qcow2.iter().try_for_each(|piece: Piece| copy.pass(piece.0, &piece.1))?;
                copy.finish(&layout.tail())
            })
        });
        let to_qcow2 = Some(to_qcow2).filter(|_| qcow2.is_some());
        let read = pieces.iter().try_for_each(|piece| {
            let mut buffer = pool.take();
            disk.read_exact_at(&mut buffer, piece.start, (piece.end - piece.start) as usize)?;
            let piece = (piece.start, Arc::new(buffer));
            // A thread that takes no more has failed, and says why when it is waited for.
            let taken = to_root.send(piece.clone()).is_ok();
            if !taken || to_qcow2.as_ref().is_some_and(|to| to.send(piece.clone()).is_err()) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            seal.zeros(piece.0 - done);
            seal.update(&piece.1);
            done = piece.0 + piece.1.len() as u64;
            Ok(())
        });
        drop((to_root, to_qcow2));
        let root = join(root).map_err(CopyError::Root)?;
        let qcow2 = qcow2.map(join).transpose().map_err(CopyError::Qcow2)?;
        read.map_err(CopyError::Disk)?;
        seal.zeros(size - done);
        Ok(Copies { root, qcow2, disk: seal.finish() })
    })
}

/// A part of the disk, and where it is.
type Piece = (u64, Arc<Buffer>);

/// Pieces that may wait for a thread.
const WAITING: usize = 4;

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A file in the making: what is before the data, ranges of the disk one after another, and what is behind them.
struct Copy<'a> {
    file: &'a File,
    unbuffered: Unbuffered,
    /// The data's bytes are there already.
    shared: bool,
    /// The ranges of the disk, ascending.
    ranges: Vec<Range<u64>>,
    /// How many ranges are complete, and how much there is of the next one.
    complete: usize,
    part: u64,
    /// The offset of the next byte.
    at: u64,
    sha256: Sha256,
    seal: Sealing,
}

impl<'a> Copy<'a> {
    /// Of the disk into the file; whether the kernel's own copies share blocks there.
    fn begin(
        (disk, file, mut shared): (&File, &'a File, bool),
        len: u64,
        data_offset: u64,
        ranges: impl IntoIterator<Item = Range<u64>>,
    ) -> io::Result<Self> {
        file.set_len(len)?;
        let ranges: Vec<_> = ranges.into_iter().collect();
        let mut to = data_offset;
        for range in &ranges {
            let len = range.end - range.start;
            shared = shared && sparse::copy(disk, range.start, file, to, len)?;
            to += len.next_multiple_of(CLUSTER);
        }
        let unbuffered = Unbuffered::of(file)?;
        let (sha256, seal) = (Sha256::new(), Sealing::default());
        Ok(Self { file, unbuffered, shared, ranges, complete: 0, part: 0, at: 0, sha256, seal })
    }

    /// With bytes that are not the disk's.
    fn with(mut self, bytes: &[u8]) -> io::Result<Self> {
        self.unbuffered.write_all_at(bytes, self.at)?;
        self.digest(bytes);
        Ok(self)
    }

    /// Takes what it needs of the disk's bytes at `at`; between those that it is given, ascending, are zeros.
    fn pass(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let end = at + bytes.len() as u64;
        while let Some(range) = self.ranges.get(self.complete).cloned() {
            let next = range.start + self.part;
            if next >= end {
                break;
            }
            if next < at {
                self.zeros(at.min(range.end) - next);
                continue;
            }
            let wanted = &bytes[(next - at) as usize..(end.min(range.end) - at) as usize];
            if !self.shared {
                self.unbuffered.write_all_at(wanted, self.at)?;
            }
            self.digest(wanted);
            self.advance(wanted.len() as u64);
        }
        Ok(())
    }

    /// Zeros of the disk are holes of the file.
    fn zeros(&mut self, len: u64) {
        sparse::zeros(len, |zeros| self.sha256.update(zeros));
        self.seal.zeros(len);
        self.at += len;
        self.advance(len);
    }

    fn digest(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.seal.update(bytes);
        self.at += bytes.len() as u64;
    }

    /// Counts bytes of the range that is next.
    fn advance(&mut self, len: u64) {
        self.part += len;
        if self.ranges.get(self.complete).is_some_and(|range| range.end - range.start == self.part) {
            self.complete += 1;
            self.part = 0;
        }
    }

    /// Ends the file with `tail`, after zeros to the end of its last cluster; returns when it is on the disk.
    fn finish(mut self, tail: &[u8]) -> io::Result<Copied> {
        while let Some(range) = self.ranges.get(self.complete) {
            self.zeros(range.end - range.start - self.part);
        }
        if !tail.is_empty() {
            let rest = self.at.next_multiple_of(CLUSTER) - self.at;
            self.zeros(rest);
            self = self.with(tail)?;
        }
        self.file.sync_all()?;
        Ok(Copied { size: self.at, sha256: Sha256Digest(self.sha256.finalize().into()), seal: self.seal.finish() })
    }
}

/// A qcow2 alone.
#[cfg(test)]
pub(crate) fn qcow2(disk: &File, out: &File) -> Result<Copied, CopyError> {
    let root = tempfile::tempfile().map_err(CopyError::Root)?;
    let copies = make(&Wanted { disk, root_at: 0..0, root: &root, qcow2: Some(out) })?;
    copies.qcow2.ok_or_else(|| CopyError::Qcow2(io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::stale;
    use crate::show::source::Source as _;
    use std::os::unix::fs::FileExt;

    /// Beside the test program, which is on a disk; /tmp may be memory.
    fn file() -> File {
        tempfile::tempfile_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap()
    }

    fn bytes_of(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// Bytes of a disk, offsets and lengths of its data, and where the root is.
    type Case<'a> = (u64, &'a [(u64, u64)], Range<u64>);

    #[test]
    fn what_is_said_of_the_copies_is_what_they_hold() {
        const MIB: u64 = 1 << 20;
        let noise = |len: u64| (0..len).map(|at| (at * at / 7 % 251) as u8 | 1).collect::<Vec<u8>>();
        // In order, with a hole, over borders of pieces and of clusters.
        let cases: [Case<'_>; 5] = [
            (8 * MIB, &[(0, 512), (MIB, 3 * MIB + 4096), (5 * MIB, 8192)], MIB..4 * MIB + 4096),
            (8 * MIB, &[(MIB, MIB), (2 * MIB + 200_000, MIB)], MIB..4 * MIB),
            (4 * MIB + 512, &[(4 * MIB, 512)], 0..4096),
            (6 * MIB, &[(65_536 - 10, 20), (MIB + 4096, 2 * MIB)], MIB + 4096..3 * MIB + 4096),
            (2 * MIB, &[], MIB..MIB + 65_536),
        ];
        for (size, places, root_at) in cases {
            let disk = file();
            disk.set_len(size).unwrap();
            for &(at, len) in places {
                disk.write_all_at(&noise(len), at).unwrap();
            }
            let whole = bytes_of(&disk);
            let ways: [fn(&File) -> bool; 2] = [|_| false, |_| true];
            let made = ways.map(|shares| {
                let (root, image) = (file(), file());
                let wanted = Wanted { disk: &disk, root_at: root_at.clone(), root: &root, qcow2: Some(&image) };
                let made = make_by(&wanted, shares).unwrap();
                (made, root, image)
            });
            let [(made, root, image), (same, same_root, same_image)] = made;
            assert!(made == same && bytes_of(&root) == bytes_of(&same_root) && bytes_of(&image) == bytes_of(&same_image));
            assert!(bytes_of(&root) == whole[root_at.start as usize..root_at.end as usize], "{root_at:?}");
            // The disk reads back from the qcow2, judged by the decoder that `show` has.
            let packed = bytes_of(&image);
            let packed = packed.as_slice();
            let decoded = crate::show::qcow2::Qcow2::open(&packed).unwrap();
            let mut back = vec![1; whole.len()];
            decoded.read_at(&mut back, 0).unwrap();
            assert!(back == whole, "{root_at:?}");
            assert_eq!(made.disk, stale::seal(disk).unwrap());
            for (copied, file) in [(made.root, root), (made.qcow2.unwrap(), image)] {
                let bytes = bytes_of(&file);
                assert_eq!((copied.size, copied.sha256), (bytes.len() as u64, Sha256Digest::of(&bytes)));
                assert_eq!(copied.seal, stale::seal(file).unwrap());
            }
        }
    }

    #[test]
    fn an_error_says_whose_it_is() {
        let disk = file();
        disk.set_len(1 << 20).unwrap();
        disk.write_all_at(&[1; 4096], 0).unwrap();
        let closed = File::open("/dev/null").unwrap();
        let error = make(&Wanted { disk: &disk, root_at: 0..4096, root: &closed, qcow2: None }).unwrap_err();
        assert!(matches!(error, CopyError::Root(_)), "{error:?}");
        let error = make(&Wanted { disk: &disk, root_at: 0..4096, root: &file(), qcow2: Some(&closed) }).unwrap_err();
        assert!(matches!(error, CopyError::Qcow2(_)), "{error:?}");
    }
}
