use super::*;

fn facts(kind: char, mode: u16, size: Option<u64>, content: Option<&str>) -> FileFacts {
    FileFacts {
        kind,
        mode,
        owner: "0:0".to_owned(),
        size,
        content: content.map(str::to_owned),
        attributes: None,
        origin: Some("kmimage".to_owned()),
    }
}

fn contents(version: &str, packages: &[(&str, &str)], files: &[(&str, FileFacts)]) -> Contents {
    let text = |text: &str| text.to_owned();
    Contents {
        image: [("version", text(version)), ("role", text("base"))].into(),
        packages: Some(packages.iter().map(|&(name, version)| (text(name), text(version))).collect()),
        container_images: (!packages.is_empty())
            .then(|| [(text("a.b/c:1"), format!("sha256:{version}")), (text("a.b/same:1"), text("sha256:0"))].into()),
        files: Some(files.iter().map(|(path, facts)| (text(path), facts.clone())).collect()),
        hashed: true,
        artefacts: [(text("root.squashfs"), 100 * version.len() as u64)].into(),
    }
}

#[test]
fn differences_are_told_in_text_and_json() {
    let first = contents(
        "0.1",
        &[("gone", "1"), ("libc6", "2.41-1"), ("same", "3")],
        &[
            ("/bin", facts('l', 0o777, None, Some("usr/bin"))),
            ("/etc/a", facts('f', 0o644, Some(3), Some("aa"))),
            ("/etc/b", facts('f', 0o644, Some(3), Some("bb"))),
            ("/etc/c", facts('f', 0o644, Some(2048), Some("cc"))),
            ("/etc/d", facts('d', 0o755, None, Some("-"))),
        ],
    );
    let second = contents(
        "0.1.1",
        &[("libc6", "2.41-2"), ("new", "1:1"), ("same", "3")],
        &[
            ("/bin", facts('l', 0o777, None, Some("usr/sbin"))),
            ("/etc/a", facts('f', 0o644, Some(3), Some("ab"))),
            ("/etc/b", facts('f', 0o600, Some(5), Some("bc"))),
            ("/etc/d", facts('f', 0o755, Some(1), Some("dd"))),
            ("/etc/e", facts('f', 0o644, Some(7), Some("ee"))),
        ],
    );
    let difference = diff(&first, &second);
    assert_eq!(
        difference.to_string(),
        "\
version 0.1 -> 0.1.1
packages: 1 added, 1 removed, 1 changed
  - gone 1
  ~ libc6 2.41-1 -> 2.41-2
  + new 1:1
container images: 0 added, 0 removed, 1 changed
  ~ a.b/c:1 sha256:0.1 -> sha256:0.1.1
files: 1 added, 1 removed, 4 changed
  ~ /bin, target, from kmimage
  ~ /etc/a, content, from kmimage
  ~ /etc/b, 3 B -> 5 B, content, mode 0644 -> 0600, from kmimage
  - /etc/c, 2.0 KiB (2048 B), from kmimage
  ~ /etc/d, 1 B, type d -> f, from kmimage
  + /etc/e, 7 B, from kmimage
size of files 2.0 KiB (2054 B) -> 16 B, -99.2 %
size of root.squashfs 300 B -> 500 B, +66.7 %
"
    );
    let json = serde_json::to_value(&difference).unwrap();
    assert_eq!(json["packages"]["new"]["to"], "1:1");
    assert_eq!(json["files"]["/etc/b"]["what"][1], "mode 0644 -> 0600");
    assert_eq!(
        diff(&first, &first).to_string(),
        "packages: 0 added, 0 removed, 0 changed\nfiles: 0 added, 0 removed, 0 changed\nno difference\n"
    );
}

#[test]
fn what_a_side_does_not_know_is_not_compared() {
    let known = contents("0.1", &[], &[("/a", facts('f', 0o644, Some(3), Some("aa")))]);
    let listed = Contents {
        files: Some([("/a".to_owned(), FileFacts { origin: None, ..facts('f', 0o644, Some(3), None) })].into()),
        ..Contents::default()
    };
    let text = diff(&known, &listed).to_string();
    assert_eq!(
        text.lines().take(3).collect::<Vec<_>>(),
        [
            "packages: not compared (only output folders and manifests name them)",
            "files: 0 added, 0 removed, 0 changed",
            "  (contents of the same size were not compared: only output folders have the files' hashes)"
        ]
    );
    let nothing = diff(&known, &Contents::default()).to_string();
    assert!(nothing.contains("files: not compared (a manifest without its .files.tsv lists none)\n"), "{nothing}");
}
