//! A node as its owner meets it: the qcow2, a seed made by `kmimage config seed`, a network with servers in it. One machine is looked at from
//! everywhere; then it boots again without the seed and is the same, whatever another seed says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_contract::paths;
use kmimage_qemu_tests::guest::{Guest, WritableDisk};
use kmimage_qemu_tests::image::{artefact, kmimage, test};
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::netns::dnsmasq::Dnsmasq;
use kmimage_qemu_tests::netns::servers::Server;
use kmimage_qemu_tests::vm::Vm;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const FIRST: &str = "52:54:00:77:00:01";
const SECOND: &str = "52:54:00:77:00:02";
const THIRD: &str = "52:54:00:77:00:03";
const MINUTE: Duration = Duration::from_secs(60);

const CONFIG: &str = r#"
version = 1
[machine]
hostname = "node-1"
role = "base"
[network]
nameservers = ["10.77.0.1"]
search = ["example.test"]
hosts = { "10.0.0.5" = ["api.example.org", "api"] }
[[network.interface]]
name = "uplink"
match = { mac = "52:54:00:77:00:01" }
addresses = ["10.77.0.10/24", "fd77::10/64"]
routes = [{ to = "default", via = "10.77.0.1", metric = 100 }]
[[network.interface]]
name = "second"
match = { mac = "52:54:00:77:00:02" }
dhcp = "ipv4"
[time]
servers = ["10.77.0.1"]
[sysctl]
"vm.max_map_count" = "262145"
[kernel]
modules = ["br_netfilter"]
[[file]]
path = "/etc/greeter/greeting.conf"
mode = "0640"
content = "hello\n"
[[service]]
name = "greeter"
command = ["/usr/lib/kmimage/probe", "act", "serve", "hello from the node", "0.0.0.0:8080"]
needs = ["network"]
[log]
receiver = "tcp://10.77.0.1:514"
"#;

/// What each of process 1's children may do, as the kernel shows it: names of capabilities are in init's table, these are their bits.
const CAPABILITIES: [(&str, u64); 8] = [
    ("agent", 0),
    ("config", 0),
    ("devices", 1 << 12 | 1 << 16 | 1 << 27),
    ("kernel", 1 << 34),
    ("log", 0),
    ("log-files", 0),
    ("network", 1 << 10 | 1 << 12 | 1 << 13),
    ("time", 1 << 25),
];

/// Two networks: one where addresses are fixed, one where they are asked for; servers for names, time and logs.
struct Around {
    lan: Netns,
    _names: Dnsmasq,
    dhcp: Dnsmasq,
    time: Server,
    logs: Server,
}

fn around() -> Around {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24", "fd77::1/64"]);
    lan.bridge("br1", &["10.88.0.1/24"]);
    for (tap, bridge) in [("tap0", "br0"), ("tap1", "br1"), ("tap2", "br1")] {
        lan.tap(tap, bridge);
    }
    let names = Dnsmasq::start(&lan, "br0", &["--address=/www.example.test/10.77.0.9"]);
    let dhcp = Dnsmasq::start(&lan, "br1", &["--port=0", "--dhcp-range=10.88.0.50,10.88.0.90,3600"]);
    let time = Server::sntp(&lan, "10.77.0.1:123", 7_200_000);
    let logs = Server::tcp(&lan, "10.77.0.1:514");
    Around { lan, _names: names, dhcp, time, logs }
}

