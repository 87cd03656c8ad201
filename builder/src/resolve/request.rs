//! What a profile asks of resolution, and which of its repositories speak for one origin.

use crate::hash::Sha256Digest;
use crate::profile::{Choices, Location, Profile, Repository, Source, Trust, Versions};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Everything of a profile that decides which packages it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Debian's name of the machine, `amd64`: packages of others are not seen.
    pub architecture: String,
    /// Packages of the root.
    pub packages: BTreeSet<String>,
    /// Boot inputs, taken without what they depend on.
    pub boot: BTreeSet<String>,
    /// Names (of packages or virtual) that count as there without being there, with the reason.
    pub absent: BTreeMap<String, String>,
    /// Answers to ambiguities.
    pub choices: Choices,
    /// The linux-image package to take instead of the one that a meta-package depends on.
    pub kernel: Option<String>,
    /// The repositories, in the profile's order.
    pub repositories: Vec<Repository>,
    /// The versions that repositories are for.
    pub versions: Versions,
}

impl Request {
    /// The part of a profile that resolution reads.
    pub fn of(profile: &Profile) -> Self {
        Self {
            architecture: "amd64".to_owned(),
            packages: profile.packages.clone(),
            boot: profile.boot_packages.clone(),
            absent: profile.absent.clone(),
            choices: profile.choices.clone(),
            kernel: profile.kernel.package.clone(),
            repositories: profile.repositories.clone(),
            versions: profile.versions.clone(),
        }
    }

    /// SHA-256 over the request. The lock keeps it: with another digest the lock answers another question. Reasons do not count, and
    /// neither do the repositories' addresses: the lock names packages by hash, wherever they lie.
    pub fn digest(&self) -> Sha256Digest {
        let repositories: Vec<_> = self.repositories.iter().map(|repository| &repository.name).collect();
        let absent: Vec<_> = self.absent.keys().collect();
        let asked =
            (&self.architecture, &self.packages, &self.boot, absent, &self.choices, &self.kernel, repositories, &self.versions);
        // Strings, lists and string-keyed maps always have a JSON form.
        Sha256Digest::of(serde_json::to_string(&asked).unwrap_or_default().as_bytes())
    }
}

/// For each repository the number of its origin: the position of the first repository that speaks for the same one.
///
/// Within an origin the highest version of a name wins (trixie, trixie-updates, trixie-security); between origins it never does, the
/// profile chooses. Two repositories are one origin if they are believed for the same key, or are Debian's own two: whoever can sign
/// for one could as well put the package into the other. What a Release file calls itself does not count.
pub fn origins(repositories: &[Repository]) -> Vec<usize> {
    let mut origins: Vec<usize> = Vec::with_capacity(repositories.len());
    for (at, repository) in repositories.iter().enumerate() {
        let same = repositories[..at].iter().position(|earlier| is_one_origin(&earlier.source, &repository.source));
        origins.push(same.and_then(|same| origins.get(same).copied()).unwrap_or(at));
    }
    origins
}

fn is_one_origin(a: &Source, b: &Source) -> bool {
    let (
        Source::Signed { location: a_location, trust: a_trust, .. },
        Source::Signed { location: b_location, trust: b_trust, .. },
    ) = (a, b)
    else {
        return false;
    };
    let debians = |location: &Location| matches!(location, Location::DebianMirror | Location::DebianSecurityMirror);
    if debians(a_location) && debians(b_location) {
        return true;
    }
    match (a_trust, b_trust) {
        (Trust::Keyrings(a), Trust::Keyrings(b)) => a.iter().any(|key| b.iter().any(|other| other.sha256 == key.sha256)),
        (Trust::Pinned { fingerprint: a, .. }, Trust::Pinned { fingerprint: b, .. }) => a == b,
        _ => false,
    }
}
