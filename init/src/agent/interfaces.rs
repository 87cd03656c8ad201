//! The links and addresses of the machine, in the agent's terms.

use futures_util::TryStreamExt as _;
use kmimage_contract::machine_config::MacAddress;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkAttribute;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A link.
#[derive(Debug, Default)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) mac: Option<MacAddress>,
    pub(crate) addresses: Vec<(IpAddr, u8)>,
}

/// Asks the kernel for all links, by number. Its error as a text: there is nobody but a log to tell.
pub(crate) fn links() -> Result<BTreeMap<u32, Link>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let links = ask(&handle).await.map_err(|error| error.to_string());
        connection.abort();
        links
    })
}

async fn ask(handle: &rtnetlink::Handle) -> Result<BTreeMap<u32, Link>, rtnetlink::Error> {
    let mut links: BTreeMap<u32, Link> = BTreeMap::new();
    let mut messages = std::pin::pin!(handle.link().get().execute());
    while let Some(message) = messages.try_next().await? {
        let link = links.entry(message.header.index).or_default();
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok().map(MacAddress),
                _ => {}
            }
        }
    }
    let mut messages = std::pin::pin!(handle.address().get().execute());
    while let Some(message) = messages.try_next().await? {
        let (mut own, mut peer) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                // Where both are there, the local one is the machine's.
                AddressAttribute::Local(address) => own = Some(*address),
                AddressAttribute::Address(address) => peer = Some(*address),
                _ => {}
            }
        }
        if let (Some(link), Some(address)) = (links.get_mut(&message.header.index), own.or(peer)) {
            link.addresses.push((address, message.header.prefix_len));
        }
    }
    Ok(links)
}

/// `guest-network-get-interfaces`.
pub(super) fn render(links: &BTreeMap<u32, Link>) -> Value {
    let link = |link: &Link| {
        let addresses = link.addresses.iter().map(|(address, prefix)| {
            let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
            json!({ "ip-address": address, "ip-address-type": family, "prefix": prefix })
        });
        let mut value = json!({ "name": link.name, "ip-addresses": addresses.collect::<Vec<_>>() });
        if let (Some(mac), Some(fields)) = (link.mac, value.as_object_mut()) {
            fields.insert("hardware-address".to_owned(), json!(mac));
        }
        value
    };
    links.values().map(link).collect()
}
