//! A FUSE file system with one file, `stick`, that behaves as bad sticks do.

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

/// What is wrong with it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// It has so many bytes and begins again behind them.
    Wraps(u64),
    /// Writes from here on fail.
    Fails(u64, Errno),
    /// A bit of this byte is another one when it is read.
    Flips(u64),
    /// A read from here on fails.
    Unreadable(u64),
    /// Each write takes so long.
    Slow(Duration),
}

/// What it was asked.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The end of the furthest write.
    pub(crate) written_to: AtomicU64,
}

struct Stick {
    store: File,
    size: u64,
    fault: Fault,
    seen: Arc<Seen>,
}

/// A mounted stick; gone when dropped.
pub(crate) struct Mounted {
    _session: BackgroundSession,
    pub(crate) file: PathBuf,
    pub(crate) seen: Arc<Seen>,
}

/// Mounts a stick that claims to have `size` bytes, its bytes in the file `store`.
pub(crate) fn mount(point: &Path, store: &Path, size: u64, fault: Fault) -> Mounted {
    std::fs::create_dir(point).unwrap();
    let store = File::options().read(true).write(true).create(true).truncate(false).open(store).unwrap();
    if store.metadata().unwrap().len() < size {
        store.set_len(size).unwrap();
    }
    let seen = Arc::new(Seen::default());
    let stick = Stick { store, size, fault, seen: Arc::clone(&seen) };
    let mut config = Config::default();
    config.mount_options.push(MountOption::FSName("kmimage-test".into()));
    let session = fuser::spawn_mount(stick, point, &config);
    let session = session.unwrap_or_else(|error| panic!("mounting a FUSE file system, which needs root and /dev/fuse: {error}"));
    Mounted { _session: session, file: point.join("stick"), seen }
}

impl Stick {
    fn attributes(&self, number: INodeNo) -> FileAttr {
        let is_root = number == INodeNo::ROOT;
        FileAttr {
            ino: number,
            size: if is_root { 0 } else { self.size },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_root { FileType::Directory } else { FileType::RegularFile },
            perm: if is_root { 0o700 } else { 0o600 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        }
    }

    /// Where a byte really lies, and how many lie behind one another there.
    fn place(&self, at: u64) -> (u64, u64) {
        match self.fault {
            Fault::Wraps(real) => (at % real, real - at % real),
            _ => (at, u64::MAX),
        }
    }
}

impl Filesystem for Stick {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name.to_str() {
            Some("stick") => reply.entry(&Duration::ZERO, &self.attributes(INodeNo(2)), Generation(0)),
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&Duration::ZERO, &self.attributes(number));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Every read comes here, as every read of a stick goes to the stick.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut bytes = vec![0; u64::from(size).min(self.size.saturating_sub(offset)) as usize];
        let end = offset + bytes.len() as u64;
        if matches!(self.fault, Fault::Unreadable(from) if end > from) {
            return reply.error(Errno::EIO);
        }
        let mut done = 0;
        while done < bytes.len() {
            let (at, room) = self.place(offset + done as u64);
            let len = (bytes.len() - done).min(usize::try_from(room).unwrap_or(usize::MAX));
            self.store.read_exact_at(&mut bytes[done..done + len], at).unwrap();
            done += len;
        }
        if let Fault::Flips(at) = self.fault
            && (offset..end).contains(&at)
        {
            bytes[(at - offset) as usize] ^= 4;
        }
        reply.data(&bytes);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.seen.written_to.fetch_max(offset + data.len() as u64, Ordering::SeqCst);
        match self.fault {
            Fault::Fails(from, error) if offset + data.len() as u64 > from => return reply.error(error),
            Fault::Slow(time) => std::thread::sleep(time),
            _ => {}
        }
        let mut rest = data;
        while !rest.is_empty() {
            let (at, room) = self.place(offset + (data.len() - rest.len()) as u64);
            let (now, later) = rest.split_at(rest.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.store.write_all_at(now, at).unwrap();
            rest = later;
        }
        reply.written(data.len() as u32);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }
}
