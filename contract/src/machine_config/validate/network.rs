//! `[network]`.

use super::{Context, Result, values};
use crate::machine_config::network::{
    Addressing, Bond, Bridge, Dhcp, Fault, Interface, Match, Network, Part, Place, Route, Vlan,
};
use crate::machine_config::raw::{RawBond, RawBridge, RawInterface, RawMatch, RawNetwork, RawRoute, RawVlan, Text};
use crate::machine_config::{AddressError, Cidr, MacAddress};
use crate::toml_document::Located;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

pub(super) fn network(raw: &RawNetwork, context: &Context<'_>) -> Result<Network> {
    let network = Network {
        nameservers: context.values(&raw.nameservers, values::address)?,
        search: context.values(&raw.search, values::domain)?,
        hosts: hosts(&raw.hosts, context)?,
        interfaces: raw.interface.iter().map(|raw| interface(raw, context)).collect::<Result<_>>()?,
        vlans: raw.vlan.iter().map(|raw| vlan(raw, context)).collect::<Result<_>>()?,
        bonds: raw.bond.iter().map(|raw| bond(raw, context)).collect::<Result<_>>()?,
        bridges: raw.bridge.iter().map(|raw| bridge(raw, context)).collect::<Result<_>>()?,
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

fn interface(raw: &RawInterface, context: &Context<'_>) -> Result<Interface> {
    let name = context.value(&raw.name, values::link_name)?;
    Ok(Interface { name, matches: matches(&raw.matches, context)?, addressing: addressing(&raw.into(), context)? })
}

fn matches(raw: &RawMatch, context: &Context<'_>) -> Result<Match> {
    let mac = raw.mac.as_ref().map(|text| {
        let mac: MacAddress = context.value(text, |text| text.parse().map_err(|error: AddressError| error.to_string()))?;
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

fn vlan(raw: &RawVlan, context: &Context<'_>) -> Result<Vlan> {
    Ok(Vlan {
        name: context.value(&raw.name, values::link_name)?,
        id: context.number(&raw.id, 1..4095, "a VLAN's number")?,
        over: (*raw.over).clone(),
        addressing: addressing(&raw.into(), context)?,
    })
}

fn bond(raw: &RawBond, context: &Context<'_>) -> Result<Bond> {
    let name = context.value(&raw.name, values::link_name)?;
    Ok(Bond { name, mode: *raw.mode, members: names(&raw.members), addressing: addressing(&raw.into(), context)? })
}

fn bridge(raw: &RawBridge, context: &Context<'_>) -> Result<Bridge> {
    let name = context.value(&raw.name, values::link_name)?;
    Ok(Bridge { name, members: names(&raw.members), addressing: addressing(&raw.into(), context)? })
}

fn names(texts: &[Text]) -> Vec<String> {
    texts.iter().map(|text| (**text).clone()).collect()
}

/// The keys that every link has.
#[derive(Clone, Copy)]
struct Written<'a> {
    name: &'a Text,
    dhcp: Option<&'a Located<Dhcp>>,
    addresses: &'a [Text],
    mtu: Option<&'a Located<i64>>,
    routes: &'a [RawRoute],
}

macro_rules! written {
    ($($link:ident),*) => {
        $(impl<'a> From<&'a $link> for Written<'a> {
            fn from(raw: &'a $link) -> Self {
                let $link { name, dhcp, addresses, mtu, routes, .. } = raw;
                Self { name, dhcp: dhcp.as_ref(), addresses, mtu: mtu.as_ref(), routes }
            }
        })*
    };
}

written!(RawInterface, RawVlan, RawBond, RawBridge);

fn addressing(raw: &Written<'_>, context: &Context<'_>) -> Result<Addressing> {
    Ok(Addressing {
        dhcp: raw.dhcp.map(|dhcp| **dhcp).unwrap_or_default(),
        addresses: raw.addresses.iter().map(|text| cidr(text, context)).collect::<Result<_>>()?,
        mtu: raw.mtu.map(|mtu| context.number(mtu, 68..65536, "an MTU in bytes")).transpose()?,
        routes: raw.routes.iter().map(|route| self::route(route, context)).collect::<Result<_>>()?,
    })
}

fn cidr(text: &Text, context: &Context<'_>) -> Result<Cidr> {
    context.value(text, |text| text.parse().map_err(|error: AddressError| error.to_string()))
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
    for written in links(raw) {
        let name = written.name;
        if written.dhcp.is_none() && written.addresses.is_empty() && !parts.contains(name.as_str()) {
            let message = format!("`{}` gets no address: say `addresses` or `dhcp` (\"no\", if that is meant)", **name);
            return context.fail(name, message);
        }
    }
    Ok(())
}

/// The common keys of every link, in the order of [`Network::links`].
fn links(raw: &RawNetwork) -> impl Iterator<Item = Written<'_>> {
    let interfaces = raw.interface.iter().map(Written::from);
    let vlans = raw.vlan.iter().map(Written::from);
    interfaces.chain(vlans).chain(raw.bond.iter().map(Written::from)).chain(raw.bridge.iter().map(Written::from))
}

/// Where the part of a link that a fault names was written.
fn span(raw: &RawNetwork, fault: &Fault) -> Option<Range<usize>> {
    let (at, before) = match fault.place {
        Place::Interface(at) => (at, 0),
        Place::Vlan(at) => (at, raw.interface.len()),
        Place::Bond(at) => (at, raw.interface.len() + raw.vlan.len()),
        Place::Bridge(at) => (at, raw.interface.len() + raw.vlan.len() + raw.bond.len()),
    };
    let written = links(raw).nth(before + at)?;
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
        Part::Route(route) => written.routes.get(route).map(|route| route.to.span()),
        Part::Gateway(route) => written.routes.get(route)?.via.as_ref().map(Located::span),
        Part::Mtu => written.mtu.map(Located::span),
    };
    Some(exact.unwrap_or_else(|| written.name.span()))
}
