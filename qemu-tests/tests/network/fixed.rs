//! Fixed addresses on two cards, told apart by MAC, and changes of the input while the child runs.

use crate::node::{Node, until};
use kmimage_qemu_tests::netns::Netns;
use std::time::Duration;

const TWO_CARDS: &str = r#"
[network]
nameservers = ["192.0.2.53"]
search = ["fixed.test"]
hosts = { "192.0.2.80" = ["api.fixed.test", "api"] }
[[network.interface]]
name = "second"
match = { mac = "52:54:00:00:00:02" }
addresses = ["10.78.0.2/24"]
mtu = 1300
[[network.interface]]
name = "first"
match = { mac = "52:54:00:00:00:01" }
addresses = ["10.77.0.2/24", "fd77::2/64"]
routes = [{ to = "default", via = "10.77.0.1", metric = 10 }, { to = "10.90.0.0/16", via = "10.77.0.9" }]
"#;

#[test]
fn tools_two_cards_by_mac_and_what_is_not_ours() {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24"]);
    lan.bridge("br1", &["10.78.0.1/24"]);
    let node = Node::new(&lan);
    lan.veth("node1", "br1", &node.netns, "eth1", "52:54:00:00:00:02");
    // What a pod network makes.
    node.ip("link add cni0 type bridge");
    node.ip("address add 10.244.0.1/24 dev cni0");
    node.ip("link set cni0 up");
    node.ip("link add flannel.1 type vxlan id 1 dstport 8472 dev cni0");
    node.ip("link set flannel.1 up");
    node.ip("route add 10.244.9.0/24 via 10.244.0.9 dev cni0");
    let strange = || {
        let settings = |name: &str| node.netns.run(&["cat", &format!("/proc/sys/net/ipv6/conf/{name}/accept_ra")]);
        [node.ip("-4 address show dev cni0"), node.ip("-4 route show dev cni0"), settings("cni0"), settings("flannel.1")].concat()
    };
    let before = strange();
    node.desire("node-1", TWO_CARDS);
    let child = node.start();
    child.usable();
    child.wait(&[("interface", "eth0"), ("name", "first"), ("addresses", "^10.77.0.2/24"), ("gateway", "10.77.0.1")]);
    child.wait(&[("interface", "eth1"), ("name", "second"), ("addresses", "^10.78.0.2/24")]);
    let routes = node.ip("-4 route");
    assert!(routes.contains("default via 10.77.0.1 dev eth0 proto 107 metric 10"), "{routes}");
    assert!(routes.contains("10.90.0.0/16 via 10.77.0.9 dev eth0"), "{routes}");
    assert!(node.ip("link show eth1").contains("mtu 1300"));
    node.netns.run(&["ping", "-c1", "-W5", "10.78.0.1"]);
    assert_eq!(node.read("net/resolv.conf"), "# Written by kmimage's init.\nnameserver 192.0.2.53\nsearch fixed.test\n");
    let hosts = node.read("net/hosts");
    assert!(hosts.ends_with("\n10.77.0.2 node-1\n192.0.2.80 api.fixed.test api\n"), "{hosts}");
    assert_eq!(strange(), before);

    // An address of a stranger's on our card stays, whatever we do.
    node.ip("address add 203.0.113.9/32 dev eth0");
    // The same input again changes nothing. (What the kernel does by itself is over.)
    let settled = |link: &str| {
        let addresses = node.ip(&format!("-6 address show dev {link}"));
        addresses.contains("fe80::") && !addresses.contains("tentative")
    };
    until("link-local addresses", || ["eth0", "eth1", "cni0", "flannel.1"].iter().all(|link| settled(link)));
    let watch = node.netns.spawn(node.netns.program("ip").args(["monitor", "address", "route", "link"]));
    child.daemon.signal("HUP");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(watch.log(), "", "{}", child.daemon.log());

    // Another one is taken at once; what we take away comes back.
    let said = child.daemon.mark();
    node.desire("node-1", &TWO_CARDS.replace("10.77.0.2/24", "10.77.0.3/24").replace("metric = 10", "metric = 11"));
    child.daemon.signal("HUP");
    child.wait_after(said, &[("interface", "eth0"), ("addresses", "^203.0.113.9/32,10.77.0.3/24")]);
    until("the new routes", || {
        let routes = node.ip("-4 route");
        routes.contains("default via 10.77.0.1 dev eth0 proto 107 metric 11") && !routes.contains("metric 10 ")
    });
    node.ip("address del 10.77.0.3/24 dev eth0");
    until("its address is back", || node.ip("-4 address show dev eth0").contains("10.77.0.3/24"));
    until("its route is back", || node.ip("-4 route").contains("default via 10.77.0.1 dev eth0"));

    // No longer named: let go, and down. What isn't ours stays.
    let second = TWO_CARDS.split("[[network.interface]]\nname = \"first\"").next().unwrap();
    node.desire("node-1", second);
    child.daemon.signal("HUP");
    child.wait_after(said, &[("interface", "eth0"), ("state", "gone")]);
    let addresses = node.ip("address show dev eth0");
    assert!(
        addresses.contains("state DOWN") && !addresses.contains("10.77.0.3") && addresses.contains("203.0.113.9"),
        "{addresses}"
    );
    assert_eq!(strange(), before);
    assert!(!child.daemon.log().contains("error="), "{}", child.daemon.log());
}

#[test]
fn tools_an_input_that_can_not_be_read_is_said() {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24"]);
    let node = Node::new(&lan);
    fs_err::write(node.file("network.json"), "{\"network\": 1}").unwrap();
    let child = node.start();
    child.wait(&[("error", "^/run/kmimage/network.json: invalid type")]);
    // The defaults hold.
    child.wait(&[("waiting", "dhcp on eth0")]);
}
