use super::super::desired::Desired;
use super::super::leases::{Leases, LinkLeases};
use super::super::testing::*;
use super::super::wish::wishes;
use super::*;
use kmimage_contract::machine_config::network::{Addressing, Dhcp, Match, Network, Route};

/// An action in few words.
fn short(action: &LinkAction) -> String {
    match action {
        LinkAction::Make(Make::Vlan { name, id, over }) => format!("make {name} vlan {id} over {over}"),
        LinkAction::Make(Make::Bond { name, mode }) => format!("make {name} bond {mode}"),
        LinkAction::Make(Make::Bridge { name }) => format!("make {name} bridge"),
        LinkAction::Delete { index } => format!("delete {index}"),
        LinkAction::Mark { index, ours } => format!("mark {index} {ours}"),
        LinkAction::AcceptRa { name, value } => format!("accept_ra {name} {value}"),
        LinkAction::AddressGeneration { name, value } => format!("addr_gen_mode {name} {value}"),
        LinkAction::Mtu { index, mtu } => format!("mtu {index} {mtu}"),
        LinkAction::Master { index, master } => format!("master {index} {}", master.unwrap_or(0)),
        LinkAction::Up { index } => format!("up {index}"),
        LinkAction::Down { index } => format!("down {index}"),
        LinkAction::AddAddress { index, address } => format!("{index} + {address}"),
        LinkAction::RemoveAddress { index, address } => format!("{index} - {address}"),
        LinkAction::AddRoute { index, route } => {
            let via = route.via.map_or("link".to_owned(), |via| via.to_string());
            format!("{index} + {} via {via} {}{}", route.to, route.metric, if route.onlink { " onlink" } else { "" })
        }
        LinkAction::RemoveRoute { index, to, metric, .. } => format!("{index} - {to} {metric}"),
    }
}

fn check(network: &Network, observed: &Observed, leases: &Leases, expect: &[&str]) {
    let desired = Desired { network: network.clone(), ..Desired::default() };
    let actions = plan(&wishes(&desired, observed, leases), observed);
    assert_eq!(actions.iter().map(short).collect::<Vec<_>>(), expect);
}

fn loopback() -> Link {
    Link { kind: Kind::Loopback, ours: false, ..card("lo", 0) }
}

#[test]
fn without_a_config_every_card_is_switched_on_and_nothing_else_is_touched() {
    let pod = Link { kind: Kind::Foreign, ..card("veth1234", 9) };
    let flannel = Link { kind: Kind::Foreign, up: true, ..card("flannel.1", 8) };
    let bridge = Link { kind: Kind::Bridge, ours: false, up: true, ..card("cni0", 7) };
    let vlan = Link { kind: Kind::Vlan { id: 7, over: Some(2) }, ours: false, ..card("ens3.7", 6) };
    // A virtual function that belongs to a strange master.
    let function = Link { master: Some(5), ..card("ens4", 4) };
    let links = vec![(1, loopback()), (2, card("ens3", 1)), (3, pod), (4, flannel), (5, bridge), (6, vlan), (7, function)];
    let mut observed = observed(links);
    observed.addresses = vec![address(5, "10.244.0.1/24", false), address(2, "192.0.2.7/32", false)];
    observed.routes = vec![route(4, "10.244.1.0/24", "10.244.1.0", 0, None, false)];
    check(&Network::default(), &observed, &Leases::new(), &["up 1", "mark 2 true", "accept_ra ens3 2", "up 2"]);
}

#[test]
fn what_is_right_is_left_alone() {
    let mut observed = observed(vec![(2, settled("ens3", 1))]);
    observed.addresses =
        vec![address(2, "10.0.0.9/24", true), address(2, "fe80::1/64", false), address(2, "192.0.2.7/32", false)];
    observed.routes = vec![route(2, "0.0.0.0/0", "10.0.0.1", 1026, Some("10.0.0.9"), true)];
    let leases = Leases::from([(2, lease("10.0.0.9/24", "10.0.0.1"))]);
    check(&Network::default(), &observed, &leases, &[]);
}

