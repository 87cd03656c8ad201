//! Packet sockets: IPv4 packets of one link, before the link has an address.

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, socket_with};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

/// ETH_P_IP of linux/if_ether.h.
const ETHERNET_IPV4: u16 = 0x0800;

/// A classic BPF program (linux/filter.h): the IPv4 packets that are UDP, no fragment, to port 68. Offsets are of the IP header.
const TO_DHCP_CLIENT: [libc::sock_filter; 9] = [
    statement(0x30, 9),       // A = protocol
    jump(0x15, 17, 0, 6),     // UDP?
    statement(0x28, 6),       // A = flags and fragment offset
    jump(0x45, 0x1fff, 4, 0), // a later fragment?
    statement(0xb1, 0),       // X = length of the IP header
    statement(0x48, 2),       // A = destination port
    jump(0x15, 68, 0, 1),     // the client's?
    statement(0x06, 0xffff),  // all of it
    statement(0x06, 0),       // nothing
];

const fn statement(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt: 0, jf: 0, k }
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// A socket that gives whole IPv4 packets to UDP port 68 (a DHCP client's) that arrive on a link, and sends such packets to everybody
/// on it. Needs CAP_NET_RAW. It never blocks.
#[derive(Debug)]
pub struct DhcpSocket {
    socket: OwnedFd,
    link: i32,
}

impl DhcpSocket {
    /// Opens it on the link with this index.
    pub fn open(link: u32) -> io::Result<Self> {
        let link = i32::try_from(link).map_err(|_| Errno::NODEV)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // Protocol 0 receives nothing: the filter is in place before the first packet.
        let socket = socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, None::<Protocol>)?;
        attach(&socket)?;
        let address = address(link);
        // SAFETY: packet(7): bind reads a sockaddr_ll of the given length.
        #[expect(unsafe_code, reason = "rustix has no sockaddr_ll")]
        let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), LENGTH) };
        if result == 0 { Ok(Self { socket, link }) } else { Err(io::Error::last_os_error()) }
    }

    /// Sends an IPv4 packet to the link's broadcast address.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        let address = address(self.link);
        let descriptor = self.socket.as_raw_fd();
        // SAFETY: packet(7): sendto reads the packet's bytes and a sockaddr_ll of the given length.
        #[expect(unsafe_code, reason = "rustix has no sockaddr_ll")]
        let sent =
            unsafe { libc::sendto(descriptor, packet.as_ptr().cast(), packet.len(), 0, (&raw const address).cast(), LENGTH) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Receives one packet; what is longer than the buffer is cut off.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.socket, buffer)?)
    }
}

impl AsFd for DhcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl std::os::fd::AsRawFd for DhcpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "20 bytes")]
const LENGTH: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

/// The broadcast address of a link.
fn address(link: i32) -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ETHERNET_IPV4.to_be(),
        sll_ifindex: link,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
    }
}

fn attach(socket: &OwnedFd) -> io::Result<()> {
    // The kernel copies the program; it is not written to, whatever the pointer's type says.
    let program = libc::sock_fprog { len: TO_DHCP_CLIENT.len() as u16, filter: TO_DHCP_CLIENT.as_ptr().cast_mut() };
    let length = size_of::<libc::sock_fprog>() as libc::socklen_t;
    // SAFETY: socket(7), SO_ATTACH_FILTER: reads a sock_fprog and as many sock_filters behind its pointer as it says.
    #[expect(unsafe_code, reason = "rustix has no SO_ATTACH_FILTER")]
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, (&raw const program).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
