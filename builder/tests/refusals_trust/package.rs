//! Packages that are not what was signed or locked, or are not there any more.

use crate::bench::{Bench, PROGRAM_PATH, URL};
use crate::support::repository::{Fault, sha256};
use crate::support::server::Behaviour;
use std::fs;

const NAME: &str = "mini-program";
const WAYS_OUT: &str = "help: Wanted from mini: linux-image-6.0-mini 1.0, mini-libc 1.0, mini-program 1.0.
  help: `--mirror mini=URL` takes the same signed repository from another address.
  help: `--repository mini=DIR` takes its packages from a directory of .deb files.
  help: `kmimage cache export DIR`, on a machine whose store has them, writes such a directory.";

#[test]
fn a_wrong_package() {
    let bench = Bench::new();
    let sound = bench.repository();
    let bytes = bench.deb(NAME).build();
    let mut wrong = bytes.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let hashes = format!("expected sha256 {}, got {}", sha256(&bytes), sha256(&wrong));
    let sizes = format!("it has at least {} bytes where {} were announced", bytes.len() + 1, bytes.len());

    // While the lock is made, the signed index has the last word.
    bench.publish(&sound.clone().fault(Fault::WrongDebHash(NAME.into())));
    let message = format!(
        "error: {URL}{PROGRAM_PATH} is not the mini-program 1.0 that the index of repository mini lists
  caused by: {hashes}
  help: A mirror may be in the middle of an update: try again in a few minutes, or `--mirror mini=URL`."
    );
    bench.refuses(&[], 4, &message);
    bench.publish(&sound.clone().fault(Fault::WrongDebSize(NAME.into())));
    let message = format!(
        "error: cannot get {URL}{PROGRAM_PATH} (package mini-program 1.0, repository mini)
  caused by: {sizes}
  help: A mirror may be in the middle of an update: try again in a few minutes, or `--mirror mini=URL`."
    );
    bench.refuses(&[], 4, &message);

    // Later, the lock has.
    bench.publish(&sound);
    bench.lock();
    bench.empty_store();
    bench.publish(&sound.clone().fault(Fault::WrongDebHash(NAME.into())));
    let changed = "help: Somebody changed the file after it was locked. If the repository did so for a good reason, \
         `kmimage lock --update mini-program`.";
    let message = format!(
        "error: {URL}{PROGRAM_PATH} is not the mini-program 1.0 that was locked
  caused by: {hashes}
  {changed}"
    );
    bench.refuses(&[], 4, &message);
    bench.publish(&sound.fault(Fault::WrongDebSize(NAME.into())));
    let message = format!(
        "error: cannot get {URL}{PROGRAM_PATH} (package mini-program 1.0, repository mini)
  caused by: {sizes}
  {changed}"
    );
    bench.refuses(&[], 4, &message);
    assert!(!bench.blob(&sha256(&bytes)).exists() && !bench.blob(&sha256(&wrong)).exists());
}

#[test]
fn a_package_that_the_index_lists_and_nobody_has() {
    let bench = Bench::new();
    bench.publish(&bench.repository().fault(Fault::MissingDeb(NAME.into())));
    let message = format!(
        "error: repository mini lists mini-program 1.0 and does not have it (looked at {URL}{PROGRAM_PATH})
  help: A mirror may be in the middle of an update: try again in a few minutes, or `--mirror mini=URL`."
    );
    bench.refuses(&[], 5, &message);
}

#[test]
fn a_locked_version_that_is_gone() {
    let mut bench = Bench::sound();
    bench.lock();
    bench.mini = bench.mini.clone().change(NAME, |deb| deb.field("Version", "1.1"));
    bench.publish(&bench.repository().date("2026-02-01T00:00:00Z"));
    // The store still has it.
    bench.builds(&["--locked"]);
    bench.empty_store();
    let ways_out = "help: `kmimage lock --update mini-program` locks the version that is there now.
  help: A store that has it can be brought here: `kmimage cache export DIR` there, `--repository mini=DIR` here.";
    let message = format!(
        "error: mini-program 1.0 is gone from repository mini (looked at {URL}{PROGRAM_PATH})
  {ways_out}"
    );
    bench.refuses(&[], 5, &message);

    // Neither has the archive of old versions.
    bench.write_profile(&format!("snapshot = \"{}/snapshot/{{date}}\"", bench.server.url()));
    let message = format!(
        "error: mini-program 1.0 is gone from repository mini (looked at {URL}{PROGRAM_PATH}, \
         {URL}/snapshot/20260101T000000Z{PROGRAM_PATH}, {URL}/snapshot/20260102T000000Z{PROGRAM_PATH})
  {ways_out}"
    );
    bench.refuses(&[], 5, &message);

    // The ways out lead out.
    bench.binary.succeed(&["lock", "--update", "mini-program"]);
    assert!(fs::read_to_string(bench.binary.path("kmimage.lock")).unwrap().contains("mini-program=1.1"));
    bench.builds(&["--locked"]);
}

#[test]
fn a_snapshot_archive_has_what_is_gone() {
    let bench = Bench::new();
    bench.write_profile(&format!("snapshot = \"{}/snapshot/{{date}}\"", bench.server.url()));
    bench.publish(&bench.repository());
    bench.lock();
    bench.empty_store();
    bench.publish(&bench.repository().fault(Fault::MissingDeb(NAME.into())));
    bench.repository().write(&bench.key, &bench.binary.path("www/snapshot/20260101T000000Z"));
    bench.builds(&["--locked"]);
}

#[test]
fn a_truncated_download_is_resumed_three_times() {
    let bench = Bench::sound();
    bench.server.set(PROGRAM_PATH, Behaviour::Truncate { after: 100, times: 4 });
    let message = format!(
        "error: cannot get {URL}{PROGRAM_PATH} (package mini-program 1.0, repository mini)
  caused by: the connection broke after 400 bytes, in 4 tries
  caused by: io: Peer disconnected
  {WAYS_OUT}"
    );
    bench.refuses(&["--stall-timeout", "1"], 5, &message);
    // The bytes that came are kept.
    bench.server.take_requests();
    bench.server.set(PROGRAM_PATH, Behaviour::Truncate { after: 100, times: 3 });
    bench.builds(&["--stall-timeout", "1"]);
    let ranges: Vec<String> = bench
        .server
        .take_requests()
        .iter()
        .filter(|request| request.target == PROGRAM_PATH)
        .filter_map(|request| request.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, ["bytes=400-", "bytes=500-", "bytes=600-", "bytes=700-"]);
}

#[test]
fn a_stalled_download_is_given_up() {
    let bench = Bench::sound();
    bench.server.set(PROGRAM_PATH, Behaviour::Stall { after: 100, times: 4 });
    let message = format!(
        "error: cannot get {URL}{PROGRAM_PATH} (package mini-program 1.0, repository mini)
  caused by: not a byte came for 1 s, in 4 tries, after 400 bytes
  {WAYS_OUT}"
    );
    bench.refuses(&["--stall-timeout", "1"], 5, &message);
}
