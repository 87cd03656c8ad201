//! What is wrong with a network as a whole: names, matches, members, addresses and routes against each other.

use super::{Addressing, Match, Network, Route};
use crate::machine_config::address::Cidr;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Something that can't be, at a part of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which link.
    pub place: Place,
    /// Which part of it.
    pub part: Part,
    /// What, in one line.
    pub message: String,
}

/// A link by its place in the lists of [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In [`Network::interfaces`].
    Interface(usize),
    /// In [`Network::vlans`].
    Vlan(usize),
    /// In [`Network::bonds`].
    Bond(usize),
    /// In [`Network::bridges`].
    Bridge(usize),
}

/// A part of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its name.
    Name,
    /// An interface's match.
    Match,
    /// A VLAN's number.
    Id,
    /// What a VLAN lies over.
    Over,
    /// A member, by its place in the list.
    Member(usize),
    /// An address, by its place in the list.
    Address(usize),
    /// A route's destination, by the route's place in the list.
    Route(usize),
    /// A route's gateway, by the route's place in the list.
    Gateway(usize),
    /// The MTU.
    Mtu,
}

type Check = Result<(), Fault>;

/// A link as these rules see it.
struct Link<'a> {
    place: Place,
    name: &'a str,
    addressing: &'a Addressing,
}

impl Link<'_> {
    fn fault(&self, part: Part, message: String) -> Check {
        Err(Fault { place: self.place, part, message })
    }
}

impl Network {
    /// The first rule that this network breaks.
    pub fn check(&self) -> Check {
        let links = self.placed();
        let names = unique_names(&links)?;
        self.matches_differ()?;
        self.vlans(&names)?;
        self.members(&names)?;
        self.no_circle(&names)?;
        addresses(&links)?;
        routes(&links)?;
        self.packet_sizes(&links)
    }

