//! What the image must hold: the packages' files less what the profile says, by rules written down here anew.

use crate::node::{Kind, Node, Nodes, above};
use crate::packages::Shipped;
use kmimage::hash::Sha256Digest;
use kmimage::profile::{OverlayManifest, Profile};
use kmimage_qemu_tests::foreign::{program, run};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The packages' part of an image, path by path.
#[derive(Debug)]
pub(crate) struct Expected {
    /// What must be there as it is here.
    pub(crate) nodes: Nodes,
    /// Who brought it, as `.files.tsv` says it.
    pub(crate) origins: BTreeMap<String, String>,
    /// What a package ships and the image has not: path -> the rule that took it out.
    pub(crate) taken: BTreeMap<String, String>,
}

impl Expected {
    pub(crate) fn of(shipped: &Shipped) -> Self {
        Self { nodes: shipped.nodes.clone(), origins: shipped.origins.clone(), taken: BTreeMap::new() }
    }

    /// Every package's licence at its place. A package whose documentation is another's has a link to that one's licence.
    pub(crate) fn licences(&mut self, packages: &[String], profile: &Profile) {
        let place = |package: &str| format!("{}/{package}", profile.licences);
        for package in packages {
            let doc = format!("/usr/share/doc/{package}");
            let origin = self.origins[&doc].clone();
            let node = match &self.nodes[&doc].kind {
                Kind::Symlink { target } => Node::symlink(format!("../{target}/copyright")),
                _ => {
                    let path = format!("{doc}/copyright");
                    let node = self.nodes.remove(&path).unwrap_or_else(|| panic!("{package} has no licence"));
                    self.origins.remove(&path);
                    self.taken.insert(path, "licences".to_owned());
                    node
                }
            };
            for (path, node) in [(place(package), Node::directory()), (format!("{}/copyright", place(package)), node)] {
                assert!(self.nodes.insert(path.clone(), node).is_none(), "{path} is there already");
                self.origins.insert(path, origin.clone());
            }
        }
    }

    /// `drop`: what a pattern matches, and all below.
    pub(crate) fn drops(&mut self, profile: &Profile) {
        for drop in &profile.drops {
            self.take(&format!("drop {}", drop.glob), |path| {
                let kept = path == profile.licences || path.starts_with(&format!("{}/", profile.licences));
                !kept && std::iter::once(path).chain(above(path)).any(|path| drop.glob.matches(path))
            });
        }
    }

    /// Of /boot only the kernel's configuration stays.
    pub(crate) fn boot(&mut self) {
        self.take("boot", |path| {
            path.strip_prefix("/boot/").is_some_and(|name| name.contains('/') || !name.starts_with("config-"))
        });
    }

    /// The profile's choice of kernel modules. `there` says which modules the image has: one that the profile drops may be there only if
    /// one that it keeps needs it, which is for [`needed_modules`] to judge.
    pub(crate) fn modules(&mut self, kernel: &str, profile: &Profile, there: impl Fn(&str) -> bool) {
        let base = format!("/usr/lib/modules/{kernel}/");
        let goes = |path: &str| {
            let module = path.strip_prefix(&base).filter(|_| is_module(path));
            module.is_some_and(|module| !profile.kernel.modules.keeps(module)) && !there(path)
        };
        let gone = self.take("kernel.modules.drop", goes);
        let emptied: BTreeSet<&str> = gone.iter().flat_map(|path| above(path)).filter(|path| path.starts_with(&base)).collect();
        for directory in emptied.into_iter().rev() {
            let inside = format!("{directory}/");
            if !self.nodes.keys().any(|path| path.starts_with(&inside)) {
                self.take("kernel.modules.drop", |path| path == directory);
            }
        }
    }

    /// Modules are in the image as the kernel links them, not packed by themselves: `xz` says what is in each that stays.
    pub(crate) fn unpacked_modules(&mut self, debs: &Path) {
        let packed: Vec<String> = self.nodes.keys().filter(|path| is_module(path) && path.ends_with(".ko.xz")).cloned().collect();
        let folder = tempfile::tempdir_in(debs).unwrap();
        let origins: BTreeSet<&String> = packed.iter().map(|path| &self.origins[path]).collect();
        for origin in origins {
            let name = format!("{}_", origin.split(' ').nth(1).unwrap());
            let files = fs_err::read_dir(debs).unwrap().map(|entry| entry.unwrap());
            let deb = files.filter(|file| file.file_name().to_str().unwrap().starts_with(&name)).map(|file| file.path()).next();
            run(program("dpkg-deb").arg("--extract").arg(deb.unwrap()).arg(folder.path()));
        }
        // A package may have /lib where the image has /usr/lib.
        let place = |path: &str| {
            let place = folder.path().join(&path[1..]);
            if place.exists() { place } else { folder.path().join(path.trim_start_matches("/usr/")) }
        };
        run(program("xz").arg("--decompress").args(packed.iter().map(|path| place(path))));
        for path in packed {
            let plain = path.trim_end_matches(".xz").to_owned();
            let sha256 = Sha256Digest::of(&fs_err::read(place(&plain)).unwrap());
            let node = self.nodes.remove(&path).unwrap();
            let origin = self.origins.remove(&path).unwrap();
            self.origins.insert(plain.clone(), origin);
            assert!(self.nodes.insert(plain.clone(), Node { kind: Kind::File { sha256 }, ..node }).is_none(), "{plain} twice");
            self.taken.insert(path, "unpacked".to_owned());
        }
    }

