//! The programs of Kubernetes and CRI-O that no package repository in reach has: built outside this repository (docs/real-cluster.md)
//! and kept in `~/.cache/kmimage-real`.
//!
//! ```text
//! bin/       kube-apiserver, kube-controller-manager, kube-scheduler, kube-proxy, kubeadm
//! debs/      kubelet and cri-o as packages, as somebody has them who has no network
//! VERSIONS   a line each: what was built from what
//! ```
//! etcd and kubectl are Debian's.

use crate::foreign::from_trixie;
use std::io::Write as _;
use std::path::PathBuf;

/// What somebody has built.
#[derive(Debug, Clone)]
pub struct Real {
    folder: PathBuf,
}

impl Real {
    /// The folder, if it is there. If not, the test that asks is skipped, and that is said where nobody can miss it.
    pub fn find(test: &str) -> Option<Self> {
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let folder = home.join(".cache/kmimage-real");
        if folder.join("VERSIONS").exists() {
            return Some(Self { folder });
        }
        let said = format!(
            "\nSKIPPED {test}: no real Kubernetes here ({} has no VERSIONS); docs/real-cluster.md says how to make it\n",
            folder.display()
        );
        // Not by a macro, whose words are kept from whoever looks at a test that passes.
        let _ = std::io::stderr().write_all(said.as_bytes());
        None
    }

    /// One of the programs.
    ///
    /// # Panics
    /// When it is not there.
    pub fn program(&self, name: &str) -> PathBuf {
        match name {
            "etcd" => from_trixie("etcd-server", "usr/bin/etcd"),
            "kubectl" => from_trixie("kubectl", "usr/bin/kubectl"),
            _ => {
                let path = self.folder.join("bin").join(name);
                assert!(path.exists(), "{} is missing; docs/real-cluster.md says how to make it", path.display());
                path
            }
        }
    }

    /// The folder of packages.
    pub fn packages(&self) -> PathBuf {
        self.folder.join("debs")
    }
}
