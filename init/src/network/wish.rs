//! What each link is to be: the desired network, the leases and the links that there are, brought together. Pure.

use super::desired::Desired;
use super::leases::{Leases, LinkLeases};
use super::observed::{Kind, Link, Observed};
use kmimage_contract::machine_config::Cidr;
use kmimage_contract::machine_config::network::{Addressing, Dhcp, Network};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// The metric of routes that come by DHCP: this and the link's index, so that the first link is preferred and no two are the same.
const LEASE_METRIC: u32 = 1024;
/// What the kernel takes for an IPv6 route without a metric (IP6_RT_PRIO_USER).
const IPV6_METRIC: u32 = 1024;

/// What the network is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    /// The links that there are, by index; physical ones first, VLANs last.
    pub(crate) links: Vec<Wish>,
    /// The links that must be made, as far as what they lie over is there.
    pub(crate) make: Vec<Make>,
}

/// What a link that is there is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) index: u32,
    /// What the config calls it; the kernel's name without a config.
    pub(crate) name: String,
    pub(crate) master: Option<Master>,
    pub(crate) mtu: Option<u32>,
    pub(crate) dhcp: Dhcp,
    pub(crate) addresses: Vec<Cidr>,
    pub(crate) routes: Vec<WishRoute>,
}

/// What a link is a member of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Master {
    Bond(u32),
    Bridge(u32),
    /// It will be a member, but the bond or bridge isn't there yet.
    Later,
}

/// A route over a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WishRoute {
    pub(crate) to: Cidr,
    pub(crate) via: Option<IpAddr>,
    pub(crate) metric: u32,
    pub(crate) source: Option<IpAddr>,
    /// Whether the gateway is outside of the link's networks, and there all the same.
    pub(crate) onlink: bool,
}

/// A link to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Make {
    Vlan {
        name: String,
        id: u16,
        over: u32,
    },
    /// The number is IFLA_BOND_MODE.
    Bond {
        name: String,
        mode: u8,
    },
    Bridge {
        name: String,
    },
}

impl Make {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Vlan { name, .. } | Self::Bond { name, .. } | Self::Bridge { name } => name,
        }
    }
}

/// The links that a config's names stand for, as far as they are there.
pub(crate) fn assign<'a>(network: &'a Network, observed: &Observed) -> BTreeMap<&'a str, u32> {
    let mut assigned: BTreeMap<&str, u32> = BTreeMap::new();
    // What a hardware address names is meant more than what a pattern fits.
    let (exact, loose): (Vec<_>, Vec<_>) = network.interfaces.iter().partition(|interface| interface.matches.mac.is_some());
    for interface in exact.into_iter().chain(loose) {
        let fits = |link: &Link| {
            link.kind == Kind::Physical && interface.matches.fits(link.permanent_mac, &link.name, link.driver.as_deref())
        };
        let free = |index: &u32| !assigned.values().any(|taken| taken == index);
        let found = observed.links.iter().find(|(index, link)| free(index) && fits(link)).map(|(index, _)| *index);
        if let Some(index) = found {
            assigned.insert(&interface.name, index);
        }
    }
    let made = |name: &str, is: &dyn Fn(Kind) -> bool| {
        observed.links.iter().find(|(_, link)| link.ours && link.name == name && is(link.kind)).map(|(index, _)| *index)
    };
    for bond in &network.bonds {
        let right = |kind| kind == Kind::Bond { mode: bond.mode.number() };
        assigned.extend(made(&bond.name, &right).map(|index| (bond.name.as_str(), index)));
    }
    for bridge in &network.bridges {
        assigned.extend(made(&bridge.name, &|kind| kind == Kind::Bridge).map(|index| (bridge.name.as_str(), index)));
    }
    // A VLAN may lie over what comes later in this list: over nothing that isn't assigned it isn't right, and made anew.
    for vlan in &network.vlans {
        let over = assigned.get(vlan.over.as_str()).copied();
        let right = |kind| over.is_some() && kind == Kind::Vlan { id: vlan.id, over };
        assigned.extend(made(&vlan.name, &right).map(|index| (vlan.name.as_str(), index)));
    }
    assigned
}

