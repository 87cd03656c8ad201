//! A full disk: a small tmpfs in a mount namespace of the test's own.

use super::*;
use crate::failure::{Classified, Kind};
use crate::hash::Sha256Digest;
use std::io::Write;
use std::process::Command;

const VARIABLE: &str = "KMIMAGE_TEST_FULL_STORE";

#[test]
fn tools_a_full_disk_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1m none \"$1\" && exec \"$0\" --exact store::full_tests::on_a_full_disk --ignored";
    #[expect(clippy::disallowed_methods, reason = "a test")]
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(directory.path())
        .env(VARIABLE, directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs inside of the namespace only, started by the test above.
#[test]
#[ignore = "started by tools_a_full_disk_is_named"]
fn on_a_full_disk() {
    let directory = PathBuf::from(std::env::var_os(VARIABLE).unwrap());
    let store = Store::open(&directory).unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at >> 7) as u8).collect();
    let digest = Sha256Digest::of(&bytes);
    let check = |error: StoreError, path: PathBuf| {
        let text = error.to_string();
        assert!(text.starts_with(&format!("no space left to write {} (", path.display())) && text.ends_with(" bytes)"), "{text}");
        assert_eq!(
            std::error::Error::source(&error).map(ToString::to_string).as_deref(),
            Some("No space left on device (os error 28)")
        );
        assert_eq!(error.kind(), Kind::Host);
        assert!(error.hints()[0].contains("kmimage cache gc"));
    };
    check(store.put_blob(bytes.as_slice(), &digest).unwrap_err(), store.blob_path(&digest));
    check(store.put_cached("kind", "key", &bytes).unwrap_err(), store.cached_path("kind", "key"));
    let pack = store.put_pack("kind", "key", |pack| -> Result<(), StoreError> {
        // What a caller makes of the error does not hide it.
        pack.write_all(&bytes).map_err(|_| StoreError::BadName { name: "other".into() })
    });
    check(pack.unwrap_err(), store.pack_path("kind", "key"));
    assert_eq!(fs::read_dir(directory.join("tmp")).unwrap().count(), 0, "nothing half-written stays");

    // A download keeps what fits, and goes on when there is room again.
    let Download::Wanted(mut partial) = store.download(&digest).unwrap() else { panic!("there already") };
    let error = bytes.chunks(50_000).try_for_each(|chunk| partial.append(chunk)).unwrap_err();
    check(error, directory.join("partial").join(digest.to_string()));
    let kept = partial.len();
    drop(partial);
    let Download::Wanted(partial) = store.download(&digest).unwrap() else { panic!("there already") };
    assert_eq!(partial.len(), kept);
    assert!(kept > 500_000);
    assert!(store.blob(&digest).unwrap().is_none() && store.cached("kind", "key").unwrap().is_none());
}
