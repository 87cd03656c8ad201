//! Both versions, as their makers write them, and what is refused.

use super::{Found, read};
use serde_json::json;

/// The network that a document becomes, as JSON without what is empty.
#[track_caller]
fn check(text: &str, expect: serde_json::Value) -> Vec<String> {
    let Found { network, notes } = read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(pruned(serde_json::to_value(network).unwrap()), expect, "{text}");
    notes
}

fn pruned(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().map(|(key, value)| (key, pruned(value)));
            let is_empty = |value: &Value| match value {
                Value::Null => true,
                Value::Array(items) => items.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            Value::Object(kept.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(pruned).collect()),
        other => other,
    }
}

#[test]
fn proxmoxs_own_version_1_is_read() {
    // As qemu-server writes it for ipconfig0 (static) and ipconfig1 (DHCP and SLAAC).
    let text = "version: 1\nconfig:\n    - type: physical\n      name: eth0\n      mac_address: '52:54:00:aa:bb:01'\n      subnets:\n\
                \x20     - type: static\n        address: '10.0.0.5'\n        netmask: '255.255.255.0'\n        gateway: '10.0.0.1'\n\
                \x20     - type: static6\n        address: 'fd00::5/64'\n        gateway: 'fd00::1'\n\
                \x20   - type: physical\n      name: eth1\n      mac_address: '52:54:00:aa:bb:02'\n      subnets:\n\
                \x20     - type: dhcp4\n      - type: ipv6_slaac\n\
                \x20   - type: nameserver\n      address:\n      - '10.0.0.1'\n      - '10.0.0.2'\n      search:\n      - 'example.org'\n";
    let notes = check(
        text,
        json!({
            "nameservers": ["10.0.0.1", "10.0.0.2"],
            "search": ["example.org"],
            "interfaces": [
                { "name": "eth0", "match": { "mac": "52:54:00:aa:bb:01" }, "addressing": {
                    "dhcp": "no", "addresses": ["10.0.0.5/24", "fd00::5/64"],
                    "routes": [{ "to": "0.0.0.0/0", "via": "10.0.0.1" }, { "to": "::/0", "via": "fd00::1" }],
                } },
                { "name": "eth1", "match": { "mac": "52:54:00:aa:bb:02" }, "addressing": { "dhcp": "both" } },
            ],
        }),
    );
    assert_eq!(notes, Vec::<String>::new());
}

#[test]
fn version_1_has_bonds_vlans_bridges_and_routes() {
    let text = r"
network:
  version: 1
  config:
    - {type: physical, name: a, mac_address: '52:54:00:aa:bb:01', mtu: 9000}
    - {type: physical, name: b, mac_address: '52:54:00:aa:bb:02', mtu: 9000}
    - {type: physical, name: ens9, subnets: [{type: manual}]}
    - type: bond
      name: bond0
      mtu: 9000
      bond_interfaces: [a, b]
      params: {bond-mode: '1', bond-miimon: 100}
    - type: vlan
      name: vlan10
      vlan_link: bond0
      vlan_id: 10
      subnets:
        - type: static
          address: 10.0.10.2/24
          dns_nameservers: 10.0.10.1 10.0.10.3
          dns_search: [a.example, b.example]
          routes: [{network: 10.9.0.0, netmask: 255.255.0.0, gateway: 10.0.10.9}]
    - type: bridge
      name: br0
      bridge_interfaces: [ens9]
      params: {bridge_stp: 'off'}
      subnets: [{type: dhcp}]
    - {type: route, destination: 10.8.1.7/16, gateway: 10.0.10.8, metric: 5}
";
    let notes = check(
        text,
        json!({
            "nameservers": ["10.0.10.1", "10.0.10.3"],
            "search": ["a.example", "b.example"],
            "interfaces": [
                { "name": "a", "match": { "mac": "52:54:00:aa:bb:01" }, "addressing": { "dhcp": "no", "mtu": 9000 } },
                { "name": "b", "match": { "mac": "52:54:00:aa:bb:02" }, "addressing": { "dhcp": "no", "mtu": 9000 } },
                { "name": "ens9", "match": { "name": "ens9" }, "addressing": { "dhcp": "no" } },
            ],
            "bonds": [
                { "name": "bond0", "mode": "active-backup", "members": ["a", "b"], "addressing": { "dhcp": "no", "mtu": 9000 } },
            ],
            "vlans": [{ "name": "vlan10", "id": 10, "over": "bond0", "addressing": {
                "dhcp": "no", "addresses": ["10.0.10.2/24"],
                "routes": [
                    { "to": "10.9.0.0/16", "via": "10.0.10.9" },
                    { "to": "10.8.0.0/16", "via": "10.0.10.8", "metric": 5 },
                ],
            } }],
            "bridges": [{ "name": "br0", "members": ["ens9"], "addressing": { "dhcp": "ipv4" } }],
        }),
    );
    assert_eq!(notes, ["`config[3].params.bond-miimon` is ignored: links are watched as this system does"]);
}

