//! What the network says of itself: state lines for process 1. Pure.
//!
//! - `network interface=ens3 state=up addresses=10.0.0.9/24 gateway=10.0.0.1 dhcp=bound`: a link that is managed; `name=` where the
//!   config calls it otherwise; state is `up`, `no-carrier`, `down` or, once, `gone`;
//! - `network usable=yes`, or `network usable=no waiting="carrier on ens3; dhcp on ens4"`;
//! - `network hostname=node-1`: the name that DHCP gives;
//! - `network error="..."`: a step that the kernel refused; it is tried again.

use super::desired::Desired;
use super::leases::Leases;
use super::observed::{Link, Observed};
use super::wish::{Wish, Wishes, assign};
use kmimage_contract::machine_config::network::{Addressing, Dhcp};
use kmimage_contract::state_line::StateLine;
use std::collections::BTreeMap;

/// The state's word.
pub(crate) const STATE: &str = "network";

/// The line of each managed link, by its index.
pub(crate) fn interfaces(wishes: &Wishes, observed: &Observed, leases: &Leases) -> BTreeMap<u32, StateLine> {
    let line = |wish: &Wish| observed.links.get(&wish.index).map(|link| (wish.index, link_line(wish, link, observed, leases)));
    wishes.links.iter().filter_map(line).collect()
}

fn link_line(wish: &Wish, link: &Link, observed: &Observed, leases: &Leases) -> StateLine {
    let state = match (link.up, link.carrier) {
        (false, _) => "down",
        (true, false) => "no-carrier",
        (true, true) => "up",
    };
    let mut line = StateLine::new(STATE).with("interface", &link.name);
    if wish.name != link.name {
        line = line.with("name", &wish.name);
    }
    line = line.with("state", state);
    if let Some(mac) = link.mac {
        line = line.with("mac", mac);
    }
    let addresses: Vec<String> = observed.global_addresses(wish.index).map(|address| address.cidr.to_string()).collect();
    if !addresses.is_empty() {
        line = line.with("addresses", addresses.join(","));
    }
    if let Some(gateway) = observed.gateway(wish.index) {
        line = line.with("gateway", gateway);
    }
    let lease = leases.get(&wish.index);
    if let Some(state) = lease.and_then(|lease| lease.ipv4_state) {
        line = line.with("dhcp", state);
    }
    if let Some(state) = lease.and_then(|lease| lease.ipv6_state) {
        line = line.with("dhcp6", state);
    }
    line
}

/// What the network still waits for before it is usable. Empty: it is.
///
/// Without named links: one address that others can reach. With: each link that is there for addresses has carrier and them; of
/// DHCP and router advertisements, where a config asks for both, one is enough.
pub(crate) fn waiting(desired: &Desired, wishes: &Wishes, observed: &Observed) -> Vec<String> {
    let network = &desired.network;
    if network.links_are_default() {
        return default_waiting(wishes, observed);
    }
    let assigned = assign(network, observed);
    let mut waiting = Vec::new();
    let mut addressed = false;
    for (name, addressing) in network.links() {
        let Some(index) = assigned.get(name) else {
            let matches = network.interfaces.iter().find(|interface| interface.name == name).map(|interface| &interface.matches);
            waiting.push(matches.map_or_else(|| format!("link {name}"), |matches| format!("link with {matches}")));
            continue;
        };
        let Some(link) = observed.links.get(index) else { continue };
        addressed |= observed.global_addresses(*index).next().is_some();
        waiting.extend(lacking(*index, link, addressing, observed));
    }
    if waiting.is_empty() && !addressed {
        waiting.push("an address".to_owned());
    }
    waiting
}

fn default_waiting(wishes: &Wishes, observed: &Observed) -> Vec<String> {
    let links: Vec<(u32, &Link)> =
        wishes.links.iter().filter_map(|wish| Some((wish.index, observed.links.get(&wish.index)?))).collect();
    if links.iter().any(|(index, link)| link.carrier && observed.global_addresses(*index).next().is_some()) {
        return Vec::new();
    }
    if links.is_empty() {
        return vec!["a network link".to_owned()];
    }
    let with_carrier: Vec<String> =
        links.iter().filter(|(_, link)| link.carrier).map(|(_, link)| format!("dhcp on {}", link.name)).collect();
    if with_carrier.is_empty() {
        links.iter().map(|(_, link)| format!("carrier on {}", link.name)).collect()
    } else {
        with_carrier
    }
}

/// What a link lacks of what its config asks for.
fn lacking(index: u32, link: &Link, addressing: &Addressing, observed: &Observed) -> Option<String> {
    let asks = addressing.dhcp != Dhcp::No || !addressing.addresses.is_empty();
    if !asks {
        return None;
    }
    if !link.carrier {
        return Some(format!("carrier on {}", link.name));
    }
    let usable =
        |wanted| observed.addresses.iter().any(|address| address.link == index && address.usable && address.cidr == wanted);
    if let Some(address) = addressing.addresses.iter().find(|address| !usable(**address)) {
        return Some(format!("address {address} on {}", link.name));
    }
    let dynamic = |ipv4: bool| {
        let own = |address: &&super::observed::Address| addressing.addresses.contains(&address.cidr);
        observed.global_addresses(index).filter(|address| !own(address)).any(|address| address.cidr.address().is_ipv4() == ipv4)
    };
    match addressing.dhcp {
        Dhcp::Ipv4 if !dynamic(true) => Some(format!("dhcp on {}", link.name)),
        Dhcp::Ipv6 if !dynamic(false) => Some(format!("a router on {}", link.name)),
        Dhcp::Both if !dynamic(true) && !dynamic(false) => Some(format!("dhcp on {}", link.name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
