//! The whole way, from a signed repository on the loopback interface to verified texts and files.

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

#[test]
fn an_index_with_suites() {
    let bench = bench();
    let made = Made::new("trixie", debs());
    bench.write(&made);
    let index = bench.index(&made).unwrap();
    assert_eq!(index.releases, [("trixie".to_owned(), made.date)].into());
    assert_eq!(index.texts.len(), 1);
    assert_eq!(
        (index.texts[0].label.as_str(), index.texts[0].text.as_str()),
        ("trixie/main/binary-amd64", made.packages().as_str())
    );
    let targets: Vec<String> = bench.server.take_requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets.len(), 2);
    assert_eq!(targets[0], "/dists/trixie/InRelease");
    assert!(targets[1].starts_with("/dists/trixie/main/binary-amd64/by-hash/SHA256/"), "{targets:?}");
    // The same index again: InRelease only.
    bench.index(&made).unwrap();
    assert_eq!(bench.server.take_requests().len(), 1);
}

#[test]
fn every_form_of_an_index() {
    for compressions in [vec![Compression::None], vec![Compression::Gzip], vec![Compression::Xz, Compression::Gzip]] {
        let bench = bench();
        let mut made = Made::flat(debs());
        made.compressions = compressions;
        bench.write(&made);
        let index = bench.index(&made).unwrap();
        assert_eq!((index.texts[0].label.as_str(), index.texts[0].text.as_str()), ("Packages", made.packages().as_str()));
    }
    // Listed, but not there: the next form.
    let bench = bench();
    let made = Made::new("trixie", debs());
    bench.write(&made);
    std::fs::remove_file(bench.www().join("dists/trixie/main/binary-amd64/Packages.xz")).unwrap();
    std::fs::remove_dir_all(bench.www().join("dists/trixie/main/binary-amd64/by-hash")).unwrap();
    assert_eq!(bench.index(&made).unwrap().texts[0].text, made.packages());
}

#[test]
fn releases_that_are_refused() {
    let bench = bench();
    let made = || Made::new("trixie", debs());
    let release = "URL/dists/trixie/InRelease (repository test)";
    let distrusted = format!("{release} is not to be trusted");
    let refused = format!("{release} is refused");

    bench.write(&made().fault(Fault::TamperedRelease));
    let fault = "the signature of key KEY does not fit the text: it was changed, or damaged on its way";
    check(&bench, bench.index(&made()), Kind::Trust, &[&distrusted, fault]);

    bench.write(&made().fault(Fault::Unsigned));
    check(&bench, bench.index(&made()), Kind::Trust, &[&distrusted, "it is not signed"]);

    let other = Key::generate("Other");
    made().write(&other, &bench.www());
    let unknown = format!("it is signed by {}, none of which the profile trusts (KEY)", other.fingerprint());
    check(&bench, bench.index(&made()), Kind::Trust, &[&distrusted, &unknown]);

    bench.write(&made().valid_until("2026-01-15T00:00:00Z"));
    let expired = "it was valid until 2026-01-15T00:00:00Z; it is of 2026-01-01T00:00:00Z";
    check(&bench, bench.index(&made()), Kind::Trust, &[&refused, expired]);
    let mut tolerant = bench;
    tolerant.options.allow_expired.insert("test".into());
    tolerant.index(&made()).unwrap();

    tolerant.write(&made().date("2025-12-01T00:00:00Z"));
    let rolled_back = "it is of 2025-12-01T00:00:00Z, older than one of 2026-01-01T00:00:00Z that the store has seen: \
                       someone replays an old state, or a mirror lags";
    check(&tolerant, tolerant.index(&made()), Kind::Trust, &[&refused, rolled_back]);
    // A fresh store knows nothing, but the lock does.
    let store = Store::open(tolerant.directory.path().join("fresh")).unwrap();
    let repository = tolerant.repository(&made());
    let session = Session::new(tolerant.options.clone(), std::slice::from_ref(&repository), &store, &silent).unwrap();
    let by_lock = rolled_back.replace("the store", "the lock");
    check(
        &tolerant,
        session.index(&repository, &[("trixie".to_owned(), made().date)].into()),
        Kind::Trust,
        &[&refused, &by_lock],
    );
}

