//! The way from a machine config to the network in a real machine, and what only its kernel has: bonds and VLANs. The rest is in
//! network/, without a machine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::netns::daemon::Daemon;
use kmimage_qemu_tests::netns::dnsmasq::Dnsmasq;
use kmimage_qemu_tests::netns::radvd::Radvd;
use kmimage_qemu_tests::probe::Probe;
use std::io::Write as _;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

/// VLAN 10 on one side, untagged on the other: what a switch's access port does, for hosts whose kernel has no VLANs.
const ACCESS_PORT: &str = r#"
import select, socket, struct, sys
def port(name):
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    port.bind((name, 0))
    port.setsockopt(263, 8, 1)
    return port
trunk, access = port(sys.argv[1]), port(sys.argv[2])
print("switching", flush=True)
while True:
    for source in select.select([trunk, access], [], [])[0]:
        frame, further, _, sender = source.recvmsg(65536, 256)
        if sender[2] == socket.PACKET_OUTGOING:
            continue
        if source is access:
            trunk.send(frame[:12] + bytes([0x81, 0, 0, 10]) + frame[12:])
            continue
        tag = frame[12:14] == bytes([0x81, 0]) and struct.unpack(">H", frame[14:16])[0]
        if tag:
            frame = frame[:12] + frame[16:]
        for level, kind, data in further:
            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", data[:20])
            tag = tci if level == 263 and kind == 8 and status & 16 else tag
        if tag and tag & 0xfff == 10:
            access.send(frame)
"#;

fn access_port(lan: &Netns, bridge: &str, access: &str) -> Daemon {
    for (outer, inner, bridge) in [("trunk", "trunk0", bridge), ("access", "access0", access)] {
        lan.ip(&format!("link add {outer} type veth peer name {inner}"));
        lan.ip(&format!("link set {outer} master {bridge} up"));
        lan.ip(&format!("link set {inner} up"));
        // What no driver has summed up must be, before it is taken apart by hand.
        lan.run(&["ethtool", "-K", outer, "tx", "off"]);
    }
    let daemon = lan.spawn(lan.program("python3").args(["-c", ACCESS_PORT, "trunk0", "access0"]));
    daemon.wait_for("a switch", WAIT, |line| (line == "switching").then_some(()));
    daemon
}

fn config(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "version = 1\n{text}").unwrap();
    file
}

/// Waits until a link has an address that begins so.
fn address(probe: &mut Probe, link: &str, begin: &str) -> String {
    probe.until(&format!("{begin} on {link}"), WAIT, |probe| {
        probe.network().links.get(link)?.addresses.iter().find(|address| address.starts_with(begin)).cloned()
    })
}