#[test]
fn a_lease_comes_changes_and_goes() {
    let mut observed = observed(vec![(2, settled("ens3", 1))]);
    let leases = Leases::from([(2, lease("10.0.0.9/24", "10.0.0.1"))]);
    check(&Network::default(), &observed, &leases, &["2 + 10.0.0.9/24", "2 + 0.0.0.0/0 via 10.0.0.1 1026"]);

    observed.addresses = vec![address(2, "10.0.0.9/24", true), address(2, "192.0.2.7/32", false)];
    observed.routes = vec![route(2, "0.0.0.0/0", "10.0.0.1", 1026, Some("10.0.0.9"), true)];
    let changed = Leases::from([(2, lease("10.0.0.8/24", "10.0.0.1"))]);
    let expect = ["2 - 0.0.0.0/0 1026", "2 - 10.0.0.9/24", "2 + 10.0.0.8/24", "2 + 0.0.0.0/0 via 10.0.0.1 1026"];
    check(&Network::default(), &observed, &changed, &expect);
    check(&Network::default(), &observed, &Leases::new(), &["2 - 0.0.0.0/0 1026", "2 - 10.0.0.9/24"]);

    // This program was started anew, and asks for the address that is there.
    let confirming = LinkLeases { confirming: Some([10, 0, 0, 9].into()), ..LinkLeases::default() };
    check(&Network::default(), &observed, &Leases::from([(2, confirming)]), &[]);
}

#[test]
fn a_link_that_listened_to_routers_forgets_what_they_said() {
    let network = Network { interfaces: vec![interface("one", 1, fixed("10.0.0.2/24"))], ..Network::default() };
    let state = observed(vec![(2, settled("ens3", 1))]);
    check(&network, &state, &Leases::new(), &["accept_ra ens3 0", "down 2", "up 2", "2 + 10.0.0.2/24"]);
}

#[test]
fn a_gateway_outside_of_the_network_is_reached_all_the_same() {
    let observed = observed(vec![(2, settled("ens3", 1))]);
    let leases = Leases::from([(2, lease("192.0.2.9/32", "198.51.100.1"))]);
    check(&Network::default(), &observed, &leases, &["2 + 192.0.2.9/32", "2 + 0.0.0.0/0 via 198.51.100.1 1026 onlink"]);
}

#[test]
fn fixed_addresses_routes_and_mtu() {
    let route_to = |to: &str, via: &str, metric| Route { to: cidr(to), via: via.parse().ok(), metric };
    let addressing = Addressing {
        addresses: vec![cidr("10.0.0.2/24"), cidr("fd00::2/64")],
        mtu: Some(1400),
        routes: vec![
            route_to("0.0.0.0/0", "10.0.0.1", Some(5)),
            route_to("::/0", "fd00::1", None),
            route_to("10.9.0.0/16", "", None),
        ],
        dhcp: Dhcp::No,
    };
    let network = Network { interfaces: vec![interface("uplink", 1, addressing)], ..Network::default() };
    let mut observed = observed(vec![(2, card("ens3", 1)), (3, card("ens4", 2))]);
    // The second card isn't named: it stays as it is.
    let expect = [
        "mark 2 true",
        "accept_ra ens3 0",
        "mtu 2 1400",
        "up 2",
        "2 + 10.0.0.2/24",
        "2 + fd00::2/64",
        "2 + 0.0.0.0/0 via 10.0.0.1 5",
        "2 + ::/0 via fd00::1 1024",
        "2 + 10.9.0.0/16 via link 0",
    ];
    check(&network, &observed, &Leases::new(), &expect);
    // A stranger's equal address and route do, too.
    observed.links.insert(2, Link { mtu: 1400, ipv6: None, ..settled("ens3", 1) });
    observed.addresses = vec![address(2, "10.0.0.2/24", false), address(2, "fd00::2/64", true)];
    observed.routes = vec![
        route(2, "0.0.0.0/0", "10.0.0.1", 5, None, false),
        route(2, "::/0", "fd00::1", 1024, None, true),
        route(2, "10.9.0.0/16", "", 0, None, true),
    ];
    check(&network, &observed, &Leases::new(), &[]);
}

#[test]
fn cards_are_told_apart_by_mac_then_by_name_and_driver() {
    let mut network = Network::default();
    let by = |name: &str, matches: Match, address: &str| kmimage_contract::machine_config::network::Interface {
        name: name.to_owned(),
        matches,
        addressing: fixed(address),
    };
    let named = |name: &str| Match { name: Some(name.to_owned()), ..Match::default() };
    network.interfaces.push(by("any", named("en*"), "10.0.1.2/24"));
    network.interfaces.push(by("exact", Match { mac: Some(mac(1)), ..Match::default() }, "10.0.2.2/24"));
    network.interfaces.push(by("driver", Match { driver: Some("e1000".to_owned()), ..Match::default() }, "10.0.3.2/24"));
    network.interfaces.push(by("missing", named("wl*"), "10.0.4.2/24"));
    let other = Link { driver: Some("e1000".to_owned()), ..settled("eth0", 3) };
    let links = vec![(2, settled("ens3", 1)), (3, settled("ens4", 2)), (4, other)];
    let none = |link: Link| Link { ipv6: None, ..link };
    let observed = observed(links.into_iter().map(|(index, link)| (index, none(link))).collect());
    check(&network, &observed, &Leases::new(), &["3 + 10.0.1.2/24", "2 + 10.0.2.2/24", "4 + 10.0.3.2/24"]);
}

