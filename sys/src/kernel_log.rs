//! The kernel's log, /dev/kmsg: where init's own words outlive the console, and where the kernel's are read.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};

/// How much a line matters; the kernel shows those below its console log level on the consoles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something is odd.
    Warning = 4,
    /// For those who read the log; not shown on consoles by default.
    Debug = 7,
}

/// Writes a line to the kernel's log, cut to what a record takes. Best effort: before /dev is mounted there is none.
pub fn write(level: Level, line: &str) {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(log) = rustix::fs::open("/dev/kmsg", flags, Mode::empty()) else { return };
    let line: String = line.chars().take(800).collect();
    // Facility 3, "system daemons"; the record ends with the write.
    let record = format!("<{}>{}\n", 3 << 3 | level as u8, line.replace('\n', " "));
    let _ = File::from(log).write_all(record.as_bytes());
}

/// What reading the log gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// A record, as the kernel writes it.
    Record(Vec<u8>),
    /// Records that were not read in time are gone; the next read goes on behind them.
    Overwritten,
    /// Nothing more for now.
    Nothing,
}

/// The log, read from its beginning.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
}

impl KernelLog {
    /// Opens it at its oldest record.
    pub fn open() -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(Self { file: rustix::fs::open("/dev/kmsg", flags, Mode::empty())?.into() })
    }

    /// Reads one record; never waits.
    pub fn read(&mut self) -> io::Result<Read> {
        // The kernel hands out whole records, of 8 KiB at most (PRINTK_MESSAGE_MAX).
        let mut buffer = [0; 8192];
        loop {
            match self.file.read(&mut buffer) {
                Ok(length) => return Ok(Read::Record(buffer.get(..length).unwrap_or_default().to_vec())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Read::Nothing),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Read::Overwritten),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for KernelLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
