//! Packages come into the store once, whole, or not at all.

use super::*;

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