/// The rounds in which a bridge over a VLAN over a bond of two cards comes to be.
#[test]
fn links_over_links_are_made_from_below() {
    let network = stacked();
    let none = |link: Link| Link { ipv6: None, ..link };
    let member = |link: Link, master| none(Link { master: Some(master), ..link });
    // One card is up, from before.
    let one = none(Link { up: true, carrier: true, ours: true, ..card("ens3", 1) });
    let mut state = observed(vec![(2, one), (3, none(card("ens4", 2)))]);
    check(&network, &state, &Leases::new(), &["make bond0 bond 1", "make br0 bridge", "mark 3 true"]);

    state.links.insert(10, none(Link { up: false, carrier: false, ..made("bond0", Kind::Bond { mode: 1 }) }));
    state.links.insert(11, none(Link { up: false, carrier: false, ..made("br0", Kind::Bridge) }));
    state.links.insert(3, none(Link { ours: true, ..card("ens4", 2) }));
    let expect = [
        "make vlan10 vlan 10 over 10",
        "down 2",
        "master 2 10",
        "up 2",
        "master 3 10",
        "up 3",
        "up 10",
        "up 11",
        "11 + 10.0.0.2/24",
    ];
    check(&network, &state, &Leases::new(), &expect);

    state.links.insert(2, member(settled("ens3", 1), 10));
    state.links.insert(3, member(settled("ens4", 2), 10));
    state.links.insert(10, none(made("bond0", Kind::Bond { mode: 1 })));
    state.links.insert(11, none(made("br0", Kind::Bridge)));
    state.links.insert(12, none(Link { up: false, ..made("vlan10", Kind::Vlan { id: 10, over: Some(10) }) }));
    state.addresses = vec![address(11, "10.0.0.2/24", true)];
    check(&network, &state, &Leases::new(), &["master 12 11", "up 12"]);

    state.links.insert(12, member(made("vlan10", Kind::Vlan { id: 10, over: Some(10) }), 11));
    check(&network, &state, &Leases::new(), &[]);
}

#[test]
fn members_have_no_addresses_of_their_own() {
    let network = stacked();
    let mut state = observed(vec![
        (2, Link { master: Some(10), ..settled("ens3", 1) }),
        (3, Link { master: Some(10), ..settled("ens4", 2) }),
        (10, made("bond0", Kind::Bond { mode: 1 })),
        (11, made("br0", Kind::Bridge)),
        (12, Link { master: Some(11), ..made("vlan10", Kind::Vlan { id: 10, over: Some(10) }) }),
    ]);
    state.addresses = vec![address(2, "10.0.0.9/24", true), address(11, "10.0.0.2/24", true)];
    let silent = |name: &str| [format!("accept_ra {name} 0"), format!("addr_gen_mode {name} 1")];
    let [a, b] = silent("ens3");
    let [c, d] = silent("ens4");
    let expect = [a.as_str(), &b, "2 - 10.0.0.9/24", &c, &d, "addr_gen_mode vlan10 1"];
    check(&network, &state, &Leases::from([(2, lease("10.0.0.9/24", "10.0.0.1"))]), &expect);
}

#[test]
fn what_is_no_longer_wanted_goes_and_what_was_never_ours_stays() {
    let network = Network { interfaces: vec![interface("two", 2, fixed("10.0.0.2/24"))], ..Network::default() };
    let mut state = observed(vec![
        (2, Link { master: Some(10), ..settled("ens3", 1) }),
        (3, Link { ipv6: None, ..settled("ens4", 2) }),
        (10, made("bond0", Kind::Bond { mode: 1 })),
        (11, Link { ours: false, ..made("bond1", Kind::Bond { mode: 1 }) }),
    ]);
    state.addresses = vec![address(2, "10.0.0.9/24", true), address(2, "10.0.0.7/24", false), address(3, "10.0.0.2/24", true)];
    check(&network, &state, &Leases::new(), &["2 - 10.0.0.9/24", "master 2 0", "down 2", "mark 2 false", "delete 10"]);
}

#[test]
fn a_link_of_ours_that_is_wrong_is_made_anew_and_a_strangers_name_is_left() {
    let mut network = stacked();
    network.bridges.clear();
    network.vlans.clear();
    network.interfaces.clear();
    network.bonds[0].members.clear();
    let wrong = observed(vec![(10, made("bond0", Kind::Bond { mode: 4 }))]);
    check(&network, &wrong, &Leases::new(), &["delete 10"]);
    let strange = observed(vec![(10, Link { ours: false, ..made("bond0", Kind::Bond { mode: 1 }) })]);
    check(&network, &strange, &Leases::new(), &[]);
}