#[test]
fn each_suite_has_its_own_past() {
    let bench = bench();
    let (main, updates) = (Made::new("trixie", debs()), Made::new("updates", Vec::new()));
    bench.write(&main.clone().date("2026-01-03T00:00:00Z"));
    updates.clone().date("2026-01-01T00:00:00Z").write(&bench.key, &bench.www());
    let mut repository = bench.repository(&main);
    if let Source::Signed { layout: Layout::Suites { suites, .. }, .. } = &mut repository.source {
        suites.push("updates".into());
    }
    let store = bench.store();
    let releases = bench.index_of(&repository, &store).unwrap().releases;
    let dates = ["2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z"].map(|date| date.parse().unwrap());
    assert_eq!(releases, [("trixie".to_owned(), dates[0]), ("updates".to_owned(), dates[1])].into());

    // The other suite is newer than ever; that does not make up for this one.
    let newest = ReleaseDates::from([("trixie".to_owned(), dates[0]), ("updates".to_owned(), dates[0])]);
    let fresh = Store::open(bench.directory.path().join("fresh")).unwrap();
    let session = Session::new(bench.options.clone(), std::slice::from_ref(&repository), &fresh, &silent).unwrap();
    let refused = "URL/dists/updates/InRelease (repository test) is refused";
    let rolled_back = "it is of 2026-01-01T00:00:00Z, older than one of 2026-01-03T00:00:00Z that the lock has seen: \
                       someone replays an old state, or a mirror lags";
    check(&bench, session.index(&repository, &newest), Kind::Trust, &[refused, rolled_back]);
    session.index(&repository, &releases).unwrap();
}

#[test]
fn only_a_sound_state_is_remembered() {
    let mut bench = bench();
    let made = Made::new("trixie", debs());
    bench.write(&made.clone().date("2026-01-20T00:00:00Z").fault(Fault::MissingIndex));
    bench.index(&made).unwrap_err();
    // The older state is complete; the newer one, of which the indexes never came, does not stand against it.
    bench.write(&made);
    bench.index(&made).unwrap();
    bench.write(&made.clone().date("2026-01-20T00:00:00Z").fault(Fault::WrongIndexHash));
    std::fs::remove_dir_all(bench.directory.path().join("store/blobs")).unwrap();
    bench.index(&made).unwrap_err();
    bench.write(&made);
    bench.index(&made).unwrap();
    // Nor does it take the place of what offline builds use.
    bench.options.offline = true;
    assert_eq!(bench.index(&made).unwrap().releases["trixie"], made.date);
}

#[test]
fn offline_says_what_is_wrong_with_the_store() {
    let bench = bench();
    let made = Made::new("trixie", debs()).valid_until("2026-02-02T00:00:00Z");
    bench.write(&made);
    let mut repository = bench.repository(&made);
    if let Source::Signed { location, .. } = &mut repository.source {
        *location = Location::DebianMirror;
    }
    let mut options = bench.options.clone();
    options.host.sources = apt_conf::parse_lines(&format!("deb {} trixie main\n", bench.server.url()));
    let store = bench.store();
    let index = |options: &Options| {
        let session = Session::new(options.clone(), std::slice::from_ref(&repository), &store, &silent).unwrap();
        session.index(&repository, &ReleaseDates::new())
    };
    index(&options).unwrap();
    options.offline = true;
    index(&options).unwrap();
    options.now = "2026-02-03T00:00:00Z".parse().unwrap();
    let error = index(&options).unwrap_err();
    assert!(error.hints().contains(&"`--allow-expired test` takes it as it is; check this host's clock first.".to_owned()));
    let refused = format!("{DEBIAN}/dists/trixie/InRelease (repository test) is refused");
    let expired = "it was valid until 2026-02-02T00:00:00Z; it is of 2026-01-01T00:00:00Z";
    check(&bench, Err::<(), _>(error), Kind::Trust, &[&refused, expired]);
}

