//! What a DHCPv4 server granted.

use super::message::{Incoming, option};
use std::net::Ipv4Addr;
use std::time::Duration;

/// An address for a time, and what the server says of its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
    /// Who granted it, and is asked to renew it.
    pub(crate) server: Ipv4Addr,
    pub(crate) routes: Vec<LeaseRoute>,
    pub(crate) dns: Vec<Ipv4Addr>,
    pub(crate) search: Vec<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) mtu: Option<u16>,
    pub(crate) ntp: Vec<Ipv4Addr>,
    /// When it is renewed, when any server is asked to, when it ends: times since the machine's start. `None`: never.
    pub(crate) times: Option<Times>,
}

/// The course of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) renew: Duration,
    pub(crate) rebind: Duration,
    pub(crate) end: Duration,
}

/// A route that comes with a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseRoute {
    pub(crate) to: Ipv4Addr,
    pub(crate) prefix: u8,
    /// `None`: on the link itself.
    pub(crate) via: Option<Ipv4Addr>,
}

/// RFC 2131, 3.3: no end.
const FOR_EVER: u32 = u32::MAX;
/// Shorter leases are taken for one of this length: who grants none would make us ask all the time.
const SHORTEST: u32 = 10;
/// A renewal is not asked for earlier than this, whatever the server says.
const SHORTEST_RENEWAL: u32 = 2;

impl Lease {
    /// The lease in an ACK that is received for a request sent at `asked`. `None`: the message grants nothing.
    pub(crate) fn from_ack(message: &Incoming, asked: Duration) -> Option<Self> {
        let address = message.address;
        if address.is_unspecified() || address.is_broadcast() || address.is_multicast() || address.is_loopback() {
            return None;
        }
        let server = message.one_address(option::SERVER)?;
        let prefix = message.one_address(option::MASK).and_then(prefix_length).unwrap_or_else(|| class_prefix(address));
        let routes = match message.routes() {
            // RFC 3442: where there are classless routes, the router option counts for nothing.
            Some(routes) => {
                let via = |router: Ipv4Addr| (!router.is_unspecified()).then_some(router);
                routes.into_iter().map(|(to, prefix, router)| LeaseRoute { to, prefix, via: via(router) }).collect()
            }
            None => {
                let router = message.addresses(option::ROUTER).into_iter().find(|router| !router.is_unspecified());
                let default = |via| LeaseRoute { to: Ipv4Addr::UNSPECIFIED, prefix: 0, via: Some(via) };
                router.map(default).into_iter().collect()
            }
        };
        let mut search = message.search();
        if search.is_empty() {
            search.extend(message.name(option::DOMAIN));
        }
        Some(Self {
            address,
            prefix,
            server,
            routes,
            dns: message.addresses(option::DNS),
            search,
            hostname: message.name(option::HOSTNAME),
            mtu: message.mtu(),
            ntp: message.addresses(option::NTP),
            times: times(message, asked)?,
        })
    }
}

/// The times of a lease; `Some(None)`: it has no end. `None`: the message has no lease time, so it is no grant.
fn times(message: &Incoming, asked: Duration) -> Option<Option<Times>> {
    let length = message.seconds(option::LEASE_TIME)?;
    if length == FOR_EVER {
        return Some(None);
    }
    let length = length.max(SHORTEST);
    // RFC 2131, 4.4.5: T1 < T2 < end; what a server says otherwise is not meant.
    let rebind =
        message.seconds(option::T2).filter(|t2| (SHORTEST_RENEWAL + 1..length).contains(t2)).unwrap_or(length - length / 8);
    let renew =
        message.seconds(option::T1).filter(|t1| (SHORTEST_RENEWAL..rebind).contains(t1)).unwrap_or((length / 2).min(rebind - 1));
    let after = |seconds: u32| asked + Duration::from_secs(u64::from(seconds));
    Some(Some(Times { renew: after(renew), rebind: after(rebind), end: after(length) }))
}

/// The length of a prefix from its mask; `None`: the mask has holes.
fn prefix_length(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    let ones = bits.leading_ones();
    (bits.count_ones() == ones && ones > 0).then(|| u8::try_from(ones).ok()).flatten()
}

/// What a server means that sends no mask: the address' class (RFC 791).
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}
