//! Damage in the store.

use crate::bench::{Bench, PROGRAM_PATH};
use crate::support::deb::Compression;
use crate::support::repository::sha256;
use std::fs;
use std::path::Path;

#[test]
fn a_damaged_package() {
    let bench = Bench::sound();
    bench.lock();
    let sound = bench.deb("mini-program").build();
    let mut damaged = sound.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let (digest, found) = (sha256(&sound), sha256(&damaged));
    fs::write(bench.blob(&digest), &damaged).unwrap();
    let path = format!("<dir>/store/blobs/{}/{digest}", &digest[..2]);

    let message = format!(
        "error: {path} in the store is damaged: its sha256 is {found}
  help: `kmimage cache verify --repair` checks the whole store and removes what is damaged; the next build fetches it again."
    );
    bench.refuses(&[], 4, &message);

    let verify = bench.binary.run(&["cache", "verify"]);
    assert_eq!(verify.code, 4);
    let lines: Vec<&str> = verify.stdout.lines().skip(1).collect();
    assert_eq!(lines, [format!("damaged: {path}")]);
    assert_eq!(
        verify.stderr,
        "error: there is 1 damaged file in the store <dir>/store
  help: `kmimage cache verify --repair` removes what is damaged; the next build fetches or makes it again.\n"
    );
    assert!(fs::read(bench.blob(&digest)).unwrap() == damaged, "verify alone changes nothing");

    let repair = bench.binary.succeed(&["cache", "verify", "--repair"]);
    assert_eq!(repair.stdout.lines().skip(1).collect::<Vec<_>>(), [format!("removed: {path}")]);
    assert!(!bench.blob(&digest).exists());
    bench.builds(&["--locked"]);
    assert!(fs::read(bench.blob(&digest)).unwrap() == sound);
    assert_eq!(bench.binary.succeed(&["cache", "verify"]).stdout.lines().count(), 1);
}

#[test]
fn a_damaged_index() {
    let bench = Bench::sound();
    bench.lock();
    let sound = Compression::Xz.compress(bench.repository().packages().as_bytes());
    let mut damaged = sound.clone();
    damaged[10] ^= 1;
    let digest = sha256(&sound);
    fs::write(bench.blob(&digest), &damaged).unwrap();
    let message = format!(
        "error: <dir>/store/blobs/{}/{digest} in the store is damaged: its sha256 is {}
  help: `kmimage cache verify --repair` checks the whole store and removes what is damaged; the next build fetches it again.",
        &digest[..2],
        sha256(&damaged)
    );
    bench.refuses(&["--lock", "other.lock"], 4, &message);
    bench.refuses(&["--lock", "other.lock", "--offline"], 4, &message);
    assert!(!bench.binary.path("other.lock").exists());
    bench.binary.succeed(&["cache", "verify", "--repair"]);
    bench.builds(&["--lock", "other.lock"]);
}

/// Bytes of a download that was interrupted, and then damaged: found out when the rest has come.
#[test]
fn a_damaged_partial_download_is_begun_anew() {
    let bench = Bench::sound();
    bench.lock();
    let sound = bench.deb("mini-program").build();
    let digest = sha256(&sound);
    fs::remove_file(bench.blob(&digest)).unwrap();
    let mut damaged = sound[..500].to_vec();
    damaged[100] ^= 1;
    fs::write(bench.binary.store().join("partial").join(&digest), damaged).unwrap();
    bench.server.take_requests();
    bench.builds(&["--locked"]);
    assert!(fs::read(bench.blob(&digest)).unwrap() == sound);
    let requests = bench.server.take_requests();
    let ranges: Vec<_> = requests
        .iter()
        .filter(|request| request.target == PROGRAM_PATH)
        .map(|request| request.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, [Some("bytes=500-".to_owned()), None]);
}

/// What the store derived and can derive again is no reason to stop; it is not used, though.
#[test]
fn damaged_derived_files_are_made_anew() {
    let bench = Bench::sound();
    bench.builds(&[]);
    let sums = |output: &str| fs::read_to_string(bench.binary.path(output).join("SHA256SUMS")).unwrap();
    let damaged = ["packs", "cached"].map(|kind| damage(&bench.binary.store().join(kind))).iter().sum::<u32>();
    assert!(damaged > 5, "{damaged}");
    bench.builds(&["--locked", "--output", "again"]);
    assert_eq!(sums("again"), sums("out/mini"));
}

/// Flips a bit in every file below a folder; the number of files.
fn damage(folder: &Path) -> u32 {
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += damage(&path);
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        files += 1;
    }
    files
}
