//! Nothing is left over on a node, and nothing is missing.

use kmimage_qemu_tests::cluster::control_plane::ControlPlane;
use kmimage_qemu_tests::cluster::node::{MINUTES, Node};
use kmimage_qemu_tests::vm::Vm;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What kubelet says that there is, and what there is.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    containers: usize,
    monitors: usize,
    control_groups: usize,
    pods: usize,
    sandboxes: usize,
}

/// Waits until there are as many monitors and control groups as containers that kubelet knows to run, and as many sandboxes as pods.
pub(crate) fn none(node: &Node<'_>, vm: &Vm, plane: &ControlPlane<'_>) {
    let deadline = Instant::now() + MINUTES;
    loop {
        let counts = count(node, vm, plane);
        let even =
            counts.containers == counts.monitors && counts.monitors == counts.control_groups && counts.pods == counts.sandboxes;
        if even && counts.pods > 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{counts:?}\n{}", tell(vm));
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn count(node: &Node<'_>, vm: &Vm, plane: &ControlPlane<'_>) -> Counts {
    // kubelet is started anew, perhaps: then it has no pods yet to tell of.
    let raw = plane.try_kubectl(&["get", "--raw", &format!("/api/v1/nodes/{}/proxy/pods", node.name())]).unwrap_or_default();
    let said: Value = serde_json::from_str(&raw).unwrap_or_default();
    let ended = |pod: &&Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let pods: Vec<_> = said["items"].as_array().into_iter().flatten().filter(|pod| !ended(pod)).collect();
    let statuses = pods.iter().flat_map(|pod| pod["status"]["containerStatuses"].as_array().into_iter().flatten());
    let containers = statuses.filter(|status| status["state"]["running"].is_object()).count();
    let mut probe = vm.probe();
    let processes = probe.processes();
    let groups: BTreeSet<_> =
        processes.iter().filter_map(|process| process.cgroup.split('/').find(|part| is_container(part))).collect();
    Counts {
        containers,
        monitors: processes.iter().filter(|process| process.name == "conmon").count(),
        control_groups: groups.len(),
        pods: pods.len(),
        // Every sandbox has a namespace of its own for messages between processes; CRI-O pins it here.
        sandboxes: probe.list("/run/ipcns").len(),
    }
}

/// Whatever runs in a pod's control group, and every sandbox.
fn tell(vm: &Vm) -> String {
    let mut probe = vm.probe();
    let processes = probe.processes();
    let lines = processes.iter().filter(|process| process.cgroup.contains("/pod")).map(|process| {
        format!("{} of {} {} {} {}\n", process.pid, process.parent, process.state, process.command.join(" "), process.cgroup)
    });
    lines.collect::<String>() + &probe.list("/run/ipcns").join("\n")
}

/// A container's control group is `crio-` and 64 hexadecimal digits; its monitor's has another word in between.
fn is_container(part: &str) -> bool {
    part.strip_prefix("crio-").is_some_and(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
