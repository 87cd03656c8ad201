//! The cold and the warm way give the same; a damaged store costs time only; failures are the first in order.

use super::*;
use crate::lock::{LockedPackage, Source};
use crate::report::silent;
use std::os::unix::fs::FileExt;

fn package(name: &str, control: &str, files: &[(&str, &[u8])]) -> FetchedPackage {
    let tar = |files: &[(&str, &[u8])]| {
        let mut builder = ::tar::Builder::new(Vec::new());
        for (path, data) in files {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            builder.append_data(&mut header, path, *data).unwrap();
        }
        builder.into_inner().unwrap()
    };
    let mut deb = b"!<arch>\n".to_vec();
    let parts = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", tar(&[("control", control.as_bytes())])),
        ("data.tar", tar(files)),
    ];
    for (part, data) in &parts {
        deb.extend(format!("{part:<16}{:<32}{:<10}`\n", 0, data.len()).into_bytes());
        deb.extend(data);
    }
    fetched(name, &deb)
}

fn fetched(name: &str, deb: &[u8]) -> FetchedPackage {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(deb).unwrap();
    let (name, version) = (name.to_string(), "1".to_string());
    FetchedPackage {
        locked: LockedPackage {
            repository: "test".to_string(),
            name: name.clone(),
            version: version.clone(),
            architecture: "all".to_string(),
            path: format!("{name}.deb"),
            size: deb.len() as u64,
            sha256: Sha256Digest::of(deb),
            source: Source { name, version },
            scripts: BTreeMap::new(),
        },
        file: Arc::new(file),
    }
}

fn listing(unpacked: &[Unpacked]) -> Vec<String> {
    let mut lines = Vec::new();
    for package in unpacked {
        for member in package.members.iter() {
            let content = package.content(member).unwrap();
            let text = String::from_utf8(content.to_vec().unwrap()).unwrap();
            assert_eq!(content.sha256(), Sha256Digest::of(text.as_bytes()));
            lines.push(format!("{} {} {:o} {text}", package.name, String::from_utf8_lossy(&member.path), member.mode));
        }
    }
    lines
}

#[test]
fn cold_and_warm_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let packages = [
        package("small", "Package: small\nVersion: 1\n", &[("a", b"one"), ("empty", b"")]),
        package("big", "Package: big\nVersion: 1\n", &[("b", &[b'x'; 50]), ("c", b"three")]),
    ];
    let cold = unpack(&store, &packages, 2, &silent).unwrap();
    let expected = ["small a 644 one", "small empty 644 ", &format!("big b 644 {}", "x".repeat(50)), "big c 644 three"];
    assert_eq!(listing(&cold), expected);
    // The warm way does not read the .deb: an empty file will do.
    let blind = packages.clone().map(|package| FetchedPackage { file: Arc::new(tempfile::tempfile().unwrap()), ..package });
    assert_eq!(listing(&unpack(&store, &blind, 1, &silent).unwrap()), expected);

    // A flipped byte in a pack: decoded again, from the .deb.
    let packs: Vec<_> =
        fs_err::read_dir(folder.path().join("packs").join(KIND)).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(packs.len(), 2);
    for pack in packs {
        let file = fs_err::File::options().read(true).write(true).open(pack).unwrap();
        let mut byte = [0];
        file.file().read_exact_at(&mut byte, 1).unwrap();
        file.file().write_all_at(&[byte[0] ^ 1], 1).unwrap();
    }
    assert_eq!(listing(&unpack(&store, &packages, 2, &silent).unwrap()), expected);
}

#[test]
fn the_first_failure_in_order_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let good = package("good", "Package: good\nVersion: 1\n", &[]);
    let other = package("other", "Package: impostor\nVersion: 2\n", &[("a", &[0; 9000])]);
    let text = |packages: &[FetchedPackage]| {
        let error = unpack(&store, packages, 2, &silent).unwrap_err();
        let failure = crate::failure::Failure::from(error);
        (failure.to_string(), failure.kind())
    };
    assert_eq!(
        text(&[good.clone(), fetched("broken", b"!<arch>\nwhat"), other.clone()]),
        ("package broken 1: the archive header at byte 8 is malformed: it is cut short".to_string(), Kind::Trust)
    );
    assert_eq!(
        text(&[good.clone(), other, fetched("broken", b"")]),
        ("package other 1: its control file says impostor 2".to_string(), Kind::Trust)
    );
    // A failed package leaves nothing behind in the store.
    let packs = fs_err::read_dir(folder.path().join("packs").join(KIND)).unwrap().count();
    assert_eq!(packs, 2);
}
