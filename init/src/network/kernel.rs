//! The kernel's side: what it says, taken into our values, and what it announces.

use super::observed::{Address, Ipv6, Kind, Link, Observed, Route};
use futures_util::TryStreamExt as _;
use kmimage_contract::machine_config::{Cidr, MacAddress};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol};
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, Inet6IfaceFlags, InfoBond, InfoBondPort, InfoData, InfoKind, InfoPortData,
    InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Handle, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Our mark: as group of links, protocol of addresses and protocol of routes. The kernel keeps it, so that this program can be ended
/// and started anew and still knows what is its own. No number that iproute2's tables or a routing daemon uses.
pub(crate) const MARK: u8 = 107;

/// What makes links "physical" beside hardware; for tests only, where a pair of veth stands for a network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Physical {
    pub(crate) veth: bool,
}

/// Asks the kernel for everything.
pub(crate) async fn observe(handle: &Handle, physical: Physical) -> Result<Observed, rtnetlink::Error> {
    let mut observed = Observed::default();
    let mut links = std::pin::pin!(handle.link().get().execute());
    while let Some(message) = links.try_next().await? {
        if let Some((index, link)) = link(&message, physical) {
            observed.links.insert(index, link);
        }
    }
    let mut addresses = std::pin::pin!(handle.address().get().execute());
    while let Some(message) = addresses.try_next().await? {
        observed.addresses.extend(address(&message));
    }
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut question: RouteMessage = RouteMessageBuilder::<IpAddr>::new().build();
        question.header.address_family = family;
        question.header.table = RouteHeader::RT_TABLE_UNSPEC;
        let mut routes = std::pin::pin!(handle.route().get(question).execute());
        while let Some(message) = routes.try_next().await? {
            observed.routes.extend(route(&message));
        }
    }
    Ok(observed)
}

/// Whether an announcement may change a plan. What happens to pods' links, addresses and routes, all the time on a node, may not;
/// `managed` says which links are ours to look after.
pub(crate) fn matters(message: &NetlinkMessage<RouteNetlinkMessage>, physical: Physical, managed: impl Fn(u32) -> bool) -> bool {
    let NetlinkPayload::InnerMessage(message) = &message.payload else { return true };
    match message {
        RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link) => kind(link, physical) != Kind::Foreign,
        RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) => managed(address.header.index),
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
            matches!(route.header.protocol, RouteProtocol::Ra) || route.header.protocol == RouteProtocol::Other(MARK)
        }
        _ => false,
    }
}

fn mac(bytes: &[u8]) -> Option<MacAddress> {
    bytes.try_into().ok().filter(|mac| *mac != [0; 6]).map(MacAddress)
}

fn kind(message: &LinkMessage, physical: Physical) -> Kind {
    if message.header.flags.contains(LinkFlags::Loopback) {
        return Kind::Loopback;
    }
    let info = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(info) => Some(info.as_slice()),
        _ => None,
    });
    let info = info.unwrap_or_default();
    let name = info.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    });
    let data = info.iter().find_map(|info| match info {
        LinkInfo::Data(data) => Some(data),
        _ => None,
    });
    let over = message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Link(over) => Some(*over),
        _ => None,
    });
    let ethernet = message.header.link_layer_type == LinkLayerType::Ether;
    match (name, data) {
        (None, _) if ethernet => Kind::Physical,
        (Some(InfoKind::Veth), _) if physical.veth => Kind::Physical,
        (Some(InfoKind::Bridge), _) => Kind::Bridge,
        (Some(InfoKind::Bond), Some(InfoData::Bond(data))) => {
            let mode = data.iter().find_map(|data| match data {
                InfoBond::Mode(mode) => Some(u8::from(*mode)),
                _ => None,
            });
            mode.map_or(Kind::Foreign, |mode| Kind::Bond { mode })
        }
        (Some(InfoKind::Vlan), Some(InfoData::Vlan(data))) => {
            let id = data.iter().find_map(|data| match data {
                InfoVlan::Id(id) => Some(*id),
                _ => None,
            });
            id.map_or(Kind::Foreign, |id| Kind::Vlan { id, over })
        }
        _ => Kind::Foreign,
    }
}

