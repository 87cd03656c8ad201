//! Block devices: a partition that is in use gets another length.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

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
