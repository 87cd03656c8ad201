//! Unix sockets, without waiting.

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io;
use std::path::Path;

/// Whether somebody listens at a unix socket (a stream) and takes a connection now.
pub fn takes_connections(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) => Ok(true),
        // Not there, nobody listens, or the queue is full.
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED | rustix::io::Errno::AGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_only_ready_while_somebody_listens() {
        let directory = std::env::temp_dir().join(format!("kmimage-socket-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("socket");
        assert!(!takes_connections(&path).unwrap());
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(takes_connections(&path).unwrap());
        drop(listener);
        assert!(!takes_connections(&path).unwrap());
        assert!(takes_connections(Path::new(&"x".repeat(200))).is_err());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
