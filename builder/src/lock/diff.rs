//! What differs between two locks of one profile, for people and programs.

use super::{Lock, LockedPackage};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A package that came, went or changed. `Display` is one line; the JSON form is the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// True for a boot input, false for a package of the root.
    pub boot: bool,
    /// What it was; `null` if it was not there.
    pub from: Option<Version>,
    /// What it is; `null` if it is gone.
    pub to: Option<Version>,
    /// The maintainer scripts that differ, came or went.
    pub scripts: BTreeSet<String>,
}

/// One side of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Version {
    /// The Debian version.
    pub version: String,
    /// The repository.
    pub repository: String,
    /// The .deb's SHA-256, hexadecimal.
    pub sha256: crate::hash::Sha256Digest,
}

impl Version {
    fn of(package: &LockedPackage) -> Self {
        Self { version: package.version.clone(), repository: package.repository.clone(), sha256: package.sha256 }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let boot = if self.boot { " [boot]" } else { "" };
        let name = &self.name;
        match (&self.from, &self.to) {
            (None, None) => Ok(()),
            (None, Some(to)) => write!(f, "+ {name} {} ({}){boot}", to.version, to.repository),
            (Some(from), None) => write!(f, "- {name} {} ({}){boot}", from.version, from.repository),
            (Some(from), Some(to)) => {
                let from_repository =
                    if from.repository == to.repository { String::new() } else { format!(" ({})", from.repository) };
                let rebuilt = if from.version == to.version && from_repository.is_empty() { ", other bytes" } else { "" };
                write!(f, "  {name} {}{from_repository} -> {} ({}{rebuilt}){boot}", from.version, to.version, to.repository)?;
                match self.scripts.len() {
                    0 => Ok(()),
                    _ => write!(f, "; scripts differ: {}", self.scripts.iter().cloned().collect::<Vec<_>>().join(", ")),
                }
            }
        }
    }
}

/// What differs in a profile from the `old` lock to the `new` one: the root's packages by name, then the boot inputs.
pub fn diff(old: &Lock, new: &Lock, profile: &str) -> Vec<Change> {
    let by_name = |packages: Option<Vec<LockedPackage>>| -> BTreeMap<String, LockedPackage> {
        packages.unwrap_or_default().into_iter().map(|package| (package.name.clone(), package)).collect()
    };
    let mut all = changes(&by_name(old.packages_of(profile)), &by_name(new.packages_of(profile)), false);
    all.extend(changes(&by_name(old.boot_packages_of(profile)), &by_name(new.boot_packages_of(profile)), true));
    all
}

fn changes(old: &BTreeMap<String, LockedPackage>, new: &BTreeMap<String, LockedPackage>, boot: bool) -> Vec<Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let (from, to) = (old.get(name), new.get(name));
            let change = Change {
                name: name.clone(),
                boot,
                from: from.map(Version::of),
                to: to.map(Version::of),
                scripts: match (from, to) {
                    (Some(from), Some(to)) => {
                        let names = from.scripts.keys().chain(to.scripts.keys());
                        names.filter(|script| from.scripts.get(*script) != to.scripts.get(*script)).cloned().collect()
                    }
                    _ => BTreeSet::new(),
                },
            };
            (change.from != change.to || !change.scripts.is_empty()).then_some(change)
        })
        .collect()
}
