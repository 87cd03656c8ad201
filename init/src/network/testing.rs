//! Links, networks and leases for the tests of this room.

use super::dhcp4::lease::{Lease, LeaseRoute};
use super::leases::LinkLeases;
use super::observed::{Address, Ipv6, Kind, Link, Observed, Route};
use kmimage_contract::machine_config::network::{Addressing, Bond, BondMode, Bridge, Dhcp, Interface, Match, Network, Vlan};
use kmimage_contract::machine_config::{Cidr, MacAddress};

pub(crate) fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

pub(crate) fn mac(last: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, last])
}

/// A card: down, without our mark, as the kernel makes it.
pub(crate) fn card(name: &str, last: u8) -> Link {
    Link {
        name: name.to_owned(),
        kind: Kind::Physical,
        ours: false,
        permanent_mac: Some(mac(last)),
        mac: Some(mac(last)),
        driver: Some("virtio_net".to_owned()),
        up: false,
        carrier: false,
        mtu: 1500,
        master: None,
        ipv6: Some(Ipv6 { accept_ra: 1, link_local: true, managed: false, informed: false }),
    }
}

/// The same, up, with carrier and our mark, taking router advertisements.
pub(crate) fn settled(name: &str, last: u8) -> Link {
    let ipv6 = Some(Ipv6 { accept_ra: 2, link_local: true, managed: false, informed: false });
    Link { ours: true, up: true, carrier: true, ipv6, ..card(name, last) }
}

/// A link of a kind that we made and that ignores routers.
pub(crate) fn made(name: &str, kind: Kind) -> Link {
    let ipv6 = Some(Ipv6 { accept_ra: 0, link_local: true, managed: false, informed: false });
    Link { kind, driver: None, ipv6, ..settled(name, 99) }
}

pub(crate) fn observed(links: Vec<(u32, Link)>) -> Observed {
    Observed { links: links.into_iter().collect(), ..Observed::default() }
}

pub(crate) fn address(link: u32, text: &str, ours: bool) -> Address {
    Address { link, cidr: cidr(text), ours, usable: true }
}

pub(crate) fn route(link: u32, to: &str, via: &str, metric: u32, source: Option<&str>, ours: bool) -> Route {
    let source = source.map(|source| source.parse().unwrap());
    Route { link, to: cidr(to), via: via.parse().ok(), metric, source, ours }
}

pub(crate) fn lease(text: &str, gateway: &str) -> LinkLeases {
    let (address, prefix) = text.split_once('/').unwrap();
    let default = LeaseRoute { to: [0, 0, 0, 0].into(), prefix: 0, via: gateway.parse().ok() };
    let lease = Lease {
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        server: gateway.parse().unwrap(),
        routes: vec![default],
        dns: vec![gateway.parse().unwrap()],
        search: vec!["example.org".to_owned()],
        hostname: Some("given".to_owned()),
        mtu: None,
        ntp: vec![gateway.parse().unwrap()],
        times: None,
    };
    LinkLeases { ipv4: Some(lease), ipv4_state: Some("bound"), ..LinkLeases::default() }
}

pub(crate) fn interface(name: &str, last: u8, addressing: Addressing) -> Interface {
    Interface { name: name.to_owned(), matches: Match { mac: Some(mac(last)), ..Match::default() }, addressing }
}

pub(crate) fn fixed(address: &str) -> Addressing {
    Addressing { addresses: vec![cidr(address)], ..Addressing::default() }
}

pub(crate) fn by_dhcp(dhcp: Dhcp) -> Addressing {
    Addressing { dhcp, ..Addressing::default() }
}

/// A VLAN over a bond of two cards, and a bridge on the VLAN's side.
pub(crate) fn stacked() -> Network {
    Network {
        interfaces: vec![interface("one", 1, Addressing::default()), interface("two", 2, Addressing::default())],
        bonds: vec![Bond {
            name: "bond0".to_owned(),
            mode: BondMode::ActiveBackup,
            members: vec!["one".to_owned(), "two".to_owned()],
            addressing: Addressing::default(),
        }],
        vlans: vec![Vlan { name: "vlan10".to_owned(), id: 10, over: "bond0".to_owned(), addressing: Addressing::default() }],
        bridges: vec![Bridge { name: "br0".to_owned(), members: vec!["vlan10".to_owned()], addressing: fixed("10.0.0.2/24") }],
        ..Network::default()
    }
}
