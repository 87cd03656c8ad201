//! The root image against the packages' own files, without kmimage's eyes: dpkg-deb reads the packages, unsquashfs the image.
//!
//! Every path of the image is a package's, as the package has it (kernel modules unpacked), or an overlay's, or one of those that kmimage makes itself, which are
//! named here one by one (what is in them, other tests hold against the tools that they replace). Every path of a package is in the
//! image, or one rule of the profile took it out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod drivers;
mod expected;
mod node;
mod packages;
mod unsquashed;

use expected::{Expected, needed_modules};
use kmimage::profile::{Library, Profile, load};
use kmimage_qemu_tests::foreign::run;
use kmimage_qemu_tests::image::{artefact, base, kmimage, lock};
use node::{Kind, Node, Nodes};
use packages::Shipped;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use unsquashed::unsquash;

/// What kmimage makes in the place of a package's file.
const REPLACED: [(&str, &str); 2] = [("/etc/os-release", "derive os-release"), ("/usr/lib/os-release", "derive os-release")];

/// What kmimage adds; `KERNEL` stands for the kernel's release.
const ADDED: [(&str, &str); 16] = [
    ("/etc/group", "derive users"),
    ("/etc/ld.so.cache", "derive ld.so.cache"),
    ("/etc/ld.so.conf", "derive ld.so.cache"),
    ("/etc/machine-id", "derive skeleton"),
    ("/etc/mtab", "derive skeleton"),
    ("/etc/passwd", "derive users"),
    ("/etc/ssl/certs/ca-certificates.crt", "derive ca-certificates"),
    ("/usr/lib/kmimage", "kmimage"),
    ("/usr/lib/kmimage/init", "kmimage"),
    ("/usr/lib/modules/KERNEL/modules.alias", "derive kernel-modules"),
    ("/usr/lib/modules/KERNEL/modules.dep", "derive kernel-modules"),
    ("/usr/lib/modules/KERNEL/modules.devname", "derive kernel-modules"),
    ("/usr/lib/modules/KERNEL/modules.softdep", "derive kernel-modules"),
    ("/usr/sbin/init", "kmimage"),
    ("/usr/sbin/modprobe", "kmimage"),
    ("/usr/share/licenses", "kmimage"),
];

/// What is wrong with an image, a line a path.
fn differences(expected: &Nodes, image: &Nodes) -> Vec<String> {
    let paths: BTreeSet<&String> = expected.keys().chain(image.keys()).collect();
    let lines = paths.into_iter().filter_map(|path| match (expected.get(path), image.get(path)) {
        (Some(expected), Some(there)) if expected == there => None,
        (Some(expected), Some(there)) => {
            Some(format!("{path}: {} instead of {}", there.columns().join(" "), expected.columns().join(" ")))
        }
        (Some(_), None) => Some(format!("{path}: missing")),
        (None, Some(_)) => Some(format!("{path}: nobody's")),
        (None, None) => None,
    });
    lines.collect()
}

/// The packages of a lock's profile, read by dpkg-deb out of an exported directory.
fn shipped(debs: &Path, profile: &Profile) -> (Shipped, Vec<String>) {
    run(kmimage().args(["cache", "export", "--profile", &profile.name, "--lock"]).arg(lock()).arg(debs));
    let lock = kmimage::lock::read(&lock()).unwrap().unwrap();
    let mut locked = lock.packages_of(&profile.name).unwrap();
    // As dpkg does in a new system: the skeleton first, then the others.
    locked.sort_by_key(|package| (package.name != "base-files", package.name.clone()));
    let mut shipped = Shipped::default();
    for package in &locked {
        let deb = debs.join(package.path.rsplit('/').next().unwrap());
        let sum = run(kmimage_qemu_tests::foreign::program("sha256sum").arg(&deb));
        assert_eq!(sum.split(' ').next(), Some(&*package.sha256.to_string()), "{}", deb.display());
        shipped.add(&deb, &format!("package {} {}", package.name, package.version));
    }
    (shipped, locked.into_iter().map(|package| package.name).collect())
}

/// The columns of `.files.tsv`: type, mode, owner, content; and the origin.
fn listed(output: &Path) -> BTreeMap<String, ([String; 4], String)> {
    let text = fs_err::read_to_string(artefact(output, ".files.tsv")).unwrap();
    let rows = text.lines().skip(1).map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [path, kind, mode, owner, _size, content, _attributes, origin] = columns[..] else { panic!("{line:?}") };
        (path.to_owned(), ([kind, mode, owner, content].map(str::to_owned), origin.to_owned()))
    });
    rows.collect()
}

