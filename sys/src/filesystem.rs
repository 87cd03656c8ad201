//! Mounted file systems: how large and how full they are, growing ext4, writing one out.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::path::Path;

/// How much a file system holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// All bytes for files.
    pub size: u64,
    /// Those that are free, the superuser's reserve with them.
    pub free: u64,
    /// Files that can still be made.
    pub free_files: u64,
    /// Whether nothing can be written.
    pub read_only: bool,
}

/// Asks the file system that a path is on.
pub fn usage(path: &Path) -> io::Result<Usage> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Usage {
        size: bytes(found.f_blocks),
        free: bytes(found.f_bfree),
        free_files: found.f_ffree,
        read_only: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

/// Grows a mounted ext4 to `blocks` blocks of its own block size; its device has to be that large already. Returns when it is done.
#[expect(unsafe_code, reason = "rustix has no ioctls of ext4")]
pub fn grow_ext4(mount_point: &Path, blocks: u64) -> io::Result<()> {
    /// `_IOW('f', 16, __u64)`.
    const RESIZE: rustix::ioctl::Opcode = rustix::ioctl::opcode::write::<u64>(b'f', 16);
    let folder = open_folder(mount_point)?;
    // SAFETY: EXT4_IOC_RESIZE_FS takes a pointer to a u64 and reads it (fs/ext4/ioctl.c).
    unsafe { rustix::ioctl::ioctl(&folder, rustix::ioctl::Setter::<RESIZE, u64>::new(blocks)) }?;
    Ok(())
}

/// Writes out what the file system that a path is on holds in memory.
pub fn write_out(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(open_folder(path)?)?)
}

/// Makes the names in a folder last: after a rename or a removal.
pub fn flush_folder(path: &Path) -> io::Result<()> {
    open_folder(path)?.sync_all()
}

fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_says_how_full_it_is() {
        let usage = usage(Path::new("/tmp")).unwrap();
        assert!(usage.size >= usage.free && usage.size > 0);
        assert!(super::usage(Path::new("/nonexistent")).is_err());
        flush_folder(Path::new("/tmp")).unwrap();
    }
}
