//! resolv.conf, hosts and the list of time servers, as texts. Pure.

use super::desired::Desired;
use super::leases::{Leases, LinkLeases};
use super::observed::Observed;
use super::wish::Wishes;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

/// glibc asks the first three, and kubelet warns of more.
const MOST_SERVERS: usize = 3;

/// The leases of the wanted links, in the order in which their default routes are taken.
fn leases<'a>(wishes: &'a Wishes, leases: &'a Leases) -> impl Iterator<Item = &'a LinkLeases> {
    let mut indexes: Vec<u32> = wishes.links.iter().map(|wish| wish.index).collect();
    indexes.sort_unstable();
    indexes.into_iter().filter_map(|index| leases.get(&index))
}

/// The text of resolv.conf: the config's servers and domains, each else what DHCP and routers say.
pub(crate) fn resolv_conf(desired: &Desired, wishes: &Wishes, from_network: &Leases) -> String {
    let mut servers = desired.network.nameservers.clone();
    let mut search = desired.network.search.clone();
    let ask = (servers.is_empty(), search.is_empty());
    for lease in leases(wishes, from_network) {
        let (ipv4, ipv6) = (lease.ipv4.as_ref(), lease.ipv6.as_ref());
        if ask.0 {
            servers.extend(ipv4.iter().flat_map(|lease| &lease.dns).copied().map(IpAddr::V4));
            servers.extend(ipv6.iter().flat_map(|lease| &lease.dns).copied().map(IpAddr::V6));
            servers.extend(lease.router.servers.iter().copied().map(IpAddr::V6));
        }
        if ask.1 {
            search.extend(ipv4.iter().flat_map(|lease| &lease.search).cloned());
            search.extend(ipv6.iter().flat_map(|lease| &lease.search).cloned());
            search.extend(lease.router.search.iter().cloned());
        }
    }
    unique(&mut servers);
    unique(&mut search);
    let mut text = String::from("# Written by kmimage's init.\n");
    for server in servers.iter().take(MOST_SERVERS) {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    text
}

/// The text of hosts: loopback, this machine under its own name, and the config's.
pub(crate) fn hosts(desired: &Desired, hostname: &str, own: Option<IpAddr>) -> String {
    let mut text = String::from("# Written by kmimage's init.\n127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    if !hostname.is_empty() && hostname != "localhost" && hostname != "(none)" {
        // Without an address of its own the machine still knows its name (Debian's custom).
        let own = own.unwrap_or(IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1)));
        let short = hostname.split_once('.').map_or(String::new(), |(short, _)| format!(" {short}"));
        let _ = writeln!(text, "{own} {hostname}{short}");
    }
    for (address, names) in &desired.network.hosts {
        let _ = writeln!(text, "{address} {}", names.join(" "));
    }
    text
}

/// The machine's own address, as others know it: the first usable one of the link whose default route is taken first.
pub(crate) fn own_address(observed: &Observed, wishes: &Wishes) -> Option<IpAddr> {
    let mut indexes: Vec<u32> = wishes.links.iter().map(|wish| wish.index).collect();
    indexes.sort_by_key(|index| {
        let metric =
            observed.routes.iter().filter(|route| route.link == *index && route.to.prefix() == 0).map(|route| route.metric);
        (metric.min().unwrap_or(u32::MAX), *index)
    });
    let mut addresses = indexes.iter().flat_map(|index| observed.global_addresses(*index));
    addresses.next().map(|address| address.cidr.address())
}

/// The time servers that the network names, as JSON for the child `time`: `{"servers": [...]}`.
pub(crate) fn time_servers(wishes: &Wishes, from_network: &Leases) -> String {
    let mut servers: Vec<String> = Vec::new();
    for lease in leases(wishes, from_network) {
        servers.extend(lease.ipv4.iter().flat_map(|lease| &lease.ntp).map(ToString::to_string));
        servers.extend(lease.ipv6.iter().flat_map(|lease| &lease.ntp).cloned());
    }
    unique(&mut servers);
    format!("{}\n", serde_json::json!({ "servers": servers }))
}

/// The name that DHCP gives the machine.
pub(crate) fn hostname<'a>(wishes: &'a Wishes, from_network: &'a Leases) -> Option<&'a str> {
    let mut names = leases(wishes, from_network).filter_map(|lease| lease.ipv4.as_ref()?.hostname.as_deref());
    names.find(|name| *name != "localhost" && name.len() <= 64)
}

fn unique<T: PartialEq>(values: &mut Vec<T>) {
    let mut kept = Vec::with_capacity(values.len());
    for value in values.drain(..) {
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    *values = kept;
}

#[cfg(test)]
mod tests;