#[test]
fn tools_the_tree_is_the_packages_less_what_the_profile_drops() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let profile = load(&Library::new(root), "base").unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The build first: it makes the lock.
    let root_image = artefact(base(), ".root.squashfs");
    let (shipped, packages) = shipped(&folder.path().join("debs"), &profile);
    let image = unsquash(&root_image, folder.path());
    let kernels = shipped.nodes.keys().filter_map(|path| path.strip_prefix("/boot/vmlinuz-")).collect::<Vec<_>>();
    let [kernel] = kernels[..] else { panic!("kernels: {kernels:?}") };

    let mut expected = Expected::of(&shipped);
    expected.licences(&packages, &profile);
    expected.modules(kernel, &profile, |path| image.nodes.contains_key(path.trim_end_matches(".xz")));
    expected.unpacked_modules(&folder.path().join("debs"));
    expected.drops(&profile);
    expected.boot();
    assert!(profile.moves.is_empty(), "moves, which this test does not know");
    expected.modes(&profile);
    for (path, step) in REPLACED {
        expected.replaced(path, step);
    }
    expected.overlays(root, &profile);

    // What kmimage makes is taken as it is, but only where it is named here, and only if the list of files says the same.
    let listed = listed(base());
    let own = REPLACED.iter().chain(&ADDED).map(|(path, step)| (path.replace("KERNEL", kernel), (*step).to_owned()));
    for (path, step) in own {
        let node = image.nodes.get(&path).unwrap_or_else(|| panic!("{step} has made no {path}"));
        assert_eq!(expected.nodes.insert(path.clone(), node.clone()), None, "{path} is a package's, too");
        expected.origins.insert(path, step);
    }
    let mut wrong = differences(&expected.nodes, &image.nodes);
    for (path, node) in &image.nodes {
        let (columns, origin) = listed.get(path).unwrap_or_else(|| panic!("{path} is not in the list of files"));
        if (columns, Some(origin)) != (&node.columns(), expected.origins.get(path)) {
            wrong.push(format!("{path}: the list says {columns:?} {origin}, not {:?}", expected.origins.get(path)));
        }
    }
    wrong.extend(listed.keys().filter(|path| !image.nodes.contains_key(*path)).map(|path| format!("{path}: only in the list")));
    let (modules, needed) = needed_modules(kernel, &profile, &image.nodes, &image.folder);
    wrong.extend(modules);
    wrong.extend(hard_links(&shipped, &image.nodes, &image.folder));
    for path in shipped.nodes.keys() {
        let kept = expected.origins.get(path).is_some_and(|origin| origin.starts_with("package "));
        if kept == expected.taken.contains_key(path) {
            wrong.push(format!("{path}: {}", if kept { "kept and taken out" } else { "neither kept nor taken out by a rule" }));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong[..wrong.len().min(60)].join("\n"));

    let mut rules: BTreeMap<&str, usize> = BTreeMap::new();
    expected.taken.values().for_each(|rule| *rules.entry(rule).or_default() += 1);
    println!(
        "{} members of {} packages are {} paths; {} of them are not in the image; {} paths there; {needed} modules dropped but needed",
        shipped.members,
        packages.len(),
        shipped.nodes.len(),
        expected.taken.len(),
        image.nodes.len()
    );
    rules.iter().for_each(|(rule, count)| println!("{count:6} {rule}"));
    let unused: Vec<_> =
        profile.drops.iter().map(|drop| format!("drop {}", drop.glob)).filter(|rule| !rules.contains_key(&**rule)).collect();
    println!("of no use: {unused:?}");

    a_false_expectation_is_noticed(&expected.nodes, &image.nodes);
}

/// Paths that are one file in a package are one file in the image, and no others are.
fn hard_links(shipped: &Shipped, image: &Nodes, folder: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt as _;
    let files = image.iter().filter(|(_, node)| matches!(node.kind, Kind::File { .. })).map(|(path, _)| path);
    let mut inodes: BTreeMap<u64, Vec<&String>> = BTreeMap::new();
    for path in files {
        inodes.entry(fs_err::symlink_metadata(folder.join(&path[1..])).unwrap().ino()).or_default().push(path);
    }
    let there: BTreeSet<Vec<&String>> = inodes.into_values().filter(|paths| paths.len() > 1).collect();
    let mut groups: BTreeMap<&String, Vec<&String>> = BTreeMap::new();
    for (path, first) in shipped.hard_links.iter().filter(|(path, _)| image.contains_key(*path)) {
        groups.entry(first).or_default().push(path);
    }
    let expected: BTreeSet<Vec<&String>> = groups.into_values().filter(|paths| paths.len() > 1).collect();
    there.symmetric_difference(&expected).map(|paths| format!("one file here, several there: {paths:?}")).collect()
}

/// A judge that can't say no is none: one thing at a time is made false, and exactly that must be found.
fn a_false_expectation_is_noticed(expected: &Nodes, image: &Nodes) {
    let first =
        |wanted: fn(&Kind) -> bool| expected.iter().find(|(path, node)| *path != "/" && wanted(&node.kind)).unwrap().0.clone();
    let file = first(|kind| matches!(kind, Kind::File { .. }));
    let link = first(|kind| matches!(kind, Kind::Symlink { .. }));
    let directory = first(|kind| *kind == Kind::Directory);
    let check = |what: &str, path: &str, falsify: &dyn Fn(&mut Nodes)| {
        let mut falsified = expected.clone();
        falsify(&mut falsified);
        let found = differences(&falsified, image);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{path}: ")), "a false {what} of {path}: {found:?}");
    };
    let with = |path: &str, change: fn(&mut Node)| {
        let path = path.to_owned();
        move |nodes: &mut Nodes| change(nodes.get_mut(&path).unwrap())
    };
    check(
        "hash",
        &file,
        &with(&file, |node| {
            if let Kind::File { sha256 } = &mut node.kind {
                sha256.0[31] ^= 1;
            }
        }),
    );
    check("target", &link, &with(&link, |node| node.kind = Kind::Symlink { target: "elsewhere".into() }));
    check("mode", &directory, &with(&directory, |node| node.mode ^= 0o1000));
    check("user", &file, &with(&file, |node| node.owner.0 += 1));
    check("group", &file, &with(&file, |node| node.owner.1 += 1));
    check("type", &directory, &with(&directory, |node| node.kind = Kind::Symlink { target: String::new() }));
    check("path", "/etc/not-there", &|nodes| drop(nodes.insert("/etc/not-there".into(), Node::directory())));
    check("absence", &file, &|nodes| drop(nodes.remove(&file)));
}
