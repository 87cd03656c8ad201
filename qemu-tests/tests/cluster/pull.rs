//! Images that the node does not have: from a real registry behind TLS and a password, in the place of another one.

use kmimage_qemu_tests::cluster::node::{MINUTES, Node, control_plane, install_pod_network, network};
use kmimage_qemu_tests::cluster::real::Real;
use kmimage_qemu_tests::cluster::registry::Registry;

#[test]
fn vm_images_come_from_a_mirror_with_a_password() {
    let Some(real) = Real::find("vm_images_come_from_a_mirror_with_a_password") else { return };
    let lan = network();
    let plane = control_plane(&lan, &real);
    install_pod_network(&plane);
    let registry = Registry::start(&lan, "10.77.0.1:5000");
    registry.put_probe("library/pulled:1");
    let node = Node::new(&lan, &real, 1);
    let vm = node.boot_with(&format!("{}{}", node.config(&plane), registry.machine_config("docker.io")));
    plane.wait_for_node("worker-1", true, MINUTES);
    // A short name: of docker.io, which is not in reach.
    plane.kubectl(&["run", "pulled", "--image=pulled:1", "--restart=Never", "--", "act", "exit", "0"]);
    let phase = ["get", "pod", "pulled", "-o", "jsonpath={.status.phase}"];
    plane.until("the pulled image's end", MINUTES, &phase, |said| (said == "Succeeded").then_some(()));
    let events =
        plane.kubectl(&["get", "events", "--field-selector", "involvedObject.name=pulled", "-o", "jsonpath={.items[*].message}"]);
    assert!(events.contains("Successfully pulled image \"pulled:1\""), "{events}");
    // Passwords are for CRI-O alone.
    assert_eq!(vm.probe().stat("/etc/crio/auth.json").unwrap().permissions(), 0o600);
    vm.assert_no_crash();
}
