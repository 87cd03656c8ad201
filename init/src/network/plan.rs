//! The steps from what is to what is to be. Pure; each step carries all that is needed to do it.
//!
//! A plan holds what can be done now: what depends on a link that must be made first is planned when the kernel has announced it. An
//! empty plan means that there is nothing to do. Only links, addresses and routes that carry our mark are ever taken away.

use super::observed::{Kind, Link, Observed};
use super::wish::{Make, Master, Wish, WishRoute, Wishes};
use kmimage_contract::machine_config::Cidr;
use std::collections::BTreeSet;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkAction {
    /// Makes a link, with our mark.
    Make(Make),
    /// Takes a link away that we made.
    Delete {
        index: u32,
    },
    /// Puts our mark on a physical link, or takes it off.
    Mark {
        index: u32,
        ours: bool,
    },
    /// The sysctl net.ipv6.conf.NAME.accept_ra: 2 takes router advertisements also where packets are forwarded, 0 ignores them.
    AcceptRa {
        name: String,
        value: u8,
    },
    /// The sysctl net.ipv6.conf.NAME.addr_gen_mode: 0 makes a link-local address, 1 makes none.
    AddressGeneration {
        name: String,
        value: u8,
    },
    Mtu {
        index: u32,
        mtu: u32,
    },
    /// Makes a link a member of another; `None`: of none.
    Master {
        index: u32,
        master: Option<u32>,
    },
    Up {
        index: u32,
    },
    Down {
        index: u32,
    },
    AddAddress {
        index: u32,
        address: Cidr,
    },
    RemoveAddress {
        index: u32,
        address: Cidr,
    },
    AddRoute {
        index: u32,
        route: WishRoute,
    },
    RemoveRoute {
        index: u32,
        to: Cidr,
        via: Option<std::net::IpAddr>,
        metric: u32,
    },
}

/// The steps that can be taken now, in their order.
pub(crate) fn plan(wishes: &Wishes, observed: &Observed) -> Vec<LinkAction> {
    let mut actions = Vec::new();
    for (index, link) in &observed.links {
        if link.kind == Kind::Loopback && !link.up {
            actions.push(LinkAction::Up { index: *index });
        }
    }
    let wanted: BTreeSet<u32> = wishes.links.iter().map(|wish| wish.index).collect();
    for (index, link) in observed.links.iter().filter(|(index, link)| link.ours && !wanted.contains(index)) {
        leave(*index, link, observed, &mut actions);
    }
    for make in &wishes.make {
        // A name that is taken: by one of ours that goes in this plan, or by a stranger, who is left alone; it is reported.
        if !observed.links.values().any(|link| link.name == make.name()) {
            actions.push(LinkAction::Make(make.clone()));
        }
    }
    for wish in &wishes.links {
        if let Some(link) = observed.links.get(&wish.index) {
            settle(wish, link, observed, &mut actions);
        }
    }
    actions
}

/// Lets go of a link that is no longer wanted.
fn leave(index: u32, link: &Link, observed: &Observed, actions: &mut Vec<LinkAction>) {
    if link.kind != Kind::Physical {
        actions.push(LinkAction::Delete { index });
        return;
    }
    remove(index, &[], &[], observed, actions);
    if link.master.is_some_and(|master| observed.links.get(&master).is_some_and(|master| master.ours)) {
        actions.push(LinkAction::Master { index, master: None });
    }
    // Down, because what a router advertised would stay otherwise.
    actions.push(LinkAction::Down { index });
    actions.push(LinkAction::Mark { index, ours: false });
}

/// Makes a link that is there what it is to be.
fn settle(wish: &Wish, link: &Link, observed: &Observed, actions: &mut Vec<LinkAction>) {
    let index = wish.index;
    if !link.ours {
        actions.push(LinkAction::Mark { index, ours: true });
    }
    if let Some(ipv6) = link.ipv6 {
        let accept_ra = if wish.dhcp.ipv6() { 2 } else { 0 };
        if ipv6.accept_ra != accept_ra {
            actions.push(LinkAction::AcceptRa { name: link.name.clone(), value: accept_ra });
        }
        if ipv6.link_local == wish.master.is_some() {
            actions.push(LinkAction::AddressGeneration { name: link.name.clone(), value: u8::from(wish.master.is_some()) });
        }
    }
    remove(index, &wish.addresses, &wish.routes, observed, actions);
    let mut up = link.up;
    if up && link.ours && wish.master.is_none() && !wish.dhcp.ipv6() && link.ipv6.is_some_and(|ipv6| ipv6.accept_ra == 2) {
        // It listened to routers: what they gave it goes with this, and what is wanted comes back.
        actions.push(LinkAction::Down { index });
        up = false;
    }
    let master = match wish.master {
        None => None,
        Some(Master::Bond(master) | Master::Bridge(master)) => Some(master),
        Some(Master::Later) => link.master,
    };
    // A master that isn't ours (a virtual function's, a container network's) is somebody's decision.
    let foreign = |master: u32| observed.links.get(&master).is_some_and(|master| !master.ours);
    if link.master != master && (master.is_some() || !link.master.is_some_and(foreign)) {
        // Bonds take only members that are down; and what IPv6 gave a link by itself goes only so.
        if master.is_some() && up {
            actions.push(LinkAction::Down { index });
            up = false;
        }
        actions.push(LinkAction::Master { index, master });
    }
    if let Some(mtu) = wish.mtu.filter(|mtu| *mtu != link.mtu) {
        actions.push(LinkAction::Mtu { index, mtu });
    }
    // A bond's members wait for their bond.
    if !up && wish.master != Some(Master::Later) {
        actions.push(LinkAction::Up { index });
    }
    for address in &wish.addresses {
        if !observed.addresses.iter().any(|known| known.link == index && known.cidr == *address) {
            actions.push(LinkAction::AddAddress { index, address: *address });
        }
    }
    for route in &wish.routes {
        // A stranger's route to the same place does, too; the kernel would refuse a second one.
        let there = observed.routes.iter().any(|known| {
            let foreign = !known.ours && known.to == route.to && known.via == route.via && known.metric == route.metric;
            known.link == index && (foreign || same(route, known))
        });
        if !there {
            actions.push(LinkAction::AddRoute { index, route: route.clone() });
        }
    }
}

/// Takes the routes and addresses off a link that are ours and not wanted; the routes first, while they can still be named.
fn remove(index: u32, addresses: &[Cidr], routes: &[WishRoute], observed: &Observed, actions: &mut Vec<LinkAction>) {
    for known in observed.routes.iter().filter(|known| known.link == index && known.ours) {
        if !routes.iter().any(|route| same(route, known)) {
            actions.push(LinkAction::RemoveRoute { index, to: known.to, via: known.via, metric: known.metric });
        }
    }
    for known in observed.addresses.iter().filter(|known| known.link == index && known.ours) {
        if !addresses.contains(&known.cidr) {
            actions.push(LinkAction::RemoveAddress { index, address: known.cidr });
        }
    }
}

fn same(wish: &WishRoute, known: &super::observed::Route) -> bool {
    known.ours && wish.to == known.to && wish.via == known.via && wish.metric == known.metric && wish.source == known.source
}

#[cfg(test)]
mod tests;
