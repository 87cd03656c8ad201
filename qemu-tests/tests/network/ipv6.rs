//! IPv6: addresses, routes and resolvers from a real router's advertisements, and DHCPv6 where they ask for it.

use crate::node::{Node, WAIT};
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::netns::dnsmasq::Dnsmasq;
use kmimage_qemu_tests::netns::radvd::Radvd;

const ROUTER: &str = "interface br0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; MANAGED \
    prefix fd77::/64 { }; RDNSS fd77::53 { }; DNSSL six.test { }; };";

#[test]
fn tools_addresses_and_resolvers_from_a_router() {
    let lan = Netns::new();
    lan.bridge("br0", &["fd77::1/64"]);
    let radvd = Radvd::start(&lan, &ROUTER.replace("MANAGED", ""));
    let node = Node::new(&lan);
    node.desire("node-1", "[[network.interface]]\nname = \"card\"\nmatch = { name = \"eth0\" }\ndhcp = \"ipv6\"\n");
    let child = node.start();
    // Made from the hardware address.
    let line = child.wait(&[("interface", "eth0"), ("addresses", "fd77::5054:ff:fe00:1/64"), ("gateway", "^fe80::")]);
    assert_eq!((line.get("dhcp"), line.get("dhcp6")), (None, None));
    child.usable();
    crate::node::until("resolvers", || {
        node.read("net/resolv.conf") == "# Written by kmimage's init.\nnameserver fd77::53\nsearch six.test\n"
    });
    // A router that takes itself back is no gateway any more.
    let said = child.daemon.mark();
    radvd.cease();
    let without = |line: &str| (line.contains("interface=eth0") && !line.contains("gateway=")).then_some(());
    child.daemon.wait_after(said, "no gateway", WAIT, without);
}

#[test]
fn tools_an_address_by_dhcp6_where_the_router_asks_for_it() {
    let lan = Netns::new();
    lan.bridge("br0", &["fd77::1/64", "10.77.0.1/24"]);
    let _radvd = Radvd::start(&lan, &ROUTER.replace("MANAGED", "AdvManagedFlag on;").replace("RDNSS fd77::53 { };", ""));
    let options = [
        "--dhcp-range=fd77::500,fd77::5ff,64,600",
        "--dhcp-range=10.77.0.50,10.77.0.90,600",
        "--dhcp-option=option6:dns-server,[fd77::53]",
    ];
    let dnsmasq = Dnsmasq::start(&lan, "br0", &options);
    let node = Node::new(&lan);
    // Both families. The machine has an id, and its identifier is made from it.
    node.desire("node-1", "[[network.interface]]\nname = \"card\"\nmatch = { name = \"eth0\" }\ndhcp = \"both\"\n");
    let child = node.start();
    let line = child.wait(&[("interface", "eth0"), ("dhcp", "bound"), ("dhcp6", "bound"), ("addresses", "^10.77.0.")]);
    let says = |line: &str| (line.contains("DHCPREPLY(br0) fd77::5") && line.contains(" 00:04:")).then_some(());
    dnsmasq.wait_for("an address granted", WAIT, says);
    drop(line);
    crate::node::until("the address on the link", || node.ip("-6 address show dev eth0").contains("inet6 fd77::5"));
    crate::node::until("its resolver", || node.read("net/resolv.conf").contains("nameserver fd77::53\n"));
    // The carrier goes and comes: the same address, granted anew.
    let granted = node.ip("-6 address show dev eth0");
    let granted =
        granted.split_whitespace().find(|word| word.starts_with("fd77::5") && word.ends_with("/128")).unwrap().to_owned();
    let (served, said) = (dnsmasq.mark(), child.daemon.mark());
    lan.carrier("node0", false);
    child.wait_after(said, &[("state", "no-carrier")]);
    lan.carrier("node0", true);
    dnsmasq.wait_after(served, "the same address", WAIT, |line| {
        (line.contains("DHCPREPLY(br0)") && line.contains(granted.trim_end_matches("/128"))).then_some(())
    });
    assert!(!child.daemon.log().contains("error="), "{}", child.daemon.log());
}

#[test]
fn tools_resolvers_and_time_servers_by_dhcp6_without_addresses() {
    let lan = Netns::new();
    lan.bridge("br0", &["fd77::1/64"]);
    let _radvd = Radvd::start(&lan, &ROUTER.replace("MANAGED", "AdvOtherConfigFlag on;").replace("RDNSS fd77::53 { };", ""));
    let options = [
        "--dhcp-range=fd77::500,fd77::5ff,64,600",
        "--dhcp-option=option6:dns-server,[fd77::54]",
        "--dhcp-option=option6:ntp-server,[fd77::123]",
        "--dhcp-option=option6:domain-search,told.test",
    ];
    let dnsmasq = Dnsmasq::start(&lan, "br0", &options);
    let node = Node::new(&lan);
    let child = node.start();
    child.wait(&[("interface", "eth0"), ("dhcp6", "informed"), ("addresses", "fd77::5054:ff:fe00:1/64")]);
    let asked = |line: &str| line.contains("DHCPINFORMATION-REQUEST(br0)").then_some(());
    dnsmasq.wait_for("the question", WAIT, asked);
    crate::node::until("its resolver", || {
        node.read("net/resolv.conf") == "# Written by kmimage's init.\nnameserver fd77::54\nsearch told.test six.test\n"
    });
    crate::node::until("its time server", || node.read("net/ntp.json") == "{\"servers\":[\"fd77::123\"]}\n");
    assert!(!dnsmasq.log().contains("DHCPSOLICIT"), "{}", dnsmasq.log());
    // The carrier goes and comes: it asks anew.
    let (served, said) = (dnsmasq.mark(), child.daemon.mark());
    lan.carrier("node0", false);
    child.wait_after(said, &[("state", "no-carrier")]);
    lan.carrier("node0", true);
    dnsmasq.wait_after(served, "the question again", WAIT, asked);
}