/// A link as the kernel describes it.
fn link(message: &LinkMessage, physical: Physical) -> Option<(u32, Link)> {
    let flags = message.header.flags;
    let mut link = Link {
        name: String::new(),
        kind: kind(message, physical),
        ours: false,
        permanent_mac: None,
        mac: None,
        driver: None,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        mtu: 0,
        master: None,
        ipv6: None,
    };
    let mut before_bond = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Group(group) => link.ours = *group == u32::from(MARK),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Controller(master) => link.master = (*master != 0).then_some(*master),
            LinkAttribute::Address(address) => link.mac = mac(address),
            LinkAttribute::PermAddress(address) => link.permanent_mac = mac(address),
            LinkAttribute::AfSpecUnspec(families) => {
                link.ipv6 = families.iter().find_map(|family| match family {
                    AfSpecUnspec::Inet6(settings) => ipv6(settings),
                    _ => None,
                });
            }
            LinkAttribute::LinkInfo(info) => {
                before_bond = info.iter().find_map(|info| match info {
                    LinkInfo::PortData(InfoPortData::BondPort(port)) => port.iter().find_map(|port| match port {
                        InfoBondPort::PermHwaddr(address) => mac(address),
                        _ => None,
                    }),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link.permanent_mac = link.permanent_mac.or(before_bond).or(link.mac);
    if link.kind == Kind::Physical {
        link.driver = driver(Path::new("/sys/class/net"), &link.name);
    }
    (!link.name.is_empty()).then_some((message.header.index, link))
}

/// Whose device a link is: the name of the driver. `None`: no hardware's.
fn driver(class: &Path, name: &str) -> Option<String> {
    let target = std::fs::read_link(class.join(name).join("device/driver")).ok()?;
    Some(target.file_name()?.to_str()?.to_owned())
}

fn ipv6(settings: &[AfSpecInet6]) -> Option<Ipv6> {
    let mut ipv6 = Ipv6 { accept_ra: 0, link_local: true, managed: false, informed: false };
    let mut known = false;
    for setting in settings {
        match setting {
            AfSpecInet6::DevConf(settings) => {
                ipv6.accept_ra = u8::try_from(settings.accept_ra).unwrap_or(0);
                known = true;
            }
            AfSpecInet6::AddrGenMode(mode) => ipv6.link_local = *mode != In6AddrGenMode::None,
            AfSpecInet6::Flags(flags) => {
                ipv6.managed = flags.contains(Inet6IfaceFlags::RaManaged);
                ipv6.informed = flags.contains(Inet6IfaceFlags::Otherconf);
            }
            _ => {}
        }
    }
    known.then_some(ipv6)
}

fn address(message: &AddressMessage) -> Option<Address> {
    let (mut address, mut local, mut ours) = (None, None, false);
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(value) => address = Some(*value),
            AddressAttribute::Local(value) => local = Some(*value),
            AddressAttribute::Flags(value) => flags = *value,
            AddressAttribute::Protocol(AddressProtocol::Other(number)) => ours = *number == MARK,
            _ => {}
        }
    }
    let cidr = Cidr::new(local.or(address)?, message.header.prefix_len)?;
    let unusable = AddressFlags::Tentative | AddressFlags::Dadfailed;
    let usable = !flags.intersects(unusable) || flags.contains(AddressFlags::Optimistic);
    Some(Address { link: message.header.index, cidr, ours, usable })
}

fn route(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    let mut table = u32::from(header.table);
    let (mut to, mut via, mut source, mut link, mut metric) = (None, None, None, None, 0);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(value) => table = *value,
            RouteAttribute::Destination(value) => to = ip(value),
            RouteAttribute::Gateway(value) => via = ip(value),
            RouteAttribute::PrefSource(value) => source = ip(value),
            RouteAttribute::Oif(value) => link = Some(*value),
            RouteAttribute::Priority(value) => metric = *value,
            _ => {}
        }
    }
    if table != u32::from(RouteHeader::RT_TABLE_MAIN) || header.kind != RouteType::Unicast {
        return None;
    }
    let any = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let to = Cidr::new(to.unwrap_or(any), header.destination_prefix_length)?;
    Some(Route { link: link?, to, via, metric, source, ours: header.protocol == RouteProtocol::Other(MARK) })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