    /// `mode`: other permission bits.
    pub(crate) fn modes(&mut self, profile: &Profile) {
        for change in &profile.modes {
            if let Some(node) = self.nodes.get_mut(&change.path) {
                node.mode = u32::from(change.mode);
            }
        }
    }

    /// What kmimage makes itself, in the place of what a package ships.
    pub(crate) fn replaced(&mut self, path: &str, by: &str) {
        assert_eq!(self.take(by, |candidate| candidate == path).len(), 1, "no package ships {path}, which {by} replaces");
    }

    /// The files and links of the profile's overlays, as they lie below `root`, and the directories that nobody else has for them.
    pub(crate) fn overlays(&mut self, root: &Path, profile: &Profile) {
        for overlay in &profile.overlays {
            let folder = root.join("overlays").join(&overlay.name);
            let origin = format!("overlay {}", overlay.name);
            let manifest = folder.join("overlay.toml");
            let manifest = OverlayManifest::parse("overlay.toml", &fs_err::read(manifest).unwrap()).unwrap();
            let links = manifest.links.iter().map(|(path, target)| (path.clone(), Node::symlink(target)));
            for (path, node) in links.chain(files(&folder.join("rootfs"), "")) {
                for directory in above(&path) {
                    if !self.nodes.contains_key(directory) {
                        self.nodes.insert(directory.to_owned(), Node::directory());
                        self.origins.insert(directory.to_owned(), origin.clone());
                    }
                }
                self.take(&origin, |candidate| candidate == path);
                self.nodes.insert(path.clone(), node);
                self.origins.insert(path, origin.clone());
            }
        }
    }

    fn take(&mut self, rule: &str, goes: impl Fn(&str) -> bool) -> Vec<String> {
        let gone: Vec<String> = self.nodes.keys().filter(|path| goes(path)).cloned().collect();
        for path in &gone {
            self.nodes.remove(path);
            self.origins.remove(path);
            self.taken.insert(path.clone(), rule.to_owned());
        }
        gone
    }
}

/// Every file below a folder, as an overlay means it.
fn files(folder: &Path, at: &str) -> Vec<(String, Node)> {
    let entries = fs_err::read_dir(folder).unwrap().map(Result::unwrap);
    let found = entries.flat_map(|entry| {
        let path = format!("{at}/{}", entry.file_name().into_string().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => files(&entry.path(), &path),
            false => vec![(path, Node::file(Sha256Digest::of(&fs_err::read(entry.path()).unwrap())))],
        }
    });
    found.collect()
}

fn is_module(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split_once(".ko").is_some_and(|(_, packed)| ["", ".xz", ".zst", ".gz"].contains(&packed))
}

/// A module's name, as other modules name it.
fn module_name(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

/// Holds the image's modules against what they need, by kmod's `modinfo`: whatever one needs must be there, and one that the profile
/// drops must be needed by one that it keeps. Returns what is wrong, and how many were dropped but needed.
pub(crate) fn needed_modules(kernel: &str, profile: &Profile, nodes: &Nodes, folder: &Path) -> (Vec<String>, usize) {
    let base = format!("/usr/lib/modules/{kernel}/");
    let paths: Vec<&String> = nodes.keys().filter(|path| path.starts_with(&base) && is_module(path)).collect();
    let host = paths.iter().map(|path| folder.join(&path[1..]));
    let text = run(program("modinfo").args(["-F", "depends"]).args(host));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), paths.len(), "modinfo prints a line a module");
    let names: BTreeMap<String, &String> = paths.iter().map(|path| (module_name(path), *path)).collect();
    let needs: BTreeMap<&String, Vec<String>> = paths
        .iter()
        .zip(lines)
        .map(|(path, line)| (*path, line.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()))
        .collect();
    let mut wrong = Vec::new();
    let keeps = |path: &str| profile.kernel.modules.keeps(&path[base.len()..]);
    let mut reached: BTreeSet<&String> = paths.iter().copied().filter(|path| keeps(path)).collect();
    let mut frontier: Vec<&String> = reached.iter().copied().collect();
    while let Some(path) = frontier.pop() {
        for need in &needs[path] {
            match names.get(need) {
                Some(needed) if reached.insert(needed) => frontier.push(needed),
                Some(_) => {}
                None => wrong.push(format!("{path} needs {need}, which is not there")),
            }
        }
    }
    let idle = paths.iter().filter(|path| !reached.contains(**path));
    wrong.extend(idle.map(|path| format!("{path} is there, though dropped and needed by none")));
    let needed = reached.iter().filter(|path| !keeps(path)).count();
    (wrong, needed)
}
