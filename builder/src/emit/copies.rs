//! The artefacts that are copied out of the finished raw disk: the root image, the qcow2 and the ISO. One pass reads the disk, writes them
//! all, and takes every digest of what passes: nothing is read again. A thread for each copy.
//!
//! On a file system that shares blocks the copies are made first, inside the kernel, and the pass only hashes.

use super::medium::plan::MediumPlan;
use super::qcow2::{CLUSTER, Layout};
use super::sparse;
use super::stale::{Seal, Sealing};
use crate::hash::Sha256Digest;
use crate::unbuffered::{self, Buffer, Pool, Unbuffered};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
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
    /// The ISO's file, empty, and what it is to be, if there is to be one.
    pub iso: Option<(&'a File, &'a MediumPlan)>,
}

/// What was made; every file is on the disk.
#[derive(Debug, PartialEq, Eq)]
pub struct Copies {
    /// The root image.
    pub root: Copied,
    /// The qcow2.
    pub qcow2: Option<Copied>,
    /// The ISO.
    pub iso: Option<Copied>,
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
    /// The ISO could not be written.
    Iso(io::Error),
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
    let Wanted { disk, ref root_at, root, qcow2, iso } = *wanted;
    let size = disk.metadata()?.len();
    let root_len = root_at.end - root_at.start;
    let mut jobs = vec![Job {
        copy: Copy::begin((disk, root, shares(root)), root_len, vec![Part { from: root_at.clone(), to: 0 }])
            .map_err(CopyError::Root)?,
        before: Vec::new(),
        behind: (root_len, Cow::default()),
        failed: CopyError::Root,
    }];
    if let Some(file) = qcow2 {
        let layout = Layout::of(disk, root_at.clone())?;
        let tail = layout.tail();
        let copy = Copy::begin((disk, file, shares(file)), layout.len(), parts_of(&layout)).map_err(CopyError::Qcow2)?;
        let behind = (layout.len() - tail.len() as u64, Cow::Owned(tail));
        jobs.push(Job { copy, before: vec![(0, Cow::Owned(layout.head()))], behind, failed: CopyError::Qcow2 });
    }
    if let Some((file, plan)) = iso {
        let copy = Copy::begin((disk, file, shares(file)), plan.size(), plan.parts()).map_err(CopyError::Iso)?;
        let before = plan.before_the_root().map(|(at, bytes)| (at, Cow::Borrowed(bytes))).collect();
        let (at, bytes) = plan.behind_the_root();
        jobs.push(Job { copy, before, behind: (at, Cow::Borrowed(bytes)), failed: CopyError::Iso });
    }

    let mut seal = Sealing::default();
    let mut done = 0;
    let (pool, pieces) = (Pool::new(sparse::STEP as usize), sparse::pieces(disk)?);
    let disk = Unbuffered::cached(disk)?;
    let copied = std::thread::scope(|scope| {
        // A thread for each copy: while one waits for the disk, the other one hashes.
        let (senders, threads): (Vec<_>, Vec<_>) = jobs
            .into_iter()
            .map(|job| {
                let (sender, pieces) = sync_channel(WAITING);
                (sender, scope.spawn(move || job.run(&pieces)))
            })
            .unzip();
        let read = pieces.iter().try_for_each(|piece| {
            let mut buffer = pool.take();
            disk.read_exact_at(&mut buffer, piece.start, (piece.end - piece.start) as usize)?;
            let piece = (piece.start, Arc::new(buffer));
            // A thread that takes no more has failed, and says why when it is waited for.
            if senders.iter().any(|to| to.send(piece.clone()).is_err()) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            seal.zeros(piece.0 - done);
            seal.update(&piece.1);
            done = piece.0 + piece.1.len() as u64;
            Ok(())
        });
        drop(senders);
        let copied = threads.into_iter().map(join).collect::<Result<Vec<_>, _>>()?;
        read.map_err(CopyError::Disk)?;
        seal.zeros(size - done);
        Ok::<_, CopyError>(copied)
    })?;
    // In the order of the jobs.
    let mut copied = copied.into_iter();
    let mut next = || copied.next().ok_or(CopyError::Disk(io::ErrorKind::UnexpectedEof.into()));
    let root = next()?;
    let qcow2 = qcow2.map(|_| next()).transpose()?;
    let iso = iso.map(|_| next()).transpose()?;
    Ok(Copies { root, qcow2, iso, disk: seal.finish() })
}

/// A copy to make in a thread of its own.
struct Job<'a> {
    copy: Copy<'a>,
    /// What is not the disk's: before its data, ascending, and behind it.
    before: Vec<(u64, Cow<'a, [u8]>)>,
    behind: (u64, Cow<'a, [u8]>),
    /// Says whose error it is.
    failed: fn(io::Error) -> CopyError,
}

impl Job<'_> {
    fn run(self, pieces: &Receiver<Piece>) -> Result<Copied, CopyError> {
        let Job { mut copy, before, behind, failed } = self;
        let all = || {
            before.iter().try_for_each(|(at, bytes)| copy.put(*at, bytes))?;
            pieces.iter().try_for_each(|piece| copy.pass(piece.0, &piece.1))?;
            copy.finish(behind.0, &behind.1)
        };
        all().map_err(failed)
    }
}