/// What must hold after each boot, with the seed and without.
fn is_the_node(vm: &Vm, around: &Around) {
    let lan = &around.lan;
    let mut probe = vm.probe();
    assert_eq!((probe.sysctl("kernel.hostname"), probe.read("/etc/hostname")), ("node-1".to_owned(), "node-1\n".to_owned()));
    let hosts = probe.read("/etc/hosts");
    assert!(hosts.lines().any(|line| line.split_ascii_whitespace().eq(["10.0.0.5", "api.example.org", "api"])), "{hosts}");
    let resolv = probe.read("/etc/resolv.conf");
    assert!(resolv.contains("nameserver 10.77.0.1") && resolv.contains("search example.test"), "{resolv}");
    assert_eq!(probe.resolve("api").unwrap(), ["10.0.0.5"]);
    assert_eq!(probe.resolve("www").unwrap(), ["10.77.0.9"], "the search domain and the name server are used");
    assert_eq!(probe.sysctl("vm.max_map_count"), "262145");
    assert!(probe.exists("/sys/module/br_netfilter"));
    assert_eq!(probe.read("/etc/greeter/greeting.conf"), "hello\n");
    assert_eq!(probe.stat("/etc/greeter/greeting.conf").unwrap().permissions(), 0o640);

    let network = probe.network();
    let of = |mac: &str| network.links.values().find(|link| link.mac == mac).unwrap_or_else(|| panic!("no {mac}: {network:#?}"));
    for address in ["10.77.0.10/24", "fd77::10/64"] {
        assert!(of(FIRST).addresses.contains(&address.to_owned()), "{network:#?}");
    }
    assert!(of(SECOND).addresses.iter().any(|address| address.starts_with("10.88.0.")), "{network:#?}");
    let default = network.routes.iter().find(|route| route.starts_with("default via 10.77.0.1 "));
    assert!(default.is_some_and(|route| route.ends_with(" metric 100")), "{network:#?}");
    around.dhcp.wait_for("the lease", MINUTE, |line| (line.contains("DHCPACK") && line.contains(SECOND)).then_some(()));

    // From outside.
    let said =
        lan.run(&["curl", "--silent", "--retry", "20", "--retry-connrefused", "--max-time", "60", "http://10.77.0.10:8080/"]);
    assert_eq!(said, "hello from the node");
    around.logs.wait_for("the kernel's first line", MINUTE, |line| line.contains(" node-1 kernel - - - ").then_some(()));
    around.time.wait_for("a question for the time", MINUTE, |line| line.contains("mode 3").then_some(()));
    #[expect(clippy::disallowed_methods, reason = "the machine's clock is held against this one")]
    let host = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    probe.until("a clock that is two hours ahead", MINUTE, |probe| {
        let ahead = probe.clock().checked_sub(host())?.as_secs();
        (7150..=7250).contains(&ahead).then_some(())
    });

    assert_eq!(probe.mount("/").unwrap().kind, "squashfs");
    assert!(probe.try_write("/usr/x", b"x").unwrap_err().contains("Read-only file system"));
    let processes = probe.processes();
    assert!(processes.iter().all(|process| !process.is_zombie()), "{processes:#?}");
    for process in processes.iter().filter(|process| !process.is_kernel()) {
        let program = process.command.first().map(String::as_str).unwrap_or_default();
        let ours = ["/usr/lib/kmimage/init", "/usr/lib/kmimage/probe", "/usr/sbin/init", "/sbin/init"];
        assert!(ours.contains(&program), "nobody can log in, and nothing else runs: {process:?}");
    }
    for (name, kept) in CAPABILITIES {
        let group = format!("/services/{name}");
        let child =
            processes.iter().find(|process| process.cgroup == group).unwrap_or_else(|| panic!("no {name}: {processes:#?}"));
        let (kept, all) = (format!("{kept:016x}"), |key: &str| child.status.get(key).map(|value| value.trim().to_owned()));
        for set in ["CapEff", "CapPrm", "CapBnd"] {
            assert_eq!(all(set).as_ref(), Some(&kept), "{set} of {name}");
        }
        assert_eq!(all("NoNewPrivs").as_deref(), Some("1"), "{name}");
    }

    // What somebody sees who stands before the machine.
    let screen = probe.until("the page on tty1", MINUTE, |probe| {
        Some(String::from_utf8_lossy(&probe.read_bytes("/dev/vcs1")).into_owned()).filter(|text| text.contains("greeter"))
    });
    for word in ["kmimage base", "node-1", "ready", "10.77.0.10/24", "10.88.0.", "greeter  running"] {
        assert!(screen.contains(word), "no `{word}` on tty1:\n{screen}");
    }
}

fn agent_knows_it(vm: &Vm) {
    let mut agent = vm.agent();
    let mut ask = |command: &str| {
        let answer = agent.ask(command, json!({}), MINUTE).unwrap_or_else(|| panic!("no answer to {command}"));
        assert!(answer.get("return").is_some(), "{command}: {answer}");
        answer["return"].clone()
    };
    ask("guest-ping");
    assert_eq!(ask("guest-get-host-name")["host-name"], "node-1");
    assert!(ask("guest-get-osinfo")["kernel-release"].is_string());
    assert!(ask("guest-info")["supported_commands"].as_array().is_some_and(|commands| !commands.is_empty()));
    assert_eq!(ask("guest-get-osinfo")["id"], "kmimage");
    let time = Duration::from_nanos(ask("guest-get-time").as_u64().unwrap());
    assert!(time.abs_diff(vm.probe().clock()) < MINUTE, "{time:?}");
    let interfaces = ask("guest-network-get-interfaces");
    let of_first = |interface: &&Value| interface["hardware-address"] == FIRST;
    let first = interfaces.as_array().unwrap().iter().find(of_first).unwrap_or_else(|| panic!("{interfaces}"));
    let addresses = first["ip-addresses"].as_array().unwrap();
    assert!(addresses.iter().any(|address| address["ip-address"] == "10.77.0.10" && address["prefix"] == 24), "{interfaces}");
    let refused = agent.ask("guest-exec", json!({ "path": "/bin/sh" }), MINUTE).unwrap();
    assert_eq!(refused["error"]["class"], "CommandNotFound");
}

