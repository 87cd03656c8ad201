//! Links, addresses and routes, by netlink.

use futures_util::TryStreamExt as _;
use kmimage_probe::{Link, Network};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Everything, as it is now.
pub(crate) fn all() -> Result<Network, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let mut names = BTreeMap::new();
        let mut links = BTreeMap::new();
        let mut messages = handle.link().get().execute();
        while let Some(message) = messages.try_next().await? {
            let mut link = Link { mac: String::new(), mtu: 0, up: false, carrier: false, addresses: Vec::new() };
            link.up = message.header.flags.contains(LinkFlags::Up);
            link.carrier = message.header.flags.contains(LinkFlags::LowerUp);
            let mut name = String::new();
            for attribute in message.attributes {
                match attribute {
                    LinkAttribute::IfName(value) => name = value,
                    LinkAttribute::Mtu(value) => link.mtu = value,
                    LinkAttribute::Address(bytes) => {
                        link.mac = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
                    }
                    _ => {}
                }
            }
            names.insert(message.header.index, name.clone());
            links.insert(name, link);
        }
        let mut messages = handle.address().get().execute();
        while let Some(message) = messages.try_next().await? {
            let of = |wanted: fn(&AddressAttribute) -> Option<IpAddr>| message.attributes.iter().find_map(wanted);
            let local = of(|attribute| if let AddressAttribute::Local(address) = attribute { Some(*address) } else { None });
            let address = of(|attribute| if let AddressAttribute::Address(address) = attribute { Some(*address) } else { None });
            let link = names.get(&message.header.index).and_then(|name| links.get_mut(name));
            if let (Some(link), Some(address)) = (link, local.or(address)) {
                link.addresses.push(format!("{address}/{}", message.header.prefix_len));
            }
        }
        let mut routes = Vec::new();
        for kind in [
            rtnetlink::RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
            rtnetlink::RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
        ] {
            let mut messages = handle.route().get(kind).execute();
            while let Some(message) = messages.try_next().await? {
                let main = message.header.table == RouteHeader::RT_TABLE_MAIN;
                if main && message.header.kind == RouteType::Unicast {
                    routes.push(words(&message, &names));
                }
            }
        }
        Ok(Network { links, routes })
    })
}

fn words(message: &RouteMessage, names: &BTreeMap<u32, String>) -> String {
    let text = |address: &RouteAddress| match address {
        RouteAddress::Inet(address) => address.to_string(),
        RouteAddress::Inet6(address) => address.to_string(),
        other => format!("{other:?}"),
    };
    let (mut to, mut rest, mut metric) = ("default".to_owned(), String::new(), String::new());
    for attribute in &message.attributes {
        // Writing to a String does not fail.
        let _ = match attribute {
            RouteAttribute::Destination(address) => {
                to = format!("{}/{}", text(address), message.header.destination_prefix_length);
                Ok(())
            }
            RouteAttribute::Gateway(address) => write!(rest, " via {}", text(address)),
            RouteAttribute::Oif(index) => write!(rest, " dev {}", names.get(index).map_or("?", String::as_str)),
            RouteAttribute::Priority(value) => write!(metric, " metric {value}"),
            _ => Ok(()),
        };
    }
    format!("{to}{rest}{metric}")
}