#[test]
fn indexes_that_are_refused() {
    let bench = bench();
    let made = Made::new("trixie", debs());
    let xz = Compression::Xz.compress(made.packages().as_bytes());
    let url = format!("URL/dists/trixie/main/binary-amd64/by-hash/SHA256/{}", Sha256Digest::of(&xz));

    bench.write(&made.clone().fault(Fault::WrongIndexHash));
    let mut wrong = xz.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let differs = format!("expected sha256 {}, got {}", Sha256Digest::of(&xz), Sha256Digest::of(&wrong));
    let not_listed = format!("{url} (repository test) is not the index that the signed InRelease lists");
    check(&bench, bench.index(&made), Kind::Trust, &[&not_listed, &differs]);

    bench.write(&made.clone().fault(Fault::WrongIndexSize));
    let cannot = format!("cannot get {url}, an index of repository test");
    let larger = format!("it has at least {} bytes where {} were announced", xz.len() + 1, xz.len());
    check(&bench, bench.index(&made), Kind::Trust, &[&cannot, &larger]);

    bench.write(&made.clone().fault(Fault::MissingIndex));
    let missing = "cannot get URL/dists/trixie/main/binary-amd64/Packages, an index of repository test";
    check(&bench, bench.index(&made), Kind::Unavailable, &[missing, "the server has no such file (HTTP 404)"]);

    let mut other = bench.repository(&made);
    if let Source::Signed { layout: Layout::Suites { components, .. }, .. } = &mut other.source {
        *components = vec!["contrib".into()];
    }
    let none = "repository test lists no contrib/binary-amd64/Packages in URL/dists/trixie/InRelease";
    check(&bench, bench.index_of(&other, &bench.store()), Kind::Unavailable, &[none]);
}

#[test]
fn a_pinned_key_is_compared() {
    let mut bench = bench();
    let made = Made::flat(debs());
    bench.write(&made);
    std::fs::write(bench.www().join("Release.key"), bench.key.public()).unwrap();
    let mut repository = bench.repository(&made);
    let pin = |repository: &mut Repository, fingerprint: String| {
        if let Source::Signed { trust, .. } = &mut repository.source {
            *trust = Trust::Pinned { fingerprint, key_uri: format!("{}/Release.key", bench.server.url()) };
        }
    };
    pin(&mut repository, bench.key.fingerprint());
    let store = bench.store();
    bench.index_of(&repository, &store).unwrap();
    let mut other = repository.clone();
    pin(&mut other, "A".repeat(40));
    let expected = format!("the profile pins key {}, but URL/Release.key holds KEY", "A".repeat(40));
    check(&bench, bench.index_of(&other, &store), Kind::Trust, &["no key to check repository test with", &expected]);

    // Offline, key, InRelease and index come from the store.
    bench.options.offline = true;
    bench.server.take_requests();
    assert_eq!(bench.index_of(&repository, &store).unwrap().texts[0].text, made.packages());
    assert_eq!(bench.server.take_requests(), []);
    let fresh = Store::open(bench.directory.path().join("fresh")).unwrap();
    let lacks = "offline, and the store DIR/fresh lacks the signing key of repository test";
    check(&bench, bench.index_of(&repository, &fresh), Kind::Unavailable, &[lacks]);
    // At a mirror, the key is at the mirror, too.
    bench.options.offline = false;
    bench.options.mirrors.insert("test".into(), format!("{}/", bench.server.url()));
    if let Source::Signed { location, trust, .. } = &mut repository.source {
        *location = Location::Uris(vec!["http://gone.invalid/deb".into()]);
        *trust = Trust::Pinned { fingerprint: bench.key.fingerprint(), key_uri: "http://gone.invalid/deb/Release.key".into() };
    }
    bench.index_of(&repository, &fresh).unwrap();
}

