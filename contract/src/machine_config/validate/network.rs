//! `[network]`.

use super::{Context, Result, values};
use crate::machine_config::Cidr;
use crate::machine_config::network::{
    Addressing, Bond, Bridge, Dhcp, Fault, Interface, Match, Network, Part, Place, Route, Vlan,
};
use crate::machine_config::raw::{RawMatch, RawNetwork, RawRoute, Text};
use crate::toml_document::Located;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

pub(super) fn network(raw: &RawNetwork, context: &Context<'_>) -> Result<Network> {
    let network = Network {
        nameservers: context.values(&raw.nameservers, values::address)?,
        search: context.values(&raw.search, values::domain)?,
        hosts: hosts(&raw.hosts, context)?,
        interfaces: interfaces(raw, context)?,
        vlans: vlans(raw, context)?,
        bonds: bonds(raw, context)?,
        bridges: bridges(raw, context)?,
    };
    if let Err(fault) = network.check() {
        return Err(context.document.error_at(span(raw, &fault).unwrap_or(0..0), fault.message));
    }
    addressed(raw, context)?;
    Ok(network)
}

fn hosts(raw: &BTreeMap<Text, Vec<Text>>, context: &Context<'_>) -> Result<BTreeMap<IpAddr, Vec<String>>> {
    let mut hosts = BTreeMap::new();
    // A name may have one address of each family.
    let mut owners: BTreeMap<(String, bool), Range<usize>> = BTreeMap::new();
    let mut written: Vec<_> = raw.iter().collect();
    written.sort_by_key(|(key, _)| key.span().start);
    for (key, texts) in written {
        let address = context.value(key, values::address)?;
        if texts.is_empty() {
            return context.fail(key, format!("{address} has no names"));
        }
        let mut names = Vec::with_capacity(texts.len());
        for text in texts {
            let name = context.value(text, values::domain)?;
            if name == "localhost" {
                return context.fail(text, "`localhost` is the machine itself");
            }
            if let Some(first) = owners.insert((name.clone(), address.is_ipv4()), text.span()) {
                return context.doubled(text, "the host", first);
            }
            names.push(name);
        }
        if hosts.insert(address, names).is_some() {
            return context.fail(key, format!("{address} is here twice, written in two ways"));
        }
    }
    Ok(hosts)
}

fn interfaces(raw: &RawNetwork, context: &Context<'_>) -> Result<Vec<Interface>> {
    let interface = |raw: &crate::machine_config::raw::RawInterface| {
        Ok(Interface {
            name: context.value(&raw.name, values::link_name)?,
            matches: matches(&raw.matches, context)?,
            addressing: addressing(&Written::of(raw.dhcp.as_ref(), &raw.addresses, raw.mtu.as_ref(), &raw.routes), context)?,
        })
    };
    raw.interface.iter().map(interface).collect()
}

fn matches(raw: &RawMatch, context: &Context<'_>) -> Result<Match> {
    let mac = raw.mac.as_ref().map(|text| {
        let mac: crate::machine_config::MacAddress =
            context.value(text, |text| text.parse().map_err(|error: crate::machine_config::AddressError| error.to_string()))?;
        if mac.0[0] & 1 == 1 || mac.0 == [0; 6] {
            return context.fail(text, format!("`{mac}` is no link's address: it is zero, or a group's"));
        }
        Ok(mac)
    });
    Ok(Match {
        mac: mac.transpose()?,
        name: raw.name.as_ref().map(|text| context.value(text, values::link_pattern)).transpose()?,
        driver: raw.driver.as_ref().map(|text| context.value(text, values::driver)).transpose()?,
    })
}

fn vlans(raw: &RawNetwork, context: &Context<'_>) -> Result<Vec<Vlan>> {
    let vlan = |raw: &crate::machine_config::raw::RawVlan| {
        Ok(Vlan {
            name: context.value(&raw.name, values::link_name)?,
            id: context.number(&raw.id, 1..4095, "a VLAN's number")?,
            over: (*raw.over).clone(),
            addressing: addressing(&Written::of(raw.dhcp.as_ref(), &raw.addresses, raw.mtu.as_ref(), &raw.routes), context)?,
        })
    };
    raw.vlan.iter().map(vlan).collect()
}

fn bonds(raw: &RawNetwork, context: &Context<'_>) -> Result<Vec<Bond>> {
    let bond = |raw: &crate::machine_config::raw::RawBond| {
        Ok(Bond {
            name: context.value(&raw.name, values::link_name)?,
            mode: *raw.mode,
            members: raw.members.iter().map(|member| (**member).clone()).collect(),
            addressing: addressing(&Written::of(raw.dhcp.as_ref(), &raw.addresses, raw.mtu.as_ref(), &raw.routes), context)?,
        })
    };
    raw.bond.iter().map(bond).collect()
}

fn bridges(raw: &RawNetwork, context: &Context<'_>) -> Result<Vec<Bridge>> {
    let bridge = |raw: &crate::machine_config::raw::RawBridge| {
        Ok(Bridge {
            name: context.value(&raw.name, values::link_name)?,
            members: raw.members.iter().map(|member| (**member).clone()).collect(),
            addressing: addressing(&Written::of(raw.dhcp.as_ref(), &raw.addresses, raw.mtu.as_ref(), &raw.routes), context)?,
        })
    };
    raw.bridge.iter().map(bridge).collect()
}

/// The keys that every link has.
#[derive(Clone, Copy)]
struct Written<'a> {
    dhcp: Option<&'a Located<Dhcp>>,
    addresses: &'a [Text],
    mtu: Option<&'a Located<i64>>,
    routes: &'a [RawRoute],
}

