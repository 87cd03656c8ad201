use super::super::leases::{Lease6, RouterDns};
use super::super::testing::*;
use super::super::wish::wishes;
use super::*;
use kmimage_contract::machine_config::network::Network;
use std::collections::BTreeMap;

fn state() -> (Desired, Observed, Leases) {
    let mut state = observed(vec![(2, settled("ens3", 1)), (3, settled("ens4", 2))]);
    state.addresses = vec![address(3, "10.0.1.9/24", true), address(2, "10.0.0.9/24", true), address(2, "fd00::9/64", false)];
    state.routes = vec![route(3, "0.0.0.0/0", "10.0.1.1", 1027, None, true), route(2, "0.0.0.0/0", "10.0.0.1", 1026, None, true)];
    let mut first = lease("10.0.0.9/24", "10.0.0.1");
    first.router = RouterDns { servers: vec!["fd00::1".parse().unwrap()], search: vec!["six.example.org".to_owned()] };
    first.ipv6 = Some(Lease6 {
        address: Some("fd00::9".parse().unwrap()),
        dns: vec!["fd00::1".parse().unwrap()],
        search: vec!["example.org".to_owned()],
        ntp: vec!["ntp.example.org".to_owned()],
    });
    (
        Desired::default(),
        state,
        Leases::from([(2, first), (3, lease("10.0.1.9/24", "10.0.1.1")), (9, lease("10.0.9.9/24", "10.0.9.1"))]),
    )
}

#[test]
fn resolvers_are_those_of_the_network_or_else_the_configs() {
    let (mut desired, observed, leases) = state();
    let text = |desired: &Desired| resolv_conf(desired, &wishes(desired, &observed, &leases), &leases);
    assert_eq!(
        text(&desired),
        "# Written by kmimage's init.\nnameserver 10.0.0.1\nnameserver fd00::1\nnameserver 10.0.1.1\nsearch example.org six.example.org\n"
    );
    desired.network.nameservers = vec!["192.0.2.1".parse().unwrap()];
    assert_eq!(text(&desired), "# Written by kmimage's init.\nnameserver 192.0.2.1\nsearch example.org six.example.org\n");
    desired.network.search = vec!["mine.example.org".to_owned()];
    assert_eq!(text(&desired), "# Written by kmimage's init.\nnameserver 192.0.2.1\nsearch mine.example.org\n");
    assert_eq!(resolv_conf(&Desired::default(), &Wishes::default(), &Leases::new()), "# Written by kmimage's init.\n");
}

#[test]
fn hosts_knows_this_machine_and_the_configs() {
    let (_, observed, leases) = state();
    let hosts_of = BTreeMap::from([("192.0.2.5".parse().unwrap(), vec!["api.example.org".to_owned(), "api".to_owned()])]);
    let desired = Desired { network: Network { hosts: hosts_of, ..Network::default() }, ..Desired::default() };
    let own = own_address(&observed, &wishes(&desired, &observed, &leases));
    let head = "# Written by kmimage's init.\n127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";
    assert_eq!(
        hosts(&desired, "node-1.example.org", own),
        format!("{head}10.0.0.9 node-1.example.org node-1\n192.0.2.5 api.example.org api\n")
    );
    assert_eq!(hosts(&Desired::default(), "node-1", None), format!("{head}127.0.1.1 node-1\n"));
    assert_eq!(hosts(&Desired::default(), "(none)", own), head);
}

#[test]
fn time_servers_and_the_name_come_from_wanted_links_only() {
    let (desired, observed, leases) = state();
    let wishes = wishes(&desired, &observed, &leases);
    assert_eq!(time_servers(&wishes, &leases), "{\"servers\":[\"10.0.0.1\",\"ntp.example.org\",\"10.0.1.1\"]}\n");
    assert_eq!(hostname(&wishes, &leases), Some("given"));
    assert_eq!(hostname(&Wishes::default(), &leases), None);
}
