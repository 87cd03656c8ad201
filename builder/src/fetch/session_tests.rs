//! The whole way, from a signed repository on the loopback interface to verified texts and files.

mod indexes;
mod mirrors;
mod packages;

use super::*;
use crate::failure::{Classified, Failure, Kind};
use crate::hash::Sha256Digest;
use crate::lock::LockedPackage;
use crate::profile::{Keyring, Layout, Location, Repository, Source, Trust};
use crate::report::{Event, silent};
use crate::store::Store;
use crate::support::deb::{Compression, Deb};
use crate::support::repository::{Fault, Key, Repository as Made};
use crate::support::server::{Behaviour, Server, closed_address};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

struct Bench {
    directory: tempfile::TempDir,
    server: Server,
    key: Key,
    options: Options,
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    let mut options = Options::new("2026-02-01T00:00:00Z".parse().unwrap());
    options.stall_timeout = Duration::from_millis(200);
    Bench { server: Server::start(&directory.path().join("www")), directory, key: Key::generate("Archive"), options }
}

fn debs() -> Vec<Deb> {
    vec![
        Deb::new("hello", "1.0-1").field("Depends", "libhello").file("/usr/bin/hello", 0o755, "hello"),
        Deb::new("libhello", "2:3.0+b~1").file("/usr/lib/libhello.so", 0o644, vec![b'x'; 50_000]).compression(Compression::None),
    ]
}

fn locked(made: &Made) -> Vec<LockedPackage> {
    let of = |deb: &Deb| {
        let bytes = deb.build();
        LockedPackage {
            repository: "test".into(),
            name: deb.get("Package").into(),
            version: deb.get("Version").into(),
            architecture: "amd64".into(),
            path: made.deb_path(deb),
            size: bytes.len() as u64,
            sha256: Sha256Digest::of(&bytes),
            source: crate::lock::Source { name: deb.get("Package").into(), version: deb.get("Version").into() },
            scripts: BTreeMap::new(),
        }
    };
    made.debs.iter().map(of).collect()
}

impl Bench {
    fn www(&self) -> PathBuf {
        self.directory.path().join("www")
    }

    fn store(&self) -> Store {
        Store::open(self.directory.path().join("store")).unwrap()
    }

    fn write(&self, made: &Made) {
        let _ = std::fs::remove_dir_all(self.www());
        made.write(&self.key, &self.www());
    }

    fn keyring(&self, key: &Key) -> Trust {
        let bytes = key.public();
        Trust::Keyrings(vec![Keyring { name: "test.asc".into(), sha256: Sha256Digest::of(&bytes), bytes: bytes.into() }])
    }

    fn repository(&self, made: &Made) -> Repository {
        let layout = match made.flat {
            true => Layout::Flat,
            false => Layout::Suites { suites: vec![made.suite.clone()], components: vec![made.component.clone()] },
        };
        let location = Location::Uris(vec![self.server.url()]);
        Repository {
            name: "test".into(),
            source: Source::Signed { location, layout, trust: self.keyring(&self.key) },
            snapshot: None,
        }
    }

    fn index_of(&self, repository: &Repository, store: &Store) -> Result<RepositoryIndex, FetchError> {
        Session::new(self.options.clone(), std::slice::from_ref(repository), store, &silent)?
            .index(repository, &ReleaseDates::new())
    }

    fn index(&self, made: &Made) -> Result<RepositoryIndex, FetchError> {
        self.index_of(&self.repository(made), &self.store())
    }

    fn packages_of(&self, repository: &Repository, wanted: &[LockedPackage]) -> Result<Vec<FetchedPackage>, FetchError> {
        let store = self.store();
        let session = Session::new(self.options.clone(), std::slice::from_ref(repository), &store, &silent)?;
        session.packages(wanted, &|_| "2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn packages(&self, made: &Made) -> Result<Vec<FetchedPackage>, FetchError> {
        self.packages_of(&self.repository(made), &locked(made))
    }
}

/// What a person reads, with the changing parts taken out.
fn shown(bench: &Bench, error: FetchError) -> (Kind, Vec<String>) {
    let failure = Failure::from(error);
    let plain = |text: String| {
        text.replace(&bench.server.url(), "URL")
            .replace(&bench.directory.path().display().to_string(), "DIR")
            .replace(&bench.key.fingerprint(), "KEY")
    };
    (failure.kind(), failure.chain().into_iter().map(plain).collect())
}

fn check<T: std::fmt::Debug>(bench: &Bench, result: Result<T, FetchError>, kind: Kind, chain: &[&str]) {
    let (found, texts) = shown(bench, result.unwrap_err());
    assert_eq!(texts, chain);
    assert_eq!(found, kind);
}