    fn placed(&self) -> Vec<Link<'_>> {
        let count = |places: usize, place: fn(usize) -> Place| (0..places).map(place);
        let places = count(self.interfaces.len(), Place::Interface)
            .chain(count(self.vlans.len(), Place::Vlan))
            .chain(count(self.bonds.len(), Place::Bond))
            .chain(count(self.bridges.len(), Place::Bridge));
        places.zip(self.links()).map(|(place, (name, addressing))| Link { place, name, addressing }).collect()
    }

    fn matches_differ(&self) -> Check {
        for (at, interface) in self.interfaces.iter().enumerate() {
            let fault = |message| Err(Fault { place: Place::Interface(at), part: Part::Match, message });
            if interface.matches == Match::default() {
                return fault(format!("`{}` must say by `mac`, `name` or `driver` which link it is", interface.name));
            }
            for other in self.interfaces.iter().take(at) {
                if let Some(mac) = interface.matches.mac.filter(|mac| other.matches.mac == Some(*mac)) {
                    return fault(format!("`{}` and `{}` are one link: both have the MAC {mac}", other.name, interface.name));
                }
                if interface.matches == other.matches {
                    return fault(format!("`{}` and `{}` match the same link: {}", other.name, interface.name, other.matches));
                }
            }
        }
        Ok(())
    }

    fn vlans(&self, names: &BTreeMap<&str, Place>) -> Check {
        let mut numbers = BTreeMap::new();
        for (at, vlan) in self.vlans.iter().enumerate() {
            let fault = |part, message| Err(Fault { place: Place::Vlan(at), part, message });
            if !(1..=4094).contains(&vlan.id) {
                return fault(Part::Id, format!("a VLAN's number is 1 to 4094, not {}", vlan.id));
            }
            match names.get(vlan.over.as_str()) {
                None => return fault(Part::Over, unknown(&vlan.name, "is over", &vlan.over)),
                Some(Place::Vlan(_)) => {
                    return fault(Part::Over, format!("`{}` is over `{}`, a VLAN itself: not supported", vlan.name, vlan.over));
                }
                Some(_) => {}
            }
            if let Some(other) = numbers.insert((&vlan.over, vlan.id), &vlan.name) {
                return fault(Part::Id, format!("`{other}` is VLAN {} over `{}` already", vlan.id, vlan.over));
            }
        }
        Ok(())
    }

    /// Members exist, are of a kind that fits, belong to one link only, and have no addresses of their own.
    fn members(&self, names: &BTreeMap<&str, Place>) -> Check {
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        let addressing: BTreeMap<&str, &Addressing> = self.links().collect();
        let bonds = self.bonds.iter().enumerate().map(|(at, bond)| (Place::Bond(at), &bond.name, &bond.members));
        let bridges = self.bridges.iter().enumerate().map(|(at, bridge)| (Place::Bridge(at), &bridge.name, &bridge.members));
        for (place, name, members) in bonds.chain(bridges) {
            if members.is_empty() && matches!(place, Place::Bond(_)) {
                return Err(Fault { place, part: Part::Name, message: format!("`{name}` has no members") });
            }
            for (at, member) in members.iter().enumerate() {
                let fault = |message| Err(Fault { place, part: Part::Member(at), message });
                match (place, names.get(member.as_str())) {
                    (_, None) => return fault(unknown(name, "has the member", member)),
                    (Place::Bond(_), Some(Place::Interface(_)))
                    | (Place::Bridge(_), Some(Place::Interface(_) | Place::Vlan(_) | Place::Bond(_))) => {}
                    (Place::Bond(_), Some(_)) => {
                        return fault(format!("`{member}` is no interface: a bond is made of interfaces only"));
                    }
                    (_, Some(_)) => return fault(format!("`{member}` is a bridge itself: it can't be in `{name}`")),
                }
                if let Some(owner) = owners.insert(member, name) {
                    return fault(format!("`{member}` is in `{owner}` already"));
                }
                let own = addressing
                    .get(member.as_str())
                    .is_some_and(|own| own.dhcp.ipv4() || own.dhcp.ipv6() || !own.addresses.is_empty() || !own.routes.is_empty());
                if own {
                    return fault(format!("`{member}` has addresses or routes of its own: they belong to `{name}`"));
                }
            }
        }
        let bonded = |name: &String| owners.get(name.as_str()).filter(|owner| matches!(names.get(*owner), Some(Place::Bond(_))));
        for (at, vlan) in self.vlans.iter().enumerate() {
            if let Some(owner) = bonded(&vlan.over) {
                let message = format!("`{}` is in `{owner}`: the VLAN must be over that", vlan.over);
                return Err(Fault { place: Place::Vlan(at), part: Part::Over, message });
            }
        }
        Ok(())
    }

    /// A bridge may have a VLAN in it, and a VLAN may be over a bridge: not around in a circle.
    fn no_circle(&self, names: &BTreeMap<&str, Place>) -> Check {
        for (at, bridge) in self.bridges.iter().enumerate() {
            let mut waiting: Vec<&str> = bridge.members.iter().map(String::as_str).collect();
            let mut seen = BTreeSet::new();
            while let Some(name) = waiting.pop().filter(|name| seen.insert(*name)) {
                if name == bridge.name {
                    let message = format!("`{name}` carries one of its own members");
                    return Err(Fault { place: Place::Bridge(at), part: Part::Name, message });
                }
                match names.get(name) {
                    Some(Place::Vlan(at)) => waiting.extend(self.vlans.get(*at).map(|vlan| vlan.over.as_str())),
                    Some(Place::Bridge(at)) => {
                        waiting.extend(self.bridges.get(*at).into_iter().flat_map(|bridge| &bridge.members).map(String::as_str));
                    }
                    Some(Place::Interface(_) | Place::Bond(_)) | None => {}
                }
            }
        }
        Ok(())
    }

    fn packet_sizes(&self, links: &[Link<'_>]) -> Check {
        let sizes: BTreeMap<&str, u32> = links.iter().filter_map(|link| Some((link.name, link.addressing.mtu?))).collect();
        for link in links {
            let Some(mtu) = link.addressing.mtu else { continue };
            let ipv6 = link.addressing.dhcp.ipv6() || link.addressing.addresses.iter().any(|cidr| cidr.address().is_ipv6());
            if !(68..=65535).contains(&mtu) {
                return link.fault(Part::Mtu, format!("an MTU is 68 to 65535 bytes, not {mtu}"));
            }
            if ipv6 && mtu < 1280 {
                return link.fault(Part::Mtu, format!("IPv6 asks for an MTU of 1280 bytes at least, not {mtu}"));
            }
        }
        for (at, vlan) in self.vlans.iter().enumerate() {
            if let (Some(mtu), Some(carrier)) = (vlan.addressing.mtu, sizes.get(vlan.over.as_str()))
                && mtu > *carrier
            {
                let message = format!("`{}` has an MTU of {carrier} bytes: a VLAN over it can't have {mtu}", vlan.over);
                return Err(Fault { place: Place::Vlan(at), part: Part::Mtu, message });
            }
        }
        Ok(())
    }
}

