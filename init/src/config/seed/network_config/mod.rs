//! network-config, versions 1 and 2 of cloud-init's formats, turned into our own terms.
//!
//! What our terms can't say is refused by name. Links keep their kernel names: the names of these formats are what VLANs, bonds and
//! bridges of the same document call a link.

#[cfg(test)]
mod tests;
mod v1;
mod v2;

use super::SeedError;
use super::yaml::{self, Mapping};
use kmimage_contract::machine_config::Cidr;
use kmimage_contract::machine_config::network::{Addressing, BondMode, Dhcp, Network, Route};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};
use std::net::{IpAddr, Ipv4Addr};

/// What a network-config says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The network. `None`: the document names no link and no server, and the defaults hold.
    pub network: Option<Network>,
    /// What was there and means nothing to this system.
    pub notes: Vec<String>,
}

/// Reads a network-config, with or without the outer `network:`.
pub fn read(bytes: &[u8]) -> Result<Found, SeedError> {
    convert(bytes).map_err(SeedError::NetworkConfig)
}

fn convert(bytes: &[u8]) -> Result<Found, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to()))?;
    let Some(value) = yaml::parse(text)? else { return Ok(Found::default()) };
    let mut document = Mapping::new("", value)?;
    if let Some(inner) = document.mapping("network")? {
        document.finish()?;
        document = inner;
    }
    let mut found = Found::default();
    let mut network = Network::default();
    match document.number("version")? {
        Some(1) => v1::convert(document, &mut network, &mut found.notes)?,
        Some(2) => v2::convert(document, &mut network, &mut found.notes)?,
        Some(version) => return Err(format!("version {version} is not supported (1 and 2 are)")),
        None => return Err("`version` is missing: 1 and 2 are supported".to_owned()),
    }
    network.check().map_err(|fault| fault.message)?;
    found.network = (network != Network::default()).then_some(network);
    Ok(found)
}

/// What DHCP is to do, by family.
fn dhcp(ipv4: bool, ipv6: bool) -> Dhcp {
    match (ipv4, ipv6) {
        (true, true) => Dhcp::Both,
        (true, false) => Dhcp::Ipv4,
        (false, true) => Dhcp::Ipv6,
        (false, false) => Dhcp::No,
    }
}

/// An address of a link, whose prefix may stand apart, as bits or as a mask.
fn address(place: &str, text: &str, netmask: Option<&str>) -> Result<Cidr, String> {
    let written = match (text.split_once('/'), netmask) {
        (Some(_), None) => text.to_owned(),
        (None, Some(mask)) => format!("{text}/{}", prefix(place, mask)?),
        (None, None) => text.to_owned(),
        (Some(_), Some(_)) => return Err(format!("`{place}`: `{text}` has a prefix length, and a netmask is given, too")),
    };
    written.parse().map_err(|error| format!("`{place}`: {error}"))
}

/// The bits of a netmask.
fn prefix(place: &str, mask: &str) -> Result<u32, String> {
    if let Ok(bits) = mask.parse::<u32>() {
        return Ok(bits);
    }
    let bits = mask.parse::<Ipv4Addr>().map(u32::from).map_err(|_| format!("`{place}`: `{mask}` is no netmask"))?;
    if bits.leading_ones() == bits.count_ones() {
        Ok(bits.count_ones())
    } else {
        Err(format!("`{place}`: `{mask}` is no netmask"))
    }
}

fn ip(place: &str, text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{place}`: `{text}` is no IP address"))
}

/// Where a route leads: `default`, a network, or one host.
fn destination(place: &str, text: &str, netmask: Option<&str>, via: Option<IpAddr>) -> Result<Cidr, String> {
    if text == "default" {
        let unspecified = match via {
            Some(IpAddr::V6(_)) => "::/0",
            _ => "0.0.0.0/0",
        };
        return address(place, unspecified, None);
    }
    let host = text.parse::<IpAddr>().ok().filter(|_| netmask.is_none());
    let cidr = match host {
        Some(host) => address(place, &format!("{host}/{}", if host.is_ipv4() { 32 } else { 128 }), None)?,
        None => address(place, text, netmask)?,
    };
    // cloud-init takes 10.1.2.3/24 for 10.1.2.0/24.
    Ok(cidr.network())
}

/// A default route by this gateway.
fn default_route(place: &str, gateway: &str) -> Result<Route, String> {
    let via = ip(place, gateway)?;
    Ok(Route { to: destination(place, "default", None, Some(via))?, via: Some(via), metric: None })
}

/// A bond's mode by the kernel's word or number.
fn bond_mode(place: &str, word: &str) -> Result<BondMode, String> {
    const BY_NUMBER: [&str; 7] =
        ["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"];
    let word = word.parse::<usize>().ok().and_then(|number| BY_NUMBER.get(number).copied()).unwrap_or(word);
    let deserializer: StrDeserializer<'_, ValueError> = word.into_deserializer();
    BondMode::deserialize(deserializer).map_err(|_| format!("`{place}`: `{word}` is no mode of a bond"))
}

/// Adds servers and domains that are not there yet.
fn add_servers(network: &mut Network, place: &str, addresses: &[String], search: Vec<String>) -> Result<(), String> {
    for address in addresses {
        let address = ip(place, address)?;
        if !network.nameservers.contains(&address) {
            network.nameservers.push(address);
        }
    }
    for domain in search {
        if !network.search.contains(&domain) {
            network.search.push(domain);
        }
    }
    Ok(())
}

/// The addressing of a link while its parts are read.
#[derive(Debug, Default)]
struct Draft {
    ipv4: bool,
    ipv6: bool,
    addressing: Addressing,
}

impl Draft {
    fn finish(mut self) -> Addressing {
        self.addressing.dhcp = dhcp(self.ipv4, self.ipv6);
        self.addressing
    }
}
