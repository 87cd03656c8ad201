//! No network, or none that leads to the repository.

use crate::bench::{Bench, PROGRAM_PATH, URL};
use crate::support::repository::{Repository, sha256};
use crate::support::server::{Behaviour, closed_address};
use std::fs;

const WAYS_OUT: &str = "help: `--mirror mini=URL` takes the same signed repository from another address.
  help: `--repository mini=DIR` takes its packages from a directory of .deb files.
  help: `kmimage cache export DIR`, on a machine whose store has them, writes such a directory.";

#[test]
fn nobody_listens() {
    let bench = Bench::sound();
    let mirror = format!("mini={}", closed_address());
    let message = format!(
        "error: cannot get {URL}/dists/trixie/InRelease, the signed index of repository mini
  caused by: 127.0.0.1 cannot be reached
  caused by: io: Connection refused (os error 111)
  {WAYS_OUT}"
    );
    bench.refuses(&["--mirror", &mirror], 5, &message);

    // One package is missing in the store: of several, the first to fail would be named.
    bench.builds(&[]);
    fs::remove_file(bench.blob(&sha256(&bench.deb("mini-program").build()))).unwrap();
    let message = format!(
        "error: cannot get {URL}{PROGRAM_PATH} (package mini-program 1.0, repository mini)
  caused by: 127.0.0.1 cannot be reached
  caused by: io: Connection refused (os error 111)
  help: Wanted from mini: mini-program 1.0.
  {WAYS_OUT}"
    );
    bench.refuses(&["--mirror", &mirror], 5, &message);
}

#[test]
fn a_server_that_refuses() {
    let bench = Bench::sound();
    bench.server.set("/dists/trixie/InRelease", Behaviour::Status(503));
    let message = format!(
        "error: cannot get {URL}/dists/trixie/InRelease, the signed index of repository mini
  caused by: the server answered HTTP 503
  {WAYS_OUT}"
    );
    bench.refuses(&["--stall-timeout", "1"], 5, &message);
    assert_eq!(bench.server.take_requests().len(), 4, "it may get over it");
    bench.server.set("/dists/trixie/InRelease", Behaviour::Status(403));
    bench.refuses(&[], 5, &message.replace("503", "403"));
    assert_eq!(bench.server.take_requests().len(), 1, "it will not");
}

#[test]
fn an_index_that_breaks_off() {
    let bench = Bench::sound();
    bench.server.set("/dists/trixie/InRelease", Behaviour::Truncate { after: 100, times: 4 });
    let message = format!(
        "error: cannot get {URL}/dists/trixie/InRelease, the signed index of repository mini
  caused by: the connection broke after 100 bytes, in 4 tries
  caused by: io: Peer disconnected
  {WAYS_OUT}"
    );
    bench.refuses(&["--stall-timeout", "1"], 5, &message);
    bench.server.set("/dists/trixie/InRelease", Behaviour::Stall { after: 100, times: 1 });
    bench.binary.succeed(&["lock", "--profile", "mini", "--stall-timeout", "1"]);
}

#[test]
fn offline_with_a_cold_store() {
    let bench = Bench::sound();
    let ways_out = "help: Without `--offline` it is fetched.
  help: Without a network: `kmimage cache export DIR` on a machine that has it, `--repository mini=DIR` here.";
    let message = format!(
        "error: offline, and the store <dir>/store lacks dists/trixie/InRelease of repository mini
  {ways_out}"
    );
    bench.refuses(&["--offline"], 5, &message);
    assert_eq!(bench.server.take_requests(), []);

    bench.lock();
    bench.empty_store();
    bench.server.take_requests();
    let message =
        "error: offline, and the store <dir>/store lacks linux-image-6.0-mini 1.0, mini-libc 1.0, mini-program 1.0, mini-boot 1.0
  help: Without `--offline` it is fetched.
  help: Without a network: `kmimage cache export DIR` on a machine that has it, `--repository NAME=DIR` here.";
    bench.refuses(&["--offline"], 5, message);
    assert_eq!(bench.server.take_requests(), []);
}

#[test]
fn an_export_stands_in_for_the_network() {
    let bench = Bench::sound();
    bench.lock();
    bench.binary.succeed(&["cache", "export", "exported"]);
    bench.empty_store();
    bench.server.take_requests();
    bench.builds(&["--offline", "--repository", "mini=exported"]);
    assert_eq!(bench.server.take_requests(), []);
}

#[test]
fn a_repository_that_the_profile_does_not_have() {
    let bench = Bench::sound();
    for (option, value) in [("--mirror", "mimi=http://127.0.0.1"), ("--repository", "mimi=debs"), ("--allow-expired", "mimi")] {
        bench.refuses(
            &[option, value],
            2,
            &format!("error: {option} names the repository `mimi`, which the profile does not have (it has mini)"),
        );
    }
    assert_eq!(bench.server.take_requests(), []);
}

/// As Kubernetes and CRI-O publish: a flat repository for each minor version, with its key beside it.
#[test]
fn a_flat_repository_of_a_version() {
    let bench = Bench::new();
    let folder = bench.binary.path("www/v1.36/deb");
    fs::create_dir_all(&folder).unwrap();
    Repository::flat(bench.mini.debs.clone()).write(&bench.key, &folder);
    fs::write(folder.join("Release.key"), bench.key.public()).unwrap();
    let base = format!("{}/v{{kubernetes}}/deb/", bench.server.url());
    let write = |version: &str, fingerprint: &str| {
        let signed = format!(
            "uris = [{base:?}]\nflat = true\nfingerprint = {fingerprint:?}\nkey-uri = \"{base}Release.key\"\n\n[versions]\nkubernetes \
             = {version:?}\n\n[choose.repository]\nmini-program = \"mini\""
        );
        bench.binary.write("profiles/mini.toml", bench.mini.profile().replace("directory = \"../debs\"", &signed));
    };
    write("1.36", &bench.key.fingerprint());
    bench.builds(&[]);

    // Another version is another lock, and this one has no repository.
    write("1.35", &bench.key.fingerprint());
    let message = "error: kmimage.lock was made for other wishes of profile mini
  help: Run `kmimage lock --profile mini`, or build without --locked.";
    bench.refuses(&["--locked"], 3, message);
    let message = format!(
        "error: cannot get {URL}/v1.35/deb/Release.key, the signing key of repository mini
  caused by: the server has no such file (HTTP 404)"
    );
    bench.empty_store();
    bench.refuses(&[], 5, &message);
    let mirror = format!("mini={}", closed_address());
    let message = format!(
        "error: cannot get {URL}/Release.key, the signing key of repository mini
  caused by: 127.0.0.1 cannot be reached
  caused by: io: Connection refused (os error 111)
  help: Wanted from mini: mini-program.
  {WAYS_OUT}"
    );
    bench.refuses(&["--mirror", &mirror], 5, &message);

    // The key beside it is another one.
    fs::remove_file(bench.binary.path("kmimage.lock")).unwrap();
    write("1.36", &"A".repeat(40));
    let message = format!(
        "error: no key to check repository mini with
  caused by: the profile pins key {}, but {URL}/v1.36/deb/Release.key holds {}
  help: Compare the fingerprint in the profile with the repository's own word.",
        "A".repeat(40),
        bench.key.fingerprint()
    );
    bench.refuses(&[], 4, &message);
}
