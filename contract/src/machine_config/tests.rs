//! Documents that are refused, each with its whole message, and one that says everything.

mod cluster;
mod registry;

use super::{
    AfterInstall, Capability, Cidr, Condition, Host, LogProtocol, MAX_SIZE, MachineConfig, MachineConfigError, Need, Readiness,
    parse,
};
use std::time::Duration;

fn read(text: &str) -> Result<MachineConfig, MachineConfigError> {
    parse("machine.toml", text.as_bytes(), Some("base"))
}

/// refused.txt: `=== title`, the document, `~~~`, the message as it is printed.
#[test]
fn what_is_wrong_is_refused_with_these_words() {
    assert!(refused(include_str!("refused.txt"), Some("base")) >= 100);
}

/// Holds each document of such a file against its message; how many there are. `role` is the image's.
fn refused(file: &str, role: Option<&str>) -> usize {
    let mut cases = 0;
    let mut wrong = String::new();
    for case in file.split("=== ").skip(1) {
        let (title, rest) = case.split_once('\n').unwrap();
        let (text, expected) = rest.split_once("~~~\n").unwrap_or((rest, ""));
        let said = match parse("machine.toml", text.as_bytes(), role) {
            Ok(config) => panic!("{title}: taken as {config:?}"),
            Err(error) => format!("{error}\n"),
        };
        assert!(!said.contains("hunter"), "{title}: {said}");
        if said != expected {
            wrong.push_str(&format!("=== {title}\n{text}~~~\n{said}"));
        }
        cases += 1;
    }
    assert!(wrong.is_empty(), "these say something else:\n{wrong}");
    cases
}

/// Whatever can be said.
const WHOLE: &str = r#"#kmimage
version = 1

[machine]
hostname = "node-1.example.org"
role = "base"

[network]
nameservers = ["10.0.0.1", "2001:db8::1"]
search = ["Example.org."]
hosts = { "10.0.0.5" = ["api.example.org", "api"], "2001:db8::5" = ["api"] }
proxy = { http = "http://user:hunter2@proxy:3128", https = "http://[2001:db8::2]:3128/", no-proxy = [".example.org", "10.0.0.0/8"] }

[[network.interface]]
name = "uplink"
match = { mac = "52:54:00:AB:34:56" }

[[network.interface]]
name = "second"
match = { name = "ens4", driver = "virtio_net" }

[[network.interface]]
name = "storage"
match = { name = "enp*" }
dhcp = "both"
mtu = 9000

[[network.bond]]
name = "bond0"
mode = "active-backup"
members = ["uplink", "second"]
addresses = ["10.0.0.2/24", "2001:db8::2/64"]
routes = [
  { to = "default", via = "10.0.0.1", metric = 100 },
  { to = "default", via = "fe80::1" },
  { to = "192.0.2.1/32" },
  { to = "198.51.100.0/24", via = "192.0.2.1" },
]

[[network.vlan]]
name = "vlan10"
id = 10
over = "bond0"

[[network.bridge]]
name = "br0"
members = ["vlan10"]
dhcp = "no"

[time]
servers = ["ntp.example.org", "10.0.0.1", "2001:db8::1"]

[sysctl]
"net.ipv4.ip_forward" = "1"
"kernel.panic" = "10"

[kernel]
modules = ["br-netfilter"]

[trust]
ca = ["""
-----BEGIN CERTIFICATE-----
MAMCAQE=
-----END CERTIFICATE-----
"""]

[[file]]
path = "/etc/foo/bar.conf"
mode = "0600"
content = "hunter2"

[[volume]]
name = "data"
disk = "virtio-data0"
path = "/var/mnt/data"

[[service]]
name = "exporter"
command = ["/usr/bin/x", "--flag"]
needs = ["network", "time", "other"]
environment = { A = "hunter2" }
restart = { minimum-ms = 50 }
readiness = { http = "http://[::1]:9100/healthz" }
oom-score = -900
memory-min = "64 MiB"
capabilities = ["CAP_NET_ADMIN"]
stop-timeout-s = 30

[[service]]
name = "other"
command = ["/usr/bin/y"]

[log]
receiver = "tcp://logs.example.org:514"

[install]
disk = { wwn = "0x5000C500A1B2C3D4", size = ">= 100 GiB, < 1000 GiB" }
wipe = "QM00013"
after = "power-off"
"#;

