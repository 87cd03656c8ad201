//! A node at work: what is done to it, and how one sees that it is well afterwards.

use crate::{leftovers, pods};
use kmimage_qemu_tests::cluster::control_plane::ControlPlane;
use kmimage_qemu_tests::cluster::node::{MINUTES, Node};
use kmimage_qemu_tests::vm::Vm;
use std::time::Instant;

/// SIGKILL.
const KILL: i32 = 9;

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