#[test]
fn cluster_apis_version_2_is_read() {
    // As the provider for Proxmox writes it: flow maps with trailing commas, ids that are no names.
    let text = r#"network:
  version: 2
  renderer: networkd
  ethernets:
    eth0:
      match:
        macaddress: 92:60:a0:5b:22:c2
      dhcp4: false
      dhcp6: "no"
      addresses:
        - 10.10.10.12/24
        - 2001:db8::12/64
      routes:
        - { "to": "0.0.0.0/0", "via": "10.10.10.1", "metric": 100, }
        - { to: default, via: "2001:db8::1" }
        - { to: 10.99.0.1, via: 10.10.10.2 }
      nameservers:
        addresses:
          - "8.8.8.8"
      mtu: 1400
    eth1:
      match: {name: "en*", driver: virtio_net}
      dhcp4: yes
      accept-ra: true
      nameservers: {addresses: [8.8.4.4, 8.8.8.8], search: [example.org]}
"#;
    let notes = check(
        text,
        json!({
            "nameservers": ["8.8.8.8", "8.8.4.4"],
            "search": ["example.org"],
            "interfaces": [
                { "name": "eth0", "match": { "mac": "92:60:a0:5b:22:c2" }, "addressing": {
                    "dhcp": "no", "mtu": 1400, "addresses": ["10.10.10.12/24", "2001:db8::12/64"],
                    "routes": [
                        { "to": "0.0.0.0/0", "via": "10.10.10.1", "metric": 100 },
                        { "to": "::/0", "via": "2001:db8::1" },
                        { "to": "10.99.0.1/32", "via": "10.10.10.2" },
                    ],
                } },
                { "name": "eth1", "match": { "name": "en*", "driver": "virtio_net" }, "addressing": { "dhcp": "both" } },
            ],
        }),
    );
    assert_eq!(notes, ["`network.renderer` is ignored: there is one"]);
}

#[test]
fn version_2_has_bonds_vlans_and_bridges() {
    let text = r"
version: 2
ethernets:
  ens3: {}
  ens4: {match: {macaddress: '52:54:00:aa:bb:02'}, set-name: lan1, optional: true, wakeonlan: false}
  ens5: {}
bonds:
  bond0: {interfaces: [ens3, ens4], parameters: {mode: 802.3ad, mii-monitor-interval: 100}, dhcp6: true}
vlans:
  vlan10: {id: 10, link: bond0, addresses: [10.0.10.2/24], gateway4: 10.0.10.1}
bridges:
  br0: {interfaces: [ens5], parameters: {stp: false}, dhcp4: true}
";
    let notes = check(
        text,
        json!({
            "interfaces": [
                { "name": "ens3", "match": { "name": "ens3" }, "addressing": { "dhcp": "no" } },
                { "name": "ens4", "match": { "mac": "52:54:00:aa:bb:02" }, "addressing": { "dhcp": "no" } },
                { "name": "ens5", "match": { "name": "ens5" }, "addressing": { "dhcp": "no" } },
            ],
            "bonds": [{ "name": "bond0", "mode": "802.3ad", "members": ["ens3", "ens4"], "addressing": { "dhcp": "ipv6" } }],
            "vlans": [{ "name": "vlan10", "id": 10, "over": "bond0", "addressing": {
                "dhcp": "no", "addresses": ["10.0.10.2/24"], "routes": [{ "to": "0.0.0.0/0", "via": "10.0.10.1" }],
            } }],
            "bridges": [{ "name": "br0", "members": ["ens5"], "addressing": { "dhcp": "ipv4" } }],
        }),
    );
    assert_eq!(notes.len(), 3, "{notes:?}");
}

#[test]
fn an_empty_document_leaves_the_defaults() {
    for text in ["", "# nothing\n", "version: 2\n", "network: {version: 2, ethernets: {}}", "version: 1\nconfig: []\n"] {
        assert_eq!(read(text.as_bytes()).unwrap(), Found::default(), "{text}");
    }
}