fn unknown(name: &str, relation: &str, missing: &str) -> String {
    let missing: String = missing.chars().take(60).flat_map(char::escape_debug).collect();
    format!("`{name}` {relation} `{missing}`, and no link has that name")
}

fn unique_names<'a>(links: &[Link<'a>]) -> Result<BTreeMap<&'a str, Place>, Fault> {
    let mut names = BTreeMap::new();
    for link in links {
        if names.insert(link.name, link.place).is_some() {
            link.fault(Part::Name, format!("two links have the name `{}`", link.name))?;
        }
    }
    Ok(names)
}

fn addresses(links: &[Link<'_>]) -> Check {
    let mut owners: BTreeMap<IpAddr, &str> = BTreeMap::new();
    for link in links {
        for (at, cidr) in link.addressing.addresses.iter().enumerate() {
            if let Some(why) = unfit(*cidr) {
                return link.fault(Part::Address(at), format!("`{cidr}` is no address of a machine: it is {why}"));
            }
            // A link-local address may be on every link.
            let everywhere = matches!(cidr.address(), IpAddr::V6(address) if address.is_unicast_link_local());
            if let Some(owner) = owners.insert(cidr.address(), link.name).filter(|owner| !everywhere || *owner == link.name) {
                return link.fault(Part::Address(at), format!("`{owner}` has the address {} already", cidr.address()));
            }
        }
    }
    Ok(())
}

/// Why an address can't be a machine's.
fn unfit(cidr: Cidr) -> Option<&'static str> {
    let address = cidr.address();
    if address.is_unspecified() {
        return Some("the unspecified address");
    }
    if address.is_loopback() {
        return Some("a loopback address");
    }
    if address.is_multicast() {
        return Some("a multicast address");
    }
    match address {
        IpAddr::V4(address) if cidr.prefix() < 31 => {
            let host = u32::MAX.checked_shr(cidr.prefix().into()).unwrap_or(0);
            match address.to_bits() & host {
                0 => Some("the network itself"),
                bits if bits == host => Some("the network's broadcast address"),
                _ => None,
            }
        }
        _ => None,
    }
}

fn routes(links: &[Link<'_>]) -> Check {
    let mut known: BTreeMap<(Cidr, Option<u32>), &str> = BTreeMap::new();
    for link in links {
        for (at, route) in link.addressing.routes.iter().enumerate() {
            let fault = |message| link.fault(Part::Route(at), message);
            let bad_gateway = |message| link.fault(Part::Gateway(at), message);
            if route.to != route.to.network() {
                return fault(format!("`{}` has bits below its prefix: the network is {}", route.to, route.to.network()));
            }
            match route.via {
                None if route.to.prefix() == 0 => return fault("a default route needs `via`, the gateway".to_owned()),
                None => {}
                Some(via) if via.is_ipv4() != route.to.address().is_ipv4() => {
                    return bad_gateway(format!("`{}` and its gateway {via} are of different families", route.to));
                }
                Some(via) => gateway(link, via).or_else(bad_gateway)?,
            }
            if let Some(other) = known.insert((route.to, route.metric), link.name) {
                return fault(format!("`{other}` has a route to {} with the same metric", route.to));
            }
        }
    }
    Ok(())
}

/// A gateway must be reachable over the link: in one of its networks, or by a route without a gateway. Networks that only DHCP knows
/// can't be judged.
fn gateway(link: &Link<'_>, via: IpAddr) -> Result<(), String> {
    let Addressing { dhcp, addresses, routes, .. } = link.addressing;
    let unknown = if via.is_ipv4() { dhcp.ipv4() } else { dhcp.ipv6() };
    let link_local = matches!(via, IpAddr::V6(address) if address.is_unicast_link_local());
    let direct = |route: &Route| route.via.is_none() && route.to.contains(via);
    if addresses.iter().any(|cidr| cidr.address() == via) {
        return Err(format!("the gateway {via} is `{}` itself", link.name));
    }
    if unknown || link_local || addresses.iter().any(|cidr| cidr.contains(via)) || routes.iter().any(direct) {
        return Ok(());
    }
    Err(format!("the gateway {via} is in no network of `{}`", link.name))
}
