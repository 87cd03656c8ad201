//! Looking into a PCI device's registers, for devices that no driver has yet.

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// How much of a region is mapped: a page.
const LENGTH: usize = 4096;

/// The 32-bit registers at these offsets in the first page of a memory region (`resource5` in the device's folder in sysfs). A device that
/// doesn't answer has all bits set.
///
/// An error: there is no such region, or the kernel lets nobody look (lockdown).
#[expect(unsafe_code, reason = "memory is mapped, and registers are read that change by themselves")]
pub fn read_registers(region: &Path, offsets: impl IntoIterator<Item = usize>) -> io::Result<Vec<u32>> {
    // Written through to the device: no cache between.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_SYNC | libc::O_CLOEXEC).open(region)?;
    // SAFETY: a new mapping at a place of the kernel's choice; nothing else knows of it.
    let base = unsafe { mmap(std::ptr::null_mut(), LENGTH, ProtFlags::READ, MapFlags::SHARED, &file, 0) }?;
    let registers = offsets.into_iter().map(|offset| {
        if offset % 4 != 0 || offset > LENGTH - 4 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the offset is aligned and lies in the mapping, which is a page (mmap(2) fails for a smaller region of sysfs) and is
        // removed below; a page starts at a multiple of its size. Volatile: each read is one access to the device.
        Ok(unsafe { base.cast::<u8>().add(offset).cast::<u32>().read_volatile() })
    });
    let registers = registers.collect();
    // SAFETY: the mapping made above, which nothing points into any more.
    unsafe { munmap(base, LENGTH) }?;
    registers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_read_by_their_offsets() {
        let path = std::env::temp_dir().join(format!("kmimage-registers-{}", std::process::id()));
        let bytes: Vec<u8> = (0..1024_u32).flat_map(|number| (number * 3).to_le_bytes()).collect();
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read_registers(&path, [0, 8, 4092]).unwrap(), [0, 6, 1023 * 3]);
        for bad in [2, 4096, 4094, usize::MAX & !3] {
            assert_eq!(read_registers(&path, [bad]).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{bad}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(read_registers(&path, [0]).is_err());
    }
}
