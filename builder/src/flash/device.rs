//! The device while it is ours: found by a path, opened for us alone, and let go of at the end.

use super::error::FlashError;
use super::facts::{Bus, Device, Machine};
use crate::unbuffered::Unbuffered;
use rustix::fs::{FileType, Mode, OFlags, fstat, major, minor, stat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The device that a path (`/dev/sdb`, a link in /dev/disk/by-id) leads to.
pub fn find<'a>(machine: &'a Machine, path: &Path) -> Result<&'a Device, FlashError> {
    let missing = |source: io::Error| FlashError::NoDevice { path: path.to_owned(), source };
    let status = stat(path).map_err(|error| missing(error.into()))?;
    if FileType::from_raw_mode(status.st_mode) != FileType::BlockDevice {
        return Err(FlashError::NotBlock(path.to_owned()));
    }
    let number = (major(status.st_rdev), minor(status.st_rdev));
    machine.by_number(number).ok_or_else(|| missing(io::ErrorKind::NotFound.into()))
}

/// A device that nobody else can mount or claim while this lives.
pub struct Claimed {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// The same device past the page cache.
    pub(super) direct: Unbuffered,
    may_eject: bool,
}

/// What became of a device at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It let go of its medium.
    Ejected,
    /// It stays where it is; everything is on it.
    Flushed,
}

impl Claimed {
    /// Opens the device behind `path`, if it still is `device`. `command` is what would do the same with root's rights.
    pub fn open(path: &Path, device: &Device, command: impl FnOnce() -> String) -> Result<Self, FlashError> {
        let path = path.to_owned();
        let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
        let file: File = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => file.into(),
            Err(Errno::BUSY) => return Err(FlashError::Busy(path)),
            Err(error @ (Errno::ACCESS | Errno::PERM)) => {
                return Err(FlashError::Permission { path, command: command(), source: error.into() });
            }
            Err(error) => return Err(FlashError::Open { path, source: error.into() }),
        };
        let inner = || -> io::Result<(bool, Unbuffered)> {
            let status = fstat(&file)?;
            let is_same = FileType::from_raw_mode(status.st_mode) == FileType::BlockDevice
                && (major(status.st_rdev), minor(status.st_rdev)) == device.number
                && (&file).seek(SeekFrom::End(0))? == device.size;
            Ok((is_same, Unbuffered::of(&file)?))
        };
        let (is_same, direct) = inner().map_err(|source| FlashError::Open { path: path.clone(), source })?;
        if !is_same {
            return Err(FlashError::Changed(path));
        }
        // Never an internal disk, which such a command would only stop.
        let may_eject = device.bus == Bus::Usb || (device.removable && device.bus == Bus::Scsi);
        Ok(Self { path, file, direct, may_eject })
    }

    /// All that was written lies on the medium, and the page cache knows none of it any more.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.file.sync_all()?;
        // What is read next comes from the medium, even where direct I/O is not to be had.
        rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    }

    /// Has the kernel look at the new partition table, and lets go of the medium if that is wanted and possible.
    pub fn end(self, eject: bool) -> End {
        // Devices without partitions (a plain loop device) refuse this, and a medium that goes needs it no longer.
        let _ = kmimage_sys::block::reread_partitions(&self.file);
        if eject && self.may_eject && kmimage_sys::block::eject(&self.file).is_ok() { End::Ejected } else { End::Flushed }
    }
}
