//! Links that come and go while the child runs, and links over links.

use crate::node::{Node, until};
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::netns::dnsmasq::Dnsmasq;

#[test]
fn tools_a_card_that_comes_and_goes() {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24"]);
    let _dnsmasq = Dnsmasq::start(&lan, "br0", &["--dhcp-range=10.77.0.50,10.77.0.90,600"]);
    let node = Node::new(&lan);
    let child = node.start();
    child.wait(&[("interface", "eth0"), ("dhcp", "bound")]);
    let said = child.daemon.mark();
    lan.veth("node1", "br0", &node.netns, "eth1", "52:54:00:00:00:02");
    child.wait_after(said, &[("interface", "eth1"), ("dhcp", "bound"), ("addresses", "^10.77.0."), ("gateway", "10.77.0.1")]);
    // A name that changes while the link is in use, as it does when devices are named late.
    let said = child.daemon.mark();
    node.ip("link set eth1 name ens9");
    child.wait_after(said, &[("interface", "ens9"), ("dhcp", "bound")]);
    // The first link's route is the one that is taken.
    let routes = node.ip("-4 route show default");
    assert!(routes.lines().count() == 2 && routes.starts_with("default via 10.77.0.1 dev eth0 "), "{routes}");
    let said = child.daemon.mark();
    node.ip("link del ens9");
    child.wait_after(said, &[("interface", "ens9"), ("state", "gone")]);
    assert!(node.ip("-4 address").contains("10.77.0."), "the other card keeps its address");
    // And back, with another address on the wire.
    lan.veth("node1", "br0", &node.netns, "eth1", "52:54:00:00:00:03");
    child.wait_after(said, &[("interface", "eth1"), ("dhcp", "bound"), ("mac", "52:54:00:00:00:03")]);
    assert!(!child.daemon.log().contains("error="), "{}", child.daemon.log());
}

#[test]
fn tools_a_bridge_by_dhcp_made_and_taken_down() {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24"]);
    let _dnsmasq = Dnsmasq::start(&lan, "br0", &["--dhcp-range=10.77.0.50,10.77.0.90,600"]);
    let node = Node::new(&lan);
    // First the defaults, then the bridge: the card's own address goes.
    let child = node.start();
    child.wait(&[("interface", "eth0"), ("dhcp", "bound"), ("addresses", "^10.77.0.")]);
    node.desire(
        "node-1",
        "[[network.interface]]\nname = \"card\"\nmatch = { name = \"eth*\" }\n\
         [[network.bridge]]\nname = \"vmbr0\"\nmembers = [\"card\"]\ndhcp = \"ipv4\"\n",
    );
    let said = child.daemon.mark();
    child.daemon.signal("HUP");
    child.wait_after(said, &[("interface", "vmbr0"), ("state", "up"), ("dhcp", "bound"), ("addresses", "^10.77.0.")]);
    until("a member without addresses", || {
        let card = node.ip("address show dev eth0");
        card.contains("master vmbr0") && !card.contains("inet")
    });
    // Back to the defaults.
    fs_err::remove_file(node.file("network.json")).unwrap();
    let said = child.daemon.mark();
    child.daemon.signal("HUP");
    child.wait_after(said, &[("interface", "eth0"), ("dhcp", "bound"), ("addresses", "^10.77.0.")]);
    assert!(!node.ip("link").contains("vmbr0"));
    assert!(!child.daemon.log().contains("error="), "{}", child.daemon.log());
}
