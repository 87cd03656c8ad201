//! The kernel's announcements of devices that come and go (a netlink socket).

use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recvfrom, socket_with};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An announcement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uevent {
    /// ACTION, DEVPATH, SUBSYSTEM, and what else the driver says (DEVNAME, MODALIAS, ...).
    pub variables: BTreeMap<String, String>,
}

impl Uevent {
    /// The value of a variable; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    /// Takes a message apart: `action@path`, then `NAME=value`, each ended by a zero byte. `None`: not the kernel's.
    fn parse(message: &[u8]) -> Option<Self> {
        let mut parts = message.split(|&byte| byte == 0);
        if !parts.next()?.contains(&b'@') {
            return None;
        }
        let pairs = parts.filter_map(|part| {
            let text = String::from_utf8_lossy(part);
            let (name, value) = text.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        Some(Self { variables: pairs.collect() })
    }
}

/// What a read from the socket gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// An announcement.
    Event(Uevent),
    /// The kernel had to drop some: look at everything anew.
    Lost,
    /// Nothing more for now.
    Nothing,
}

/// The socket.
#[derive(Debug)]
pub struct UeventSocket {
    socket: OwnedFd,
}

impl UeventSocket {
    /// Listens to the kernel, from now on.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::KOBJECT_UEVENT))?;
        // Room for the storm of a machine with many devices; a refusal only means that some are lost, which is noticed.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 4 << 20);
        // Group 1 is the kernel's own; udev's is 2.
        bind(&socket, &netlink::SocketAddrNetlink::new(0, 1))?;
        Ok(Self { socket })
    }

    /// Reads one announcement. Messages that other processes send are passed over.
    pub fn receive(&self) -> io::Result<Received> {
        let mut buffer = [0; 8192];
        loop {
            match recvfrom(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((_, length, sender)) => {
                    let sender = sender.and_then(|sender| netlink::SocketAddrNetlink::try_from(sender).ok());
                    let from_kernel = sender.is_some_and(|sender| sender.pid() == 0);
                    let event = buffer.get(..length).filter(|_| from_kernel).and_then(Uevent::parse);
                    if let Some(event) = event {
                        return Ok(Received::Event(event));
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(Received::Nothing),
                Err(rustix::io::Errno::NOBUFS) => return Ok(Received::Lost),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for UeventSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_apart() {
        let event = Uevent::parse(b"add@/devices/x\0ACTION=add\0DEVNAME=input/event0\0ODD\0EMPTY=\0").unwrap();
        assert_eq!(
            (event.get("ACTION"), event.get("DEVNAME"), event.get("EMPTY"), event.get("ODD")),
            ("add", "input/event0", "", "")
        );
    }

    #[test]
    fn other_messages_are_passed_over() {
        for message in [&b""[..], b"libudev\0\xfe\xed", b"\0\0"] {
            assert_eq!(Uevent::parse(message), None);
        }
    }
}
