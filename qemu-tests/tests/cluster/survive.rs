//! What may happen to a node, after which it is Ready again by itself, with every pod and nothing left over.

use crate::{leftovers, pods};
use kmimage_qemu_tests::cluster::control_plane::ControlPlane;
use kmimage_qemu_tests::cluster::node::{MINUTES, Node, PLANE, control_plane, install_pod_network, network, with_clock};
use kmimage_qemu_tests::cluster::real::Real;
use kmimage_qemu_tests::count;
use kmimage_qemu_tests::netns::servers::Server;
use kmimage_qemu_tests::vm::Vm;
use std::time::{Duration, Instant};

/// SIGKILL.
const KILL: i32 = 9;
/// kubelet's certificate: a link to the newest.
const CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// A node that is Ready and runs pods.
pub(crate) struct Running<'a, 'b> {
    pub(crate) node: &'a Node<'b>,
    pub(crate) vm: Vm,
}

impl<'b> Running<'_, 'b> {
    /// CRI-O or kubelet dies, and comes back. Containers go on.
    pub(crate) fn service_is_killed(&self, plane: &ControlPlane<'_>, service: &str) {
        let containers = pods::containers(plane);
        let mark = self.vm.mark();
        let process = {
            let mut probe = self.vm.probe();
            let processes = probe.processes();
            let of = |process: &&kmimage_probe::Process| process.cgroup == format!("/services/{service}") && process.parent == 1;
            let process = processes.iter().find(of).unwrap_or_else(|| panic!("no {service}: {processes:#?}")).pid;
            probe.kill(process, KILL);
            process
        };
        self.vm.state_after(mark, "service", MINUTES, |line| {
            line.get("name") == Some(service) && line.get("state") == Some("running")
        });
        assert!(self.vm.probe().processes().iter().all(|other| other.pid != process));
        self.is_well(plane, &format!("{service} killed"));
        assert_eq!(pods::containers(plane), containers);
    }

    /// The machine does all that a node is for, and nothing is left over.
    pub(crate) fn is_well(&self, plane: &ControlPlane<'_>, after: &str) {
        let begin = Instant::now();
        let name = self.node.name();
        plane.wait_for_node(&name, true, MINUTES);
        // A pod that is new: kubelet and CRI-O do more than keep what they have.
        let new = ["run", "new", "--image=kmimage.test/probe:1", "--restart=Never", "--", "act", "exit", "0"];
        plane.until("room for a pod", MINUTES, &new, |_| Some(()));
        let phase = ["get", "pod", "new", "-o", "jsonpath={.status.phase}"];
        plane.until("a new pod's end", MINUTES, &phase, |said| (said == "Succeeded").then_some(()));
        plane.kubectl(&["delete", "pod", "new", "--wait=true"]);
        pods::serve(plane);
        leftovers::none(self.node, &self.vm, plane);
        self.vm.assert_no_crash();
        eprintln!("{after}: well after {:.0} s", begin.elapsed().as_secs_f64());
    }

    /// The machine is switched off, if it is not yet, and started.
    pub(crate) fn boots(self, plane: &ControlPlane<'_>, boot: impl FnOnce(&Node<'b>) -> Vm) -> Self {
        let Self { node, vm } = self;
        drop(vm);
        let vm = boot(node);
        assert_eq!(vm.ready().config, "state");
        plane.wait_for_node(&node.name(), true, MINUTES);
        assert!(!vm.console().contains("cluster state=joining"), "a node that has joined does not join again");
        Self { node, vm }
    }
}

#[test]
fn vm_a_node_comes_back_by_itself() {
    let Some(real) = Real::find("vm_a_node_comes_back_by_itself") else { return };
    if count::times(0, 1) == 0 {
        // Half an hour; a reboot and the ends of CRI-O and kubelet are part of join.rs.
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
