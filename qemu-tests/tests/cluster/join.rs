//! A machine becomes a node: by the line that kubeadm prints, by nothing else.

use kmimage_qemu_tests::cluster::control_plane::{ControlPlane, Options};
use kmimage_qemu_tests::cluster::real::Real;
use kmimage_qemu_tests::netns::Netns;

#[test]
fn tools_the_control_plane_is_a_real_one() {
    let Some(real) = Real::find("tools_the_control_plane_is_a_real_one") else { return };
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24"]);
    let mut plane = ControlPlane::start(&lan, &real, "10.77.0.1", Options::default());
    assert!(plane.kubectl(&["version"]).contains(&format!("Server Version: {}", plane.version())));
    let line = plane.join_line();
    assert!(line.starts_with("kubeadm join 10.77.0.1:6443 --token ") && line.contains(&plane.ca_hash()), "{line}");
    assert!(
        plane
            .kubectl(&["get", "configmap", "-n", "kube-system", "kubelet-config", "-o", "yaml"])
            .contains("KubeletConfiguration")
    );
    plane.stop_api_server();
    assert!(plane.try_kubectl(&["get", "nodes"]).is_err());
    plane.start_api_server();
    plane.kubectl(&["get", "nodes"]);
}
