//! Doing what a plan says: the one match over its actions.

use super::kernel::MARK;
use super::plan::LinkAction;
use super::wish::{Make, WishRoute};
use kmimage_contract::machine_config::Cidr;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressProtocol};
use rtnetlink::packet_route::link::{BondMode, InfoBond, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::route::{RouteFlags, RouteMessage, RouteProtocol, RouteScope};
use rtnetlink::{Handle, LinkBond, LinkBridge, LinkUnspec, LinkVlan, RouteMessageBuilder};
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// A bond looks at its members' carrier each 100 ms.
const MONITOR: u32 = 100;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// The kernel refused it.
    #[error("{what}")]
    Kernel {
        what: String,
        #[source]
        source: rtnetlink::Error,
    },
    /// A setting couldn't be written.
    #[error("writing {path}")]
    Setting {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// Does one step.
pub(crate) async fn apply(handle: &Handle, action: &LinkAction) -> Result<(), ApplyError> {
    let result = match action {
        LinkAction::AcceptRa { name, value } => return setting(name, "accept_ra", *value),
        LinkAction::AddressGeneration { name, value } => return setting(name, "addr_gen_mode", *value),
        LinkAction::Make(make) => handle.link().add(made(make)).execute().await,
        LinkAction::Delete { index } => handle.link().del(*index).execute().await,
        LinkAction::Mark { index, ours } => {
            let group = if *ours { u32::from(MARK) } else { 0 };
            change(handle, LinkUnspec::new_with_index(*index).link_group(group).build()).await
        }
        LinkAction::Mtu { index, mtu } => change(handle, LinkUnspec::new_with_index(*index).mtu(*mtu).build()).await,
        LinkAction::Master { index, master } => {
            let link = LinkUnspec::new_with_index(*index);
            change(
                handle,
                master.map_or(link.controller(0), |master| LinkUnspec::new_with_index(*index).controller(master)).build(),
            )
            .await
        }
        LinkAction::Up { index } => change(handle, LinkUnspec::new_with_index(*index).up().build()).await,
        LinkAction::Down { index } => change(handle, LinkUnspec::new_with_index(*index).down().build()).await,
        LinkAction::AddAddress { index, address } => {
            let mut request = handle.address().add(*index, address.address(), address.prefix());
            request.message_mut().attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(MARK)));
            request.execute().await
        }
        LinkAction::RemoveAddress { index, address } => handle.address().del(address_message(*index, address)).execute().await,
        LinkAction::AddRoute { index, route } => handle.route().add(route_message(*index, route)).execute().await,
        LinkAction::RemoveRoute { index, to, via, metric } => {
            let route = WishRoute { to: *to, via: *via, metric: *metric, source: None, onlink: false };
            handle.route().del(route_message(*index, &route)).execute().await
        }
    };
    let gone = matches!(action, LinkAction::Delete { .. } | LinkAction::RemoveAddress { .. } | LinkAction::RemoveRoute { .. });
    match result {
        // It went by itself: with the link that it lay over, with an address, with the carrier.
        Err(rtnetlink::Error::NetlinkError(message)) if gone && is_absence(message.raw_code()) => Ok(()),
        result => result.map_err(|source| ApplyError::Kernel { what: describe(action), source }),
    }
}

/// ENOENT, ESRCH, ENODEV, EADDRNOTAVAIL as netlink writes them.
fn is_absence(code: i32) -> bool {
    [2, 3, 19, 99].contains(&code.abs())
}

async fn change(handle: &Handle, message: LinkMessage) -> Result<(), rtnetlink::Error> {
    handle.link().set(message).execute().await
}

fn made(make: &Make) -> LinkMessage {
    let mut message = match make {
        Make::Vlan { name, id, over } => LinkVlan::new(name, *over, *id).build(),
        Make::Bond { name, mode } => LinkBond::new(name)
            .append_info_data(InfoBond::Mode(BondMode::from(*mode)))
            .append_info_data(InfoBond::MiiMon(MONITOR))
            .build(),
        Make::Bridge { name } => LinkBridge::new(name).build(),
    };
    message.attributes.push(LinkAttribute::Group(u32::from(MARK)));
    message
}

fn address_message(index: u32, address: &Cidr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = address.prefix();
    message.header.family = if address.address().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.flags = AddressHeaderFlags::empty();
    message.attributes = vec![AddressAttribute::Local(address.address()), AddressAttribute::Address(address.address())];
    message
}

fn route_message(index: u32, route: &WishRoute) -> RouteMessage {
    let protocol = RouteProtocol::Other(MARK);
    let mut message = match route.to.address() {
        IpAddr::V4(to) => {
            let mut builder = RouteMessageBuilder::<std::net::Ipv4Addr>::new().destination_prefix(to, route.to.prefix());
            if let Some(IpAddr::V4(via)) = route.via {
                builder = builder.gateway(via);
            } else {
                builder = builder.scope(RouteScope::Link);
            }
            if let Some(IpAddr::V4(source)) = route.source {
                builder = builder.pref_source(source);
            }
            builder.output_interface(index).priority(route.metric).protocol(protocol).build()
        }
        IpAddr::V6(to) => {
            let mut builder = RouteMessageBuilder::<std::net::Ipv6Addr>::new().destination_prefix(to, route.to.prefix());
            if let Some(IpAddr::V6(via)) = route.via {
                builder = builder.gateway(via);
            }
            builder.output_interface(index).priority(route.metric).protocol(protocol).build()
        }
    };
    if route.onlink {
        message.header.flags |= RouteFlags::Onlink;
    }
    message
}

/// Writes an IPv6 setting of a link.
fn setting(link: &str, name: &str, value: u8) -> Result<(), ApplyError> {
    let path = Path::new("/proc/sys/net/ipv6/conf").join(link).join(name);
    std::fs::write(&path, value.to_string()).map_err(|source| ApplyError::Setting { path: path.display().to_string(), source })
}

/// An action in words, for an error.
fn describe(action: &LinkAction) -> String {
    match action {
        LinkAction::Make(Make::Vlan { name, id, .. }) => format!("making VLAN {name} ({id})"),
        LinkAction::Make(Make::Bond { name, .. }) => format!("making bond {name}"),
        LinkAction::Make(Make::Bridge { name }) => format!("making bridge {name}"),
        LinkAction::Delete { index } => format!("taking link {index} away"),
        LinkAction::Mark { index, .. } => format!("marking link {index}"),
        LinkAction::AcceptRa { name, value } => format!("setting accept_ra of {name} to {value}"),
        LinkAction::AddressGeneration { name, value } => format!("setting addr_gen_mode of {name} to {value}"),
        LinkAction::Mtu { index, mtu } => format!("setting the MTU of link {index} to {mtu}"),
        LinkAction::Master { index, master: Some(master) } => format!("making link {index} a member of link {master}"),
        LinkAction::Master { index, master: None } => format!("releasing link {index}"),
        LinkAction::Up { index } => format!("switching link {index} on"),
        LinkAction::Down { index } => format!("switching link {index} off"),
        LinkAction::AddAddress { index, address } => format!("giving link {index} the address {address}"),
        LinkAction::RemoveAddress { index, address } => format!("taking the address {address} from link {index}"),
        LinkAction::AddRoute { index, route } => format!("adding the route to {} over link {index}", route.to),
        LinkAction::RemoveRoute { index, to, .. } => format!("removing the route to {to} over link {index}"),
    }
}