fn things_come_and_go(vm: &mut Vm, disk: &std::path::Path) {
    let link = "/dev/disk/by-id/virtio-plugged";
    vm.plug_disk(0, disk, "plugged", false);
    let node = vm.probe().until("a link to the new disk", MINUTE, |probe| probe.exists(link).then(|| probe.read_link(link)));
    assert!(node.contains("vd"), "{node}");
    vm.unplug(0);
    vm.probe().until("the link gone", MINUTE, |probe| (!probe.exists(link)).then_some(()));
    let has_third = |network: kmimage_probe::Network| network.links.values().any(|link| link.mac == THIRD);
    vm.plug_card(1, "tap2", THIRD);
    vm.probe().until("the new network card", MINUTE, |probe| has_third(probe.network()).then_some(()));
    vm.unplug(1);
    vm.probe().until("the network card gone", MINUTE, |probe| (!has_third(probe.network())).then_some(()));
}

/// A seed as its owner makes it.
fn seed(folder: &Path, name: &str, config: &str) -> PathBuf {
    let (document, seed) = (folder.join(format!("{name}.toml")), folder.join(format!("{name}.iso")));
    fs_err::write(&document, config).unwrap();
    let status = kmimage().args(["config", "seed"]).arg(&document).arg("-o").arg(&seed).status().unwrap();
    assert!(status.success(), "kmimage config seed: {status}");
    seed
}

#[test]
fn vm_a_node_with_a_seed_and_again_without() {
    let folder = tempfile::tempdir().unwrap();
    let extra = folder.path().join("extra.raw");
    fs_err::File::create(&extra).unwrap().set_len(16 << 20).unwrap();
    let disk = WritableDisk::of(&artefact(test(), ".qcow2"), None);

    let around = self::around();
    let guest = || Guest::test().disk(&disk).tap(&around.lan, "tap0", FIRST).tap(&around.lan, "tap1", SECOND).hot_slots().agent();
    let mut vm = guest().cdrom(&seed(folder.path(), "node", CONFIG)).start();
    assert_eq!(vm.ready().config, "nocloud:/dev/sr0");
    assert_eq!(vm.probe().read(paths::MACHINE_CONFIG).strip_prefix("#kmimage\n"), Some(CONFIG));
    is_the_node(&vm, &around);
    agent_knows_it(&vm);
    things_come_and_go(&mut vm, &extra);
    vm.probe().until("the mark", MINUTE, |probe| probe.exists(paths::READY_MARK).then_some(()));
    // As Proxmox shuts a machine down: the agent is asked, and says nothing.
    let answer = vm.agent().ask("guest-shutdown", json!({ "mode": "powerdown" }), Duration::from_secs(5));
    assert!(answer.is_none(), "{answer:?}");
    let status = vm.wait_for_exit(MINUTE);
    assert!(status.success(), "QEMU: {status}");
    vm.assert_no_crash();

    let mut vm = guest().start();
    assert_eq!(vm.ready().config, "state");
    is_the_node(&vm, &around);
    // Another seed changes nothing any more, and is named.
    let mark = vm.mark();
    vm.plug_disk(0, &seed(folder.path(), "other", &CONFIG.replace("node-1", "node-2")), "other", true);
    let ignored = vm.state_after(mark, "config", MINUTE, |line| line.get("result") == Some("ignored"));
    assert!(ignored.get("source").is_some_and(|source| source.starts_with("nocloud:/dev/vd")), "{ignored}");
    assert_eq!(vm.probe().sysctl("kernel.hostname"), "node-1");
    // What the machine said in its first boot is on state.
    let log = vm.probe().read("/run/kmimage/state/log/boot-0");
    assert!(log.contains("kmimage: ready role=base ") && vm.probe().exists("/run/kmimage/state/log/boot-1"), "{log}");
    vm.power_off();
    vm.assert_no_crash();
}
