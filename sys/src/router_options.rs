//! The kernel's announcements of options in IPv6 router advertisements that are for user space (name servers), a netlink socket.

use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recvfrom, socket_with};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// RTNLGRP_ND_USEROPT of linux/rtnetlink.h is group 20.
const GROUP: u32 = 1 << (20 - 1);

/// The socket. It never blocks.
#[derive(Debug)]
pub struct RouterOptionsSocket {
    socket: OwnedFd,
}

impl RouterOptionsSocket {
    /// Listens from now on, to every link of the network namespace.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // No protocol is NETLINK_ROUTE.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &netlink::SocketAddrNetlink::new(0, GROUP))?;
        Ok(Self { socket })
    }

    /// Receives netlink messages of the kernel: `None` when the sender is somebody else.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let (_, length, sender) = recvfrom(&self.socket, &mut *buffer, RecvFlags::empty())?;
        let sender = sender.and_then(|sender| netlink::SocketAddrNetlink::try_from(sender).ok());
        Ok(sender.is_some_and(|sender| sender.pid() == 0).then_some(length.min(buffer.len())))
    }
}

impl AsFd for RouterOptionsSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for RouterOptionsSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
