//! Two nodes, whose pods reach one another.

use crate::pods;
use kmimage_qemu_tests::cluster::node::{MINUTES, Node, control_plane, install_pod_network, network};
use kmimage_qemu_tests::cluster::real::Real;

#[test]
fn vm_pods_of_two_workers_reach_one_another() {
    let Some(real) = Real::find("vm_pods_of_two_workers_reach_one_another") else { return };
    let lan = network();
    let plane = control_plane(&lan, &real);
    install_pod_network(&plane);
    plane.apply(include_str!("manifests/everywhere.yaml"));
    let nodes = [Node::new(&lan, &real, 1), Node::new(&lan, &real, 2)];
    let vms = nodes.each_ref().map(|node| node.boot_with(&node.config(&plane)));
    for node in &nodes {
        plane.wait_for_node(&node.name(), true, MINUTES + MINUTES);
    }
    plane.kubectl(&["rollout", "status", "daemonset/everywhere", "--timeout=300s"]);
    for [from, to] in [["worker-1", "worker-2"], ["worker-2", "worker-1"]] {
        let address = pods::everywhere(&plane, to, "status.podIP");
        let pod = pods::everywhere(&plane, from, "metadata.name");
        let fetch = ["exec", &pod, "--", "/probe", "pod", "fetch", &format!("{address}:8080")];
        plane.until("an answer of the other node's pod", MINUTES, &fetch, |said| (said == "hello from a pod\n").then_some(()));
    }
    vms.iter().for_each(kmimage_qemu_tests::vm::Vm::assert_no_crash);
}
