//! From a signed repository to its index, and what is refused on the way.

use super::*;

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
