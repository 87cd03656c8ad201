//! The worker's image, made of the real packages, with the probe in it and what the tests' pods run.

use super::oci::{self, Entry};
use super::real::Real;
use crate::image::{build_with, library};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The output folder of profile `worker-test`: worker with the probe and the images of the tests' pods.
///
/// # Panics
/// With the output of cargo or kmimage when a build fails.
pub fn test(real: &Real) -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let library = library();
        let images = library.join("images");
        let probe = library.join("overlays/probe/rootfs/usr/lib/kmimage/probe");
        oci::write(&images.join("probe"), &[("probe", Entry::Program(&probe)), ("tmp", Entry::Folder)], &["/probe"]);
        let kube_proxy = real.program("kube-proxy");
        let mut entries = vec![("kube-proxy", Entry::Program(&kube_proxy)), ("usr", Entry::Folder), ("run", Entry::Folder)];
        for (link, to) in [("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
            entries.push((link, Entry::Link(to)));
        }
        oci::write(&images.join("kube-proxy"), &entries, &["/kube-proxy"]);
        build("worker-test", &library, real)
    })
}

fn build(profile: &str, folder: &Path, real: &Real) -> PathBuf {
    let mut options: Vec<OsString> = Vec::new();
    for repository in ["kubernetes", "crio"] {
        let mut pair = OsString::from(format!("{repository}="));
        pair.push(real.packages());
        options.extend(["--repository".into(), pair]);
    }
    let options: Vec<_> = options.iter().map(OsString::as_os_str).collect();
    build_with(profile, folder, profile, &options)
}
