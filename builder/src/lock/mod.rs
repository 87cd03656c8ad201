//! `kmimage.lock`: every package that the profiles use, named by repository, name, version, path and SHA-256.
//!
//! A value with one text form (`text`): sorted, one package per block, so that a diff reads as what changed. It knows no indexes and no
//! policy; `resolve` makes what goes in here, `fetch` gets what it names.

mod diff;
mod error;
mod file;
mod text;

pub use diff::{Change, diff};
pub use error::LockError;
pub use file::{read, write};
pub use text::{decode, encode};

use crate::hash::Sha256Digest;
use jiff::Timestamp;
use kmimage_contract::toml_document;
use std::collections::BTreeMap;

/// One package, exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedPackage {
    /// The profile's name of the repository that offers it.
    pub repository: String,
    /// The binary package's name.
    pub name: String,
    /// Its Debian version, with the epoch.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// The .deb's path relative to the repository's URL or directory.
    pub path: String,
    /// The .deb's length in bytes.
    pub size: u64,
    /// The .deb's SHA-256.
    pub sha256: Sha256Digest,
    /// The source package's name and version (for the SBOM); the same as the binary's where the index names none.
    pub source: Source,
    /// Its maintainer scripts, by name. They never run; their hashes are here so that a changed script shows in a diff.
    pub scripts: BTreeMap<String, Sha256Digest>,
}

/// A source package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What one profile takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedProfile {
    /// The newest date of the Release files used: the image's clock.
    pub date: Timestamp,
    /// What the profile asked for when it was locked: `resolve`'s digest of the request. Another digest means the lock is stale.
    pub request: Sha256Digest,
    /// The date of each Release, by [`release_key`]; directories of .deb files have none.
    pub releases: BTreeMap<String, Timestamp>,
    /// The linux-image package with the kernel, if there is one.
    pub kernel: Option<String>,
    /// The packages of the root, by name.
    pub packages: BTreeMap<String, Chosen>,
    /// The boot inputs, by name; they never enter the root.
    pub boot: BTreeMap<String, Chosen>,
}

impl LockedProfile {
    /// The date at which a repository had what is locked from it, as far as the lock tells: that of its own newest Release, which may
    /// be older than the profile's. A package that was held when others were updated may be from before that.
    pub fn date_of(&self, repository: &str) -> Timestamp {
        let own = self.releases.iter().filter(|(key, _)| key.split(' ').next() == Some(repository));
        own.map(|(_, date)| *date).max().unwrap_or(self.date)
    }
}

/// What [`LockedProfile::releases`] calls the Release of a suite: `debian trixie`; that of a flat repository has no suite and goes by
/// the repository's name alone. (Neither name holds a space.)
pub fn release_key(repository: &str, suite: &str) -> String {
    if suite.is_empty() { repository.to_owned() } else { format!("{repository} {suite}") }
}

/// Which package of a name a profile takes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The version.
    pub version: String,
    /// The repository.
    pub repository: String,
    /// The relation that brought it in; `None`: the profile names it.
    pub because: Option<Because>,
}

/// A relation that brought a package in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Because {
    /// The package that has the relation.
    pub package: String,
    /// The relation as written there, with its field: `Pre-Depends: libc6 (>= 2.34)`.
    pub relation: String,
}

/// The whole lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lock {
    /// Every package that a profile takes, by repository, name and version.
    pub packages: BTreeMap<PackageKey, LockedPackage>,
    /// The profiles that were locked, by name.
    pub profiles: BTreeMap<String, LockedProfile>,
}

/// What a package goes by within a lock: repository, name, version.
pub type PackageKey = (String, String, String);

impl Lock {
    /// The packages of a profile's root, in the order of their names; `None` if the profile is not in the lock.
    pub fn packages_of(&self, profile: &str) -> Option<Vec<LockedPackage>> {
        Some(self.chosen(&self.profiles.get(profile)?.packages))
    }

    /// A profile's boot inputs, in the order of their names; `None` if the profile is not in the lock.
    pub fn boot_packages_of(&self, profile: &str) -> Option<Vec<LockedPackage>> {
        Some(self.chosen(&self.profiles.get(profile)?.boot))
    }

    /// The lock with one profile locked anew, the others as they are, and no package that none of them takes.
    ///
    /// Where that changes no package of the profile, its date stays, so that the text stays. `packages` holds at least those that
    /// `profile` takes.
    pub fn with_profile(
        &self,
        name: &str,
        mut profile: LockedProfile,
        packages: impl IntoIterator<Item = LockedPackage>,
    ) -> Result<Lock, LockError> {
        let mut lock = self.clone();
        for package in packages {
            let key = package.key();
            if let Some(there) = self.packages.get(&key).filter(|there| there.sha256 != package.sha256)
                && let Some((user, _)) = self.profiles.iter().find(|(other, profile)| *other != name && profile.takes(there))
            {
                return Err(LockError::SameVersion { package: Box::new(package), profile: user.clone() });
            }
            lock.packages.insert(key, package);
        }
        lock.profiles.remove(name);
        lock.profiles.insert(name.to_owned(), profile.clone());
        lock.packages.retain(|_, package| lock.profiles.values().any(|profile| profile.takes(package)));
        let unchanged = self.profiles.get(name).filter(|_| diff(self, &lock, name).is_empty());
        if let Some(before) = unchanged {
            profile.date = before.date;
            profile.releases = before.releases.clone();
            lock.profiles.insert(name.to_owned(), profile);
        }
        Ok(lock)
    }

    /// The packages of a profile that stay as they are when `update` is to move: all others, boot inputs included. A profile that was
    /// never locked holds none.
    pub fn held(&self, profile: &str, update: &[String]) -> Result<Vec<LockedPackage>, LockError> {
        let (Some(mut held), Some(boot)) = (self.packages_of(profile), self.boot_packages_of(profile)) else {
            return Ok(Vec::new());
        };
        held.extend(boot);
        if let Some(name) = update.iter().find(|name| !held.iter().any(|package| package.name == **name)) {
            return Err(LockError::NotLocked {
                name: name.clone(),
                profile: profile.to_owned(),
                nearest: toml_document::nearest(name, held.iter().map(|package| package.name.as_str())).map(str::to_owned),
            });
        }
        held.retain(|package| !update.contains(&package.name));
        Ok(held)
    }

    fn chosen(&self, chosen: &BTreeMap<String, Chosen>) -> Vec<LockedPackage> {
        chosen
            .iter()
            .filter_map(|(name, chosen)| {
                self.packages.get(&(chosen.repository.clone(), name.clone(), chosen.version.clone())).cloned()
            })
            .collect()
    }
}

impl LockedPackage {
    /// What the package goes by within a lock.
    pub fn key(&self) -> PackageKey {
        (self.repository.clone(), self.name.clone(), self.version.clone())
    }
}

impl LockedProfile {
    /// True if the profile takes the package, for its root or as a boot input.
    pub fn takes(&self, package: &LockedPackage) -> bool {
        [&self.packages, &self.boot].iter().any(|list| {
            list.get(&package.name)
                .is_some_and(|chosen| chosen.version == package.version && chosen.repository == package.repository)
        })
    }
}

#[cfg(test)]
mod tests;