#[test]
fn the_hosts_mirror_is_a_hint() {
    let bench = bench();
    let made = Made::new("trixie", debs());
    bench.write(&made);
    let mut repository = bench.repository(&made);
    if let Source::Signed { location, .. } = &mut repository.source {
        *location = Location::DebianMirror;
    }
    let mut options = bench.options.clone();
    options.host.sources = apt_conf::parse_lines(&format!(
        "deb {} bookworm main\ndeb {}/none bookworm main\ndeb {} bookworm main\n",
        closed_address(),
        bench.server.url(),
        bench.server.url()
    ));
    let notes = Mutex::new(Vec::new());
    let report = |event| {
        if let Event::Note(note) = event {
            notes.lock().unwrap().push(note);
        }
    };
    let store = bench.store();
    let session = Session::new(options, std::slice::from_ref(&repository), &store, &report).unwrap();
    assert_eq!(session.index(&repository, &ReleaseDates::new()).unwrap().texts[0].text, made.packages());
    assert_eq!(notes.lock().unwrap().len(), 2);
    session.packages(&locked(&made), &|_| made.date).unwrap();
    assert_eq!(notes.lock().unwrap().len(), 2, "an address that failed is not tried again");
}

#[test]
fn a_hint_that_serves_wrong_packages_is_left() {
    let made = Made::new("trixie", debs());
    let url = "URL/near/pool/main/hello_1.0-1_amd64.deb";
    let cannot = format!("cannot get {url} (package hello 1.0-1, repository test)");
    for (fault, behaviour, expected) in [
        (
            Some(Fault::WrongDebHash("hello".into())),
            None,
            format!("{url} is not the hello 1.0-1 that was locked: expected sha256 "),
        ),
        (Some(Fault::WrongDebSize("hello".into())), None, format!("{cannot}: it has at least ")),
        (None, Some(Behaviour::Status(403)), format!("{cannot}: the server answered HTTP 403")),
    ] {
        let bench = bench();
        bench.write(&made);
        let near = made.clone();
        fault.into_iter().fold(near, Made::fault).write(&bench.key, &bench.www().join("near"));
        if let Some(behaviour) = behaviour {
            bench.server.set("/near/pool/main/hello_1.0-1_amd64.deb", behaviour);
        }
        let mut repository = bench.repository(&made);
        if let Source::Signed { location, .. } = &mut repository.source {
            *location = Location::DebianMirror;
        }
        let mut options = bench.options.clone();
        options.connections = 1;
        let server = bench.server.url();
        options.host.sources = apt_conf::parse_lines(&format!("deb {server}/near trixie main\ndeb {server} trixie main\n"));
        let notes = Mutex::new(Vec::new());
        let report = |event| {
            if let Event::Note(note) = event {
                notes.lock().unwrap().push(note.replace(&server, "URL"));
            }
        };
        let store = bench.store();
        let session = Session::new(options, std::slice::from_ref(&repository), &store, &report).unwrap();
        session.packages(&locked(&made), &|_| made.date).unwrap();
        let notes = notes.into_inner().unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        let start = format!("test: the host's apt mirror URL/near does not serve: {expected}");
        assert!(notes[0].starts_with(&start), "{notes:?}");
        let targets: Vec<String> = bench.server.take_requests().into_iter().map(|request| request.target).collect();
        assert!(!targets.iter().any(|target| target.starts_with("/near/pool/main/libhello")), "left alone then: {targets:?}");
    }
}

#[test]
fn an_address_that_was_not_asked_proves_nothing_gone() {
    let mut bench = bench();
    bench.options.connections = 1;
    let made = Made::new("trixie", debs());
    // The archive has hello only.
    let archive = bench.www().join("snapshot/20260101T000000Z");
    made.clone().fault(Fault::MissingDeb("libhello".into())).write(&bench.key, &archive);
    let mut repository = bench.repository(&made);
    repository.snapshot = Some(format!("{}/snapshot/{{date}}", bench.server.url()));
    let (one, two) = (closed_address(), format!("{}/two", closed_address()));
    if let Source::Signed { location, .. } = &mut repository.source {
        *location = Location::Uris(vec![one.clone(), two.clone()]);
    }
    let error = bench.packages_of(&repository, &locked(&made)).unwrap_err();
    assert_eq!(error.hints()[1], "`--mirror test=URL` takes the same signed repository from another address.");
    let why = "127.0.0.1 cannot be reached";
    let unreachable =
        format!("cannot get libhello 2:3.0+b~1: no address of repository test answers ({one}: {why}; {two}: {why})");
    check(&bench, Err::<(), _>(error), Kind::Unavailable, &[&unreachable]);

    // A single address is asked each time, and says itself why it has nothing.
    if let Source::Signed { location, .. } = &mut repository.source {
        *location = Location::Uris(vec![one.clone()]);
    }
    let (kind, texts) = shown(&bench, bench.packages_of(&repository, &locked(&made)).unwrap_err());
    let cannot =
        format!("cannot get {one}/pool/main/libhello_2%253a3.0+b~1_amd64.deb (package libhello 2:3.0+b~1, repository test)");
    assert_eq!((kind, &texts[..2]), (Kind::Unavailable, [cannot, why.to_string()].as_slice()));
}

