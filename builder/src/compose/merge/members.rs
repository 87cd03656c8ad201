//! One package's members as entries of the image, each judged by itself.

use super::USR_LINKS;
use super::rule::{MergeError, Refusal};
use crate::compose::deb::tar::MemberKind;
use crate::compose::tree::{Entry, Kind, Origin, TreePath};
use crate::compose::unpack::{Unpacked, UnpackedMember};
use std::collections::BTreeMap;

/// An entry at its place in the image.
pub(super) struct Placed {
    pub(super) path: TreePath,
    /// The member's name as the package has it, for messages.
    pub(super) member: String,
    pub(super) entry: Entry,
}

/// Namespaces that Linux file systems keep; squashfs has no others.
const ATTRIBUTE_NAMESPACES: [&[u8]; 3] = [b"user.", b"trusted.", b"security."];
/// The kernel's limits: XATTR_NAME_MAX and XATTR_SIZE_MAX.
const ATTRIBUTE_NAME_MAX: usize = 255;
const ATTRIBUTE_VALUE_MAX: usize = 65536;

/// All members of a package in its order. `links` counts inodes that have several paths, over all packages.
pub(super) fn members(package: &Unpacked, links: &mut u32) -> Result<Vec<Placed>, MergeError> {
    let origin = Origin::Package { name: package.name.clone(), version: package.version.clone() };
    let mut placed: Vec<Placed> = Vec::with_capacity(package.members.len());
    let mut seen: BTreeMap<TreePath, usize> = BTreeMap::new();
    for member in package.members.iter() {
        let name = String::from_utf8_lossy(&member.path).into_owned();
        let refused = |rule| MergeError::refused(package, &name, rule);
        let path = place(&member.path, &member.kind).map_err(refused)?;
        let entry = match &member.kind {
            MemberKind::HardLink(target) => {
                let no_file = || refused(Refusal::HardLink { target: String::from_utf8_lossy(target).into_owned() });
                let target = place(target, &MemberKind::File).map_err(|_| no_file())?;
                let original = seen.get(&target).and_then(|&at| placed.get_mut(at));
                let original = original.filter(|placed| matches!(placed.entry.kind, Kind::File(_))).ok_or_else(no_file)?;
                if original.entry.link.is_none() {
                    original.entry.link = Some(*links);
                    *links += 1;
                }
                original.entry.clone()
            }
            _ => entry(package, member, &path, &origin).map_err(refused)?,
        };
        if let Some(&at) = seen.get(&path) {
            // A package may ship ./lib and ./usr/lib, which are one directory; anything else comes once.
            match (&placed[at].entry.kind, &entry.kind) {
                (Kind::Directory, Kind::Directory) => continue,
                _ => return Err(refused(Refusal::Twice)),
            }
        }
        seen.insert(path.clone(), placed.len());
        placed.push(Placed { path, member: name, entry });
    }
    Ok(placed)
}

/// Where a member goes: its path made normal, and below /usr where the path is one of the links into it.
fn place(path: &[u8], kind: &MemberKind) -> Result<TreePath, Refusal> {
    let path = TreePath::new(path).map_err(Refusal::Path)?;
    let first = path.as_bytes().get(1..).and_then(|rest| rest.split(|&byte| byte == b'/').next()).unwrap_or_default();
    let Some(link) = USR_LINKS.iter().find(|link| link.as_bytes() == first) else { return Ok(path) };
    if path.as_bytes().len() == link.len() + 1 {
        match kind {
            MemberKind::Directory => {}
            MemberKind::Symlink(target) if is_usr_link(target, link) => return Ok(path),
            _ => return Err(Refusal::UsrLink { link }),
        }
    }
    TreePath::new([b"/usr", path.as_bytes()].concat()).map_err(Refusal::Path)
}

fn is_usr_link(target: &[u8], link: &str) -> bool {
    let target = target.strip_prefix(b"/").unwrap_or(target);
    target.strip_prefix(b"usr/").is_some_and(|name| name.strip_suffix(b"/").unwrap_or(name) == link.as_bytes())
}

fn entry(package: &Unpacked, member: &UnpackedMember, path: &TreePath, origin: &Origin) -> Result<Entry, Refusal> {
    let kind = match &member.kind {
        MemberKind::Directory => Kind::Directory,
        MemberKind::Symlink(target) => {
            if climbs(path, target) {
                return Err(Refusal::LinkClimbs { target: String::from_utf8_lossy(target).into_owned() });
            }
            if target.contains(&0) || target.len() > 4095 {
                return Err(Refusal::LinkTarget);
            }
            Kind::Symlink(target.as_slice().into())
        }
        MemberKind::Fifo => Kind::Fifo,
        MemberKind::CharDevice | MemberKind::BlockDevice => return Err(Refusal::Device),
        MemberKind::File | MemberKind::HardLink(_) => match package.content(member) {
            Some(content) => Kind::File(content),
            None => return Err(Refusal::HardLink { target: String::new() }),
        },
    };
    if let Some((name, _)) = member.xattrs.iter().find(|(name, value)| !is_attribute(name, value)) {
        return Err(Refusal::Attribute { name: String::from_utf8_lossy(name).into_owned() });
    }
    Ok(Entry {
        kind,
        mode: if matches!(member.kind, MemberKind::Symlink(_)) { 0o777 } else { member.mode },
        uid: member.uid,
        gid: member.gid,
        xattrs: member.xattrs.clone(),
        link: None,
        origin: origin.clone(),
    })
}

/// True for an extended attribute that squashfs and the kernel can keep.
pub(crate) fn is_attribute(name: &[u8], value: &[u8]) -> bool {
    ATTRIBUTE_NAMESPACES.iter().any(|namespace| name.starts_with(namespace) && name.len() > namespace.len())
        && name.len() <= ATTRIBUTE_NAME_MAX
        && !name.contains(&0)
        && value.len() <= ATTRIBUTE_VALUE_MAX
}

/// True if following `target`, word by word, would ever leave the root: the kernel stops at `/`, a tool that unpacks or copies the
/// tree elsewhere does not.
pub(crate) fn climbs(link: &TreePath, target: &[u8]) -> bool {
    let depth_of = |path: &[u8]| path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).count();
    let mut depth = if target.starts_with(b"/") { 0 } else { depth_of(link.as_bytes()).saturating_sub(1) };
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}
