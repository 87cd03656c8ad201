//! The way from a machine config to the network in a real machine, and what only its kernel has: bonds and VLANs. The rest is in
//! network/, without a machine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::netns::dnsmasq::Dnsmasq;
use kmimage_qemu_tests::netns::radvd::Radvd;
use kmimage_qemu_tests::netns::trunk;
use kmimage_qemu_tests::probe::Probe;
use std::io::Write as _;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(60);

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
    let _switch = trunk::carry(&lan, "br0", "br10", 10);
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
    // The active member's cable is pulled: the other takes over, and the machine goes on talking.
    vm.carrier("card0", false);
    vm.probe().until("the other member", WAIT, |probe| {
        let links = probe.network().links;
        let alive = |name: &str| links.get(name).is_some_and(|link| link.carrier);
        alive(probe.read("/sys/class/net/bond0/bonding/active_slave").trim_end()).then_some(())
    });
    assert_eq!(vm.probe().resolve("api.test").unwrap(), ["10.10.0.1"]);
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
