//! What the kernel says of links, addresses and routes, as plain values.

use kmimage_contract::machine_config::{Cidr, MacAddress};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Everything that a plan is made from. Links are named by the kernel's index: names change while a machine runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) links: BTreeMap<u32, Link>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<Route>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Whether it carries our mark: we made it, or manage it.
    pub(crate) ours: bool,
    /// What it is matched by: the address that it was made with, not the one that a bond gives it.
    pub(crate) permanent_mac: Option<MacAddress>,
    /// What it sends with.
    pub(crate) mac: Option<MacAddress>,
    pub(crate) driver: Option<String>,
    /// Whether it is switched on.
    pub(crate) up: bool,
    /// Whether the other side is there. Only a link that is up knows.
    pub(crate) carrier: bool,
    pub(crate) mtu: u32,
    /// The bond or bridge that it is a member of.
    pub(crate) master: Option<u32>,
    /// Its IPv6 settings. `None`: the kernel has no IPv6.
    pub(crate) ipv6: Option<Ipv6>,
}

/// What a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ethernet that hardware, real or virtual, makes.
    Physical,
    Loopback,
    Vlan {
        id: u16,
        over: Option<u32>,
    },
    /// The number is IFLA_BOND_MODE.
    Bond {
        mode: u8,
    },
    Bridge,
    /// Anything else: pods' veth pairs, tunnels. Never ours to touch.
    Foreign,
}

/// A link's settings and state of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ipv6 {
    /// The sysctl `accept_ra`.
    pub(crate) accept_ra: u8,
    /// Whether the link makes itself a link-local address (`addr_gen_mode` is not 1).
    pub(crate) link_local: bool,
    /// The M flag of the last router advertisement: addresses come by DHCPv6.
    pub(crate) managed: bool,
    /// The O flag: all else comes by DHCPv6.
    pub(crate) informed: bool,
}

/// An address on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) link: u32,
    pub(crate) cidr: Cidr,
    /// Whether it carries our mark.
    pub(crate) ours: bool,
    /// Whether packets may be sent from it: checked for duplicates, and none found.
    pub(crate) usable: bool,
}

/// A route of the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) link: u32,
    pub(crate) to: Cidr,
    pub(crate) via: Option<IpAddr>,
    pub(crate) metric: u32,
    /// The address that packets are sent from.
    pub(crate) source: Option<IpAddr>,
    /// Whether it carries our mark.
    pub(crate) ours: bool,
}

impl Address {
    /// Whether others can reach it: not of the link, not of the host.
    pub(crate) fn is_global(&self) -> bool {
        is_global(self.cidr.address())
    }
}

/// Whether an address is more than link-local or loopback. Private ranges are global in this sense.
pub(crate) fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local() && !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local() && !address.is_unspecified(),
    }
}

impl Observed {
    /// The addresses of a link that others can reach and that are ready.
    pub(crate) fn global_addresses(&self, link: u32) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(move |address| address.link == link && address.usable && address.is_global())
    }

    /// Where a link's default route leads, the rather taken first.
    pub(crate) fn gateway(&self, link: u32) -> Option<IpAddr> {
        let defaults = self.routes.iter().filter(|route| route.link == link && route.to.prefix() == 0);
        defaults.filter(|route| route.via.is_some()).min_by_key(|route| (route.to.address().is_ipv6(), route.metric))?.via
    }
}
