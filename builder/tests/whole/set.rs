//! The set of files that a build gives.

use crate::support::binary::Binary;
use crate::{STEM, sums, world};

fn names(binary: &Binary, output: &str) -> Vec<String> {
    let entries = std::fs::read_dir(binary.path(output)).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn set(endings: &[&str]) -> Vec<String> {
    ["SHA256SUMS".to_owned()].into_iter().chain(endings.iter().map(|ending| format!("{STEM}.{ending}"))).collect()
}

#[test]
fn a_build_gives_the_whole_set_and_nothing_else() {
    let binary = world();
    let outcome = binary.succeed(&["build", "--profile", "mini"]);
    assert_eq!(outcome.stdout, "");
    let told: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(told.first(), Some(&"==> resolving mini"), "{told:?}");
    assert_eq!(told.last(), Some(&"==> built <dir>/work/out/mini"), "{told:?}");
    assert_eq!(names(&binary, "out/mini"), set(&["efi", "files.tsv", "json", "qcow2", "raw", "root.squashfs", "spdx.json"]));
    assert_eq!(names(&binary, "out"), ["mini"]);
    // SHA256SUMS names every other file with its digest.
    let expected: String = names(&binary, "out/mini")
        .iter()
        .filter(|name| *name != "SHA256SUMS")
        .map(|name| {
            let bytes = std::fs::read(binary.path("out/mini").join(name)).unwrap();
            format!("{}  {name}\n", crate::support::repository::sha256(&bytes))
        })
        .collect();
    assert_eq!(sums(&binary, "out/mini"), expected);
}

#[test]
fn only_the_formats_that_are_asked_for() {
    let binary = world();
    binary.succeed(&["build", "--profile", "mini", "--format", "raw"]);
    assert_eq!(names(&binary, "out/mini"), set(&["efi", "files.tsv", "json", "raw", "root.squashfs", "spdx.json"]));
    let raw = sums(&binary, "out/mini");
    binary.succeed(&["build", "--profile", "mini", "--format", "iso", "--output", "iso"]);
    assert_eq!(names(&binary, "iso"), set(&["efi", "files.tsv", "iso", "json", "root.squashfs", "spdx.json"]));
    // The set changes as a whole; what both sets have is the same.
    binary.succeed(&["build", "--profile", "mini", "--format", "qcow2"]);
    assert_eq!(names(&binary, "out/mini"), set(&["efi", "files.tsv", "json", "qcow2", "root.squashfs", "spdx.json"]));
    let shared = |sums: &str| -> Vec<String> {
        let differ = [".raw", ".qcow2", ".iso", "amd64.json"];
        sums.lines().filter(|line| !differ.iter().any(|ending| line.ends_with(ending))).map(str::to_owned).collect()
    };
    assert_eq!(shared(&raw), shared(&sums(&binary, "out/mini")));
    assert_eq!(shared(&raw), shared(&sums(&binary, "iso")));
    assert_eq!(shared(&raw).len(), 4);
}

#[test]
fn the_disks_are_sparse() {
    use std::os::unix::fs::MetadataExt;
    let binary = world();
    binary.succeed(&["build", "--profile", "mini"]);
    for ending in ["raw", "qcow2"] {
        let metadata = std::fs::metadata(binary.path(&format!("out/mini/{STEM}.{ending}"))).unwrap();
        assert!(metadata.blocks() * 512 < 16 << 20, "{ending}: {} blocks", metadata.blocks());
    }
}

#[test]
fn options_decide_the_image_and_nothing_else_does() {
    let first = world();
    first.succeed(&[
        "build",
        "--profile",
        "mini",
        "--image-version",
        "2026.11.1",
        "--jobs",
        "1",
        "--output",
        "a/b",
        "--format",
        "qcow2",
    ]);
    assert!(names(&first, "a/b").iter().all(|name| name == "SHA256SUMS" || name.starts_with("kmimage-mini-2026.11.1-amd64.")));
    let mut second = world();
    second.env("TZ", "Asia/Kathmandu").env("LC_ALL", "tr_TR.UTF-8");
    // Another lock, of another second, of the same packages.
    second.succeed(&["build", "--profile", "mini", "--image-version", "2026.11.1", "--jobs", "2", "--format", "qcow2"]);
    assert_eq!(sums(&first, "a/b"), sums(&second, "out/mini"));
    second.succeed(&["build", "--profile", "mini", "--image-version", "2026.11.1", "--compression", "19", "--format", "qcow2"]);
    assert_ne!(sums(&first, "a/b"), sums(&second, "out/mini"));
}

#[test]
fn a_config_goes_on_the_iso_unless_it_has_secrets() {
    let binary = world();
    let config = "version = 1\n[machine]\nhostname = \"node-1\"\n";
    std::fs::write(binary.path("node.toml"), config).unwrap();
    let build = ["build", "--profile", "mini", "--format", "iso", "--config", "node.toml"];
    binary.succeed(&build);
    let shown = binary.succeed(&["show", &format!("out/mini/{STEM}.iso"), "--json"]).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["kind"], &shown["format"]), (&"disk".into(), &"iso".into()));
    let files = shown["partitions"][0]["content"]["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == "kmimage/machine.toml").unwrap();
    assert_eq!(file["text"], config);
    let before = sums(&binary, "out/mini");

    // Another config is another image.
    std::fs::write(binary.path("node.toml"), config.replace("node-1", "node-2")).unwrap();
    binary.succeed(&build);
    assert_ne!(before, sums(&binary, "out/mini"));

    let secret = "version = 1\n[[file]]\npath = \"/etc/one\"\ncontent = \"hunter2\"\n";
    std::fs::write(binary.path("node.toml"), secret).unwrap();
    let refused = binary.run(&build);
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    assert!(refused.stderr.contains("node.toml has secrets, and an ISO is for many eyes: file.content (/etc/one)"));
    assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
    let refused = binary.run(&["build", "--profile", "mini", "--config", "node.toml"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
}
