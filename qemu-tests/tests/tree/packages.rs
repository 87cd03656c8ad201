//! The packages' own files, as dpkg-deb gives them.

use crate::node::{Kind, Node, Nodes};
use kmimage::hash::Sha256Digest;
use kmimage_qemu_tests::foreign::program;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

/// What all packages together ship, laid over one another.
#[derive(Debug, Default)]
pub(crate) struct Shipped {
    pub(crate) nodes: Nodes,
    /// The package that each path is from, as `package NAME VERSION`.
    pub(crate) origins: BTreeMap<String, String>,
    /// Paths that are one file: each with the first of its paths.
    pub(crate) hard_links: BTreeMap<String, String>,
    /// Members of all packages, directories that several ship counted again.
    pub(crate) members: usize,
}

/// Top directories that are links into /usr: a member below one is the same member below /usr.
const MERGED: [&str; 4] = ["/bin", "/lib", "/lib64", "/sbin"];

impl Shipped {
    /// Lays one more package over the rest. Of a directory that several ship, the first counts, as with dpkg.
    pub(crate) fn add(&mut self, deb: &Path, origin: &str) {
        let mut dpkg = program("dpkg-deb");
        let mut dpkg = dpkg.arg("--fsys-tarfile").arg(deb).stdout(Stdio::piped()).spawn().expect("dpkg-deb");
        let mut archive = tar::Archive::new(dpkg.stdout.take().expect("its output"));
        let mut own = BTreeSet::new();
        for entry in archive.entries().expect("a tar archive") {
            let mut entry = entry.expect("a member");
            let name = String::from_utf8(entry.path_bytes().into_owned()).expect("a name in UTF-8");
            let what = format!("{origin}: {name}");
            let path = placed(&name, entry.header().entry_type().is_symlink());
            self.members += 1;
            let extensions = entry.pax_extensions().expect("extended headers");
            let attributes = extensions
                .into_iter()
                .flatten()
                .filter(|record| record.as_ref().is_ok_and(|record| record.key_bytes().starts_with(b"SCHILY.xattr")));
            assert_eq!(attributes.count(), 0, "{what}: extended attributes, which this test does not compare");
            let link = entry.link_name_bytes().map(|name| String::from_utf8(name.into_owned()).expect("a target in UTF-8"));
            let header = entry.header();
            let mode = header.mode().expect("a mode") & 0o7777;
            let owner = (header.uid().expect("a user"), header.gid().expect("a group"));
            let kind = match header.entry_type() {
                tar::EntryType::Directory => Kind::Directory,
                tar::EntryType::Symlink => {
                    let node = Node { owner, ..Node::symlink(link.expect("a target")) };
                    self.put(&mut own, path, node, origin);
                    continue;
                }
                tar::EntryType::Link => {
                    let first = placed(&link.expect("a target"), false);
                    assert!(own.contains(&first), "{what}: a hard link to {first}");
                    let node = self.nodes[&first].clone();
                    let first = self.hard_links.get(&first).unwrap_or(&first).clone();
                    self.hard_links.insert(first.clone(), first.clone());
                    self.hard_links.insert(path.clone(), first);
                    self.put(&mut own, path, node, origin);
                    continue;
                }
                tar::EntryType::Regular => Kind::File { sha256: Sha256Digest::of_reader(&mut entry).expect("its bytes") },
                other => panic!("{what}: a member of type {other:?}"),
            };
            self.put(&mut own, path, Node { kind, mode, owner }, origin);
        }
        let status = dpkg.wait().expect("dpkg-deb");
        assert!(status.success(), "dpkg-deb --fsys-tarfile {}: {status}", deb.display());
        assert!(!own.is_empty(), "{origin} ships nothing");
    }

    fn put(&mut self, own: &mut BTreeSet<String>, path: String, node: Node, origin: &str) {
        let there = self.nodes.get(&path);
        let both_directories = node.kind == Kind::Directory && there.is_some_and(|there| there.kind == Kind::Directory);
        if !both_directories {
            assert!(there.is_none(), "{origin} ships {path}, and so does {}", self.origins[&path]);
            self.nodes.insert(path.clone(), node);
            self.origins.insert(path.clone(), origin.to_owned());
        }
        own.insert(path);
    }
}

/// `./lib/x` -> `/usr/lib/x`; `./` -> `/`.
fn placed(name: &str, symlink: bool) -> String {
    let path = format!("/{}", name.trim_start_matches("./").trim_matches('/'));
    let merged = MERGED.iter().any(|top| path.strip_prefix(top).is_some_and(|rest| rest.starts_with('/')))
        || (MERGED.contains(&&*path) && !symlink);
    if merged { format!("/usr{path}") } else { path }
}
