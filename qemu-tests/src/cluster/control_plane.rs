//! A real control plane in a network namespace: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, set up by kubeadm's own
//! phases as `kubeadm init` would, but for the node that it would run on.

use super::real::Real;
use crate::foreign::{program, run};
use crate::netns::Netns;
use crate::netns::daemon::Daemon;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Addresses of services.
const SERVICES: &str = "10.96.0.0/16";
/// Addresses of pods; each node gets 256 of them, in the order in which nodes come.
const PODS: &str = "10.244.0.0/16";
/// The bootstrap token that the cluster starts with.
const TOKEN: &str = "abcdef.0123456789abcdef";
/// How long a part of the control plane may take to start.
const START: Duration = Duration::from_secs(120);

/// A running control plane; it ends with the value.
pub struct ControlPlane<'a> {
    netns: &'a Netns,
    real: Real,
    folder: TempDir,
    address: String,
    _etcd: Daemon,
    api_server: Option<Daemon>,
    controllers: Vec<Daemon>,
    /// Of the certificates that nodes get.
    lifetime: String,
}

impl<'a> ControlPlane<'a> {
    /// Starts it at an address that the namespace has, port 6443.
    ///
    /// # Panics
    /// With what the program said that did not start.
    pub fn start(netns: &'a Netns, real: &Real, address: &str) -> Self {
        // etcd flushes to the disk with every write; in memory it does not wait for other machines' disks.
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
        let mut etcd = netns.program(real.program("etcd"));
        etcd.arg("--data-dir").arg(folder.path().join("etcd")).args(["--unsafe-no-fsync", "--log-level=warn"]);
        etcd.args(["--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379"]);
        etcd.args(["--listen-peer-urls=http://127.0.0.1:2380"]);
        let etcd = netns.spawn(&mut etcd);
        let mut plane = Self {
            netns,
            real: real.clone(),
            folder,
            address: address.to_owned(),
            _etcd: etcd,
            api_server: None,
            controllers: Vec::new(),
            lifetime: "8760h".to_owned(),
        };
        fs_err::write(plane.path("kubeadm.yaml"), plane.kubeadm_config()).expect("kubeadm's config");
        plane.kubeadm(&["init", "phase", "certs", "all"]);
        plane.kubeadm(&["init", "phase", "kubeconfig", "all", "--kubeconfig-dir", &plane.text("")]);
        plane.start_api_server();
        plane.start_controllers();
        let admin = plane.text("super-admin.conf");
        for phase in [&["upload-config", "all"][..], &["bootstrap-token"]] {
            plane.kubeadm(&[&["init", "phase"], phase, &["--kubeconfig", &admin]].concat());
        }
        // A controller signs what nodes find the cluster by, once it sees the token.
        let info = ["get", "configmap", "--namespace", "kube-public", "cluster-info", "--output", "yaml"];
        plane.until("signature of cluster-info", START, &info, |said| said.contains("jws-kubeconfig-abcdef: ").then_some(()));
        plane
    }

    fn kubeadm_config(&self) -> String {
        let (address, pki) = (&self.address, self.text("pki"));
        format!(
            "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nlocalAPIEndpoint: {{advertiseAddress: {address}, bindPort: 6443}}\n\
             nodeRegistration: {{name: control-plane, criSocket: unix:///run/crio/crio.sock}}\n\
             bootstrapTokens: [{{token: {TOKEN}, ttl: 24h0m0s}}]\n---\n\
             apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: {}\n\
             certificatesDir: {pki}\ncontrolPlaneEndpoint: {address}:6443\nencryptionAlgorithm: ECDSA-P256\n\
             networking: {{podSubnet: {PODS}, serviceSubnet: {SERVICES}}}\n---\n\
             apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n",
            self.version()
        )
    }

    /// The version of Kubernetes, as `v1.36.2`.
    ///
    /// # Panics
    /// When kubeadm does not say it.
    pub fn version(&self) -> String {
        run(program(self.real.program("kubeadm")).args(["version", "--output", "short"])).trim().to_owned()
    }