#[test]
fn what_our_terms_cant_say_is_refused_by_name() {
    let check = |text: &str, expect: &str| {
        assert_eq!(read(text.as_bytes()).unwrap_err().to_string(), format!("network-config: {expect}"), "{text}");
    };
    check("config: []", "`version` is missing: 1 and 2 are supported");
    check("version: 3", "version 3 is not supported (1 and 2 are)");
    check("[]", "a mapping is expected");
    check("network: {version: 2}\nextra: 1", "`extra` is not supported");
    check("version: 1\nconfig: disabled", "`config`: a list is expected");
    check("version: 1\nconfig: [1]", "`config[0]`: a mapping is expected");

    let v1 = |item: &str, expect: &str| check(&format!("version: 1\nconfig:\n  - {item}\n"), expect);
    v1("{name: a}", "`config[0].type` is missing");
    v1("{type: wifi}", "`config[0].type`: `wifi` is not supported");
    v1("{type: physical}", "`config[0].name` is missing");
    v1("{type: physical, name: a, keep_configuration: true}", "`config[0].keep_configuration` is not supported");
    v1(
        "{type: physical, name: a, mac_address: x}",
        "`config[0].mac_address`: `x` is no MAC address: six pairs of hexadecimal digits, such as \"52:54:00:12:34:56\"",
    );
    v1("{type: physical, name: a, subnets: [{type: bootp}]}", "`config[0].subnets[0].type`: `bootp` is not supported");
    v1("{type: physical, name: a, subnets: [{type: static}]}", "`config[0].subnets[0].address` is missing");
    v1(
        "{type: physical, name: a, subnets: [{type: static, address: 10.0.0.1}]}",
        "`config[0].subnets[0].address`: `10.0.0.1` has no prefix length: write it as \"10.0.0.1/32\" or with that of its network",
    );
    v1(
        "{type: physical, name: a, subnets: [{type: static, address: 10.0.0.1, netmask: 255.0.255.0}]}",
        "`config[0].subnets[0].address`: `255.0.255.0` is no netmask",
    );
    v1("{type: physical, name: a, subnets: [{type: dhcp, control: manual}]}", "`config[0].subnets[0].control` is not supported");
    v1("{type: bond, name: a, bond_interfaces: [b]}", "`config[0].params.bond-mode` is missing");
    v1("{type: bond, name: a, params: {bond-mode: fast}}", "`config[0].params.bond-mode`: `fast` is no mode of a bond");
    v1(
        "{type: bond, name: a, params: {bond-mode: 1, bond-xmit_hash_policy: layer3+4}}",
        "`config[0].params.bond-xmit_hash_policy` is not supported",
    );
    v1("{type: bridge, name: a, params: {bridge_stp: 'on'}}", "`config[0].params.bridge_stp` is not supported");
    v1("{type: vlan, name: a, vlan_link: b}", "`config[0].vlan_id` is missing");
    v1("{type: vlan, name: a, vlan_link: b, vlan_id: 70000}", "`config[0].vlan_id`: 70000 is no VLAN's number");
    v1(
        "{type: route, destination: 10.0.0.0/8, gateway: 10.0.0.1}",
        "`config[0].gateway`: no link of the document has a subnet with this route's gateway",
    );
    v1("{type: nameserver, address: [x]}", "`config[0].address`: `x` is no IP address");

    let v2 = |rest: &str, expect: &str| check(&format!("version: 2\n{rest}\n"), expect);
    v2("wifis: {}", "`wifis` is not supported");
    v2("vrfs: {vrf0: {table: 5}}", "`vrfs` is not supported");
    let link = |rest: &str, expect: &str| v2(&format!("ethernets: {{a: {{{rest}}}}}"), expect);
    link("routing-policy: [{to: 10.0.0.0/8, table: 5}]", "`ethernets.a.routing-policy` is not supported");
    link("routes: [{to: 10.0.0.0/8, via: 10.0.0.1, table: 5}]", "`ethernets.a.routes[0].table` is not supported");
    link("routes: [{via: 10.0.0.1}]", "`ethernets.a.routes[0].to` is missing");
    link("dhcp4-overrides: {use-dns: false}", "`ethernets.a.dhcp4-overrides` is not supported");
    link("dhcp4: maybe", "`ethernets.a.dhcp4`: true or false is expected");
    link("mtu: big", "`ethernets.a.mtu`: a number is expected");
    link("wakeonlan: true", "`ethernets.a.wakeonlan` is not supported");
    link("dhcp6: true, accept-ra: false", "`ethernets.a.accept-ra`: false beside `dhcp6: true` is not supported");
    link("match: {}", "`ethernets.a.match`: one of macaddress, name and driver is expected");
    link("match: {driver: [a, b]}", "`ethernets.a.match.driver`: a text is expected");
    link("addresses: [{10.0.0.1/24: {label: x}}]", "`ethernets.a.addresses`: a list of texts is expected");
    v2("bonds: {b: {interfaces: []}}", "`bonds.b.parameters.mode` is missing");
    v2("vlans: {v: {id: 5}}", "`vlans.v.link` is missing");
    // What `[network]` of a machine config refuses is refused here, too.
    v2("vlans: {v: {id: 5, link: nowhere}}", "`v` is over `nowhere`, and no link has that name");
    assert!(read(b"version: 2\nversion: 2\n").is_err());
}
