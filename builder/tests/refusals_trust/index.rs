//! Signatures, dates and indexes of a repository.

use crate::bench::{Bench, IN_RELEASE, URL};
use crate::support::deb::Compression;
use crate::support::mini::Mini;
use crate::support::repository::{Fault, Key, sha256};
use std::time::Duration;

#[test]
fn a_tampered_index() {
    let bench = Bench::new();
    bench.publish(&bench.repository().fault(Fault::TamperedRelease));
    let message = format!(
        "error: {IN_RELEASE} (repository mini) is not to be trusted
  caused by: the signature of key {} does not fit the text: it was changed, or damaged on its way
  help: `--mirror mini=URL` takes the same signed repository from elsewhere.",
        bench.key.fingerprint()
    );
    bench.refuses(&[], 4, &message);
}

#[test]
fn an_unsigned_index() {
    let bench = Bench::new();
    bench.publish(&bench.repository().fault(Fault::Unsigned));
    let message = format!(
        "error: {IN_RELEASE} (repository mini) is not to be trusted
  caused by: it is not signed
  help: `--mirror mini=URL` takes the same signed repository from elsewhere."
    );
    bench.refuses(&[], 4, &message);
}

#[test]
fn an_unknown_key() {
    let bench = Bench::new();
    let other = Key::generate("Somebody");
    bench.publish_by(&other, &bench.repository());
    let message = format!(
        "error: {IN_RELEASE} (repository mini) is not to be trusted
  caused by: it is signed by {}, none of which the profile trusts ({})
  help: If mini has a new key, name it in the profile, after comparing its fingerprint with the repository's own word.",
        other.fingerprint(),
        bench.key.fingerprint()
    );
    bench.refuses(&[], 4, &message);
}

#[test]
fn an_expired_key() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    let bench = Bench::with(Key::valid_for("Archive", Some(YEAR)), Mini::new());
    bench.publish(&bench.repository().date("2020-06-01T00:00:00Z"));
    let message = format!(
        "error: {IN_RELEASE} (repository mini) is not to be trusted
  caused by: key {}, which signed it, expired on 2020-12-31T00:00:00Z
  help: `--mirror mini=URL` takes the same signed repository from elsewhere.",
        bench.key.fingerprint()
    );
    bench.refuses(&[], 4, &message);
}

#[test]
fn an_expired_index_unless_allowed() {
    let bench = Bench::new();
    bench.publish(&bench.repository().valid_until("2026-01-08T00:00:00Z"));
    let message = format!(
        "error: {IN_RELEASE} (repository mini) is refused
  caused by: it was valid until 2026-01-08T00:00:00Z; it is of 2026-01-01T00:00:00Z
  help: `--mirror mini=URL` takes it from a mirror that is up to date.
  help: `--allow-expired mini` takes it as it is; check this host's clock first."
    );
    bench.refuses(&[], 4, &message);
    bench.builds(&["--allow-expired", "mini"]);
}

#[test]
fn the_index_of_another_suite() {
    let bench = Bench::new();
    bench.publish(&bench.repository().fault(Fault::OtherSuite("bookworm".into())));
    let message = format!(
        "error: {IN_RELEASE} (repository mini) is refused
  caused by: it is the signed index of Suite `bookworm`, Codename `bookworm`, not of the suite `trixie`
  help: If the repository calls itself so, name that in `suites` of mini in the profile.
  help: Else a server gives the wrong suite: `--mirror mini=URL` takes it from elsewhere."
    );
    bench.refuses(&[], 4, &message);
}

#[test]
fn a_rolled_back_index() {
    let bench = Bench::sound();
    bench.lock();
    bench.publish(&bench.repository().date("2025-12-01T00:00:00Z"));
    // The lock answers, no index is read: nothing to refuse.
    bench.builds(&[]);
    let message = |seen_by: &str| {
        format!(
            "error: {IN_RELEASE} (repository mini) is refused
  caused by: it is of 2025-12-01T00:00:00Z, older than one of 2026-01-01T00:00:00Z that {seen_by} has seen: \
             someone replays an old state, or a mirror lags
  help: `--mirror mini=URL` takes it from a mirror that is up to date."
        )
    };
    bench.refuses(&["--lock", "other.lock"], 4, &message("the store"));
    assert!(!bench.binary.path("other.lock").exists());
    // The profile wants something new, so that the index is read again; this store has never seen it, but the lock was made from it.
    let profile = std::fs::read_to_string(bench.binary.path("profiles/mini.toml")).unwrap();
    let absent = "[[absent]]\npackage = \"never\"\nreason = \"to be stale\"\n";
    bench.binary.write("profiles/mini.toml", format!("{profile}{absent}"));
    bench.refuses(&["--store", "fresh"], 4, &message("the lock"));
}

#[test]
fn a_wrong_index() {
    let bench = Bench::new();
    let sound = bench.repository();
    let bytes = Compression::Xz.compress(sound.packages().as_bytes());
    let expected = sha256(&bytes);
    let url = format!("{URL}/dists/trixie/main/binary-amd64/by-hash/SHA256/{expected}");
    let mut wrong = bytes.clone();
    *wrong.last_mut().unwrap() ^= 1;

    bench.publish(&sound.clone().fault(Fault::WrongIndexHash));
    let message = format!(
        "error: {url} (repository mini) is not the index that the signed InRelease lists
  caused by: expected sha256 {expected}, got {}
  help: A mirror may be in the middle of an update: try again in a few minutes, or `--mirror mini=URL`.",
        sha256(&wrong)
    );
    bench.refuses(&[], 4, &message);

    bench.publish(&sound.fault(Fault::WrongIndexSize));
    let message = format!(
        "error: cannot get {url}, an index of repository mini
  caused by: it has at least {} bytes where {} were announced
  help: A mirror may be in the middle of an update: try again in a few minutes, or `--mirror mini=URL`.",
        bytes.len() + 1,
        bytes.len()
    );
    bench.refuses(&[], 4, &message);
}

#[test]
fn an_index_that_is_not_there() {
    let bench = Bench::new();
    let message = format!(
        "error: cannot get {IN_RELEASE}, the signed index of repository mini
  caused by: the server has no such file (HTTP 404)
  help: Compare `uris` and `suites` of the repository mini in the profile with what is there.
  help: `--mirror mini=URL` takes the same signed repository from another address."
    );
    bench.refuses(&[], 5, &message);

    bench.publish(&bench.repository().fault(Fault::MissingIndex));
    let message = format!(
        "error: cannot get {URL}/dists/trixie/main/binary-amd64/Packages, an index of repository mini
  caused by: the server has no such file (HTTP 404)
  help: A mirror may be in the middle of an update: try again in a few minutes, or `--mirror mini=URL`."
    );
    bench.refuses(&[], 5, &message);
}
