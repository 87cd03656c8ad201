//! A machine becomes a node by the line that kubeadm prints, and does a node's work.

use crate::running::Running;
use crate::{leftovers, pods};
use kmimage_qemu_tests::cluster::control_plane::ControlPlane;
use kmimage_qemu_tests::cluster::node::{MINUTES, Node, control_plane, install_pod_network, network};
use kmimage_qemu_tests::cluster::real::Real;
use kmimage_qemu_tests::foreign::run;
use kmimage_qemu_tests::image::program;
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::vm::Vm;

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
    an_administrator_makes_a_config(&lan, &plane);
    plane.stop_api_server();
    assert!(plane.try_kubectl(&["get", "nodes"]).is_err());
    plane.start_api_server();
    plane.kubectl(&["get", "nodes"]);
}

/// From an administrator's kubeconfig: the token is the cluster's from then on.
fn an_administrator_makes_a_config(lan: &Netns, plane: &ControlPlane<'_>) {
    let mut join = lan.program(program("kmimage"));
    join.args(["config", "join", "--hostname", "worker-9", "--ttl", "2h", "--kubeconfig"]).arg(plane.admin());
    let config = run(&mut join);
    let key = |key: &str| {
        config.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = ")).unwrap_or_else(|| panic!("{config}"))
    };
    assert_eq!(key("endpoint"), "\"10.77.0.1:6443\"");
    assert_eq!(key("ca-hashes"), format!("[\"{}\"]", plane.ca_hash()));
    let (id, _) = key("token").trim_matches('"').split_once('.').unwrap();
    let secret = ["get", "secret", "-n", "kube-system", &format!("bootstrap-token-{id}"), "-o", "jsonpath={.type}"];
    assert_eq!(plane.kubectl(&secret), "bootstrap.kubernetes.io/token");
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
    pods::serve(&plane);
    pods::have_volumes(&plane);
    pods::forward_ports(&lan, &plane);
    pods::look_into_the_node(&plane, "worker-1");
    pods::drain_and_return(&plane, "worker-1");
    pods::live_and_end(&plane);
    leftovers::none(&node, &vm, &plane);

    vm.power_off();
    vm.assert_no_crash();
    plane.wait_for_node("worker-1", false, MINUTES);
    let mut running = Running { node: &node, vm }.boots(&plane, Node::boot);
    had_its_last_words(&running.vm);
    running.is_well(&plane, "switched off and on");
    for service in ["crio", "kubelet"] {
        running.service_is_killed(&plane, service);
    }
    running.vm.power_off();
    running.vm.assert_no_crash();
}

/// A pod that needs 10 s to go had them when the machine went off.
fn had_its_last_words(vm: &Vm) {
    let mut probe = vm.probe();
    let pods = probe.list("/var/log/pods");
    let pod = pods.iter().find(|pod| pod.starts_with("default_last-words_")).unwrap_or_else(|| panic!("{pods:?}"));
    let log = probe.read(&format!("/var/log/pods/{pod}/last-words/0.log"));
    assert!(log.ends_with(" the last line\n"), "{log}");
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
