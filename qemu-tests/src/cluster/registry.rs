//! A real container registry (Debian's docker-registry) in a network namespace, behind TLS and a password.

use super::oci::{self, Entry};
use crate::foreign::{from_trixie, run};
use crate::image::library;
use crate::netns::Netns;
use crate::netns::daemon::Daemon;
use crate::netns::servers::Authority;
use std::time::Duration;
use tempfile::TempDir;

/// Who may read and write, and the password's hash as htpasswd(1) writes it.
const USER: &str = "node";
const PASSWORD: &str = "let me in";
const HASH: &str = "$2b$05$TLbMBBGyO1yN.avcYEzHFu7IbRpz1aUBErCxWQxRH.I9KcBTpYEie";

/// A running registry; it ends with the value.
pub struct Registry<'a> {
    netns: &'a Netns,
    address: String,
    authority: Authority,
    folder: TempDir,
    _daemon: Daemon,
}

impl<'a> Registry<'a> {
    /// Starts it at `IP:PORT`.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(netns: &'a Netns, address: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let authority = Authority::new();
        let host = address.split(':').next().unwrap_or_default();
        let certificate = authority.certificate(&format!("IP:{host}"));
        let (certificate, key) = certificate.files();
        fs_err::write(path("users"), format!("{USER}:{HASH}\n")).expect("its users");
        let config = format!(
            "version: 0.1\nlog: {{ level: info }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
             http: {{ addr: \"{address}\", tls: {{ certificate: {}, key: {} }} }}\n\
             auth: {{ htpasswd: {{ realm: tests, path: {} }} }}\n",
            path("images"),
            certificate.display(),
            key.display(),
            path("users"),
        );
        fs_err::write(path("config.yml"), config).expect("its configuration");
        let mut registry = netns.program(from_trixie("docker-registry", "usr/bin/docker-registry"));
        let daemon = netns.spawn(registry.args(["serve", &path("config.yml")]));
        daemon.wait_for("its start", Duration::from_secs(60), |line| line.contains("listening on").then_some(()));
        Self { netns, address: address.to_owned(), authority, folder, _daemon: daemon }
    }

    /// Uploads the probe as an image of this name, of which no layer is in a node's own image.
    ///
    /// # Panics
    /// When skopeo fails.
    pub fn put_probe(&self, name: &str) {
        let layout = self.folder.path().join("layout");
        let probe = library().join("overlays/probe/rootfs/usr/lib/kmimage/probe");
        oci::write(&layout, &[("probe", Entry::Program(&probe)), ("pulled", Entry::Folder)], &["/probe"]);
        let trusted = self.folder.path().join("trusted");
        fs_err::create_dir_all(&trusted).expect("a folder");
        fs_err::write(trusted.join("ca.crt"), self.authority.pem()).expect("the authority");
        let mut skopeo = self.netns.program("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--quiet", "--dest-creds", &format!("{USER}:{PASSWORD}"), "--dest-cert-dir"]);
        skopeo.arg(trusted).arg(format!("oci:{}", layout.display())).arg(format!("docker://{}/{name}", self.address));
        run(&mut skopeo);
    }

    /// What a machine config says, so that this registry stands in for another one.
    pub fn machine_config(&self, stands_in_for: &str) -> String {
        let (address, ca) = (&self.address, self.authority.pem());
        format!(
            "\n[[registry.mirror]]\nregistry = \"{stands_in_for}\"\nendpoints = [\"https://{address}\"]\nca = \"\"\"\n{ca}\"\"\"\n\
             [[registry.credentials]]\nregistry = \"{address}\"\nusername = \"{USER}\"\npassword = \"{PASSWORD}\"\n"
        )
    }
}
