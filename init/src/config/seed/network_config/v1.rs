//! Version 1: a list of links, each with subnets; what Proxmox's own cloud-init drive writes.

use super::super::yaml::Mapping;
use super::{Draft, add_servers, address, bond_mode, default_route, destination, ip};
use kmimage_contract::machine_config::network::{Addressing, Bond, Bridge, Interface, Match, Network, Route, Vlan};
use serde_json::Value;

/// Adds what the document says.
pub(super) fn convert(mut document: Mapping, network: &mut Network, notes: &mut Vec<String>) -> Result<(), String> {
    let config = document.take("config").unwrap_or(Value::Array(Vec::new()));
    document.finish()?;
    let Value::Array(items) = config else { return Err("`config`: a list is expected".to_owned()) };
    let mut routes = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        let mut item = Mapping::new(format!("config[{at}]"), item)?;
        match item.text("type")?.as_deref() {
            Some("physical") => physical(item, network, notes)?,
            Some("bond") => bond(item, network, notes)?,
            Some("bridge") => bridge(item, network, notes)?,
            Some("vlan") => vlan(item, network, notes)?,
            Some("nameserver") => nameserver(item, network)?,
            Some("route") => routes.push(route(item)?),
            Some(other) => return Err(format!("`{}`: `{other}` is not supported", item.place("type"))),
            None => return Err(format!("`{}` is missing", item.place("type"))),
        }
    }
    // A route belongs to the link that its gateway is on.
    for (place, route) in routes {
        let links = network.interfaces.iter_mut().map(|link| &mut link.addressing);
        let links = links.chain(network.bonds.iter_mut().map(|link| &mut link.addressing));
        let links = links.chain(network.vlans.iter_mut().map(|link| &mut link.addressing));
        let mut links = links.chain(network.bridges.iter_mut().map(|link| &mut link.addressing));
        let on_link = |link: &&mut Addressing| route.via.is_some_and(|via| link.addresses.iter().any(|on| on.contains(via)));
        match links.find(on_link) {
            Some(link) => link.routes.push(route),
            None => return Err(format!("`{place}`: no link of the document has a subnet with this route's gateway")),
        }
    }
    Ok(())
}

fn physical(mut item: Mapping, network: &mut Network, notes: &mut Vec<String>) -> Result<(), String> {
    let name = required(&mut item, "name")?;
    let mac = item.text("mac_address")?.filter(|mac| !mac.is_empty());
    let place = item.place("mac_address");
    let mac = mac.map(|mac| mac.parse().map_err(|error| format!("`{place}`: {error}"))).transpose()?;
    let matches = Match { name: mac.is_none().then(|| name.clone()), mac, driver: None };
    let addressing = addressing(&mut item, network, notes)?;
    item.finish()?;
    network.interfaces.push(Interface { name, matches, addressing });
    Ok(())
}

fn bond(mut item: Mapping, network: &mut Network, notes: &mut Vec<String>) -> Result<(), String> {
    let name = required(&mut item, "name")?;
    let members = item.texts("bond_interfaces")?;
    let mut mode = None;
    if let Some(mut params) = item.mapping("params")? {
        for key in ["bond-mode", "bond_mode"] {
            let place = params.place(key);
            mode = params.text(key)?.map(|word| bond_mode(&place, &word)).transpose()?.or(mode);
        }
        for key in ["bond-miimon", "bond_miimon", "mii-monitor-interval"] {
            if params.take(key).is_some() {
                notes.push(format!("`{}` is ignored: links are watched as this system does", params.place(key)));
            }
        }
        params.finish()?;
    }
    let Some(mode) = mode else { return Err(format!("`{}` is missing", item.place("params.bond-mode"))) };
    let addressing = addressing(&mut item, network, notes)?;
    item.finish()?;
    network.bonds.push(Bond { name, mode, members, addressing });
    Ok(())
}

fn bridge(mut item: Mapping, network: &mut Network, notes: &mut Vec<String>) -> Result<(), String> {
    let name = required(&mut item, "name")?;
    let members = item.texts("bridge_interfaces")?;
    if let Some(mut params) = item.mapping("params")? {
        if params.truth("bridge_stp")? == Some(true) {
            return Err(params.unsupported("bridge_stp"));
        }
        params.finish()?;
    }
    let addressing = addressing(&mut item, network, notes)?;
    item.finish()?;
    network.bridges.push(Bridge { name, members, addressing });
    Ok(())
}

