//! A machine that may not join says why, goes on trying, and joins as soon as it is given a config by which it can.

use kmimage_qemu_tests::cluster::control_plane::ControlPlane;
use kmimage_qemu_tests::cluster::node::{MINUTES, Node, control_plane, network, with_clock};
use kmimage_qemu_tests::cluster::real::Real;
use kmimage_qemu_tests::netns::servers::Server;
use kmimage_qemu_tests::vm::Vm;

/// A way not to be let in.
struct Refusal {
    /// `cause=` of the state line.
    cause: &'static str,
    /// What its message must name.
    named: String,
    config: String,
}

#[test]
fn vm_a_worker_that_may_not_join_says_why_and_is_healed() {
    let Some(real) = Real::find("vm_a_worker_that_may_not_join_says_why_and_is_healed") else { return };
    let lan = network();
    let plane = control_plane(&lan, &real);
    let _time = Server::sntp(&lan, "10.77.0.1:123", 0);
    let _web = Server::http(&lan, "10.77.0.1:8080");
    let node = Node::new(&lan, &real, 1);
    let good = node.config(&plane);
    let timely = format!("{good}\n[time]\nservers = [\"10.77.0.1\"]\n");

    let mut vm: Option<Vm> = None;
    for (number, refusal) in refusals(&plane, &good, &timely).iter().enumerate() {
        if refusal.cause == "name-taken" {
            have_a_ready_node(&plane, "worker-1");
        }
        let seed = node.seed(&number.to_string(), &refusal.config);
        // Its clock is three hours behind: that comes to light when the API server's certificate is looked at.
        let start = || node.boot_as(|guest| with_clock(guest.cdrom(&seed), "-3 hours"));
        let (mark, first) = (vm.as_ref().map(Vm::mark).unwrap_or_default(), vm.is_none());
        let vm = vm.get_or_insert_with(start);
        if !first {
            vm.insert("cd0", &seed);
        }
        let line = vm.state_after(mark, "cluster", MINUTES, |line| line.get("cause") == Some(refusal.cause));
        let message = line.get("message").unwrap_or_default();
        assert!(message.contains(&refusal.named), "{line}");
        assert!(line.get("remedy").is_some_and(|remedy| !remedy.is_empty()), "{line}");
    }
    let mut vm = vm.unwrap();
    let mark = vm.mark();
    vm.insert("cd0", &node.seed("good", &replaced(&timely, "worker-1", "worker-2")));
    vm.state_after(mark, "cluster", MINUTES, |line| line.get("state") == Some("joined"));
    vm.state_after(mark, "cluster", MINUTES, |line| line.get("waiting") == Some("cni"));
    plane.wait_for_node("worker-2", false, MINUTES);
    vm.assert_no_crash();
}

fn refusals(plane: &ControlPlane<'_>, good: &str, timely: &str) -> Vec<Refusal> {
    let refusal = |cause, named: &str, config| Refusal { cause, named: named.to_owned(), config };
    let token = good.lines().find_map(|line| line.strip_prefix("token = \"")?.strip_suffix('"')).unwrap();
    let (id, secret) = token.split_once('.').unwrap();
    let expired = plane.expired_token();
    let (expired_id, _) = expired.split_once('.').unwrap();
    let other_secret: String = secret.chars().rev().collect();
    vec![
        refusal("unreachable", "10.77.0.99:6443", replaced(good, "10.77.0.1:6443", "10.77.0.99:6443")),
        refusal("not-an-api-server", "10.77.0.1:8080", replaced(good, "10.77.0.1:6443", "10.77.0.1:8080")),
        refusal("wrong-ca-hash", &plane.ca_hash(), replaced(good, &plane.ca_hash(), &format!("sha256:{}", "0".repeat(64)))),
        refusal("token-unknown", "zzzzzz", replaced(good, token, "zzzzzz.0123456789abcdef")),
        refusal("token-secret", id, replaced(good, secret, &other_secret)),
        refusal("token-unknown", expired_id, replaced(good, token, &expired)),
        refusal("clock", "not valid yet", good.to_owned()),
        refusal("name-taken", "worker-1", timely.to_owned()),
    ]
}

fn replaced(config: &str, from: &str, to: &str) -> String {
    assert!(config.contains(from), "`{from}` is not in:\n{config}");
    config.replace(from, to)
}

/// A node that nobody runs, and that says that it is Ready.
fn have_a_ready_node(plane: &ControlPlane<'_>, name: &str) {
    plane.apply(&format!("apiVersion: v1\nkind: Node\nmetadata: {{ name: {name} }}"));
    let status = r#"{"status":{"conditions":[{"type":"Ready","status":"True","reason":"Test","message":"","lastHeartbeatTime":null,"lastTransitionTime":null}]}}"#;
    plane.kubectl(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", status]);
}
