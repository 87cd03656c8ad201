//! DHCPv4 against dnsmasq, whose log is the witness.

use crate::node::{MAC, Node, WAIT, until};
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::netns::daemon::Daemon;
use kmimage_qemu_tests::netns::dnsmasq::Dnsmasq;
use kmimage_qemu_tests::output::Mark;
use std::time::Instant;

/// Leases last 2 minutes, dnsmasq's shortest; renewals are asked for much earlier.
const SHORT: [&str; 3] = ["--dhcp-range=10.77.0.50,10.77.0.90,120", "--dhcp-option=option:T1,3", "--dhcp-option=option:T2,7"];

fn lan() -> Netns {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24"]);
    lan
}

fn seen(dnsmasq: &Daemon, mark: Mark, word: &str) {
    dnsmasq.wait_after(mark, word, WAIT, |line| (line.contains(word) && line.contains(MAC)).then_some(()));
}

#[test]
fn tools_a_lease_with_all_that_comes_with_it() {
    let lan = lan();
    let options = [
        "--dhcp-range=10.77.0.50,10.77.0.90,600",
        "--dhcp-host=52:54:00:00:00:01,given,10.77.0.60",
        "--dhcp-option=option:router,10.77.0.1",
        "--dhcp-option=option:dns-server,10.77.0.1,10.77.0.2",
        "--dhcp-option=option:domain-search,one.test,two.test",
        "--dhcp-option=option:ntp-server,10.77.0.3",
        "--dhcp-option=option:mtu,1400",
        "--dhcp-option=option:classless-static-route,0.0.0.0/0,10.77.0.4,10.88.0.0/16,10.77.0.5,203.0.113.7/32,0.0.0.0",
    ];
    let dnsmasq = Dnsmasq::start(&lan, "br0", &options);
    let node = Node::new(&lan);
    let start = Instant::now();
    let child = node.start();
    let facts =
        [("interface", "eth0"), ("state", "up"), ("addresses", "^10.77.0.60/24"), ("gateway", "10.77.0.4"), ("dhcp", "bound")];
    child.wait(&facts);
    eprintln!("an address {} ms after the start", start.elapsed().as_millis());
    child.usable();
    child.wait(&[("hostname", "given")]);
    assert_eq!(
        node.read("net/resolv.conf"),
        "# Written by kmimage's init.\nnameserver 10.77.0.1\nnameserver 10.77.0.2\nsearch one.test two.test\n"
    );
    assert_eq!(node.read("net/ntp.json"), "{\"servers\":[\"10.77.0.3\"]}\n");
    // Option 121 outranks option 3.
    let routes = node.ip("-4 route");
    assert!(routes.contains("default via 10.77.0.4 ") && !routes.contains("via 10.77.0.1 "), "{routes}");
    assert!(routes.contains("10.88.0.0/16 via 10.77.0.5 ") && routes.contains("203.0.113.7 dev eth0 "), "{routes}");
    assert!(node.ip("link show eth0").contains("mtu 1400"));
    assert!(node.read("net/hosts").starts_with("# Written by kmimage's init.\n127.0.0.1 localhost\n"));
    seen(&dnsmasq, Mark::default(), "DHCPDISCOVER(br0)");
    seen(&dnsmasq, Mark::default(), "DHCPACK(br0) 10.77.0.60");
    assert!(!child.daemon.log().contains("error="), "{}", child.daemon.log());
}