#[test]
fn a_revocation_stays_seen() {
    let bench = bench();
    let made = Made::flat(debs());
    bench.write(&made);
    let serve = |key: Vec<u8>| std::fs::write(bench.www().join("Release.key"), key).unwrap();
    let mut repository = bench.repository(&made);
    if let Source::Signed { trust, .. } = &mut repository.source {
        let key_uri = format!("{}/Release.key", bench.server.url());
        *trust = Trust::Pinned { fingerprint: bench.key.fingerprint(), key_uri };
    }
    let store = bench.store();
    serve(bench.key.public());
    bench.index_of(&repository, &store).unwrap();
    let distrusted = "URL/InRelease (repository test) is not to be trusted";
    let revoked = "key KEY, which signed it, was revoked by its owner";
    // Somebody serves the key as it was before its owner revoked it.
    for key in [bench.key.public_revoked(), bench.key.public()] {
        serve(key);
        check(&bench, bench.index_of(&repository, &store), Kind::Trust, &[distrusted, revoked]);
    }
}

#[test]
fn packages_come_once() {
    let mut bench = bench();
    let made = Made::new("trixie", debs());
    bench.write(&made);
    let fetched = bench.packages(&made).unwrap();
    for (package, deb) in fetched.iter().zip(&made.debs) {
        let mut bytes = Vec::new();
        (&*package.file).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, deb.build());
    }
    let mut targets: Vec<String> = bench.server.take_requests().into_iter().map(|request| request.target).collect();
    targets.sort();
    assert_eq!(targets, ["/pool/main/hello_1.0-1_amd64.deb", "/pool/main/libhello_2%253a3.0+b~1_amd64.deb"]);
    bench.options.offline = true;
    bench.packages(&made).unwrap();
    assert_eq!(bench.server.take_requests(), []);
}

#[test]
fn packages_that_are_refused() {
    let bench = bench();
    let made = Made::new("trixie", debs());
    let url = "URL/pool/main/hello_1.0-1_amd64.deb";
    let cannot = format!("cannot get {url} (package hello 1.0-1, repository test)");
    let bytes = made.debs[0].build();

    bench.write(&made.clone().fault(Fault::WrongDebHash("hello".into())));
    let mut wrong = bytes.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let differs = format!("expected sha256 {}, got {}", Sha256Digest::of(&bytes), Sha256Digest::of(&wrong));
    check(&bench, bench.packages(&made), Kind::Trust, &[&format!("{url} is not the hello 1.0-1 that was locked"), &differs]);

    bench.write(&made.clone().fault(Fault::WrongDebSize("hello".into())));
    let larger = format!("it has at least {} bytes where {} were announced", bytes.len() + 1, bytes.len());
    check(&bench, bench.packages(&made), Kind::Trust, &[&cannot, &larger]);

    bench.write(&made.clone().fault(Fault::MissingDeb("hello".into())));
    let gone = format!("hello 1.0-1 is gone from repository test (looked at {url})");
    let error = bench.packages(&made).unwrap_err();
    assert_eq!(error.hints()[0], "`kmimage lock --update hello` locks the version that is there now.");
    check(&bench, Err::<(), _>(error), Kind::Unavailable, &[&gone]);

    bench.write(&made);
    bench.server.set("/pool/main/hello_1.0-1_amd64.deb", Behaviour::Truncate { after: 5, times: 99 });
    let (kind, texts) = shown(&bench, bench.packages(&made).unwrap_err());
    assert_eq!((kind, texts[1].as_str()), (Kind::Unavailable, "the connection broke after 20 bytes, in 4 tries"));
    bench.server.behave();
    bench.packages(&made).unwrap();
}

