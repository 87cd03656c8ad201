//! Sockets that tokio doesn't know, in its event loop.

use std::io;
use std::os::fd::AsRawFd;
use tokio::io::unix::AsyncFd;

/// A socket that wakes its task when there is something to read.
#[expect(
    deprecated,
    reason = "its successor is an unsafe function; the sockets given here own their descriptors and never swap them"
)]
pub(super) fn watched<T: AsRawFd>(socket: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::new(socket)
}