/// What every link is to be.
pub(crate) fn wishes(desired: &Desired, observed: &Observed, leases: &Leases) -> Wishes {
    let network = &desired.network;
    if network.links_are_default() {
        let automatic = Addressing { dhcp: Dhcp::Both, ..Addressing::default() };
        // A link with a master that isn't ours is somebody's part already.
        let free = |link: &Link| link.master.and_then(|master| observed.links.get(&master)).is_none_or(|master| master.ours);
        let physical = observed.links.iter().filter(|(_, link)| link.kind == Kind::Physical && free(link));
        let wish = |(index, link): (&u32, &Link)| wish(*index, &link.name, None, &automatic, observed, leases);
        return Wishes { links: physical.map(wish).collect(), make: Vec::new() };
    }
    let assigned = assign(network, observed);
    let mut masters: BTreeMap<&str, Master> = BTreeMap::new();
    for bond in &network.bonds {
        let master = assigned.get(bond.name.as_str()).map_or(Master::Later, |index| Master::Bond(*index));
        masters.extend(bond.members.iter().map(|member| (member.as_str(), master)));
    }
    for bridge in &network.bridges {
        let master = assigned.get(bridge.name.as_str()).map_or(Master::Later, |index| Master::Bridge(*index));
        masters.extend(bridge.members.iter().map(|member| (member.as_str(), master)));
    }
    let there = |(name, addressing): (&str, &Addressing)| {
        let index = *assigned.get(name)?;
        Some(wish(index, name, masters.get(name).copied(), addressing, observed, leases))
    };
    let interfaces = network.interfaces.iter().map(|link| (link.name.as_str(), &link.addressing));
    let bonds = network.bonds.iter().map(|link| (link.name.as_str(), &link.addressing));
    let bridges = network.bridges.iter().map(|link| (link.name.as_str(), &link.addressing));
    let vlans = network.vlans.iter().map(|link| (link.name.as_str(), &link.addressing));
    let links = interfaces.chain(bonds).chain(bridges).chain(vlans).filter_map(there).collect();

    let missing = |name: &str| !assigned.contains_key(name);
    let make_bonds = network.bonds.iter().filter(|bond| missing(&bond.name));
    let make_bonds = make_bonds.map(|bond| Make::Bond { name: bond.name.clone(), mode: bond.mode.number() });
    let make_bridges = network.bridges.iter().filter(|bridge| missing(&bridge.name));
    let make_bridges = make_bridges.map(|bridge| Make::Bridge { name: bridge.name.clone() });
    let make_vlans = network.vlans.iter().filter(|vlan| missing(&vlan.name)).filter_map(|vlan| {
        let over = *assigned.get(vlan.over.as_str())?;
        Some(Make::Vlan { name: vlan.name.clone(), id: vlan.id, over })
    });
    Wishes { links, make: make_bonds.chain(make_bridges).chain(make_vlans).collect() }
}

fn wish(index: u32, name: &str, master: Option<Master>, addressing: &Addressing, observed: &Observed, leases: &Leases) -> Wish {
    let none = LinkLeases::default();
    let lease = leases.get(&index).filter(|_| master.is_none()).unwrap_or(&none);
    let mut wish = Wish {
        index,
        name: name.to_owned(),
        master,
        mtu: addressing.mtu,
        dhcp: if master.is_none() { addressing.dhcp } else { Dhcp::No },
        addresses: addressing.addresses.clone(),
        routes: addressing
            .routes
            .iter()
            .map(|route| {
                let default = if route.to.address().is_ipv6() { IPV6_METRIC } else { 0 };
                let metric = route.metric.unwrap_or(default);
                WishRoute { to: route.to, via: route.via, metric, source: None, onlink: false }
            })
            .collect(),
    };
    if wish.dhcp.ipv4() {
        add_ipv4(&mut wish, lease, observed);
    }
    if let Some(address) = lease.ipv6.as_ref().filter(|_| wish.dhcp.ipv6()).and_then(|lease| lease.address) {
        let cidr = Cidr::new(IpAddr::V6(address), 128);
        wish.addresses.extend(cidr.filter(|cidr| !wish.addresses.contains(cidr)));
    }
    wish
}

fn add_ipv4(wish: &mut Wish, lease: &LinkLeases, observed: &Observed) {
    let Some(lease) = &lease.ipv4 else {
        // What was the address before this program was started anew, and is asked for again: it stays until there is an answer.
        if let Some(address) = lease.confirming.map(IpAddr::V4) {
            let mark = |link: &super::observed::Address| link.link == wish.index && link.ours && link.cidr.address() == address;
            wish.addresses.extend(observed.addresses.iter().filter(|address| mark(address)).map(|address| address.cidr));
            let from =
                observed.routes.iter().filter(|route| route.link == wish.index && route.ours && route.source == Some(address));
            wish.routes.extend(from.map(|route| WishRoute {
                to: route.to,
                via: route.via,
                metric: route.metric,
                source: route.source,
                onlink: false,
            }));
        }
        return;
    };
    let address = IpAddr::V4(lease.address);
    let Some(cidr) = Cidr::new(address, lease.prefix) else { return };
    if !wish.addresses.iter().any(|known| known.address() == address) {
        wish.addresses.push(cidr);
    }
    wish.mtu = wish.mtu.or(lease.mtu.map(u32::from));
    for route in &lease.routes {
        let Some(to) = Cidr::new(IpAddr::V4(route.to), route.prefix) else { continue };
        let via = route.via.map(IpAddr::V4);
        let reached = via.is_none_or(|via| wish.addresses.iter().any(|own| own.contains(via)));
        // A gateway of our own address would be no gateway.
        if via == Some(address) || via == Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
            continue;
        }
        let metric = LEASE_METRIC.saturating_add(wish.index);
        let route = WishRoute { to, via, metric, source: Some(address), onlink: !reached };
        if !wish.routes.iter().any(|known| known.to == route.to && known.metric == route.metric) {
            wish.routes.push(route);
        }
    }
}
