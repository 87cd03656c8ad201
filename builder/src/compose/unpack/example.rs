//! Unpacked packages made in memory, for the tests of the stages behind.

use super::{Range, Unpacked, UnpackedMember};
use crate::compose::deb::tar::MemberKind;
use crate::hash::Sha256Digest;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// A member of mode 0644 (a directory: 0755), owned by root.
pub(crate) fn member(path: impl AsRef<[u8]>, kind: MemberKind) -> UnpackedMember {
    let mode = if kind == MemberKind::Directory { 0o755 } else { 0o644 };
    UnpackedMember { path: path.as_ref().to_vec(), kind, mode, uid: 0, gid: 0, xattrs: BTreeMap::new(), data: None }
}

/// A directory.
pub(crate) fn directory(path: &str) -> UnpackedMember {
    member(path, MemberKind::Directory)
}

/// A file that holds its own path and the package's name, see [`package`].
pub(crate) fn file(path: &str) -> UnpackedMember {
    member(path, MemberKind::File)
}

/// A symbolic link.
pub(crate) fn symlink(path: &str, target: &str) -> UnpackedMember {
    member(path, MemberKind::Symlink(target.into()))
}

/// A hard link.
pub(crate) fn hard_link(path: &str, target: &str) -> UnpackedMember {
    member(path, MemberKind::HardLink(target.into()))
}

/// A package of version 1 with further control fields; each file's content is `PACKAGE PATH`.
pub(crate) fn package(name: &str, fields: &str, members: Vec<UnpackedMember>) -> Unpacked {
    let mut pack = tempfile::tempfile().unwrap();
    let mut offset = 0;
    let mut members = members;
    for member in members.iter_mut().filter(|member| member.kind == MemberKind::File) {
        let text = format!("{name} {}", String::from_utf8_lossy(&member.path));
        pack.write_all(text.as_bytes()).unwrap();
        member.data = Some(Range { offset, len: text.len() as u64, sha256: Sha256Digest::of(text.as_bytes()) });
        offset += text.len() as u64;
    }
    Unpacked {
        name: name.into(),
        version: "1".into(),
        sha256: Sha256Digest::of(name.as_bytes()),
        paragraph: format!("Package: {name}\nVersion: 1\n{fields}").into_bytes().into(),
        members: members.into(),
        pack: Arc::new(pack),
    }
}
