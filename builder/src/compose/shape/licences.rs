//! Every package's copyright file in one place, `<licences>/<package>/copyright`, whatever becomes of /usr/share/doc.

use super::ShapeError;
use crate::compose::tree::{Entry, Kind, Origin, Tree, TreePath};
use crate::compose::unpack::Unpacked;

/// Where Debian packages have theirs (Debian Policy 12.5).
const DOC: &str = "/usr/share/doc";

/// Moves the copyright files. A package that shares another's (its documentation directory is a link to the other's) gets a link.
pub(super) fn collect(tree: &mut Tree, packages: &[Unpacked], licences: &str, notes: &mut Vec<String>) -> Result<(), ShapeError> {
    let below = |directory: &str, rest: &str| {
        let path = format!("{directory}{rest}");
        TreePath::new(&path).map_err(|fault| ShapeError::Path { path, fault })
    };
    let doc = below(DOC, "")?;
    if below(licences, "")? == doc {
        return Ok(());
    }
    let mut moves = Vec::new();
    let mut sorted: Vec<&Unpacked> = packages.iter().collect();
    sorted.sort_by_key(|package| &package.name);
    for package in sorted {
        let name = &*package.name;
        let own = below(DOC, &format!("/{name}/copyright"))?;
        let place = below(licences, &format!("/{name}/copyright"))?;
        let Some(found) = tree.resolve(&own) else {
            notes.push(format!("package {name} {} has no copyright file", package.version));
            continue;
        };
        let Some(entry) = tree.get(&found).filter(|entry| matches!(entry.kind, Kind::File(_))).cloned() else {
            notes.push(format!("the copyright file of package {name} {} is not a file", package.version));
            continue;
        };
        let entry = match owner(&found, &doc, packages) {
            Some(other) if other != name => {
                let origin = Origin::Package { name: package.name.clone(), version: package.version.clone() };
                Entry::symlink(format!("../{other}/copyright"), origin)
            }
            _ => entry,
        };
        moves.push((found, place, entry));
    }
    for (found, _, _) in &moves {
        tree.remove(found);
    }
    let directory = below(licences, "")?;
    if !moves.is_empty() && tree.get(&directory).is_none() {
        make_room(tree, &directory)?;
        tree.insert(directory, Entry::directory(Origin::Kmimage));
    }
    for (_, place, entry) in moves {
        make_room(tree, &place)?;
        tree.insert(place, entry);
    }
    Ok(())
}

/// Whose copyright file lies at `path`, if it lies where Debian Policy says.
fn owner<'a>(path: &TreePath, doc: &TreePath, packages: &'a [Unpacked]) -> Option<&'a str> {
    let directory = path.parent()?;
    if path.name() != b"copyright" || directory.parent().as_ref() != Some(doc) {
        return None;
    }
    packages.iter().map(|package| &*package.name).find(|name| name.as_bytes() == directory.name())
}

/// Every directory above `path` is one, or is free.
pub(super) fn make_room(tree: &Tree, path: &TreePath) -> Result<(), ShapeError> {
    let mut above = path.parent();
    while let Some(parent) = above {
        if let Some(entry) = tree.get(&parent).filter(|entry| !matches!(entry.kind, Kind::Directory)) {
            return Err(ShapeError::NotADirectory { path: parent, origin: entry.origin.to_string() });
        }
        above = parent.parent();
    }
    Ok(())
}

/// True for `<licences>/<package>/copyright` and the directories above it.
pub(super) fn holds(path: &TreePath, licences: &TreePath) -> bool {
    if licences.is_under(path) {
        return true;
    }
    let Some(below) = path.as_bytes().strip_prefix(licences.as_bytes()).and_then(|below| below.strip_prefix(b"/")) else {
        return false;
    };
    let mut parts = below.split(|&byte| byte == b'/').skip(1);
    matches!((parts.next(), parts.next()), (None | Some(b"copyright"), None))
}