fn vlan(mut item: Mapping, network: &mut Network, notes: &mut Vec<String>) -> Result<(), String> {
    let name = required(&mut item, "name")?;
    let over = required(&mut item, "vlan_link")?;
    let place = item.place("vlan_id");
    let id = item.number("vlan_id")?.ok_or_else(|| format!("`{place}` is missing"))?;
    let id = u16::try_from(id).map_err(|_| format!("`{place}`: {id} is no VLAN's number"))?;
    let addressing = addressing(&mut item, network, notes)?;
    item.finish()?;
    network.vlans.push(Vlan { name, id, over, addressing });
    Ok(())
}

fn nameserver(mut item: Mapping, network: &mut Network) -> Result<(), String> {
    let (addresses, search) = (item.texts("address")?, item.texts("search")?);
    add_servers(network, &item.place("address"), &addresses, search)?;
    item.finish()
}

/// A route that stands by itself, and where.
fn route(mut item: Mapping) -> Result<(String, Route), String> {
    let route = read_route(&mut item)?;
    let place = item.place("gateway");
    item.finish()?;
    Ok((place, route))
}

fn read_route(item: &mut Mapping) -> Result<Route, String> {
    let gateway = item.text("gateway")?;
    let via = gateway.map(|gateway| ip(&item.place("gateway"), &gateway)).transpose()?;
    let (key, to) = match item.text("destination")? {
        Some(to) => ("destination", Some(to)),
        None => ("network", item.text("network")?),
    };
    let place = item.place(key);
    let to = to.ok_or_else(|| format!("`{place}` is missing"))?;
    let netmask = match item.text("netmask")? {
        Some(netmask) => Some(netmask),
        None => item.text("prefix")?,
    };
    let metric = item.number("metric")?;
    Ok(Route { to: destination(&place, &to, netmask.as_deref(), via)?, via, metric })
}

/// What every kind of link may have.
fn addressing(item: &mut Mapping, network: &mut Network, notes: &mut Vec<String>) -> Result<Addressing, String> {
    let mut draft = Draft::default();
    draft.addressing.mtu = item.number("mtu")?;
    for mut subnet in item.list("subnets")? {
        match subnet.text("type")?.as_deref() {
            Some("dhcp" | "dhcp4") => draft.ipv4 = true,
            // Router advertisements say whether DHCPv6 is to be asked.
            Some("dhcp6" | "ipv6_dhcpv6-stateful" | "ipv6_dhcpv6-stateless" | "ipv6_slaac") => draft.ipv6 = true,
            Some("static" | "static6") => {
                let text = required(&mut subnet, "address")?;
                let netmask = subnet.text("netmask")?;
                draft.addressing.addresses.push(address(&subnet.place("address"), &text, netmask.as_deref())?);
            }
            Some("manual") => {}
            Some(other) => return Err(format!("`{}`: `{other}` is not supported", subnet.place("type"))),
            None => return Err(format!("`{}` is missing", subnet.place("type"))),
        }
        if let Some(gateway) = subnet.text("gateway")? {
            draft.addressing.routes.push(default_route(&subnet.place("gateway"), &gateway)?);
        }
        let (servers, search) = (subnet.texts("dns_nameservers")?, subnet.texts("dns_search")?);
        add_servers(network, &subnet.place("dns_nameservers"), &servers, search)?;
        for mut route in subnet.list("routes")? {
            draft.addressing.routes.push(read_route(&mut route)?);
            route.finish()?;
        }
        match subnet.text("control")?.as_deref() {
            None | Some("auto") => {}
            Some(_) => return Err(subnet.unsupported("control")),
        }
        subnet.finish()?;
    }
    if item.take("accept-ra").is_some() {
        notes.push(format!("`{}` is ignored: a subnet of type ipv6_slaac or dhcp6 asks for it", item.place("accept-ra")));
    }
    Ok(draft.finish())
}

fn required(item: &mut Mapping, key: &str) -> Result<String, String> {
    item.text(key)?.ok_or_else(|| format!("`{}` is missing", item.place(key)))
}
