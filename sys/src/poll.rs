//! Waiting until one of several descriptors has something to read.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Waits until a descriptor is readable (or closed from the other side), at most `timeout`; `None` waits as long as it takes.
/// Returns for each descriptor whether it is; an interruption by a signal counts as none.
pub fn readable(descriptors: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    wait(descriptors, PollFlags::IN, timeout)
}

/// Waits until a descriptor takes more output, at most `timeout`.
pub(crate) fn writable(descriptor: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    Ok(wait(&[descriptor], PollFlags::OUT, Some(timeout))?.contains(&true))
}

fn wait(descriptors: &[BorrowedFd<'_>], flags: PollFlags, timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> = descriptors.iter().map(|descriptor| PollFd::from_borrowed_fd(*descriptor, flags)).collect();
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    match poll(&mut polled, timeout.as_ref()) {
        Ok(_) => Ok(polled.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(rustix::io::Errno::INTR) => Ok(vec![false; descriptors.len()]),
        Err(error) => Err(error.into()),
    }
}