#[test]
fn whatever_can_be_said_is_understood() {
    let config = read(WHOLE).unwrap();
    assert_eq!(config.hostname.as_deref(), Some("node-1.example.org"));
    assert_eq!(config.network.search, ["example.org"]);
    let links: Vec<_> = config.network.links().map(|(name, _)| name).collect();
    assert_eq!(links, ["uplink", "second", "storage", "vlan10", "bond0", "br0"]);
    let bond = &config.network.bonds[0];
    assert_eq!(bond.members, ["uplink", "second"]);
    assert_eq!(bond.addressing.routes[1].to, "::/0".parse::<Cidr>().unwrap());
    assert_eq!(config.proxy.unwrap().http.unwrap().reveal(), "http://user:hunter2@proxy:3128");
    assert_eq!(config.time_servers, ["ntp.example.org", "10.0.0.1", "2001:db8::1"]);
    let sysctls: Vec<_> = config.sysctls.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(sysctls, ["kernel/panic=10", "net/ipv4/ip_forward=1"]);
    assert_eq!(config.modules, ["br_netfilter"]);
    assert_eq!(config.trusted[0].der, [0x30, 3, 2, 1, 1]);
    assert_eq!((config.files[0].mode, config.files[0].content.reveal()), (0o600, "hunter2"));
    assert_eq!(config.volumes[0].path, "/var/mnt/data");
    let service = &config.services[0];
    assert_eq!(
        service.needs,
        [Need::Condition(Condition::Network), Need::Condition(Condition::Time), Need::Service("other".to_owned())]
    );
    assert_eq!(service.restart.minimum, Duration::from_millis(50));
    assert_eq!(service.restart.maximum, Duration::from_secs(30));
    let healthz = Readiness::Http { address: "[::1]:9100".parse().unwrap(), path: "/healthz".to_owned() };
    assert_eq!(service.readiness, Some(healthz));
    assert_eq!(service.capabilities, [Capability::named("CAP_NET_ADMIN").unwrap()]);
    assert_eq!(service.capabilities[0].number(), 12);
    assert_eq!((service.memory_min, service.oom_score, service.stop_timeout), (Some(64 << 20), -900, Duration::from_secs(30)));
    let install = config.install.unwrap();
    assert_eq!(install.disk.to_string(), "wwn:5000c500a1b2c3d4,size:>=100GiB,size:<1000GiB");
    assert_eq!((install.wipe.as_deref(), install.after), (Some("QM00013"), AfterInstall::PowerOff));
    let log = config.log.unwrap();
    assert_eq!((log.protocol, &log.host, log.port), (LogProtocol::Tcp, &Host::Name("logs.example.org".to_owned()), 514));
    assert_eq!(log.to_string(), "tcp://logs.example.org:514");
}

#[test]
fn a_config_prints_no_secret() {
    assert!(!format!("{:?}", read(WHOLE).unwrap()).contains("hunter"));
}

#[test]
fn the_network_survives_its_way_to_the_child() {
    let network = read(WHOLE).unwrap().network;
    let json = serde_json::to_string(&network).unwrap();
    assert_eq!(serde_json::from_str::<super::Network>(&json).unwrap(), network);
    assert_eq!(network.check(), Ok(()));
}

#[test]
fn little_need_be_said() {
    let config = read("version = 1\n").unwrap();
    assert_eq!(config, MachineConfig::default());
    assert!(config.network.links_are_default());
}

#[test]
fn an_unknown_image_is_no_other_role() {
    let text = "version = 1\n[machine]\nrole = \"worker\"\n";
    assert_eq!(parse("a", text.as_bytes(), None).unwrap().role.as_deref(), Some("worker"));
    let summary = parse("a", text.as_bytes(), Some("base")).unwrap_err().summary();
    assert_eq!(summary, "a:3:8: this is for the role `worker`, the image has the role `base`");
}

#[test]
fn bytes_that_are_no_document_are_refused() {
    let check = |bytes: &[u8], expected: &str| {
        assert_eq!(parse("cidata/user-data", bytes, None).unwrap_err().to_string(), expected);
    };
    check(&vec![b'#'; MAX_SIZE + 1], "cidata/user-data: a machine config has at most 1048576 bytes, not 1048577");
    assert!(parse("a", &[b"version = 1\n#".as_slice(), &vec![b'#'; MAX_SIZE - 13]].concat(), None).is_ok());
    check(
        b"version = 1\npassword = \"hunter2\xff\"\n",
        "cidata/user-data:2:20: not UTF-8\n   |\n 2 | password = **********\n   |                    ^",
    );
    check(b"\x1f\x8b\x08\x00", "cidata/user-data:1:2: not UTF-8\n   |\n 1 | ****\n   |  ^");
}

/// A whole config with a byte gone, doubled or turned: an answer, never a panic, and never a secret.
#[test]
fn damaged_documents_get_an_answer() {
    for at in 0..WHOLE.len() {
        let mut bytes = WHOLE.as_bytes().to_vec();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = b'"';
        }
        let refusal = parse("a", &bytes, None).map_or_else(|error| error.to_string(), |_| String::new());
        assert!(!refusal.contains("hunter"), "{refusal}");
        assert!(parse("a", &WHOLE.as_bytes()[..at], None).map_or_else(|error| !error.to_string().contains("hunter"), |_| true));
    }
}
