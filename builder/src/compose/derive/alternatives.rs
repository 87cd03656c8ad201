//! The links that update-alternatives would make: of each name the candidate of the highest priority, in automatic mode.
//!
//! The calls come from maintainer scripts, which `resolve` reads. A candidate whose file is not in the tree (the profile dropped it)
//! does not count, nor does a slave's. The administrative files of update-alternatives are not written: an image has no dpkg.

use super::{DeriveError, path, put_unless_overlaid};
use crate::compose::tree::{Entry, Origin, Tree};
use std::collections::BTreeMap;

const STEP: Origin = Origin::Derive("alternatives");

/// One `update-alternatives --install LINK NAME PATH PRIORITY [--slave LINK NAME PATH]...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// The master link and what it leads to.
    pub master: Link,
    /// The highest wins; of equal ones the first.
    pub priority: i64,
    /// Links that follow the master.
    pub slaves: Vec<Link>,
}

/// A link of an alternative: `link` -> /etc/alternatives/`name` -> `path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The generic path (`/usr/sbin/iptables`).
    pub link: String,
    /// Its name in /etc/alternatives.
    pub name: String,
    /// The file itself (`/usr/sbin/iptables-nft`).
    pub path: String,
}

/// Makes the links of every name that has a candidate.
pub fn derive(tree: &mut Tree, alternatives: &[Alternative]) -> Result<(), DeriveError> {
    let mut chosen: BTreeMap<&str, &Alternative> = BTreeMap::new();
    for alternative in alternatives {
        if tree.resolve(&path(&alternative.master.path)?).is_none() {
            continue;
        }
        let best = chosen.entry(&alternative.master.name).or_insert(alternative);
        if alternative.priority > best.priority {
            *best = alternative;
        }
    }
    for alternative in chosen.into_values() {
        put(tree, &alternative.master)?;
        for slave in &alternative.slaves {
            if tree.resolve(&path(&slave.path)?).is_some() {
                put(tree, slave)?;
            }
        }
    }
    Ok(())
}

fn put(tree: &mut Tree, link: &Link) -> Result<(), DeriveError> {
    let own =
        path("/etc/alternatives")?.join(&link.name).map_err(|source| DeriveError::Path { path: link.name.clone(), source })?;
    let generic = path(&link.link)?;
    // On a merged /usr the link's directory may be a link itself (/sbin).
    let generic = match generic.parent().and_then(|directory| tree.resolve(&directory)) {
        Some(directory) => {
            directory.join(generic.name()).map_err(|source| DeriveError::Path { path: link.link.clone(), source })?
        }
        None => generic,
    };
    put_unless_overlaid(tree, generic, Entry::symlink(own.as_bytes(), STEP));
    put_unless_overlaid(tree, own, Entry::symlink(&link.path, STEP));
    Ok(())
}
