//! No stale result: a build after a change gives what a build from nothing gives, and a build after no change does nothing.

use crate::support::binary::{Binary, look};
use crate::support::mini::Mini;
use crate::{PROGRAM, SITE, STEM, sums, world};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

const BUILD: [&str; 5] = ["build", "--profile", "mini", "--format", "qcow2"];
const UP_TO_DATE: &str = "==> <dir>/work/out/mini is up to date\n";

/// Builds, which must do something, and gives the set.
#[track_caller]
fn rebuilt(binary: &Binary) -> String {
    let outcome = binary.succeed(&BUILD);
    assert_eq!(outcome.stderr.lines().last(), Some("==> built <dir>/work/out/mini"));
    sums(binary, "out/mini")
}

/// Changes a file and gives it the modification time that it had; its size must stay by itself.
fn alter(path: &Path, change: impl FnOnce(&mut fs::File)) {
    let before = fs::metadata(path).unwrap();
    let mut file = fs::File::options().read(true).write(true).open(path).unwrap();
    change(&mut file);
    file.set_modified(before.modified().unwrap()).unwrap();
    let after = file.metadata().unwrap();
    assert_eq!((after.len(), after.modified().unwrap()), (before.len(), before.modified().unwrap()));
}

#[test]
fn nothing_changed() {
    let binary = world();
    rebuilt(&binary);
    let before = look(&binary.path("out/mini"));
    let lock = fs::read(binary.path("kmimage.lock")).unwrap();
    assert_eq!(binary.succeed(&BUILD).stderr, UP_TO_DATE);
    // What decides no byte of the image decides nothing here.
    let more = [&BUILD[..], &["--jobs", "1", "--locked", "--offline"]].concat();
    assert_eq!(binary.succeed(&more).stderr, UP_TO_DATE);
    assert_eq!(look(&binary.path("out/mini")), before);
    assert_eq!(fs::read(binary.path("kmimage.lock")).unwrap(), lock);
    assert_eq!(fs::read_dir(binary.path("out")).unwrap().count(), 1);
}

#[test]
fn an_overlay_file_changed_with_its_size_and_time_kept() {
    let binary = world();
    let one = rebuilt(&binary);
    alter(&binary.path("overlays/site/rootfs/etc/motd"), |file| file.write_all(b"two\n").unwrap());
    let two = rebuilt(&binary);
    assert_ne!(one, two);
    let fresh = world();
    fresh.write("overlays/site/rootfs/etc/motd", "two\n");
    assert_eq!(rebuilt(&fresh), two);
    // And back.
    alter(&binary.path("overlays/site/rootfs/etc/motd"), |file| file.write_all(b"one\n").unwrap());
    assert_eq!(rebuilt(&binary), one);
}

#[test]
fn an_overlay_that_grew_and_one_with_another_mode() {
    use std::os::unix::fs::PermissionsExt;
    let binary = world();
    let one = rebuilt(&binary);
    binary.write("overlays/site/rootfs/etc/more", "");
    let grown = rebuilt(&binary);
    assert_ne!(grown, one);
    binary.write("overlays/site/overlay.toml", "[[file]]\npath = \"/etc/motd\"\nmode = \"0600\"\n");
    assert_ne!(rebuilt(&binary), grown);
    // The mode of the file here is the working copy's business.
    let motd = binary.path("overlays/site/rootfs/etc/motd");
    fs::set_permissions(&motd, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(binary.succeed(&BUILD).stderr, UP_TO_DATE);
}

#[test]
fn an_artefact_deleted_or_altered() {
    let binary = world();
    binary.succeed(&["build", "--profile", "mini"]);
    let set = sums(&binary, "out/mini");
    let rebuilt = || {
        assert_eq!(binary.succeed(&["build", "--profile", "mini"]).stderr.lines().last(), Some("==> built <dir>/work/out/mini"));
        sums(&binary, "out/mini")
    };
    let artefact = |ending: &str| binary.path(&format!("out/mini/{STEM}.{ending}"));
    for ending in ["raw", "spdx.json"] {
        fs::remove_file(artefact(ending)).unwrap();
        assert_eq!(rebuilt(), set, "{ending} deleted");
    }
    fs::remove_file(binary.path("out/mini/SHA256SUMS")).unwrap();
    // Without it the folder is not known as kmimage's any more.
    assert_eq!(binary.run(&["build", "--profile", "mini"]).code, 2);
    fs::write(binary.path("out/mini/SHA256SUMS"), &set).unwrap();
    assert_eq!(binary.succeed(&["build", "--profile", "mini"]).stderr, UP_TO_DATE);

    for (ending, at) in
        [("raw", SeekFrom::End(-(40 << 20))), ("root.squashfs", SeekFrom::Start(200)), ("json", SeekFrom::End(-3))]
    {
        let original = fs::read(artefact(ending)).unwrap();
        alter(&artefact(ending), |file| {
            file.seek(at).unwrap();
            file.write_all(b"!").unwrap();
        });
        assert_ne!(fs::read(artefact(ending)).unwrap(), original);
        assert_eq!(rebuilt(), set, "{ending} altered");
        assert!(fs::read(artefact(ending)).unwrap() == original, "{ending} is not what it was");
    }
}

#[test]
fn another_profile_into_the_same_folder() {
    let binary = world();
    binary.write("profiles/other.toml", Mini::new().profile());
    let into = |profile: &str| binary.succeed(&["build", "--profile", profile, "--format", "qcow2", "--output", "out/mini"]);
    into("mini");
    let mini = sums(&binary, "out/mini");
    assert_eq!(into("other").stderr.lines().last(), Some("==> built <dir>/work/out/mini"));
    let other = sums(&binary, "out/mini");
    assert!(other.lines().all(|line| line.contains("  kmimage-other-")), "{other}");
    assert_eq!(into("other").stderr, UP_TO_DATE);
    into("mini");
    assert_eq!(sums(&binary, "out/mini"), mini);
}

#[test]
fn another_profile_text_version_or_clock() {
    let mut binary = world();
    let one = rebuilt(&binary);
    binary.write("profiles/mini.toml", Mini::new().extra(SITE).profile().replace("panic=10", "panic=11"));
    assert_ne!(rebuilt(&binary), one);
    binary.write("profiles/mini.toml", Mini::new().extra(SITE).profile());
    assert_eq!(rebuilt(&binary), one);
    binary.env("SOURCE_DATE_EPOCH", "1700000001");
    assert_ne!(rebuilt(&binary), one);
}

#[test]
fn another_kmimage() {
    let mut binary = world();
    let set = rebuilt(&binary);
    let other = binary.path("kmimage");
    fs::copy(PROGRAM, &other).unwrap();
    fs::File::options().append(true).open(&other).unwrap().write_all(b"!").unwrap();
    binary.program(&other);
    assert_eq!(rebuilt(&binary), set);
    assert_eq!(binary.succeed(&BUILD).stderr, UP_TO_DATE);
}
