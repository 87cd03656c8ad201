//! The writable places that a node needs: data, a row per place.
//!
//! Folders and links are made on `state` and `var` when these are mounted; places elsewhere in the read-only root are bind mounts of
//! such folders. A bind whose target the image does not have is left out: `base` has no Kubernetes.

use super::plan::What;
use crate::facts;
use kmimage_contract::paths;
use kmimage_sys::mount;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A place that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("making {}", path.display())]
pub struct PlaceError {
    /// Which one.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// A folder on `state` or `var`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folder {
    /// On which of the two.
    pub on: What,
    /// Where, relative to its mount point.
    pub path: &'static str,
    /// Its permission bits, when it is made.
    pub mode: u32,
}

/// A folder of `state` or `var` that is seen elsewhere, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind {
    /// On which of the two.
    pub on: What,
    /// The folder, relative to its mount point.
    pub source: &'static str,
    /// Where it is seen.
    pub target: &'static str,
    /// A path that has to be in the image for this bind to make sense.
    pub only_with: &'static str,
    /// What it is for.
    pub reason: &'static str,
}

const fn folder(on: What, path: &'static str, mode: u32) -> Folder {
    Folder { on, path, mode }
}

/// Every folder, parents first.
pub const FOLDERS: [Folder; 20] = [
    folder(What::State, "config", 0o700),
    folder(What::State, "kubernetes", 0o755),
    folder(What::State, "kubelet-pki", 0o700),
    folder(What::State, "log", 0o700),
    folder(What::Var, "cache", 0o755),
    folder(What::Var, "lib", 0o755),
    folder(What::Var, "lib/kmimage", 0o755),
    folder(What::Var, "lib/kmimage/cni", 0o755),
    folder(What::Var, "lib/kmimage/cni/bin", 0o755),
    folder(What::Var, "lib/kmimage/cni/net.d", 0o755),
    folder(What::Var, "lib/kmimage/libexec-kubernetes", 0o755),
    folder(What::Var, "lib/kubelet", 0o750),
    folder(What::Var, "lib/kubelet/pki", 0o700),
    folder(What::Var, "local", 0o755),
    folder(What::Var, "log", 0o755),
    folder(What::Var, "log/containers", 0o755),
    folder(What::Var, "log/pods", 0o755),
    folder(What::Var, "mnt", 0o755),
    folder(What::Var, "spool", 0o755),
    folder(What::Var, "tmp", 0o1777),
];

/// Links on `var`: name and where it leads. Programs of every age look there (CRI-O's socket is /var/run/crio/crio.sock).
pub const LINKS: [(&str, &str); 2] = [("run", "/run"), ("lock", "/run/lock")];

/// Every bind mount.
pub const BINDS: [Bind; 5] = [
    Bind {
        on: What::State,
        source: "kubernetes",
        target: "/etc/kubernetes",
        only_with: "/etc/kubernetes",
        reason: "the node's credentials and static pods survive a reset of var",
    },
    Bind {
        on: What::Var,
        source: "lib/kmimage/cni/net.d",
        target: "/etc/cni/net.d",
        only_with: "/etc/cni/net.d",
        reason: "network plugins that run as pods write their configuration there",
    },
    Bind {
        on: What::State,
        source: "kubelet-pki",
        target: "/var/lib/kubelet/pki",
        only_with: "/usr/bin/kubelet",
        reason: "kubelet's own certificate survives a reset of var",
    },
    Bind {
        on: What::Var,
        source: "lib/kmimage/cni/bin",
        target: "/opt/cni/bin",
        only_with: "/opt/cni/bin",
        reason: "network plugins that run as pods copy themselves there",
    },
    Bind {
        on: What::Var,
        source: "lib/kmimage/libexec-kubernetes",
        target: "/usr/libexec/kubernetes",
        only_with: "/usr/libexec/kubernetes",
        reason: "kubelet makes its folder of volume plugins there",
    },
];

/// Where a file system is mounted.
pub fn mount_point(what: What) -> &'static Path {
    Path::new(match what {
        What::State => paths::STATE,
        What::Var => "/var",
    })
}

/// Makes a folder that only root sees, and those above it.
pub fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the folders and links of a file system that are not there yet; what is there stays as it is.
pub fn fill(what: What, root: &Path) -> Result<(), PlaceError> {
    for folder in FOLDERS.iter().filter(|folder| folder.on == what) {
        let path = root.join(folder.path);
        make_folder(&path, folder.mode).map_err(|source| PlaceError { path, source })?;
    }
    for (name, target) in LINKS.iter().filter(|_| what == What::Var) {
        let path = root.join(name);
        match std::os::unix::fs::symlink(target, &path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(PlaceError { path, source: error }),
            _ => {}
        }
    }
    Ok(())
}

fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    match std::fs::create_dir(path) {
        // Not by the call: the mask of the process would take bits away.
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A file in its place is no folder; a folder that can't be read is damage. Both are said here and not later by somebody.
            std::fs::read_dir(path).map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Makes the bind mounts outside of /etc; to be called when both file systems are mounted.
pub fn bind_outside_etc() -> Result<(), PlaceError> {
    bind_all(|bind| !bind.target.starts_with("/etc/"))
}

/// Makes the bind mounts below /etc; to be called once /etc has its final form, because a mount over it would hide them.
pub fn bind_below_etc() -> Result<(), PlaceError> {
    bind_all(|bind| bind.target.starts_with("/etc/"))
}

fn bind_all(wanted: impl Fn(&Bind) -> bool) -> Result<(), PlaceError> {
    for bind in BINDS.iter().filter(|bind| wanted(bind) && Path::new(bind.only_with).exists()) {
        let (source, target) = (mount_point(bind.on).join(bind.source), Path::new(bind.target));
        if facts::mounts::read().unwrap_or_default().iter().any(|mount| mount.target == target) {
            continue;
        }
        mount::bind(&source, target).map_err(|source| PlaceError { path: target.to_owned(), source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_complete() {
        for (at, folder) in FOLDERS.iter().enumerate() {
            if let Some((parent, _)) = folder.path.rsplit_once('/') {
                assert!(FOLDERS[..at].iter().any(|before| before.on == folder.on && before.path == parent), "{}", folder.path);
            }
        }
        for bind in &BINDS {
            assert!(FOLDERS.iter().any(|folder| folder.on == bind.on && folder.path == bind.source), "{}", bind.source);
            assert!(!bind.reason.is_empty() && bind.target.starts_with('/'));
        }
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let root = std::env::temp_dir().join(format!("kmimage-places-{}", std::process::id()));
        std::fs::create_dir_all(root.join("log")).unwrap();
        std::fs::set_permissions(root.join("log"), Permissions::from_mode(0o710)).unwrap();
        for _ in 0..2 {
            fill(What::Var, &root).unwrap();
        }
        let mode = |path: &str| std::fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("log"), mode("tmp"), mode("lib/kubelet/pki")), (0o710, 0o1777, 0o700));
        assert_eq!(std::fs::read_link(root.join("run")).unwrap(), Path::new("/run"));
        std::fs::remove_dir(root.join("spool")).unwrap();
        std::fs::write(root.join("spool"), "").unwrap();
        assert_eq!(fill(What::Var, &root).unwrap_err().path, root.join("spool"));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