#[test]
fn tools_renewal_a_server_that_is_gone_and_back_and_a_changed_address() {
    let lan = lan();
    let dnsmasq = Dnsmasq::start(&lan, "br0", &SHORT);
    let node = Node::new(&lan);
    let child = node.start();
    let address = child.wait(&[("interface", "eth0"), ("dhcp", "bound"), ("addresses", "^10.77.0.")]);
    let address = address.get("addresses").unwrap().split(['/', ',']).next().unwrap().to_owned();

    // Renewed, with no DISCOVER.
    let (served, said) = (dnsmasq.mark(), child.daemon.mark());
    seen(&dnsmasq, served, "DHCPREQUEST(br0)");
    seen(&dnsmasq, served, "DHCPACK(br0)");
    child.wait_after(said, &[("dhcp", "bound")]);
    assert!(!dnsmasq.since(served).contains("DHCPDISCOVER"));

    // Gone: the address stays, and any server may renew it when one is back.
    let said = child.daemon.mark();
    let leases = dnsmasq.stop();
    child.wait_after(said, &[("dhcp", "renewing"), ("addresses", &format!("{address}/24"))]);
    let dnsmasq = Dnsmasq::resume(leases, &lan, "br0", &SHORT);
    child.wait_after(said, &[("dhcp", "rebinding"), ("addresses", &format!("{address}/24"))]);
    child.wait_after(said, &[("dhcp", "bound"), ("addresses", &format!("{address}/24"))]);
    seen(&dnsmasq, Mark::default(), &format!("DHCPACK(br0) {address}"));

    // The server now has another address for it: it refuses the renewal, and grants that one.
    let said = child.daemon.mark();
    let reserved = [&SHORT[..], &["--dhcp-host=52:54:00:00:00:01,10.77.0.99"]].concat();
    let dnsmasq = dnsmasq.restart(&lan, "br0", &reserved);
    seen(&dnsmasq, Mark::default(), "DHCPNAK(br0)");
    seen(&dnsmasq, Mark::default(), "DHCPACK(br0) 10.77.0.99");
    child.wait_after(said, &[("dhcp", "bound"), ("addresses", "10.77.0.99/24")]);
    let addresses = node.ip("-4 address show dev eth0");
    assert!(!addresses.contains(&address) && addresses.contains("10.77.0.99/24"), "{addresses}");
    assert!(!child.daemon.log().contains("error="), "{}", child.daemon.log());
}

#[test]
fn tools_carrier_lost_and_back_and_a_child_started_anew() {
    let lan = lan();
    let options = ["--dhcp-range=10.77.0.50,10.77.0.90,600"];
    let dnsmasq = Dnsmasq::start(&lan, "br0", &options);
    let node = Node::new(&lan);
    let child = node.start();
    let line = child.wait(&[("interface", "eth0"), ("dhcp", "bound"), ("addresses", "^10.77.0."), ("gateway", "10.77.0.1")]);
    let addresses = line.get("addresses").unwrap().to_owned();
    child.usable();

    let (served, said) = (dnsmasq.mark(), child.daemon.mark());
    lan.carrier("node0", false);
    child.wait_after(said, &[("state", "no-carrier"), ("dhcp", "no-carrier"), ("addresses", &addresses)]);
    child.wait_after(said, &[("usable", "no")]);
    child.wait_after(said, &[("waiting", "carrier on eth0")]);
    lan.carrier("node0", true);
    child.wait_after(said, &[("state", "up"), ("dhcp", "bound"), ("addresses", &addresses)]);
    child.wait_after(said, &[("usable", "yes")]);
    seen(&dnsmasq, served, "DHCPREQUEST(br0)");
    assert!(!dnsmasq.since(served).contains("DHCPDISCOVER"), "{}", dnsmasq.since(served));

    // Started anew, it asks for what it had, and the address never leaves the link.
    let watch = node.netns.spawn(node.netns.program("ip").args(["monitor", "address", "route"]));
    child.end();
    let served = dnsmasq.mark();
    let child = node.start();
    child.wait(&[("dhcp", "bound"), ("addresses", &addresses)]);
    seen(&dnsmasq, served, "DHCPREQUEST(br0)");
    assert!(!dnsmasq.since(served).contains("DHCPDISCOVER"), "{}", dnsmasq.since(served));
    child.end();
    assert!(!watch.log().contains("Deleted"), "{}", watch.log());

    // What another network says of the address counts.
    node.ip("link set eth0 down");
    node.ip("address flush dev eth0");
    fs_err::write(node.file(&format!("state/network/{}", MAC.replace(':', "-"))), "10.99.0.7\n").unwrap();
    let served = dnsmasq.mark();
    let child = node.start();
    seen(&dnsmasq, served, "DHCPNAK(br0) 10.99.0.7");
    child.wait(&[("dhcp", "bound"), ("addresses", "^10.77.0.")]);
}

#[test]
fn tools_no_server_then_one() {
    let lan = lan();
    let node = Node::new(&lan);
    let child = node.start();
    child.wait(&[("waiting", "dhcp on eth0")]);
    child.wait(&[("usable", "no")]);
    let dnsmasq = Dnsmasq::start(&lan, "br0", &["--dhcp-range=10.77.0.50,10.77.0.90,600"]);
    child.wait(&[("dhcp", "bound")]);
    child.usable();
    until("a file of resolvers", || node.read("net/resolv.conf").contains("nameserver 10.77.0.1"));
    drop(dnsmasq);
}
