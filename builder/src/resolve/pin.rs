//! From a closure to what the lock holds, and from what the lock holds to packages that keep their version.

use super::closure::{Closure, Selected};
use super::offers::Held;
use super::packages::{PackageFile, PackagesError, parse_control};
use super::request::Request;
use super::scripts::Ledger;
use crate::failure::{Classified, Kind};
use crate::hash::Sha256Digest;
use crate::lock::{Chosen, LockedPackage, LockedProfile};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What to lock: the profile's entry, and the packages that it takes.
///
/// `releases` are the dates of the repositories' Releases, by [`crate::lock::release_key`]; the newest is the profile's date. Where no repository has one
/// (directories of .deb files only), it is `otherwise`.
pub fn pin(
    closure: Closure,
    request: &Request,
    ledger: &Ledger,
    releases: BTreeMap<String, Timestamp>,
    otherwise: Timestamp,
) -> (LockedProfile, Vec<LockedPackage>) {
    let mut packages = Vec::with_capacity(closure.packages.len() + closure.boot.len());
    let mut chosen = |selected: BTreeMap<String, Selected>, scripts: &BTreeMap<String, BTreeMap<String, Sha256Digest>>| {
        let mut all = BTreeMap::new();
        for (name, Selected { mut package, because }) in selected {
            package.scripts = scripts.get(&name).cloned().unwrap_or_default();
            let entry = Chosen { version: package.version.clone(), repository: package.repository.clone(), because };
            packages.push(package);
            all.insert(name, entry);
        }
        all
    };
    // A package of both lists is one package of the lock, with its scripts: the root's come last.
    let boot = chosen(closure.boot, &ledger.hashes);
    let root = chosen(closure.packages, &ledger.hashes);
    let profile = LockedProfile {
        date: releases.values().max().copied().unwrap_or(otherwise),
        request: request.digest(),
        releases,
        kernel: closure.kernel,
        packages: root,
        boot,
    };
    (profile, packages)
}

/// A locked package whose .deb says something else than an index could have said.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the control file of the locked package {name} {version}")]
pub struct HeldError {
    name: String,
    version: String,
    source: PackagesError,
}

impl Classified for HeldError {
    fn kind(&self) -> Kind {
        Kind::Unavailable
    }
}

/// Locked packages, each with the control paragraph of its .deb, as packages that keep their version in `closure`.
pub fn hold(locked: &[(LockedPackage, String)]) -> Result<Held<'_>, HeldError> {
    locked
        .iter()
        .map(|(locked, control)| {
            let file = PackageFile { path: &locked.path, size: locked.size, sha256: locked.sha256 };
            let package = parse_control(control, file).map_err(|source| HeldError {
                name: locked.name.clone(),
                version: locked.version.clone(),
                source,
            })?;
            Ok((locked.name.clone(), (locked.repository.clone(), package)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::{Lock, decode, encode};
    use crate::profile::{Choices, Versions};
    use crate::resolve::{RepositoryPackages, closure, packages};
    use std::collections::BTreeSet;

    const INDEX: &str = "Package: a\nVersion: 1\nArchitecture: amd64\nDepends: b (>= 1)\nFilename: a.deb\nSize: 1\n\
        SHA256: 1111111111111111111111111111111111111111111111111111111111111111\n\n\
        Package: b\nVersion: 2\nArchitecture: all\nFilename: b.deb\nSize: 2\n\
        SHA256: 2222222222222222222222222222222222222222222222222222222222222222\n";

    #[test]
    fn a_closure_becomes_a_lock_and_holds() {
        let request = Request {
            architecture: "amd64".to_owned(),
            packages: ["a".to_owned()].into(),
            boot: ["b".to_owned()].into(),
            absent: BTreeMap::new(),
            choices: Choices::default(),
            kernel: None,
            repositories: Vec::new(),
            versions: Versions::default(),
        };
        let offered = |text| [RepositoryPackages { repository: "debian", packages: packages::parse(text).unwrap() }];
        let mut ledger = Ledger::default();
        let script = Sha256Digest::of(b"script");
        ledger.hashes.insert("b".to_owned(), [("postinst".to_owned(), script)].into());
        let dates = ["2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"].map(|date| date.parse::<Timestamp>().unwrap());
        let releases = [("debian trixie".to_owned(), dates[1]), ("old".to_owned(), dates[0])].into();
        let found = closure(&offered(INDEX), &request, &Held::new()).unwrap();
        let (profile, packages) = pin(found, &request, &ledger, releases, Timestamp::UNIX_EPOCH);
        assert_eq!((profile.date, profile.request), (dates[1], request.digest()));
        let lock = Lock::default().with_profile("p", profile, packages).unwrap();
        let lock = decode("x", encode(&lock).as_bytes()).unwrap();
        let names: BTreeSet<_> = lock.packages_of("p").unwrap().into_iter().map(|package| package.name).collect();
        assert_eq!(names, ["a".to_owned(), "b".to_owned()].into());
        assert_eq!(lock.boot_packages_of("p").unwrap()[0].scripts["postinst"], script);

        // The index moves on; only a is to follow.
        let locked: Vec<_> = lock
            .held("p", &["a".to_owned()])
            .unwrap()
            .into_iter()
            .map(|package| {
                let control = format!("Package: {}\nVersion: {}\nArchitecture: all\n", package.name, package.version);
                (package, control)
            })
            .collect();
        let newer = INDEX.replace("Version: 2", "Version: 3").replace("Version: 1", "Version: 1.1");
        let found = closure(&offered(&newer), &request, &hold(&locked).unwrap()).unwrap();
        assert_eq!((found.packages["a"].package.version.as_str(), found.packages["b"].package.version.as_str()), ("1.1", "2"));
        let nothing = pin(found, &request, &ledger, BTreeMap::new(), Timestamp::UNIX_EPOCH);
        assert_eq!(nothing.0.date, Timestamp::UNIX_EPOCH);
    }
}
