//! For tests: trees from a few words, and trees as folders for the programs that judge us.

use crate::compose::content::Content;
use crate::compose::tree::{Entry, Kind, Origin, Tree, TreePath};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

pub(crate) fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

pub(crate) fn package(name: &str) -> Origin {
    Origin::Package { name: name.into(), version: "1".into() }
}

pub(crate) fn overlay(name: &str) -> Origin {
    Origin::Overlay(name.into())
}

pub(crate) fn put(tree: &mut Tree, at: &str, bytes: &[u8], origin: &Origin) {
    tree.insert(path(at), Entry::file(Content::from_bytes(bytes), 0o644, origin.clone()));
}

pub(crate) fn text_of(tree: &Tree, at: &str) -> String {
    String::from_utf8(bytes_of(tree, at)).unwrap()
}

pub(crate) fn bytes_of(tree: &Tree, at: &str) -> Vec<u8> {
    match &tree.get(&path(at)).unwrap_or_else(|| panic!("no {at}")).kind {
        Kind::File(content) => content.to_vec().unwrap(),
        other => panic!("{at}: {other:?}"),
    }
}

pub(crate) fn target_of(tree: &Tree, at: &str) -> String {
    match &tree.get(&path(at)).unwrap_or_else(|| panic!("no {at}")).kind {
        Kind::Symlink(target) => String::from_utf8_lossy(target).into_owned(),
        other => panic!("{at}: {other:?}"),
    }
}

/// The tree as a folder. Modes only where a program could mind; owners not at all.
pub(crate) fn spill(tree: &Tree, directory: &Path) {
    for (at, entry) in tree.iter() {
        let host = directory.join(OsStr::from_bytes(at.as_bytes().strip_prefix(b"/").unwrap()));
        match &entry.kind {
            Kind::Directory => fs_err::create_dir_all(&host).unwrap(),
            Kind::File(content) => {
                fs_err::write(&host, content.to_vec().unwrap()).unwrap();
                let mode = u32::from(entry.mode & 0o755) | 0o600;
                fs_err::set_permissions(&host, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            Kind::Symlink(target) => symlink(OsStr::from_bytes(target), &host).unwrap(),
            other => panic!("{at}: {other:?}"),
        }
    }
}

/// A folder as a tree, all of one package.
pub(crate) fn slurp(directory: &Path, origin: &Origin) -> Tree {
    let mut tree = Tree::new();
    let mut pending = vec![directory.to_path_buf()];
    while let Some(folder) = pending.pop() {
        for item in fs_err::read_dir(&folder).unwrap() {
            let host = item.unwrap().path();
            let at = TreePath::new(host.strip_prefix(directory).unwrap().as_os_str().as_bytes()).unwrap();
            let metadata = fs_err::symlink_metadata(&host).unwrap();
            let mode = (metadata.permissions().mode() & 0o7777) as u16;
            let kind = if metadata.is_dir() {
                pending.push(host);
                Kind::Directory
            } else if metadata.is_symlink() {
                Kind::Symlink(fs_err::read_link(&host).unwrap().as_os_str().as_bytes().into())
            } else {
                let file = std::fs::File::open(&host).unwrap();
                let digest = crate::hash::Sha256Digest::of_reader(&file).unwrap();
                Kind::File(Content::from_range(Arc::new(file), 0, metadata.len(), digest))
            };
            tree.insert(at, Entry::new(kind, mode, origin.clone()));
        }
    }
    tree
}

/// Runs a program that judges us; it must be there and succeed. Its standard output.
#[allow(clippy::disallowed_methods, reason = "tests hold steps against the programs that they replace")]
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let path = format!("/usr/sbin:/sbin:{}", std::env::var("PATH").unwrap_or_default());
    let output = std::process::Command::new(program).args(arguments).env("PATH", path).env("LC_ALL", "C").output();
    let output = output.unwrap_or_else(|error| panic!("this test needs {program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
