//! The hardware watchdog (watchdog-api.rst in the kernel's documentation): a timer that restarts the machine unless it is fed.

use rustix::fs::{Mode, OFlags};
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// A running watchdog. Dropping it leaves it running: it is closed without the word that would stop it.
#[derive(Debug)]
pub struct Watchdog {
    file: File,
}

impl Watchdog {
    /// Opens a watchdog, which starts it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        Ok(Self { file: rustix::fs::open(path, flags, Mode::empty())?.into() })
    }

    /// Sets after how many seconds without food it restarts the machine; returns what the device made of it.
    #[expect(unsafe_code, reason = "rustix has no watchdog ioctls")]
    pub fn set_timeout(&self, seconds: u32) -> io::Result<u32> {
        let mut seconds = c_int::try_from(seconds).unwrap_or(c_int::MAX);
        // SAFETY: `Timeout` points to an `int`, which WDIOC_SETTIMEOUT reads and writes.
        unsafe { rustix::ioctl::ioctl(&self.file, Timeout(&mut seconds)) }?;
        Ok(u32::try_from(seconds).unwrap_or(0))
    }

    /// Feeds it. (Any byte but `V` does, which might stop it.)
    pub fn feed(&mut self) -> io::Result<()> {
        self.file.write_all(&[0])
    }
}

struct Timeout<'a>(&'a mut c_int);

#[expect(unsafe_code, reason = "rustix's trait for ioctls is unsafe to implement")]
// SAFETY: the opcode is WDIOC_SETTIMEOUT, `_IOWR('W', 6, int)`; the pointer is to an `int`.
unsafe impl rustix::ioctl::Ioctl for Timeout<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> rustix::ioctl::Opcode {
        rustix::ioctl::opcode::read_write::<c_int>(b'W', 6)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(_: rustix::ioctl::IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}
