//! The small children in a real machine: the clock by a time server, logs at a receiver, and the guest agent as Proxmox speaks to it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::netns::servers::Server;
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const WAIT: Duration = Duration::from_secs(120);

/// How far the time server's clock is ahead of the host's.
const AHEAD: Duration = Duration::from_secs(3600);

const CONFIG: &str = r#"
version = 1
[machine]
hostname = "node-1"
[[network.interface]]
name = "uplink"
match = { mac = "52:54:00:00:00:01" }
addresses = ["10.77.0.2/24"]
[time]
servers = ["10.77.0.1"]
[log]
receiver = "udp://10.77.0.1:514"
"#;

/// The host's clock, since 1970.
#[expect(clippy::disallowed_methods, reason = "the machine's clock is held against the host's")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

#[test]
fn vm_the_clock_is_set_logs_are_sent_and_the_agent_answers_and_shuts_down() {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24"]);
    lan.tap("tap0", "br0");
    let _clock = Server::sntp(&lan, "10.77.0.1:123", i64::try_from(AHEAD.as_millis()).unwrap());
    let logs = Server::udp(&lan, "10.77.0.1:514");
    let mut config = tempfile::NamedTempFile::new().unwrap();
    config.write_all(CONFIG.as_bytes()).unwrap();
    let guest = Guest::test().tap(&lan, "tap0", "52:54:00:00:00:01").agent();
    let mut vm = guest.fw_cfg("opt/org.kmimage/config", config.path()).start();
    vm.ready();

    let mut agent = vm.agent();
    let mut ask = |command: &str| -> Value {
        let answer = agent.ask(command, json!({}), WAIT).unwrap_or_else(|| panic!("{command}: no answer"));
        answer["return"].clone()
    };
    assert_eq!(ask("guest-ping"), json!({}));
    assert_eq!(ask("guest-get-host-name"), json!({ "host-name": "node-1" }));
    let system = ask("guest-get-osinfo");
    assert_eq!((system["id"].as_str(), system["machine"].as_str()), (Some("kmimage"), Some("x86_64")), "{system}");
    let links = ask("guest-network-get-interfaces");
    let uplink = links.as_array().unwrap().iter().find(|link| link["hardware-address"] == "52:54:00:00:00:01").unwrap();
    let address = json!({ "ip-address": "10.77.0.2", "ip-address-type": "ipv4", "prefix": 24 });
    assert!(uplink["ip-addresses"].as_array().unwrap().contains(&address), "{uplink}");

    // An hour ahead, as the server says; a machine takes its first answer within seconds.
    let deadline = Instant::now() + WAIT;
    loop {
        let theirs = Duration::from_nanos(ask("guest-get-time").as_u64().unwrap());
        let ours = now() + AHEAD;
        if theirs.abs_diff(ours) < Duration::from_secs(30) {
            break;
        }
        assert!(Instant::now() < deadline, "the machine's clock says {theirs:?}, the server's {ours:?}");
        std::thread::sleep(Duration::from_millis(500));
    }

    logs.wait_for("the kernel's first line", WAIT, |line| line.contains(" node-1 kernel - - - ").then_some(()));

    let refused = agent.ask("guest-exec", json!({ "path": "/bin/sh" }), WAIT).unwrap();
    assert_eq!(refused["error"]["class"], "CommandNotFound");
    assert_eq!(agent.ask("guest-shutdown", json!({ "mode": "powerdown" }), Duration::from_secs(3)), None);
    assert!(vm.wait_for_exit(WAIT).success());
    vm.assert_no_crash();
}
