//! Version 2: netplan's format; what Cluster API's provider for Proxmox writes.

use super::super::yaml::Mapping;
use super::{Draft, add_servers, address, bond_mode, default_route, destination, ip};
use kmimage_contract::machine_config::network::{Addressing, Bond, Bridge, Interface, Match, Network, Route, Vlan};

/// Adds what the document says.
pub(super) fn convert(mut document: Mapping, network: &mut Network, notes: &mut Vec<String>) -> Result<(), String> {
    note_renderer(&mut document, notes);
    for (id, mut link) in document.named("ethernets")? {
        let matches = matches(&id, &mut link)?;
        if link.take("set-name").is_some() {
            notes.push(format!("`{}` is ignored: links keep their kernel names", link.place("set-name")));
        }
        let addressing = addressing(&mut link, network, notes)?;
        link.finish()?;
        network.interfaces.push(Interface { name: id, matches, addressing });
    }
    for (name, mut link) in document.named("bonds")? {
        let members = link.texts("interfaces")?;
        let mut mode = None;
        if let Some(mut parameters) = link.mapping("parameters")? {
            let place = parameters.place("mode");
            mode = parameters.text("mode")?.map(|word| bond_mode(&place, &word)).transpose()?;
            if parameters.take("mii-monitor-interval").is_some() {
                let place = parameters.place("mii-monitor-interval");
                notes.push(format!("`{place}` is ignored: links are watched as this system does"));
            }
            parameters.finish()?;
        }
        let Some(mode) = mode else { return Err(format!("`{}` is missing", link.place("parameters.mode"))) };
        let addressing = addressing(&mut link, network, notes)?;
        link.finish()?;
        network.bonds.push(Bond { name, mode, members, addressing });
    }
    for (name, mut link) in document.named("bridges")? {
        let members = link.texts("interfaces")?;
        if let Some(mut parameters) = link.mapping("parameters")? {
            if parameters.truth("stp")? == Some(true) {
                return Err(parameters.unsupported("stp"));
            }
            parameters.finish()?;
        }
        let addressing = addressing(&mut link, network, notes)?;
        link.finish()?;
        network.bridges.push(Bridge { name, members, addressing });
    }
    for (name, mut link) in document.named("vlans")? {
        let place = link.place("id");
        let id = link.number("id")?.ok_or_else(|| format!("`{place}` is missing"))?;
        let id = u16::try_from(id).map_err(|_| format!("`{place}`: {id} is no VLAN's number"))?;
        let over = link.text("link")?.ok_or_else(|| format!("`{}` is missing", link.place("link")))?;
        let addressing = addressing(&mut link, network, notes)?;
        link.finish()?;
        network.vlans.push(Vlan { name, id, over, addressing });
    }
    document.finish()
}

fn matches(id: &str, link: &mut Mapping) -> Result<Match, String> {
    let Some(mut matches) = link.mapping("match")? else {
        return Ok(Match { name: Some(id.to_owned()), ..Match::default() });
    };
    let place = matches.place("macaddress");
    let mac = matches.text("macaddress")?.map(|mac| mac.parse().map_err(|error| format!("`{place}`: {error}"))).transpose()?;
    let found = Match { mac, name: matches.text("name")?, driver: matches.text("driver")? };
    if found == Match::default() {
        return Err(format!("`{}`: one of macaddress, name and driver is expected", link.place("match")));
    }
    matches.finish()?;
    Ok(found)
}

/// What every kind of link may have.
fn addressing(link: &mut Mapping, network: &mut Network, notes: &mut Vec<String>) -> Result<Addressing, String> {
    let mut draft = Draft { ipv4: link.truth("dhcp4")?.unwrap_or(false), ..Draft::default() };
    let dhcp6 = link.truth("dhcp6")?.unwrap_or(false);
    let accept = link.truth("accept-ra")?;
    if dhcp6 && accept == Some(false) {
        return Err(format!("`{}`: false beside `dhcp6: true` is not supported", link.place("accept-ra")));
    }
    draft.ipv6 = dhcp6 || accept == Some(true);
    draft.addressing.mtu = link.number("mtu")?;
    for text in link.texts("addresses")? {
        draft.addressing.addresses.push(address(&link.place("addresses"), &text, None)?);
    }
    for key in ["gateway4", "gateway6"] {
        if let Some(gateway) = link.text(key)? {
            draft.addressing.routes.push(default_route(&link.place(key), &gateway)?);
        }
    }
    for mut route in link.list("routes")? {
        let via = route.text("via")?.map(|via| ip(&route.place("via"), &via)).transpose()?;
        let place = route.place("to");
        let to = route.text("to")?.ok_or_else(|| format!("`{place}` is missing"))?;
        let metric = route.number("metric")?;
        draft.addressing.routes.push(Route { to: destination(&place, &to, None, via)?, via, metric });
        route.finish()?;
    }
    if let Some(mut servers) = link.mapping("nameservers")? {
        let (addresses, search) = (servers.texts("addresses")?, servers.texts("search")?);
        add_servers(network, &servers.place("addresses"), &addresses, search)?;
        servers.finish()?;
    }
    note_renderer(link, notes);
    if link.take("optional").is_some() {
        notes.push(format!("`{}` is ignored: no link is waited for by itself", link.place("optional")));
    }
    // `wakeonlan: false` says what is so anyway.
    if link.truth("wakeonlan")? == Some(true) {
        return Err(link.unsupported("wakeonlan"));
    }
    Ok(draft.finish())
}

fn note_renderer(mapping: &mut Mapping, notes: &mut Vec<String>) {
    if mapping.take("renderer").is_some() {
        notes.push(format!("`{}` is ignored: there is one", mapping.place("renderer")));
    }
}