#[test]
fn a_repository_that_cannot_be_reached() {
    let mut bench = bench();
    let made = Made::new("trixie", debs());
    let mut repository = bench.repository(&made);
    let address = closed_address();
    if let Source::Signed { location, .. } = &mut repository.source {
        *location = Location::Uris(vec![address.clone()]);
    }
    let error = bench.packages_of(&repository, &locked(&made)).unwrap_err();
    assert_eq!(
        error.hints(),
        [
            "Wanted from test: hello 1.0-1, libhello 2:3.0+b~1.",
            "`--mirror test=URL` takes the same signed repository from another address.",
            "`--repository test=DIR` takes its packages from a directory of .deb files.",
            "`kmimage cache export DIR`, on a machine whose store has them, writes such a directory.",
        ]
    );
    let (kind, texts) = shown(&bench, error);
    assert_eq!((kind, texts[1].as_str()), (Kind::Unavailable, "127.0.0.1 cannot be reached"));
    let index = format!("cannot get {address}/dists/trixie/InRelease, the signed index of repository test");
    assert_eq!(shown(&bench, bench.index_of(&repository, &bench.store()).unwrap_err()).1[0], index);

    bench.options.offline = true;
    let lacks = "offline, and the store DIR/store lacks hello 1.0-1, libhello 2:3.0+b~1";
    check(&bench, bench.packages_of(&repository, &locked(&made)), Kind::Unavailable, &[lacks]);

    bench.options.mirrors.insert("tset".into(), "http://x".into());
    let unknown = "--mirror names the repository `tset`, which the profile does not have (it has test)";
    check(&bench, bench.index_of(&repository, &bench.store()), Kind::Usage, &[unknown]);
}

#[test]
fn the_snapshot_archive_has_what_is_gone() {
    let bench = bench();
    let made = Made::new("trixie", debs());
    bench.write(&made.clone().fault(Fault::MissingDeb("hello".into())));
    let archive = bench.www().join("snapshot/20260101T000000Z");
    made.write(&bench.key, &archive);
    let mut repository = bench.repository(&made);
    repository.snapshot = Some(format!("{}/snapshot/{{date}}", bench.server.url()));
    bench.packages_of(&repository, &locked(&made)).unwrap();

    // The archive took the Release in after it was made: what it shows at the Release's own date is the state before.
    std::fs::remove_dir_all(bench.directory.path().join("store")).unwrap();
    std::fs::rename(&archive, bench.www().join("snapshot/20260102T000000Z")).unwrap();
    bench.packages_of(&repository, &locked(&made)).unwrap();

    std::fs::remove_dir_all(bench.directory.path().join("store")).unwrap();
    repository.snapshot = Some(format!("{}/{{date}}", closed_address()));
    let gone = "hello 1.0-1 is gone from repository test (looked at URL/pool/main/hello_1.0-1_amd64.deb)";
    let unreachable = "127.0.0.1 cannot be reached";
    let (kind, texts) = shown(&bench, bench.packages_of(&repository, &locked(&made)).unwrap_err());
    assert_eq!((kind, &texts[..2]), (Kind::Unavailable, [gone.to_string(), unreachable.to_string()].as_slice()));
}

