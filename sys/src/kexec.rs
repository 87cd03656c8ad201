//! Starting another kernel from this one: kexec_file_load(2). The new kernel runs once the machine is "restarted" into it
//! ([`crate::power::kexec`]).

use rustix::fs::MemfdFlags;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;

/// A file in memory that holds these bytes.
pub fn memory_file(name: &str, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// Loads a kernel (bzImage), its initramfs and its command line. The kernel refuses one that isn't signed (EPERM) where it is locked
/// down, as under Secure Boot.
#[expect(unsafe_code, reason = "rustix doesn't know kexec_file_load")]
pub fn load(kernel: &File, initramfs: &File, command_line: &str) -> io::Result<()> {
    let command_line = CString::new(command_line)?;
    let length = command_line.as_bytes_with_nul().len();
    // SAFETY: kexec_file_load(kernel_fd, initrd_fd, cmdline_len, cmdline, flags): the kernel reads `length` bytes, the last of them zero, of
    // a text that lives until the call returns, and both files by descriptors that are open; it writes to no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            initramfs.as_raw_fd(),
            length,
            command_line.as_ptr(),
            0 as libc::c_ulong,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