    /// Starts the API server (again) and waits until it answers.
    ///
    /// # Panics
    /// With its log, when it does not.
    pub fn start_api_server(&mut self) {
        let pki = |file: &str| self.text(&format!("pki/{file}"));
        let mut api_server = self.netns.program(self.real.program("kube-apiserver"));
        api_server.args([
            "--etcd-servers=http://127.0.0.1:2379",
            "--secure-port=6443",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--enable-bootstrap-token-auth=true",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--kubelet-preferred-address-types=InternalIP",
        ]);
        api_server.args([format!("--advertise-address={}", self.address), format!("--service-cluster-ip-range={SERVICES}")]);
        for (option, file) in [
            ("client-ca-file", "ca.crt"),
            ("tls-cert-file", "apiserver.crt"),
            ("tls-private-key-file", "apiserver.key"),
            ("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
            ("kubelet-client-key", "apiserver-kubelet-client.key"),
            ("service-account-key-file", "sa.pub"),
            ("service-account-signing-key-file", "sa.key"),
        ] {
            api_server.arg(format!("--{option}={}", pki(file)));
        }
        let daemon = self.netns.spawn(&mut api_server);
        let deadline = Instant::now() + START;
        while let Err(said) = self.try_kubectl(&["get", "--raw", "/readyz"]) {
            assert!(Instant::now() < deadline, "kube-apiserver is not ready: {said}; it said:\n{}", daemon.log());
            std::thread::sleep(Duration::from_millis(200));
        }
        self.api_server = Some(daemon);
    }

    /// Ends the API server, as a control plane that is away.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// From now on the cluster's certificates for nodes last so long (`4m0s`). The controllers are started anew.
    pub fn sign_for(&mut self, lifetime: &str) {
        lifetime.clone_into(&mut self.lifetime);
        self.controllers.clear();
        self.start_controllers();
    }

    fn start_controllers(&mut self) {
        let pki = |file: &str| self.text(&format!("pki/{file}"));
        let mut manager = self.netns.program(self.real.program("kube-controller-manager"));
        manager.args(["--controllers=*,bootstrapsigner,tokencleaner", "--use-service-account-credentials=true"]);
        manager.args(["--leader-elect=false", "--allocate-node-cidrs=true"]);
        manager.args([format!("--cluster-cidr={PODS}"), format!("--service-cluster-ip-range={SERVICES}")]);
        manager.arg(format!("--kubeconfig={}", self.text("controller-manager.conf")));
        manager.arg(format!("--cluster-signing-duration={}", self.lifetime));
        for (option, file) in [
            ("root-ca-file", "ca.crt"),
            ("cluster-signing-cert-file", "ca.crt"),
            ("cluster-signing-key-file", "ca.key"),
            ("service-account-private-key-file", "sa.key"),
        ] {
            manager.arg(format!("--{option}={}", pki(file)));
        }
        let mut scheduler = self.netns.program(self.real.program("kube-scheduler"));
        scheduler.args([format!("--kubeconfig={}", self.text("scheduler.conf")), "--leader-elect=false".to_owned()]);
        self.controllers = vec![self.netns.spawn(&mut manager), self.netns.spawn(&mut scheduler)];
    }

    fn kubeadm(&self, words: &[&str]) -> String {
        let mut kubeadm = self.netns.program(self.real.program("kubeadm"));
        kubeadm.args(words).arg("--config").arg(self.path("kubeadm.yaml"));
        run(&mut kubeadm)
    }

    /// The line by which kubeadm would have a node join: what an administrator copies. With a token of its own.
    ///
    /// # Panics
    /// When kubeadm fails.
    pub fn join_line(&self) -> String {
        self.create_token(&["--print-join-command"])
    }

    fn create_token(&self, options: &[&str]) -> String {
        let mut kubeadm = self.netns.program(self.real.program("kubeadm"));
        kubeadm.args(["token", "create", "--kubeconfig"]).arg(self.admin()).args(options);
        // What it warns of is not part of the line.
        let output = kubeadm.output().expect("kubeadm");
        assert!(output.status.success(), "kubeadm: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a line")
    }

    /// A bootstrap token that has expired, and that the cluster has forgotten.
    ///
    /// # Panics
    /// When kubeadm fails, or the cluster does not forget.
    pub fn expired_token(&self) -> String {
        let token = self.create_token(&["--ttl", "1s"]).trim().to_owned();
        let secret = format!("bootstrap-token-{}", token.split('.').next().unwrap_or_default());
        let find = ["get", "secrets", "--namespace", "kube-system", "--output", "name"];
        self.until("end of the token", START, &find, |secrets| (!secrets.contains(&secret)).then_some(()));
        token
    }

    /// The SHA-256 of the cluster's CA as kubeadm counts it, `sha256:<hex>`.
    ///
    /// # Panics
    /// When openssl fails.
    pub fn ca_hash(&self) -> String {
        let script = "set -o pipefail; openssl x509 -pubkey -noout -in \"$1\" | openssl pkey -pubin -outform der | sha256sum";
        let said = self.netns.run(&["bash", "-c", script, "bash", &self.text("pki/ca.crt")]);
        format!("sha256:{}", said.split_whitespace().next().unwrap_or_default())
    }

    /// An administrator's kubeconfig.
    pub fn admin(&self) -> PathBuf {
        self.path("super-admin.conf")
    }

    /// Runs kubectl as the administrator; returns what it printed.
    ///
    /// # Panics
    /// With that, when it fails.
    pub fn kubectl(&self, words: &[&str]) -> String {
        self.try_kubectl(words).unwrap_or_else(|said| panic!("kubectl {}: {said}", words.join(" ")))
    }

    /// As [`ControlPlane::kubectl`]; the error is what it said.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn try_kubectl(&self, words: &[&str]) -> Result<String, String> {
        let output = self.kubectl_command().args(words).output().expect("kubectl");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stdout) + &text(&output.stderr)) }
    }

    /// kubectl as the administrator, for a test that speaks with it: `attach`, `port-forward`.
    pub fn kubectl_command(&self) -> Command {
        let mut kubectl = self.netns.program(self.real.program("kubectl"));
        // Its cache of what the server knows must not be another cluster's.
        kubectl
            .arg("--kubeconfig")
            .arg(self.admin())
            .arg("--cache-dir")
            .arg(self.path("kubectl"))
            .env("HOME", self.folder.path());
        kubectl
    }

    /// Applies a manifest.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub fn apply(&self, manifest: &str) {
        let file = tempfile::NamedTempFile::new_in(self.folder.path()).expect("a file");
        fs_err::write(file.path(), manifest).expect("the manifest");
        self.kubectl(&["apply", "-f", &file.path().to_string_lossy()]);
    }

    /// Asks kubectl again and again until its answer satisfies `wanted`.
    ///
    /// # Panics
    /// With the last answer, when the time passes.
    pub fn until<T>(&self, what: &str, wait: Duration, words: &[&str], mut wanted: impl FnMut(&str) -> Option<T>) -> T {
        let deadline = Instant::now() + wait;
        loop {
            let said = self.try_kubectl(words);
            if let Some(found) = said.as_deref().ok().and_then(&mut wanted) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "no {what} in {wait:?}; kubectl {} says:\n{}",
                words.join(" "),
                said.unwrap_or_else(|e| e)
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until a node is Ready (or is not).
    ///
    /// # Panics
    /// With what the API server knows of it, when the time passes.
    pub fn wait_for_node(&self, name: &str, ready: bool, wait: Duration) {
        const READY: &str = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
        let what = format!("node {name} with Ready={ready}");
        self.until(&what, wait, &["get", "node", name, "-o", READY], |said| ((said == "True") == ready).then_some(()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        Path::new(self.folder.path()).join(name).to_string_lossy().into_owned()
    }
}
