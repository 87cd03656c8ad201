//! Configs and platforms with what becomes of them.

use super::*;
use crate::services::{Readiness, Restart};
use kmimage_contract::cmdline::Purpose;
use kmimage_contract::machine_config;
use std::time::Duration;

const ID: &str = "0123456789abcdef0123456789abcdef";

fn config(text: &str) -> MachineConfig {
    machine_config::parse("test", format!("version = 1\n{text}").as_bytes(), None).unwrap()
}

fn wish(text: &str, platform: &Platform) -> Desired {
    desired(Inputs { config: &config(text), platform, machine_id: ID, purpose: &Purpose::Usual }).unwrap()
}

fn input<T: serde::de::DeserializeOwned>(desired: &Desired, path: &str) -> T {
    serde_json::from_str(desired.inputs.get(path).unwrap().reveal()).unwrap()
}

#[test]
fn the_config_names_the_machine_then_the_platform_then_its_id() {
    let named = Platform { hostname: Some("from-platform".to_owned()), ..Platform::default() };
    let check = |text: &str, platform: &Platform, name: &str, source: &str, told: Option<&str>| {
        let wish = wish(text, platform);
        assert_eq!((wish.hostname.name.as_str(), wish.hostname.source), (name, source));
        // A default is no name to tell a DHCP server.
        assert_eq!(input::<Network>(&wish, paths::NETWORK).hostname.as_deref(), told);
    };
    check("[machine]\nhostname = \"node-1\"", &named, "node-1", "config", Some("node-1"));
    check("", &named, "from-platform", "platform", Some("from-platform"));
    check("", &Platform::default(), "kmimage-01234567", "default", None);
}

