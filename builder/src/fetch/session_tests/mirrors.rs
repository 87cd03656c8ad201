//! Which address is asked, and what its silence or its wrong answer means.

use super::*;

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
