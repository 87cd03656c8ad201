//! Against mkosi 24.3 (Debian bookworm-backports), with the packages that its own manifest names: both have every package downloaded,
//! neither has anything unpacked or compressed before. mkosi makes an unpacked ext4 image, kmimage a compressed one with a hash tree,
//! twice (raw and qcow2), with checksums and a bill of materials.
//!
//! ```text
//! apt install -t bookworm-backports mkosi python3-pefile systemd-boot mtools dosfstools e2fsprogs cpio zstd     as root, as mkosi runs
//! cargo xtask bench mkosi [-- --rounds 7]
//! ```

use crate::bench::{Bench, machine, median, rounds, seconds, version_of};
use kmimage::fetch::{DEBIAN, apt_conf};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const CONFIGURATION: &str = "\
[Distribution]
Distribution=debian
Release=trixie
Mirror=@MIRROR@
RepositoryKeyCheck=no

[Output]
ManifestFormat=json
Format=disk
ImageId=node
OutputDirectory=out

[Content]
Packages=linux-image-cloud-amd64,systemd,systemd-boot,systemd-boot-efi,udev,containerd,crun,conmon,iptables,iproute2,\
kubernetes-client,containernetworking-plugins
Bootable=yes
WithDocs=no
";

const SOURCES: &str = "\
Types: deb
URIs: @MIRROR@
Suites: trixie
Components: main
Trusted: yes
";

const PROFILE: &str = "bench";
const OUTPUT: &str = "out/bench";

pub(crate) fn main() {
    let Some(version) = version_of("mkosi", "--version") else {
        println!("NOT MEASURED against mkosi: it is not installed (Debian bookworm-backports has 24.3).");
        return;
    };
    if !rustix::process::geteuid().is_root() {
        println!("NOT MEASURED against mkosi: mkosi 24 wants root for this recipe, and this is not root.");
        return;
    }
    let bench = Bench::open();
    bench.prepare(PROFILE);
    let folder = bench.path("mkosi");
    write_recipe(&folder);
    mkosi(&folder);

    let rounds = rounds();
    let (mut ours, mut theirs, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        for step in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            if step == 0 {
                theirs.push(seconds(|| mkosi(&folder)));
            } else {
                bench.make_cold(OUTPUT);
                ours.push(bench.build(PROFILE, OUTPUT, &[]).wall);
                again.push(bench.build(PROFILE, OUTPUT, &["--image-version", "2"]).wall);
            }
        }
    }
    let ratio = median(theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours));
    println!("{version}, {rounds} rounds, medians; {}.\n", machine(bench.jobs));
    println!("| what | seconds |\n|---|---|");
    println!("| mkosi, packages in its cache | {:.2} |", median(theirs));
    println!("| kmimage, packages in its store, every other cache empty | {:.2} |", median(ours));
    println!("| kmimage, the same packages as another version | {:.2} |", median(again));
    println!("\nmkosi / kmimage: {ratio:.2} (target: at least 5)\n");
    println!("{}", differences(&bench, &folder));
}

/// The mirror is the host's own, as for kmimage.
fn write_recipe(folder: &Path) {
    let (sources, _) = apt_conf::read(Path::new("/"));
    let fits = |source: &&apt_conf::AptSource| {
        source.uri.starts_with("http")
            && !source.suite.contains("security")
            && source.components.iter().any(|name| name == "main")
    };
    let mirror = sources.iter().find(fits).map_or(DEBIAN, |source| &source.uri);
    let apt = folder.join("mkosi.pkgmngr/etc/apt/sources.list.d");
    fs::create_dir_all(&apt).unwrap();
    fs::write(folder.join("mkosi.conf"), CONFIGURATION.replace("@MIRROR@", mirror)).unwrap();
    fs::write(apt.join("mkosi.sources"), SOURCES.replace("@MIRROR@", mirror)).unwrap();
}

fn mkosi(folder: &Path) {
    let output = Command::new("mkosi").args(["--force", "build"]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "mkosi: {}", String::from_utf8_lossy(&output.stderr));
}

/// How the two sets of packages differ, by name: they should not.
fn differences(bench: &Bench, folder: &Path) -> String {
    let read = |path: &Path| serde_json::from_slice::<serde_json::Value>(&fs::read(path).unwrap()).unwrap();
    let names = |manifest: &serde_json::Value| -> BTreeSet<String> {
        let packages = manifest["packages"].as_array().cloned().unwrap_or_default();
        packages.iter().filter_map(|package| Some(package["name"].as_str()?.to_owned())).collect()
    };
    let manifest = fs::read_dir(bench.path(OUTPUT)).unwrap().map(|entry| entry.unwrap().path());
    let is_manifest = |path: &std::path::PathBuf| path.to_string_lossy().ends_with("amd64.json");
    let (ours, theirs) =
        (names(&read(&manifest.into_iter().find(is_manifest).unwrap())), names(&read(&folder.join("out/node.manifest"))));
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| one.difference(other).cloned().collect::<Vec<_>>().join(", ");
    let (more, less) = (only(&ours, &theirs), only(&theirs, &ours));
    if more.is_empty() && less.is_empty() {
        return format!("Both have the same {} packages.", ours.len());
    }
    format!("The packages DIFFER: only kmimage has [{more}], only mkosi has [{less}]; put bench.toml right.")
}