#[test]
fn the_platforms_network_fills_what_the_config_leaves_open() {
    let platform_network = config(
        "[network]\nnameservers = [\"10.0.0.1\"]\nsearch = [\"platform.example\"]\nhosts = { \"10.0.0.5\" = [\"p\"] }\n\
         [[network.interface]]\nname = \"p\"\nmatch = { name = \"ens3\" }\ndhcp = \"ipv4\"",
    )
    .network;
    let platform = Platform { network: Some(platform_network.clone()), ..Platform::default() };
    let network = |text: &str| input::<Network>(&wish(text, &platform), paths::NETWORK).network;
    assert_eq!(network(""), platform_network);
    let own = "[[network.interface]]\nname = \"own\"\nmatch = { name = \"ens4\" }\ndhcp = \"ipv4\"";
    let mixed = network(own);
    assert_eq!(mixed.interfaces, config(own).network.interfaces);
    assert_eq!((&mixed.nameservers, &mixed.search), (&platform_network.nameservers, &platform_network.search));
    let own = network("[network]\nnameservers = [\"10.9.9.9\"]\nhosts = { \"10.0.0.5\" = [\"own\"], \"10.0.0.6\" = [\"six\"] }");
    assert_eq!(own.nameservers, ["10.9.9.9".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(own.hosts.values().cloned().collect::<Vec<_>>(), [["own"], ["six"]]);
    assert_eq!(own.interfaces, platform_network.interfaces);
}

#[test]
fn services_become_units() {
    let wish = wish(
        "[network.proxy]\nhttps = \"http://proxy:3128\"\nno-proxy = [\"10.0.0.0/8\", \".local\"]\n\
         [[volume]]\nname = \"data\"\ndisk = \"virtio-data\"\npath = \"/var/mnt/data\"\n\
         [[service]]\nname = \"a\"\ncommand = [\"/usr/bin/a\", \"--x\"]\nneeds = [\"network\", \"time\", \"b\"]\n\
         environment = { A = \"hunter2\", NO_PROXY = \"own\" }\nrestart = { minimum-ms = 20, maximum-ms = 40 }\n\
         readiness = { socket = \"/run/a.sock\" }\noom-score = 5\nmemory-min = \"1 MiB\"\n\
         capabilities = [\"CAP_NET_ADMIN\", \"CAP_CHOWN\"]\nstop-timeout-s = 3\n\
         [[service]]\nname = \"b\"\ncommand = [\"/usr/bin/b\"]",
        &Platform::default(),
    );
    let unit = &wish.services["a"];
    assert_eq!((unit.path.to_str(), unit.arguments.as_slice()), (Some("/usr/bin/a"), &["--x".to_owned()][..]));
    assert_eq!(unit.needs, ["var", "applied", "volumes", "network", "time", "b"]);
    assert_eq!(unit.readiness, Readiness::Socket("/run/a.sock".into()));
    let restart = Restart { minimum: Duration::from_millis(20), maximum: Duration::from_millis(40), ..Restart::default() };
    assert_eq!((unit.restart, unit.stop_within, unit.oom_score), (restart, Duration::from_secs(3), 5));
    assert_eq!((unit.memory.min, unit.capabilities, unit.no_new_privileges), (Some(1 << 20), Some(1 << 12 | 1), true));
    let environment: Vec<String> = unit.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expect = [
        "A=hunter2",
        "HTTPS_PROXY=http://proxy:3128",
        "NO_PROXY=own",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
        "https_proxy=http://proxy:3128",
        "no_proxy=10.0.0.0/8,.local",
    ];
    assert_eq!(environment, expect);
    assert_eq!((wish.services["b"].capabilities, &wish.services["b"].readiness), (Some(0), &Readiness::Started));
    // What process 1 reads is what was meant, and nothing prints what may be secret.
    assert_eq!(input::<BTreeMap<String, Unit>>(&wish, paths::UNITS), wish.services);
    let volumes: serde_json::Value = input(&wish, paths::VOLUMES);
    assert_eq!(volumes, serde_json::json!([{ "name": "data", "disk": "virtio-data", "path": "/var/mnt/data" }]));
}

#[test]
fn etc_has_links_for_what_changes_and_the_configs_files() {
    let wish = wish("[[file]]\npath = \"/etc/foo/bar\"\nmode = \"0600\"\ncontent = \"hunter2\"", &Platform::default());
    let shown: Vec<String> = wish
        .etc
        .iter()
        .map(|(path, file)| match &file.content {
            Content::Link(target) => format!("{path} -> {target}"),
            Content::Text(text) => format!("{path} {:o} {}", file.mode, text.reveal().trim_end()),
            Content::Behind(_) => format!("{path} behind"),
        })
        .collect();
    let expect = [
        "/etc/foo/bar 600 hunter2",
        "/etc/hostname -> /run/kmimage/net/hostname",
        "/etc/hosts -> /run/kmimage/net/hosts",
        "/etc/machine-id 644 0123456789abcdef0123456789abcdef",
        "/etc/resolv.conf -> /run/kmimage/net/resolv.conf",
    ];
    assert_eq!(shown, expect);
    assert!(!format!("{wish:?}").contains("hunter2"));
}

#[test]
fn children_get_what_they_need() {
    let wish = wish("[time]\nservers = [\"ntp.example\"]\n[log]\nreceiver = \"tcp://10.0.0.9:514\"", &Platform::default());
    assert_eq!(wish.inputs[paths::TIME].reveal(), "{\"servers\":[\"ntp.example\"]}");
    assert_eq!(wish.inputs[paths::LOG].reveal(), "{\"receiver\":\"tcp://10.0.0.9:514\",\"hostname\":\"kmimage-01234567\"}");
    let network: Network = input(&wish, paths::NETWORK);
    assert_eq!(network.machine_id.as_deref(), Some(ID));
}

#[test]
fn the_config_outranks_the_role() {
    let text = "[kernel]\nmodules = [\"overlay\", \"own\"]\n[sysctl]\n\"net.ipv4.ip_forward\" = \"0\"\n\"vm.swappiness\" = \"1\"";
    let pair = |path: &str, value: &str| (path.to_owned(), value.to_owned());
    let role = crate::facts::role::Role {
        modules: vec!["br_netfilter".to_owned(), "overlay".to_owned()],
        sysctls: vec![pair("net/ipv4/ip_forward", "1"), pair("net/ipv6/conf/all/forwarding", "1")],
    };
    let wish = wish(text, &Platform::default()).over(&role);
    assert_eq!(wish.modules, ["br_netfilter", "overlay", "own"]);
    let expect = [("net/ipv6/conf/all/forwarding", "1"), ("net/ipv4/ip_forward", "0"), ("vm/swappiness", "1")];
    assert_eq!(wish.sysctls, expect.map(|(path, value)| pair(path, value)));
}