/// The data of a qcow2: every range begins a cluster.
fn parts_of(layout: &Layout) -> Vec<Part> {
    let mut end = layout.data_offset();
    let part = |from: Range<u64>| {
        let to = end;
        end += (from.end - from.start).next_multiple_of(CLUSTER);
        Part { from, to }
    };
    layout.data().map(part).collect()
}

/// A part of the disk, and where it is.
type Piece = (u64, Arc<Buffer>);

/// Pieces that may wait for a thread.
const WAITING: usize = 4;

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A range of the disk, and its offset in a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) from: Range<u64>,
    pub(super) to: u64,
}

/// A file in the making: bytes that are not the disk's, parts of the disk one after another, and holes between all of them.
struct Copy<'a> {
    file: &'a File,
    unbuffered: Unbuffered,
    /// The data's bytes are there already.
    shared: bool,
    /// The parts of the disk, ascending there and here.
    parts: Vec<Part>,
    /// How many parts are complete, and how much there is of the next one.
    complete: usize,
    part: u64,
    len: u64,
    /// The offset of the next byte.
    at: u64,
    sha256: Sha256,
    seal: Sealing,
}

impl<'a> Copy<'a> {
    /// Of the disk into the file; whether the kernel's own copies share blocks there.
    fn begin((disk, file, mut shared): (&File, &'a File, bool), len: u64, parts: Vec<Part>) -> io::Result<Self> {
        file.set_len(len)?;
        for Part { from, to } in &parts {
            shared = shared && sparse::copy(disk, from.start, file, *to, from.end - from.start)?;
        }
        let unbuffered = Unbuffered::of(file)?;
        let (sha256, seal) = (Sha256::new(), Sealing::default());
        Ok(Self { file, unbuffered, shared, parts, complete: 0, part: 0, len, at: 0, sha256, seal })
    }

    /// Takes bytes that are not the disk's; up to there is a hole.
    fn put(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.zeros_to(at)?;
        unbuffered::write(self.file, bytes, at)?;
        self.digest(bytes);
        Ok(())
    }

    /// Takes what it needs of the disk's bytes at `at`; between those that it is given, ascending, are zeros.
    fn pass(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let end = at + bytes.len() as u64;
        while let Some(Part { from, to }) = self.parts.get(self.complete).cloned() {
            let next = from.start + self.part;
            if next >= end {
                break;
            }
            if self.part == 0 {
                self.zeros_to(to)?;
            }
            if next < at {
                self.zeros_of_part(at.min(from.end) - next)?;
                continue;
            }
            let wanted = &bytes[(next - at) as usize..(end.min(from.end) - at) as usize];
            if !self.shared {
                self.unbuffered.write_all_at(wanted, self.at)?;
            }
            self.digest(wanted);
            self.advance(wanted.len() as u64);
        }
        Ok(())
    }

    /// Zeros of the disk are holes of the file.
    fn zeros_of_part(&mut self, len: u64) -> io::Result<()> {
        self.zeros_to(self.at + len)?;
        self.advance(len);
        Ok(())
    }

    /// A hole up to an offset, which is not behind us if the plan is right.
    fn zeros_to(&mut self, offset: u64) -> io::Result<()> {
        let len = offset.checked_sub(self.at).ok_or(io::ErrorKind::InvalidInput)?;
        sparse::zeros(len, |zeros| self.sha256.update(zeros));
        self.seal.zeros(len);
        self.at = offset;
        Ok(())
    }

    fn digest(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.seal.update(bytes);
        self.at += bytes.len() as u64;
    }

    /// Counts bytes of the part that is next.
    fn advance(&mut self, len: u64) {
        self.part += len;
        if self.parts.get(self.complete).is_some_and(|Part { from, .. }| from.end - from.start == self.part) {
            self.complete += 1;
            self.part = 0;
        }
    }

    /// Ends the file with `bytes`, which are not the disk's; returns when it is on the disk.
    fn finish(mut self, at: u64, bytes: &[u8]) -> io::Result<Copied> {
        while let Some(Part { from, to }) = self.parts.get(self.complete).cloned() {
            if self.part == 0 {
                self.zeros_to(to)?;
            }
            self.zeros_of_part(from.end - from.start - self.part)?;
        }
        self.put(at, bytes)?;
        self.zeros_to(self.len)?;
        self.file.sync_all()?;
        Ok(Copied { size: self.at, sha256: Sha256Digest(self.sha256.finalize().into()), seal: self.seal.finish() })
    }
}

/// A qcow2 alone.
#[cfg(test)]
pub(crate) fn qcow2(disk: &File, out: &File) -> Result<Copied, CopyError> {
    let root = tempfile::tempfile().map_err(CopyError::Root)?;
    let copies = make(&Wanted { disk, root_at: 0..0, root: &root, qcow2: Some(out), iso: None })?;
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
                let wanted = Wanted { disk: &disk, root_at: root_at.clone(), root: &root, qcow2: Some(&image), iso: None };
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
        let error = make(&Wanted { disk: &disk, root_at: 0..4096, root: &closed, qcow2: None, iso: None }).unwrap_err();
        assert!(matches!(error, CopyError::Root(_)), "{error:?}");
        let error = make(&Wanted { disk: &disk, root_at: 0..4096, root: &file(), qcow2: Some(&closed), iso: None }).unwrap_err();
        assert!(matches!(error, CopyError::Qcow2(_)), "{error:?}");
    }
}
