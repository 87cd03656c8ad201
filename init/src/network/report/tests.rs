use super::super::observed::{Address, Kind};
use super::super::testing::*;
use super::super::wish::wishes;
use super::*;
use kmimage_contract::machine_config::network::{Network, Vlan};

fn check(network: &Network, observed: &Observed, expect: &str) {
    let desired = Desired { network: network.clone(), ..Desired::default() };
    let wishes = wishes(&desired, observed, &Leases::new());
    assert_eq!(waiting(&desired, &wishes, observed).join("; "), expect);
}

#[test]
fn without_a_config_any_address_will_do() {
    let network = Network::default();
    let mut state = observed(vec![]);
    check(&network, &state, "a network link");
    state = observed(vec![(2, card("ens3", 1)), (3, card("ens4", 2))]);
    check(&network, &state, "carrier on ens3; carrier on ens4");
    state.links.insert(2, settled("ens3", 1));
    check(&network, &state, "dhcp on ens3");
    state.addresses = vec![address(2, "fe80::1/64", false), address(2, "169.254.1.1/16", false)];
    check(&network, &state, "dhcp on ens3");
    state.addresses.push(Address { usable: false, ..address(2, "fd00::1/64", false) });
    check(&network, &state, "dhcp on ens3");
    state.addresses.push(address(2, "10.0.0.9/24", true));
    check(&network, &state, "");
    // An address on a link without carrier is nobody's way in.
    state.links.insert(2, Link { carrier: false, ..settled("ens3", 1) });
    check(&network, &state, "carrier on ens3; carrier on ens4");
}

#[test]
fn with_a_config_each_link_must_have_what_it_asks_for() {
    let mut network = Network {
        interfaces: vec![
            interface("one", 1, by_dhcp(Dhcp::Ipv4)),
            interface("two", 2, fixed("10.0.2.2/24")),
            interface("three", 3, by_dhcp(Dhcp::Ipv6)),
            interface("four", 4, by_dhcp(Dhcp::Both)),
        ],
        ..Network::default()
    };
    network.vlans.push(Vlan { name: "vlan5".to_owned(), id: 5, over: "one".to_owned(), addressing: fixed("10.0.5.2/24") });
    let links = [(2, "ens3", 1), (3, "ens4", 2), (4, "ens5", 3)];
    let mut state = observed(links.into_iter().map(|(index, name, last)| (index, settled(name, last))).collect());
    let missing = "dhcp on ens3; address 10.0.2.2/24 on ens4; a router on ens5; link with mac 02:00:00:00:00:04; link vlan5";
    check(&network, &state, missing);
    state.links.insert(5, card("ens6", 4));
    state.links.insert(6, made("vlan5", Kind::Vlan { id: 5, over: Some(2) }));
    state.addresses = vec![
        address(2, "10.0.1.9/24", true),
        address(3, "10.0.2.2/24", true),
        address(4, "fd00::9/64", false),
        address(6, "10.0.5.2/24", true),
    ];
    check(&network, &state, "carrier on ens6");
    state.links.insert(5, settled("ens6", 4));
    check(&network, &state, "dhcp on ens6");
    state.addresses.push(address(5, "fd00::8/64", false));
    check(&network, &state, "");
}

#[test]
fn a_config_that_asks_for_no_address_is_not_usable_without_one() {
    let network = Network { interfaces: vec![interface("one", 1, by_dhcp(Dhcp::No))], ..Network::default() };
    check(&network, &observed(vec![(2, settled("ens3", 1))]), "an address");
}

#[test]
fn the_line_of_a_link() {
    let network = Network { interfaces: vec![interface("uplink", 1, by_dhcp(Dhcp::Both))], ..Network::default() };
    let desired = Desired { network, ..Desired::default() };
    let mut state = observed(vec![(2, settled("ens3", 1))]);
    let leases = Leases::from([(2, lease("10.0.0.9/24", "10.0.0.1"))]);
    let line = |state: &Observed| interfaces(&wishes(&desired, state, &leases), state, &leases)[&2].to_string();
    assert_eq!(line(&state), "kmimage: network interface=ens3 name=uplink state=up mac=02:00:00:00:00:01 dhcp=bound");
    state.addresses = vec![address(2, "10.0.0.9/24", true), address(2, "fe80::1/64", false), address(2, "fd00::9/64", false)];
    state.routes = vec![route(2, "::/0", "fe80::2", 1024, None, false), route(2, "0.0.0.0/0", "10.0.0.1", 1026, None, true)];
    assert_eq!(
        line(&state),
        "kmimage: network interface=ens3 name=uplink state=up mac=02:00:00:00:00:01 addresses=10.0.0.9/24,fd00::9/64 \
         gateway=10.0.0.1 dhcp=bound"
    );
}
