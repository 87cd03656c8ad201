//! The same lock, overlays and kmimage give the same bytes, whoever builds, where, when and how; a changed byte changes only what holds it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_qemu_tests::disk::{extract, partitions};
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::image::{FORMATS, artefact, base, kmimage, lock};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `kmimage` as another user where we may change users, else as ourselves; the binary is copied to a place that everyone can read.
fn as_nobody(folder: &Path) -> Command {
    let binary = folder.join("kmimage");
    fs_err::copy(kmimage().get_program(), &binary).expect("a copy of kmimage");
    run(program("chmod").args(["-R", "a+rwX"]).arg(folder));
    let root = run(program("id").arg("-u")).trim() == "0";
    // faketime: 400 days from now; setpriv: uid and gid of nobody; sh: another umask.
    let mut command = program("faketime");
    command.args(["-f", "+400d"]);
    if root {
        command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.args(["sh", "-c", "umask 077; exec \"$@\"", "sh"]).arg(&binary);
    command.current_dir(folder).env("TZ", "Pacific/Kiritimati").env("HOME", folder).env("LANG", "tr_TR.UTF-8");
    command
}

fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    run(program("chmod").arg("0777").arg(folder.path()));
    folder
}

#[test]
fn tools_two_builds_are_one() {
    let folder = open_folder();
    // The second build's packages come from an exported directory, as behind an air gap: no network, another store.
    let debs = folder.path().join("debs");
    run(kmimage().args(["cache", "export", "--profile", "base", "--lock"]).arg(lock()).arg(&debs));
    fs_err::copy(lock(), folder.path().join("kmimage.lock")).unwrap();
    let output = folder.path().join("a folder, elsewhere");
    let mut build = as_nobody(folder.path());
    build.args(["build", "--profile", "base", "--locked", "--jobs", "1", "--offline", "--output"]).arg(&output);
    build.arg("--store").arg(folder.path().join("store")).args(["--format", FORMATS]);
    for name in ["debian", "debian-security"] {
        build.arg("--repository").arg(format!("{name}={}", debs.display()));
    }
    run(&mut build);
    let sums = |folder: &Path| fs_err::read_to_string(folder.join("SHA256SUMS")).unwrap();
    assert_eq!(sums(base()), sums(&output));
    // Not only the sums: the files are what they say.
    run(program("sha256sum").args(["--check", "--strict", "--quiet", "SHA256SUMS"]).current_dir(&output));
}

/// Builds `base` with an overlay of one file with this content.
fn with_overlay(folder: &Path, content: &str) -> PathBuf {
    let file = folder.join("overlays/one/rootfs/etc/one");
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(&file, content).unwrap();
    fs_err::create_dir_all(folder.join("profiles")).unwrap();
    let profile = "description = \"base and one file\"\nextends = \"base\"\noverlays = [\"one\"]\n";
    fs_err::write(folder.join("profiles/one.toml"), profile).unwrap();
    let output = folder.join(format!("out-{content}"));
    let mut build = kmimage();
    build.current_dir(folder).args(["build", "--profile", "one", "--output"]).arg(&output);
    run(&mut build);
    output
}

#[test]
fn tools_one_byte_changes_what_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let before = with_overlay(folder.path(), "a");
    let lock = fs_err::read(folder.path().join("kmimage.lock")).unwrap();
    let after = with_overlay(folder.path(), "b");
    assert_eq!(fs_err::read(folder.path().join("kmimage.lock")).unwrap(), lock, "the lock changed");
    let same = |ending: &str| fs_err::read(artefact(&before, ending)).unwrap() == fs_err::read(artefact(&after, ending)).unwrap();
    assert!(same(".spdx.json"), "the SBOM changed");

    // The tree: one line of the file list.
    let lines = |output: &Path| -> BTreeSet<String> {
        fs_err::read_to_string(artefact(output, ".files.tsv")).unwrap().lines().map(str::to_owned).collect()
    };
    let changed: Vec<String> = lines(&before).symmetric_difference(&lines(&after)).cloned().collect();
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert!(changed.iter().all(|line| line.starts_with("/etc/one\t")), "{changed:?}");

    // The UKI: one section.
    let section = |output: &Path, name: &str| -> Vec<u8> {
        let to = folder.path().join("section");
        run(program("objcopy").args(["-O", "binary", &format!("--only-section={name}")]).arg(artefact(output, ".efi")).arg(&to));
        fs_err::read(&to).unwrap()
    };
    for name in [".osrel", ".uname", ".sbat", ".initrd", ".linux"] {
        let first = section(&before, name);
        assert!(!first.is_empty() && first == section(&after, name), "{name} changed (or is empty)");
    }
    assert!(section(&before, ".cmdline") != section(&after, ".cmdline"), ".cmdline is the same");

    // The disk: root-a, its hash tree, the ESP, and the table; nothing between.
    let (first, second) = (artefact(&before, ".raw"), artefact(&after, ".raw"));
    let table = partitions(&first);
    for (partition, other) in table.iter().zip(partitions(&second)) {
        assert_eq!((partition.offset, partition.len), (other.offset, other.len));
        let bytes = |image: &Path, name: &str| fs_err::read(extract(image, partition, &folder.path().join(name))).unwrap();
        let differs = bytes(&first, "one") != bytes(&second, "two");
        let may = matches!(partition.name.as_str(), "esp" | "root-a" | "root-a-verity");
        assert_eq!(differs, may, "{partition:?}");
    }
}
