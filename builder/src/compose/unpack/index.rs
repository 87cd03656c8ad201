//! The index of a pack as bytes. Little-endian numbers, byte strings behind their length; the store seals it.

use super::{Range, UnpackedMember};
use crate::compose::deb::tar::MemberKind;
use crate::hash::Sha256Digest;
use std::collections::BTreeMap;

/// What is kept of a package, or of a layer, beside its files' data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// A package's control file; a layer's digest and length, decoded.
    pub(super) head: Vec<u8>,
    pub(super) members: Vec<UnpackedMember>,
    /// Length of the pack that belongs to it.
    pub(super) pack_len: u64,
}

pub(super) fn encode(index: &Index) -> Vec<u8> {
    let mut out = Vec::with_capacity(index.head.len() + index.members.len() * 160);
    out.extend(index.pack_len.to_le_bytes());
    put_bytes(&mut out, &index.head);
    put_u32(&mut out, index.members.len() as u32);
    for member in &index.members {
        put_bytes(&mut out, &member.path);
        let (kind, target): (u8, &[u8]) = match &member.kind {
            MemberKind::File => (0, b""),
            MemberKind::Directory => (1, b""),
            MemberKind::Symlink(target) => (2, target),
            MemberKind::HardLink(target) => (3, target),
            MemberKind::CharDevice => (4, b""),
            MemberKind::BlockDevice => (5, b""),
            MemberKind::Fifo => (6, b""),
        };
        out.push(kind);
        put_bytes(&mut out, target);
        put_u32(&mut out, member.mode.into());
        put_u32(&mut out, member.uid);
        put_u32(&mut out, member.gid);
        put_u32(&mut out, member.xattrs.len() as u32);
        for (name, value) in &member.xattrs {
            put_bytes(&mut out, name);
            put_bytes(&mut out, value);
        }
        if let Some(range) = &member.data {
            out.extend(range.offset.to_le_bytes());
            out.extend(range.len.to_le_bytes());
            out.extend(range.sha256.0);
        }
    }
    out
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len() as u32);
    out.extend_from_slice(bytes);
}

/// None: not an index (another kmimage's, under the same format number by mistake).
pub(super) fn decode(bytes: &[u8]) -> Option<Index> {
    let mut from = From(bytes);
    let pack_len = from.u64()?;
    let head = from.bytes()?.to_vec();
    let count = from.u32()?;
    let mut members = Vec::new();
    for _ in 0..count {
        let path = from.bytes()?.to_vec();
        let kind = from.take(1)?[0];
        let target = from.bytes()?.to_vec();
        let kind = match kind {
            0 => MemberKind::File,
            1 => MemberKind::Directory,
            2 => MemberKind::Symlink(target),
            3 => MemberKind::HardLink(target),
            4 => MemberKind::CharDevice,
            5 => MemberKind::BlockDevice,
            6 => MemberKind::Fifo,
            _ => return None,
        };
        let mode = u16::try_from(from.u32()?).ok()?;
        let (uid, gid) = (from.u32()?, from.u32()?);
        let mut xattrs = BTreeMap::new();
        for _ in 0..from.u32()? {
            xattrs.insert(from.bytes()?.to_vec(), from.bytes()?.to_vec());
        }
        let data = if kind == MemberKind::File {
            let (offset, len) = (from.u64()?, from.u64()?);
            offset.checked_add(len).filter(|&end| end <= pack_len)?;
            Some(Range { offset, len, sha256: Sha256Digest(from.take(32)?.try_into().ok()?) })
        } else {
            None
        };
        members.push(UnpackedMember { path, kind, mode, uid, gid, xattrs, data });
    }
    from.0.is_empty().then_some(Index { head, members, pack_len })
}

struct From<'a>(&'a [u8]);

impl<'a> From<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_comes_back_and_a_damaged_one_does_not() {
        let member = |path: &str, kind, data| UnpackedMember {
            path: path.into(),
            kind,
            mode: 0o4755,
            uid: 1,
            gid: 70_000,
            xattrs: BTreeMap::from([(b"security.capability".to_vec(), vec![0, 10, 255])]),
            data,
        };
        let range = Range { offset: 7, len: 3, sha256: Sha256Digest::of(b"one") };
        let index = Index {
            head: b"Package: a\n".to_vec(),
            members: vec![
                member("./a", MemberKind::File, Some(range)),
                member("./b", MemberKind::HardLink(b"./a".to_vec()), None),
                member("./ü", MemberKind::Directory, None),
            ],
            pack_len: 10,
        };
        let bytes = encode(&index);
        assert_eq!(decode(&bytes), Some(index));
        for len in 0..bytes.len() {
            assert_eq!(decode(&bytes[..len]), None, "{len}");
        }
        assert_eq!(decode(&[&bytes[..], b"x"].concat()), None);
        let mut shorter = bytes;
        shorter[0] = 9;
        assert_eq!(decode(&shorter), None, "a file beyond the end of the pack");
    }
}
