//! What tests of nodes stand on: a network with a control plane in it, and machines that become its nodes.

use super::control_plane::ControlPlane;
use super::image;
use super::real::Real;
use crate::foreign::{program, run};
use crate::guest::{Guest, WritableDisk};
use crate::image::{artefact, kmimage};
use crate::netns::Netns;
use crate::vm::Vm;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

/// Where the control plane is.
pub const PLANE: &str = "10.77.0.1";
/// In an emulated machine everything takes its time.
pub const MINUTES: Duration = Duration::from_secs(300);

/// A network with room for three machines. Its control plane and machines borrow it.
pub fn network() -> Netns {
    let lan = Netns::new();
    lan.bridge("br0", &["10.77.0.1/24"]);
    for tap in ["tap1", "tap2", "tap3"] {
        lan.tap(tap, "br0");
    }
    lan.sysctl("net.ipv4.ip_forward", "1");
    for number in 1..=3 {
        // What the pods' own routes would be in a data centre: each node's are behind it.
        lan.ip(&format!("route add 10.244.{}.0/24 via 10.77.0.{}", number - 1, 10 + number));
    }
    lan
}

/// A machine and its disk: the test image, on 8 GiB.
pub struct Node<'a> {
    number: u8,
    lan: &'a Netns,
    disk: WritableDisk,
    folder: TempDir,
}

impl<'a> Node<'a> {
    /// The machine of this number (1 to 3), not started.
    pub fn new(lan: &'a Netns, real: &Real, number: u8) -> Self {
        let disk = WritableDisk::of(&artefact(image::test(real), ".qcow2"), Some(8));
        Self { number, lan, disk, folder: tempfile::tempdir().unwrap() }
    }

    /// Its host name, and the node's.
    pub fn name(&self) -> String {
        format!("worker-{}", self.number)
    }

    /// Its address on the network.
    pub fn address(&self) -> String {
        format!("10.77.0.{}", 10 + self.number)
    }

    /// A machine config with this machine's name and address, made of the line that kubeadm prints.
    pub fn config(&self, plane: &ControlPlane<'_>) -> String {
        let mut join = kmimage();
        join.args(["config", "join", "--hostname", &self.name()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut join = join.spawn().unwrap();
        join.stdin.take().unwrap().write_all(plane.join_line().as_bytes()).unwrap();
        let output = join.wait_with_output().unwrap();
        assert!(output.status.success(), "kmimage config join: {}", output.status);
        format!(
            "{}\n[[network.interface]]\nname = \"uplink\"\nmatch = {{ mac = \"{}\" }}\naddresses = [\"{}/24\"]\n\
             routes = [{{ to = \"default\", via = \"{PLANE}\" }}]\n",
            String::from_utf8(output.stdout).unwrap(),
            self.mac(),
            self.address(),
        )
    }

    fn mac(&self) -> String {
        format!("52:54:00:77:00:{:02x}", 0x10 + self.number)
    }

    fn guest(&self) -> Guest<'a> {
        let tap = format!("tap{}", self.number);
        Guest::of(&self.disk.path()).with_probe().disk(&self.disk).memory(1024).cpus(2).agent().tap(self.lan, &tap, &self.mac())
    }

    /// A NoCloud volume with this machine config.
    pub fn seed(&self, name: &str, config: &str) -> PathBuf {
        let (document, seed) = (self.folder.path().join("node.toml"), self.folder.path().join(format!("{name}.iso")));
        fs_err::write(&document, config).unwrap();
        let status = kmimage().args(["config", "seed"]).arg(&document).arg("-o").arg(&seed).status().unwrap();
        assert!(status.success(), "kmimage config seed: {status}");
        seed
    }

    /// Boots with a machine config in a seed, in its first CD drive.
    pub fn boot_with(&self, config: &str) -> Vm {
        self.boot_as(|guest| guest.cdrom(&self.seed("seed", config)))
    }

    /// Boots again, from its disk alone.
    pub fn boot(&self) -> Vm {
        self.boot_as(|guest| guest)
    }

    /// Boots a machine that is special in some way.
    pub fn boot_as(&self, special: impl FnOnce(Guest<'a>) -> Guest<'a>) -> Vm {
        special(self.guest()).start()
    }
}

/// A machine whose clock is off at its start: by so much, as date(1) says it.
pub fn with_clock<'a>(guest: Guest<'a>, off: &str) -> Guest<'a> {
    let now = run(program("date").args(["--utc", &format!("--date={off}"), "+%Y-%m-%dT%H:%M:%S"]));
    guest.option("-rtc", format!("base={}", now.trim()))
}

/// Has the cluster install a pod network on every node that comes, as flannel does.
pub fn install_pod_network(plane: &ControlPlane<'_>) {
    let mut data = String::new();
    for number in 1..=3 {
        let conflist = format!(
            r#"{{"cniVersion":"1.0.0","name":"pods","plugins":[{{"type":"copied-bridge","bridge":"cni0","isGateway":true,"ipam":{{"type":"host-local","ranges":[[{{"subnet":"10.244.{}.0/24"}}]],"routes":[{{"dst":"0.0.0.0/0"}}]}}}},{{"type":"portmap","capabilities":{{"portMappings":true}}}}]}}"#,
            number - 1
        );
        data.push_str(&format!("  worker-{number}.conflist: '{conflist}'\n"));
    }
    plane.apply(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: cni, namespace: kube-system }}\ndata:\n{data}"));
    plane.apply(include_str!("manifests/cni.yaml"));
}

/// Starts the control plane.
pub fn control_plane<'a>(lan: &'a Netns, real: &Real) -> ControlPlane<'a> {
    ControlPlane::start(lan, real, PLANE)
}
