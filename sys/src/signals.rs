//! Signals as something to read (signalfd): no handler ever runs in this process.

use std::fs::File;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _};

/// The signals that process 1 listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A child ended (SIGCHLD).
    Child,
    /// Ctrl-Alt-Del (SIGINT, from the kernel).
    Interrupt,
    /// The end is asked for (SIGTERM).
    Terminate,
}

const LISTENED: [(i32, Signal); 3] =
    [(libc::SIGCHLD, Signal::Child), (libc::SIGINT, Signal::Interrupt), (libc::SIGTERM, Signal::Terminate)];

/// A descriptor that is readable when a signal has come.
#[derive(Debug)]
pub struct Signals {
    file: File,
}

impl Signals {
    /// Blocks the signals for this process and opens a descriptor for them. Programs that [`crate::spawn::start`] starts have none blocked.
    #[expect(unsafe_code, reason = "rustix has neither signal masks nor signalfd")]
    pub fn open() -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset fills the set before anything reads it; the others take a pointer to a filled set that outlives the
        // call; signalfd's result is checked and owned by nobody else.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for (number, _) in LISTENED {
                libc::sigaddset(set.as_mut_ptr(), number);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Self { file: File::from_raw_fd(fd) }) }
        }
    }

    /// The next signal that has come, if one has.
    pub fn take(&mut self) -> io::Result<Option<Signal>> {
        // The kernel hands out whole records only.
        let mut record = [0; size_of::<libc::signalfd_siginfo>()];
        loop {
            match self.file.read(&mut record) {
                Ok(_) => {
                    let number = i32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
                    if let Some((_, signal)) = LISTENED.into_iter().find(|(listened, _)| *listened == number) {
                        return Ok(Some(signal));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Unblocks every signal in this thread. Makes one system call and allocates nothing: for the time between fork and exec, because a new
/// program inherits what is blocked.
#[expect(unsafe_code, reason = "rustix has no signal masks")]
pub(crate) fn unblock_all() -> io::Result<()> {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset fills the set before anything reads it; sigprocmask takes a pointer to it that outlives the call.
    let result = unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{poll, process};
    use std::time::Duration;

    #[test]
    #[expect(clippy::disallowed_methods, clippy::zombie_processes, reason = "a child, reaped by what is under test")]
    fn a_childs_end_is_read_and_reaped() {
        // Masks are per thread, and another test's thread may take the signal (its default effect is none): so this looks for the
        // child after every wait, as process 1 does, whether or not a signal was read.
        let mut signals = Signals::open().unwrap();
        assert_eq!(signals.take().unwrap(), None);
        let child = std::process::Command::new("/bin/true").spawn().unwrap();
        let mut reaped = None;
        for _ in 0..200 {
            poll::readable(&[signals.as_fd()], Some(Duration::from_millis(50))).unwrap();
            let _ = signals.take().unwrap();
            reaped = process::reap().unwrap();
            if reaped.is_some() {
                break;
            }
        }
        assert_eq!(reaped, Some((child.id(), process::Exit::Code(0))));
    }
}
