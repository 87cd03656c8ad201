//! A machine becomes a node by the line that kubeadm prints, and does a node's work.

use crate::place::{MINUTES, Node, control_plane, install_pod_network, network};
use kmimage_qemu_tests::cluster::control_plane::ControlPlane;
use kmimage_qemu_tests::cluster::real::Real;
use kmimage_qemu_tests::vm::Vm;
use std::time::Duration;

#[test]
fn tools_the_control_plane_is_a_real_one() {
    let Some(real) = Real::find("tools_the_control_plane_is_a_real_one") else { return };
    let lan = network();
    let mut plane = control_plane(&lan, &real);
    assert!(plane.kubectl(&["version"]).contains(&format!("Server Version: {}", plane.version())));
    let line = plane.join_line();
    assert!(line.starts_with("kubeadm join 10.77.0.1:6443 --token ") && line.contains(&plane.ca_hash()), "{line}");
    let config = plane.kubectl(&["get", "configmap", "-n", "kube-system", "kubelet-config", "-o", "yaml"]);
    assert!(config.contains("KubeletConfiguration"), "{config}");
    plane.stop_api_server();
    assert!(plane.try_kubectl(&["get", "nodes"]).is_err());
    plane.start_api_server();
    plane.kubectl(&["get", "nodes"]);
}

#[test]
fn vm_a_worker_joins_runs_pods_and_comes_back() {
    let Some(real) = Real::find("vm_a_worker_joins_runs_pods_and_comes_back") else { return };
    let lan = network();
    let plane = control_plane(&lan, &real);
    let node = Node::new(&lan, &real, 1);
    let mut vm = node.boot_with(&node.config(&plane));
    // Without a pod network it has joined, and waits for one: that is the cluster's to bring.
    vm.wait_for("the state that waits for a pod network", MINUTES, |line| line.contains("waiting=cni").then_some(()));
    plane.wait_for_node("worker-1", false, MINUTES);
    install_pod_network(&plane);
    plane.apply(include_str!("manifests/kube-proxy.yaml"));
    assert_eq!(vm.ready().role, "worker");
    plane.wait_for_node("worker-1", true, MINUTES);
    joined_cleanly(&vm, &plane);

    plane.apply(include_str!("manifests/web.yaml"));
    pods_work(&plane);

    vm.power_off();
    vm.assert_no_crash();
    drop(vm);
    plane.wait_for_node("worker-1", false, MINUTES);
    let mut vm = node.boot();
    assert_eq!(vm.ready().config, "state");
    plane.wait_for_node("worker-1", true, MINUTES);
    assert!(!vm.console().contains("cluster state=joining"), "a node that has joined does not join again");
    pods_work(&plane);
    vm.power_off();
    vm.assert_no_crash();
}

/// What the join leaves behind, and what not.
fn joined_cleanly(vm: &Vm, plane: &ControlPlane<'_>) {
    let mut probe = vm.probe();
    assert!(probe.exists("/etc/kubernetes/kubelet.conf") && probe.exists("/etc/kubernetes/pki/ca.crt"));
    assert!(!probe.exists("/etc/kubernetes/bootstrap-kubelet.conf"), "the token is gone");
    let version = plane.kubectl(&["get", "node", "worker-1", "-o", "jsonpath={.status.nodeInfo}"]);
    assert!(version.contains(r#""kubeletVersion":"v1.36.2""#) && version.contains("cri-o://1.37.0"), "{version}");
    let processes = probe.processes();
    assert!(processes.iter().all(|process| !process.is_zombie()), "{processes:#?}");
}

/// Three replicas run, are reached by their service, and can be looked into.
fn pods_work(plane: &ControlPlane<'_>) {
    let replicas = ["get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}"];
    plane.until("three replicas", MINUTES, &replicas, |said| (said == "3").then_some(()));
    let pods = plane.kubectl(&["get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}"]);
    let pod = pods.split_whitespace().next().unwrap();
    // By the rules that the real kube-proxy makes, from within a pod.
    let fetch = ["exec", pod, "--", "/probe", "pod", "fetch", "10.96.0.80:80"];
    plane.until("the service", Duration::from_secs(60), &fetch, |said| (said == "hello from a pod\n").then_some(()));
    plane.kubectl(&["logs", pod]);
    let logs = plane.kubectl(&["get", "--raw", "/api/v1/nodes/worker-1/proxy/logs/"]);
    assert!(logs.contains("pods/"), "{logs}");
}
