//! Names as plain ISO 9660 has them (ECMA-119 7.5, level 2): capitals, digits and `_`, one dot, unique in their folder.

use super::{Folder, IsoError, NAME, Node};
use std::collections::BTreeSet;

/// The longest part of a plain name before its extension, so that with one of three it has 30 characters.
const STEM: usize = 26;

/// The names of a folder with their plain ones, in the order of the latter, which is that of a folder's records.
pub(super) fn plain(folder: &Folder) -> Result<Vec<(&str, String)>, IsoError> {
    let mut taken = BTreeSet::new();
    let mut names = Vec::new();
    for (name, node) in folder {
        let bad = || IsoError::Name(name.clone());
        let units = name.encode_utf16().count();
        if name.is_empty() || name == "." || name == ".." || name.len() > NAME || units > 64 || name.chars().any(is_forbidden) {
            return Err(bad());
        }
        let (stem, extension) = match node {
            Node::File(_) | Node::Elsewhere(_) => {
                name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).unwrap_or((name, ""))
            }
            Node::Folder(_) => (name.as_str(), ""),
        };
        let (stem, extension) = (mangle(stem, STEM), mangle(extension, 3));
        let file = !matches!(node, Node::Folder(_));
        let complete = |stem: &str| if file { format!("{stem}.{extension};1") } else { stem.to_owned() };
        let numbered = (0..1000).map(|number| if number == 0 { stem.clone() } else { format!("{:.22}_{number}", stem) });
        let found = numbered.map(|stem| complete(&stem)).find(|plain| !taken.contains(plain)).ok_or_else(bad)?;
        taken.insert(found.clone());
        names.push((name.as_str(), found));
    }
    // Files' names are compared as if padded by spaces: the dot and the semicolon sort as they are, behind the space.
    names.sort_by(|(_, a), (_, b)| a.cmp(b));
    Ok(names)
}

fn mangle(text: &str, length: usize) -> String {
    text.chars().take(length).map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// What Joliet or a path can't have.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '/' | '\\' | '*' | ':' | ';' | '?')
}