impl<'a> Written<'a> {
    fn of(dhcp: Option<&'a Located<Dhcp>>, addresses: &'a [Text], mtu: Option<&'a Located<i64>>, routes: &'a [RawRoute]) -> Self {
        Self { dhcp, addresses, mtu, routes }
    }
}

fn addressing(raw: &Written<'_>, context: &Context<'_>) -> Result<Addressing> {
    Ok(Addressing {
        dhcp: raw.dhcp.map(|dhcp| **dhcp).unwrap_or_default(),
        addresses: raw.addresses.iter().map(|text| cidr(text, context)).collect::<Result<_>>()?,
        mtu: raw.mtu.map(|mtu| context.number(mtu, 68..65536, "an MTU in bytes")).transpose()?,
        routes: raw.routes.iter().map(|route| self::route(route, context)).collect::<Result<_>>()?,
    })
}

fn cidr(text: &Text, context: &Context<'_>) -> Result<Cidr> {
    context.value(text, |text| text.parse().map_err(|error: crate::machine_config::AddressError| error.to_string()))
}

fn route(raw: &RawRoute, context: &Context<'_>) -> Result<Route> {
    let via = raw.via.as_ref().map(|text| context.value(text, values::address)).transpose()?;
    let to = match (raw.to.as_str(), via) {
        ("default", None) => return context.fail(&raw.to, "a default route needs `via`, the gateway"),
        ("default", Some(IpAddr::V4(_))) => Cidr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        ("default", Some(IpAddr::V6(_))) => Cidr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        _ => Some(cidr(&raw.to, context)?),
    };
    let Some(to) = to else { return context.fail(&raw.to, "no network") };
    let metric = raw.metric.as_ref().map(|metric| context.number(metric, 0..1 << 32, "a route's metric")).transpose()?;
    Ok(Route { to, via, metric })
}

/// A link without addresses is no accident: it is part of another, or says `dhcp = "no"`.
fn addressed(raw: &RawNetwork, context: &Context<'_>) -> Result<()> {
    let members = raw.bond.iter().flat_map(|bond| &bond.members).chain(raw.bridge.iter().flat_map(|bridge| &bridge.members));
    let parts: BTreeSet<&str> = members.chain(raw.vlan.iter().map(|vlan| &vlan.over)).map(|text| text.as_str()).collect();
    for (name, written) in links(raw) {
        if written.dhcp.is_none() && written.addresses.is_empty() && !parts.contains(name.as_str()) {
            let message = format!("`{}` gets no address: say `addresses` or `dhcp` (\"no\", if that is meant)", **name);
            return context.fail(name, message);
        }
    }
    Ok(())
}

/// Every link's name and common keys, in the order of [`Network::links`].
fn links(raw: &RawNetwork) -> impl Iterator<Item = (&Text, Written<'_>)> {
    let interfaces = raw
        .interface
        .iter()
        .map(|raw| (&raw.name, Written::of(raw.dhcp.as_ref(), &raw.addresses, raw.mtu.as_ref(), &raw.routes)));
    let vlans =
        raw.vlan.iter().map(|raw| (&raw.name, Written::of(raw.dhcp.as_ref(), &raw.addresses, raw.mtu.as_ref(), &raw.routes)));
    let bonds =
        raw.bond.iter().map(|raw| (&raw.name, Written::of(raw.dhcp.as_ref(), &raw.addresses, raw.mtu.as_ref(), &raw.routes)));
    let bridges =
        raw.bridge.iter().map(|raw| (&raw.name, Written::of(raw.dhcp.as_ref(), &raw.addresses, raw.mtu.as_ref(), &raw.routes)));
    interfaces.chain(vlans).chain(bonds).chain(bridges)
}

/// Where the part of a link that a fault names was written.
fn span(raw: &RawNetwork, fault: &Fault) -> Option<Range<usize>> {
    let (at, before) = match fault.place {
        Place::Interface(at) => (at, 0),
        Place::Vlan(at) => (at, raw.interface.len()),
        Place::Bond(at) => (at, raw.interface.len() + raw.vlan.len()),
        Place::Bridge(at) => (at, raw.interface.len() + raw.vlan.len() + raw.bond.len()),
    };
    let (name, written) = links(raw).nth(before + at)?;
    let exact = match fault.part {
        Part::Name => None,
        Part::Match => raw.interface.get(at).and_then(|raw| {
            let keys = [raw.matches.mac.as_ref(), raw.matches.name.as_ref(), raw.matches.driver.as_ref()];
            keys.into_iter().flatten().next().map(Located::span)
        }),
        Part::Id => raw.vlan.get(at).map(|raw| raw.id.span()),
        Part::Over => raw.vlan.get(at).map(|raw| raw.over.span()),
        Part::Member(member) => match fault.place {
            Place::Bond(_) => raw.bond.get(at)?.members.get(member),
            Place::Bridge(_) => raw.bridge.get(at)?.members.get(member),
            Place::Interface(_) | Place::Vlan(_) => None,
        }
        .map(Located::span),
        Part::Address(address) => written.addresses.get(address).map(Located::span),
        Part::Route(route) => written.routes.get(route).map(|route| route.via.as_ref().unwrap_or(&route.to).span()),
        Part::Mtu => written.mtu.map(Located::span),
        Part::Dhcp => written.dhcp.map(Located::span),
    };
    Some(exact.unwrap_or_else(|| name.span()))
}
