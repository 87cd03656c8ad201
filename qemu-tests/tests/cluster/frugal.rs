//! The smallest machine that is a node.

use crate::leftovers;
use kmimage_qemu_tests::cluster::node::{MINUTES, Node, control_plane, install_pod_network, network};
use kmimage_qemu_tests::cluster::real::Real;
use kmimage_qemu_tests::vm::Vm;

/// MiB. A machine of this size runs one pod and is not short of memory.
const SMALLEST: u32 = 384;

#[test]
fn vm_a_small_machine_is_a_node() {
    let Some(real) = Real::find("vm_a_small_machine_is_a_node") else { return };
    let lan = network();
    let plane = control_plane(&lan, &real);
    install_pod_network(&plane);
    let node = Node::new(&lan, &real, 1);
    let seed = node.seed("seed", &node.config(&plane));
    let vm = node.boot_as(|guest| guest.memory(SMALLEST).cdrom(&seed));
    plane.wait_for_node("worker-1", true, MINUTES);
    plane.kubectl(&["run", "one", "--image=kmimage.test/probe:1", "--restart=Never", "--", "act", "sleep", "100000"]);
    plane.kubectl(&["wait", "--for=condition=Ready", "pod/one", "--timeout=240s"]);
    leftovers::none(&node, &vm, &plane);
    every_process_has_a_reason(&vm);
    let pressure = r#"jsonpath={.status.conditions[?(@.type=="MemoryPressure")].status}"#;
    assert_eq!(plane.kubectl(&["get", "node", "worker-1", "-o", pressure]), "False");
    vm.assert_no_crash();
}

/// What runs in an idle node: init with its children, CRI-O, kubelet, and a monitor and the program itself for each container.
fn every_process_has_a_reason(vm: &Vm) {
    const EXPECTED: [&str; 6] =
        ["/usr/sbin/init", "/usr/lib/kmimage/init", "/usr/bin/crio", "/usr/bin/kubelet", "/usr/bin/conmon", "/probe"];
    let processes = vm.probe().processes();
    for process in processes.iter().filter(|process| !process.is_kernel()) {
        let program = process.command.first().map_or("", String::as_str);
        let known = EXPECTED.contains(&program) || program == "/usr/lib/kmimage/probe";
        assert!(known, "nobody asked for {:?} of {}", process.command, process.cgroup);
        eprintln!("PSS {} KiB, RSS {} KiB: {}", process.pss_kib, process.rss_kib, process.command.join(" "));
    }
}
