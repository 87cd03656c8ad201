//! Consoles as devices to write lines to, never waiting longer than is asked: a serial line with flow control may never take a byte.

use crate::poll;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// A terminal that is written to.
#[derive(Debug)]
pub struct Terminal {
    file: File,
}

impl Terminal {
    /// Opens a device, without making it this process' controlling terminal and without waiting for a carrier.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(Self { file: rustix::fs::open(path, flags, Mode::empty())?.into() })
    }

    /// Writes a text, in at most about `limit`; the rest is dropped, and said so by an error.
    pub fn write(&mut self, text: &str, limit: Duration) -> io::Result<()> {
        let end = Instant::now() + limit;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() || !poll::writable(self.file.as_fd(), left)? {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Terminal {
    /// Its width and height in characters. `None`: it is none, or doesn't know.
    #[expect(unsafe_code, reason = "rustix has it behind a feature of its own, for this alone")]
    pub fn size(&self) -> Option<(usize, usize)> {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCGWINSZ writes a `winsize`, which outlives the call.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
        (result == 0 && size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
    }

    /// From now on what is typed is not shown, sends no signal and doesn't hold the output up. On anything else than a terminal this
    /// does nothing.
    #[expect(unsafe_code, reason = "rustix has it behind a feature of its own, for this alone")]
    pub fn ignore_input(&self) {
        let mut settings = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: tcgetattr fills the settings or fails; only if it has filled them they are read, changed and handed back.
        unsafe {
            if libc::tcgetattr(self.file.as_raw_fd(), settings.as_mut_ptr()) != 0 {
                return;
            }
            let mut settings = settings.assume_init();
            settings.c_lflag &= !(libc::ECHO | libc::ECHONL | libc::ICANON | libc::ISIG | libc::IEXTEN);
            settings.c_iflag &= !(libc::IXON | libc::IXOFF);
            let _ = libc::tcsetattr(self.file.as_raw_fd(), libc::TCSANOW, &raw const settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_takes_nothing_does_not_hold_us() {
        let directory = std::env::temp_dir().join(format!("kmimage-terminal-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // A reader that never reads: the pipe takes 64 KiB and no more.
        let reader = rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        let mut terminal = Terminal::open(&path).unwrap();
        terminal.write("short\n", Duration::from_millis(50)).unwrap();
        let before = Instant::now();
        let error = terminal.write(&"x".repeat(1 << 20), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(before.elapsed() < Duration::from_secs(5));
        drop(reader);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