#[test]
fn vm_a_vlan_on_a_bond_by_dhcp_and_two_cards_by_mac() {
    let lan = Netns::new();
    lan.bridge("br0", &[]);
    lan.bridge("br10", &["10.10.0.1/24"]);
    lan.bridge("br1", &["10.78.0.1/24"]);
    for (tap, bridge) in [("tap0", "br0"), ("tap1", "br0"), ("tap2", "br1")] {
        lan.tap(tap, bridge);
    }
    let _switch = access_port(&lan, "br0", "br10");
    let dnsmasq = Dnsmasq::start(&lan, "br10", &["--dhcp-range=10.10.0.50,10.10.0.90,600", "--address=/api.test/10.10.0.1"]);
    let config = config(
        r#"
[machine]
hostname = "node-1"
[network]
search = ["fixed.test"]
hosts = { "10.10.0.80" = ["store.test"] }
[[network.interface]]
name = "one"
match = { mac = "52:54:00:00:00:01" }
[[network.interface]]
name = "two"
match = { mac = "52:54:00:00:00:02" }
[[network.interface]]
name = "three"
match = { mac = "52:54:00:00:00:03", driver = "virtio_net" }
addresses = ["10.78.0.2/24"]
routes = [{ to = "10.79.0.0/16", via = "10.78.0.9" }]
[[network.bond]]
name = "bond0"
mode = "active-backup"
members = ["one", "two"]
[[network.vlan]]
name = "vlan10"
id = 10
over = "bond0"
dhcp = "ipv4"
"#,
    );
    let cards = [("tap0", "52:54:00:00:00:01"), ("tap1", "52:54:00:00:00:02"), ("tap2", "52:54:00:00:00:03")];
    let guest = cards.into_iter().fold(Guest::test(), |guest, (tap, mac)| guest.tap(&lan, tap, mac));
    let mut vm = guest.fw_cfg("opt/org.kmimage/config", config.path()).start();
    vm.ready();
    {
        let mut probe = vm.probe();
        let leased = address(&mut probe, "vlan10", "10.10.0.");
        assert_eq!(probe.sysctl("kernel.hostname").trim_end(), "node-1");
        let network = probe.network();
        let bond = &network.links["bond0"];
        assert!(bond.up && bond.carrier && bond.addresses.iter().all(|address| address.starts_with("fe80:")), "{bond:?}");
        assert!(network.routes.iter().any(|route| route.starts_with("default via 10.10.0.1 dev vlan10")), "{network:?}");
        assert!(network.routes.iter().any(|route| route.starts_with("10.79.0.0/16 via 10.78.0.9 dev ")), "{network:?}");
        let fixed = network.links.values().find(|link| link.mac == "52:54:00:00:00:03").unwrap();
        assert!(fixed.addresses.contains(&"10.78.0.2/24".to_owned()), "{fixed:?}");
        dnsmasq.wait_for("the name at the server", WAIT, |line| {
            (line.contains("DHCPACK(br10)") && line.contains("node-1")).then_some(())
        });
        assert_eq!(probe.read("/etc/resolv.conf"), "# Written by kmimage's init.\nnameserver 10.10.0.1\nsearch fixed.test\n");
        let own = leased.split('/').next().unwrap().to_owned();
        let hosts = probe.read("/etc/hosts");
        assert!(hosts.ends_with(&format!("\n{own} node-1\n10.10.0.80 store.test\n")), "{hosts}");
        assert_eq!(probe.resolve("api.test").unwrap(), ["10.10.0.1"]);
        assert_eq!(probe.resolve("store.test").unwrap(), ["10.10.0.80"]);
    }
    // The active member fails: the other takes over, and the machine is still there.
    lan.carrier("tap0", false);
    vm.probe().until("the other member", WAIT, |probe| {
        (probe.read("/sys/class/net/bond0/bonding/active_slave") != "" && probe.tcp("10.10.0.1:53", b"").is_ok()).then_some(())
    });
    vm.power_off();
    vm.assert_no_crash();
}

#[test]
fn vm_both_families_without_a_config_and_cards_that_come_and_go() {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24", "fd77::1/64"]);
    lan.tap("tap0", "br0");
    lan.tap("tap1", "br0");
    let options = ["--dhcp-range=10.77.0.50,10.77.0.90,600", "--dhcp-range=fd77::500,fd77::5ff,64,600"];
    let dnsmasq = Dnsmasq::start(&lan, "br0", &options);
    let router = "interface br0 { AdvSendAdvert on; AdvManagedFlag on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; \
        prefix fd77::/64 { }; RDNSS fd77::53 { }; };";
    let _radvd = Radvd::start(&lan, router);
    let mut vm = Guest::test().tap(&lan, "tap0", "52:54:00:00:00:01").hot_slots().start();
    vm.ready();
    let first = {
        let mut probe = vm.probe();
        let links = probe.network().links;
        let first = links.iter().find(|(_, link)| link.mac == "52:54:00:00:00:01").unwrap().0.clone();
        address(&mut probe, &first, "10.77.0.");
        address(&mut probe, &first, "fd77::5054:ff:fe00:1/64");
        address(&mut probe, &first, "fd77::5");
        probe.until("the router's resolver", WAIT, |probe| {
            probe.read("/etc/resolv.conf").contains("nameserver fd77::53").then_some(())
        });
        first
    };
    dnsmasq.wait_for("DHCPv6 at the server", WAIT, |line| line.contains("DHCPREPLY(br0) fd77::5").then_some(()));
    vm.plug_card(1, "tap1", "52:54:00:00:00:02");
    let second = vm.probe().until("a second card", WAIT, |probe| {
        let links = probe.network().links;
        let (name, link) = links.iter().find(|(_, link)| link.mac == "52:54:00:00:00:02")?;
        link.addresses.iter().any(|address| address.starts_with("10.77.0.")).then(|| name.clone())
    });
    assert_ne!(first, second);
    vm.unplug(1);
    vm.probe().until("its end", WAIT, |probe| (!probe.network().links.contains_key(&second)).then_some(()));
    address(&mut vm.probe(), &first, "10.77.0.");
    vm.power_off();
    vm.assert_no_crash();
}
