//! What may happen to a node, after which it is Ready again by itself, with every pod and nothing left over.

use crate::running::Running;
use kmimage_qemu_tests::cluster::control_plane::ControlPlane;
use kmimage_qemu_tests::cluster::node::{MINUTES, Node, PLANE, control_plane, install_pod_network, network, with_clock};
use kmimage_qemu_tests::cluster::real::Real;
use kmimage_qemu_tests::count;
use kmimage_qemu_tests::netns::servers::Server;
use std::time::Duration;

/// kubelet's certificate: a link to the newest.
const CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

#[test]
fn vm_a_node_comes_back_by_itself() {
    let Some(real) = Real::find("vm_a_node_comes_back_by_itself") else { return };
    if count::times(0, 1) == 0 {
        // 24 minutes; a reboot and the ends of CRI-O and kubelet are part of join.rs.
        return eprintln!("left to `just soak`");
    }
    let lan = network();
    let mut plane = control_plane(&lan, &real);
    let _time = Server::sntp(&lan, "10.77.0.1:123", 0);
    plane.sign_for("6m");
    install_pod_network(&plane);
    plane.apply(include_str!("manifests/kube-proxy.yaml"));
    plane.apply(include_str!("manifests/web.yaml"));
    let node = Node::new(&lan, &real, 1);
    let vm = node.boot_with(&format!("{}\n[time]\nservers = [\"{PLANE}\"]\n", node.config(&plane)));
    assert_eq!(vm.ready().role, "worker");
    let mut running = Running { node: &node, vm };
    // Its first certificate is short; the one after is not.
    plane.sign_for("8760h");
    certificate_is_replaced(&running, &plane);
    running.is_well(&plane, "certificate replaced");
    for service in ["crio", "kubelet"] {
        running.service_is_killed(&plane, service);
    }
    // A power cut: what the machine has not flushed is lost.
    running = running.boots(&plane, Node::boot);
    running.is_well(&plane, "power cut");
    control_plane_is_away(&running, &mut plane, Duration::from_secs(300));
    running.is_well(&plane, "API server away for five minutes");
    running.vm.power_off();
    for (after, off) in [("clock an hour behind", "-1 hour"), ("clock an hour ahead", "+1 hour")] {
        running = running.boots(&plane, |node| node.boot_as(|guest| with_clock(guest, off)));
        running.is_well(&plane, after);
        running.vm.power_off();
    }
    running = running.boots(&plane, Node::boot);
    var_is_full(&plane);
    running.is_well(&plane, "var full");
}

/// kubelet gets another certificate before its first one ends.
fn certificate_is_replaced(running: &Running<'_, '_>, plane: &ControlPlane<'_>) {
    let mut probe = running.vm.probe();
    let first = probe.read_link(CERTIFICATE);
    probe.until("another certificate", Duration::from_secs(600), |probe| (probe.read_link(CERTIFICATE) != first).then_some(()));
    let requests = plane.kubectl(&["get", "certificatesigningrequests", "-o", "name"]);
    assert!(requests.lines().count() >= 2, "{requests}");
}

fn control_plane_is_away(running: &Running<'_, '_>, plane: &mut ControlPlane<'_>, time: Duration) {
    let mark = running.vm.mark();
    plane.stop_api_server();
    running.vm.state_after(mark, "cluster", MINUTES, |line| line.get("node") == Some("unknown"));
    std::thread::sleep(time);
    let mark = running.vm.mark();
    plane.start_api_server();
    running.vm.state_after(mark, "cluster", MINUTES, |line| line.get("node") == Some("ready"));
}

/// A pod takes all space; kubelet ends it, and has space again.
fn var_is_full(plane: &ControlPlane<'_>) {
    plane.apply(include_str!("manifests/filler.yaml"));
    let pressure = r#"jsonpath={.status.conditions[?(@.type=="DiskPressure")].status}"#;
    let pressure = ["get", "node", "worker-1", "-o", pressure];
    plane.until("the pressure", MINUTES, &pressure, |said| (said == "True").then_some(()));
    let reason = ["get", "pod", "filler", "-o", "jsonpath={.status.reason}"];
    plane.until("the filler's end", MINUTES, &reason, |said| (said == "Evicted").then_some(()));
    // kubelet waits five minutes before it believes that there is space again.
    plane.until("the end of the pressure", MINUTES + MINUTES, &pressure, |said| (said == "False").then_some(()));
    plane.kubectl(&["delete", "pod", "filler"]);
}
