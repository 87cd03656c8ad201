//! Block devices: opened for one alone, or past the page cache; a partition that is in use gets another length, a table is read again,
//! a medium is let go of.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Opens a disk for reading and writing, for nobody else: one that is mounted, or that something is made of, is busy (EBUSY).
pub fn open_exclusive(disk: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(rustix::fs::open(disk, flags, Mode::empty())?.into())
}

/// Opens a disk for reading past the page cache: places, lengths and buffers must be multiples of its sectors.
pub fn open_direct(disk: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    Ok(rustix::fs::open(disk, flags, Mode::empty())?.into())
}

/// linux/blkpg.h: the request and what it is to do.
const BLKPG: u32 = 0x1269;
const BLKPG_RESIZE_PARTITION: i32 = 3;

/// `struct blkpg_partition`.
#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    number: i32,
    _device_name: [u8; 64],
    _volume_name: [u8; 64],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct Argument<'a> {
    op: i32,
    flags: i32,
    length: i32,
    data: &'a mut Partition,
}

/// Tells the kernel that a partition of `disk` now has another length; it works while the partition is mounted, too. Start and length
/// are in bytes; the start must be the one that the kernel knows.
#[expect(unsafe_code, reason = "rustix doesn't know BLKPG")]
pub fn resize_partition(disk: &File, number: u32, start: u64, length: u64) -> io::Result<()> {
    let signed = |value: u64| i64::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let mut partition = Partition {
        start: signed(start)?,
        length: signed(length)?,
        number: i32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        _device_name: [0; 64],
        _volume_name: [0; 64],
    };
    let length = size_of::<Partition>() as i32;
    let mut argument = Argument { op: BLKPG_RESIZE_PARTITION, flags: 0, length, data: &mut partition };
    // SAFETY: BLKPG takes a pointer to `struct blkpg_ioctl_arg`, whose `data` points to a `struct blkpg_partition` of `datalen` bytes;
    // both live until the call returns, and the kernel only reads them (linux/blkpg.h, block/ioctl.c).
    unsafe { rustix::ioctl::ioctl(disk.as_fd(), rustix::ioctl::Updater::<BLKPG, Argument<'_>>::new(&mut argument)) }?;
    Ok(())
}

/// `_IO(0x12, 95)` of linux/fs.h.
const BLKRRPART: u32 = 0x125f;
/// linux/cdrom.h; disks of SCSI's kind (USB sticks with them) know it, too.
const CDROMEJECT: u32 = 0x5309;

/// Has the kernel read the partition table of `disk` again. It fails while a partition is in use, and on devices that have no partitions.
#[expect(unsafe_code, reason = "rustix doesn't know BLKRRPART")]
pub fn reread_partitions(disk: &File) -> io::Result<()> {
    // SAFETY: BLKRRPART takes no argument (linux/fs.h, block/ioctl.c).
    unsafe { rustix::ioctl::ioctl(disk.as_fd(), rustix::ioctl::NoArg::<BLKRRPART>::new()) }?;
    Ok(())
}

/// Stops a removable medium and lets go of it (`START STOP UNIT` with the eject bit). It fails on devices that can't.
#[expect(unsafe_code, reason = "rustix doesn't know CDROMEJECT")]
pub fn eject(disk: &File) -> io::Result<()> {
    // SAFETY: CDROMEJECT takes no argument (linux/cdrom.h, drivers/scsi/scsi_ioctl.c).
    unsafe { rustix::ioctl::ioctl(disk.as_fd(), rustix::ioctl::NoArg::<CDROMEJECT>::new()) }?;
    Ok(())
}