#[test]
fn a_directory_of_packages() {
    let mut bench = bench();
    let made = Made::new("trixie", debs());
    let folder = bench.directory.path().join("debs");
    std::fs::create_dir(&folder).unwrap();
    for (at, deb) in made.debs.iter().enumerate() {
        std::fs::write(folder.join(format!("any-name-{at}.deb")), deb.build()).unwrap();
    }
    std::fs::write(folder.join("README"), "no package").unwrap();
    let repository = Repository { name: "test".into(), source: Source::Directory(folder.clone()), snapshot: None };
    let index = bench.index_of(&repository, &bench.store()).unwrap();
    assert_eq!(index.releases, ReleaseDates::new());
    let expected: String = made
        .debs
        .iter()
        .enumerate()
        .map(|(at, deb)| {
            let bytes = deb.build();
            let sha256 = Sha256Digest::of(&bytes);
            format!("{}Filename: any-name-{at}.deb\nSize: {}\nSHA256: {sha256}\n\n", deb.control(), bytes.len())
        })
        .collect();
    assert_eq!(index.texts[0].text, expected);

    // The same directory in place of a repository, found by hash alone; also offline.
    bench.options.repositories.insert("test".into(), Place::Directory(folder.clone()));
    bench.options.offline = true;
    bench.packages(&made).unwrap();

    std::fs::remove_dir_all(bench.directory.path().join("store")).unwrap();
    std::fs::write(folder.join("any-name-0.deb"), made.debs[1].build()).unwrap();
    let lacks = "the directory DIR/debs (repository test) has no file with the sha256 of hello 1.0-1";
    check(&bench, bench.packages(&made), Kind::Unavailable, &[lacks]);
    std::fs::write(folder.join("any-name-2.deb"), "!<arch>\n").unwrap();
    let (kind, texts) = shown(&bench, bench.index_of(&repository, &bench.store()).unwrap_err());
    assert_eq!((kind, texts[0].as_str()), (Kind::Trust, "DIR/debs/any-name-2.deb (repository test) is not a package"));
    let nowhere = Repository { name: "test".into(), source: Source::Directory("/nowhere".into()), snapshot: None };
    bench.options.repositories.clear();
    let (kind, texts) = shown(&bench, bench.index_of(&nowhere, &bench.store()).unwrap_err());
    assert_eq!((kind, texts[0].as_str()), (Kind::Unavailable, "cannot read the directory /nowhere (repository test)"));
}

#[test]
fn an_export_comes_back_as_a_directory() {
    let mut bench = bench();
    let made = Made::new("trixie", debs());
    bench.write(&made);
    bench.packages(&made).unwrap();
    let out = bench.directory.path().join("out");
    let report = export(&bench.store(), &locked(&made), &out).unwrap();
    assert_eq!(report.files, 2);
    assert!(out.join("hello_1.0-1_amd64.deb").is_file());
    std::fs::remove_dir_all(bench.directory.path().join("store")).unwrap();
    bench.options.repositories.insert("test".into(), Place::Directory(out));
    bench.options.offline = true;
    bench.packages(&made).unwrap();

    let mut clash = locked(&made);
    clash[1].path = format!("other/{}", clash[0].path);
    let error = export(&bench.store(), &clash, &bench.directory.path().join("out2")).unwrap_err();
    assert_eq!(error.to_string(), "two packages have the file name hello_1.0-1_amd64.deb");
}

#[test]
fn a_damaged_file_in_the_store_is_not_used() {
    let bench = bench();
    let made = Made::new("trixie", debs());
    bench.write(&made);
    bench.packages(&made).unwrap();
    let digest = locked(&made)[0].sha256.to_string();
    let path = bench.directory.path().join(format!("store/blobs/{}/{digest}", &digest[..2]));
    std::fs::write(&path, "damaged").unwrap();
    let error = bench.packages(&made).unwrap_err();
    assert!(error.hints()[0].contains("kmimage cache verify --repair"));
    let expected = format!(
        "DIR/store/blobs/{}/{digest} in the store is damaged: its sha256 is {}",
        &digest[..2],
        Sha256Digest::of(b"damaged")
    );
    check(&bench, Err::<(), _>(error), Kind::Trust, &[&expected]);
}

#[test]
fn two_builds_share_a_store() {
    let bench = bench();
    let made = Made::new("trixie", debs());
    bench.write(&made);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| bench.packages(&made).unwrap());
        }
    });
    assert_eq!(bench.server.take_requests().len(), made.debs.len());
}
