//! Builds real Kubernetes and CRI-O from source trees, outside this repository, for tests on a machine that reaches none of the
//! repositories that publish them: docs/real-cluster.md.
//!
//! What nodes run becomes packages that are named, and hold files, as upstream's do; the control plane's programs stay programs.

use crate::run::{Outcome, command, run, say};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the control plane of the tests runs, and kubeadm, which sets it up.
const CONTROL_PLANE: [&str; 5] = ["kubeadm", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"];

/// CRI-O without what its host would have to bring along: signatures by Go's own OpenPGP, no btrfs, statically linked.
const TAGS: &str = "containers_image_ostree_stub containers_image_openpgp exclude_graphdriver_btrfs btrfs_noversion seccomp \
                    osusergo netgo libsqlite3 static_build";

/// Builds from these trees into `~/.cache/kmimage-real`. `version` is Kubernetes', as `v1.36.2`: its tree does not hold it.
pub(crate) fn main(kubernetes: &Path, version: &str, crio: &Path) -> Outcome {
    let home = std::env::var_os("HOME").ok_or("HOME is not set")?;
    let folder = PathBuf::from(home).join(".cache/kmimage-real");
    let (programs, packages) = (folder.join("bin"), folder.join("debs"));
    fs_err::create_dir_all(&programs)?;
    fs_err::create_dir_all(&packages)?;
    let work = folder.join("work");

    for name in CONTROL_PLANE.iter().copied().chain(["kubelet"]) {
        let output = if name == "kubelet" { work.join("kubelet") } else { programs.join(name) };
        run(go(kubernetes)
            .arg("-ldflags")
            .arg(linked(version)?)
            .arg("-o")
            .arg(output)
            .arg(format!("./cmd/{name}"))
            .env("CGO_ENABLED", "0"))?;
    }
    let flags = "-s -w -linkmode external -extldflags \"-static -lm -ldl -lpthread\"";
    run(go(crio).args(["-tags", TAGS, "-ldflags", flags, "-o"]).arg(work.join("crio")).arg("./cmd/crio"))?;
    let cc = "CFLAGS=-std=c99 -Os -Wall -Wextra -static";
    run(command("make").arg("-C").arg(crio.join("pinns")).arg(cc))?;

    let number = version.strip_prefix('v').ok_or("the version begins with v")?;
    let crio_version = crio_version(crio)?;
    for package in [kubelet(number, &work), cri_o(&crio_version, &work, crio)] {
        pack(&packages, &work, &package)?;
    }
    fs_err::remove_dir_all(&work)?;
    let versions = format!("Kubernetes {number}\nCRI-O {crio_version}\n");
    fs_err::write(folder.join("VERSIONS"), &versions)?;
    say(&format!("{} has now:\n{versions}", folder.display()));
    Ok(())
}

/// `go build` in a tree that brings its dependencies along; it asks no network.
fn go(tree: &Path) -> Command {
    let mut go = command("go");
    go.args(["build", "-mod=vendor", "-trimpath"]).current_dir(tree);
    go.env("GOPROXY", "off").env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "1");
    go
}

/// What tells the programs which version they are.
fn linked(version: &str) -> Result<String, Box<dyn Error>> {
    let mut parts = version.trim_start_matches('v').split('.');
    let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
        return Err(format!("{version} is no version as v1.36.2 is").into());
    };
    let mut flags = "-s -w".to_owned();
    for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
        for (name, value) in [("gitVersion", version), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")] {
            flags.push_str(&format!(" -X {package}.{name}={value}"));
        }
    }
    Ok(flags)
}

/// The version that CRI-O's source says it is.
fn crio_version(tree: &Path) -> Result<String, Box<dyn Error>> {
    let source = fs_err::read_to_string(tree.join("internal/version/version.go"))?;
    let found = source.lines().find_map(|line| line.trim().strip_prefix("const Version = \"")?.strip_suffix('"'));
    Ok(found.ok_or("CRI-O's internal/version/version.go has no `const Version`")?.to_owned())
}

/// A package to be made.
struct Package {
    name: &'static str,
    version: String,
    depends: &'static str,
    /// Where in the image, mode, what.
    files: Vec<(&'static str, u32, Content)>,
}

enum Content {
    Copy(PathBuf),
    Text(&'static str),
}

/// As pkgs.k8s.io's package of this name is.
fn kubelet(version: &str, work: &Path) -> Package {
    Package {
        name: "kubelet",
        version: format!("{version}-1.1"),
        depends: "kubernetes-cni (>= 1.2.0), mount, util-linux",
        files: vec![
            ("usr/bin/kubelet", 0o755, Content::Copy(work.join("kubelet"))),
            ("usr/lib/systemd/system/kubelet.service", 0o600, Content::Text("[Service]\nExecStart=/usr/bin/kubelet\n")),
            ("etc/default/kubelet", 0o644, Content::Text("KUBELET_EXTRA_ARGS=\n")),
            ("etc/kubernetes/manifests/.kubelet-keep", 0o644, Content::Text("")),
            ("var/lib/kubelet/.kubelet-keep", 0o644, Content::Text("")),
        ],
    }
}

/// As isv:/cri-o:'s package of this name is, without the runtimes that it bundles.
fn cri_o(version: &str, work: &Path, tree: &Path) -> Package {
    let copy = |path: &str| Content::Copy(tree.join(path));
    Package {
        name: "cri-o",
        version: format!("{version}-1.1"),
        depends: "iptables",
        files: vec![
            ("usr/bin/crio", 0o755, Content::Copy(work.join("crio"))),
            ("usr/bin/pinns", 0o755, copy("bin/pinns")),
            ("usr/lib/systemd/system/crio.service", 0o644, copy("contrib/systemd/crio.service")),
            (
                "etc/crio/crio.conf.d/10-crio.conf",
                0o644,
                Content::Text("[crio.image]\nsignature_policy = \"/etc/crio/policy.json\"\n"),
            ),
            ("etc/crio/policy.json", 0o644, copy("test/policy.json")),
            ("etc/crictl.yaml", 0o644, copy("crictl.yaml")),
            ("usr/share/bash-completion/completions/crio", 0o644, copy("completions/bash/crio")),
        ],
    }
}

/// Lays the files out and has dpkg-deb make the package.
fn pack(packages: &Path, work: &Path, package: &Package) -> Outcome {
    let root = work.join(package.name.to_owned() + ".root");
    for (path, mode, content) in &package.files {
        let place = root.join(path);
        fs_err::create_dir_all(place.parent().unwrap_or(&root))?;
        match content {
            Content::Copy(from) => drop(fs_err::copy(from, &place)?),
            Content::Text(text) => fs_err::write(&place, text)?,
        }
        fs_err::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(*mode))?;
    }
    let control = format!(
        "Package: {}\nVersion: {}\nArchitecture: amd64\nDepends: {}\nMaintainer: nobody <nobody@localhost>\n\
         Description: built from source for the tests of kmimage\n",
        package.name, package.version, package.depends
    );
    fs_err::create_dir_all(root.join("DEBIAN"))?;
    fs_err::write(root.join("DEBIAN/control"), control)?;
    let file = packages.join(format!("{}_{}_amd64.deb", package.name, package.version));
    run(command("dpkg-deb").args(["--build", "--root-owner-group", "-Zzstd"]).arg(root).arg(file))
}
