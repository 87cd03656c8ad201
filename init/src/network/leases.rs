//! What the clients of all links have got, by the link's index.

use super::dhcp4::lease::Lease;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// By link.
pub(crate) type Leases = BTreeMap<u32, LinkLeases>;

/// What one link has got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LinkLeases {
    /// From DHCPv4.
    pub(crate) ipv4: Option<Lease>,
    /// The address that DHCPv4 asks to keep.
    pub(crate) confirming: Option<Ipv4Addr>,
    /// DHCPv4's state in a word. `None`: there is no client.
    pub(crate) ipv4_state: Option<&'static str>,
    /// From DHCPv6.
    pub(crate) ipv6: Option<Lease6>,
    /// DHCPv6's state in a word. `None`: there is no client.
    pub(crate) ipv6_state: Option<&'static str>,
    /// From router advertisements.
    pub(crate) router: RouterDns,
}

/// What DHCPv6 has given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease6 {
    /// `None`: none was asked for.
    pub(crate) address: Option<Ipv6Addr>,
    pub(crate) dns: Vec<Ipv6Addr>,
    pub(crate) search: Vec<String>,
    pub(crate) ntp: Vec<String>,
}

/// Resolvers from router advertisements (RFC 8106), in the order of their arrival.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RouterDns {
    pub(crate) servers: Vec<Ipv6Addr>,
    pub(crate) search: Vec<String>,
}
