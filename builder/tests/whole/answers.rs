//! What the program says about an image: `why`, `show`, `diff`, `profiles`, `completions`.

use crate::support::binary::Binary;
use crate::support::mini::{Mini, package, profiles_and};
use crate::{PROGRAM, SITE, STEM, world};
use serde_json::{Value, json};
use std::fs;

/// Holds answers of `kmimage why` against these, each with its exit code.
#[track_caller]
fn why(code: i32, answers: &[(&str, &str)]) {
    let binary = world();
    let mut wrong = Vec::new();
    for (path, answer) in answers {
        let outcome = binary.run(&["--quiet", "why", path, "--profile", "mini"]);
        let said = outcome.stdout + &outcome.stderr;
        if (outcome.code, said.as_str()) != (code, answer) {
            wrong.push(format!("{path}: {}\n{said}", outcome.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn why_a_path_is_there() {
    let answers = [
        (
            "/usr/lib/x86_64-linux-gnu/libmini.so.6",
            "/usr/lib/x86_64-linux-gnu/libmini.so.6: package mini-libc 1.0\n  \
             mini-libc: mini-program has Depends: mini-libc (>= 1.0)\n  mini-program: profile mini asks for it\n",
        ),
        (
            "/lib64/ld-linux-x86-64.so.2",
            "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2: package mini-libc 1.0\n  \
             mini-libc: mini-program has Depends: mini-libc (>= 1.0)\n  mini-program: profile mini asks for it\n",
        ),
        ("/etc/mini.conf", "/etc/mini.conf: package mini-program 1.0\n  mini-program: profile mini asks for it\n"),
        ("/etc/motd", "/etc/motd: overlay site\n"),
        ("/etc/passwd", "/etc/passwd: derive users\n"),
        ("/usr/lib/modules/6.0-mini/modules.dep", "/usr/lib/modules/6.0-mini/modules.dep: derive kernel-modules\n"),
        ("/sbin", "/sbin: kmimage\n  a link to usr/sbin\n  which is /usr/sbin: kmimage\n"),
        ("/tmp", "/tmp: derive skeleton\n"),
        ("/usr/lib/kmimage/init", "/usr/lib/kmimage/init: kmimage\n"),
    ];
    why(0, &answers);
}

#[test]
fn why_a_path_is_not_there() {
    let answers = [
        (
            "/usr/share/man/man1/mini.1",
            "error: /usr/share/man/man1/mini.1 is not in the image of mini: the profile drops it \
             (`/usr/share/{doc,man}`: nobody reads at a node)\n",
        ),
        (
            "/usr/lib/modules/6.0-mini/kernel/sound/mini_beep.ko",
            "error: /usr/lib/modules/6.0-mini/kernel/sound/mini_beep.ko is not in the image of mini: the profile drops it \
             (`kernel/sound` of [kernel.modules]: a node is silent)\n",
        ),
        ("/nowhere", "error: /nowhere is not in the image of mini\n"),
        ("nowhere", "error: /nowhere is not in the image of mini\n"),
        ("/../x", "error: `/../x` is no path of an image\n  caused by: path climbs above /\n"),
    ];
    why(2, &answers);
}

#[test]
fn why_as_json() {
    let binary = world();
    let outcome = binary.succeed(&["why", "--json", "/usr/lib/x86_64-linux-gnu/libmini.so.6", "--profile", "mini"]);
    let answer: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let because = json!({ "package": "mini-program", "relation": "Depends: mini-libc (>= 1.0)" });
    let expected = json!({
        "path": "/usr/lib/x86_64-linux-gnu/libmini.so.6",
        "origin": { "package": "mini-libc", "version": "1.0" },
        "chain": [
            { "package": "mini-libc", "because": because },
            { "package": "mini-program", "because": "profile" },
        ],
    });
    assert_eq!(answer, expected);
}

fn shown(binary: &Binary, ending: &str) -> Value {
    let outcome = binary.succeed(&["show", "--json", &format!("out/mini/{STEM}.{ending}")]);
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn show_decodes_every_kind_of_artefact() {
    let binary = world();
    binary.succeed(&["build", "--profile", "mini", "--quiet"]);
    let manifest = shown(&binary, "json");
    assert_eq!(manifest["image_id"], "kmimage-mini");
    let root_hash = manifest["verity"]["root_hash"].as_str().unwrap();

    let mut disk = shown(&binary, "raw");
    let labels: Vec<&str> = disk["partitions"].as_array().unwrap().iter().map(|row| row["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["bios", "esp", "root-a", "root-a-verity", "_empty", "_empty", "state", "var"]);
    let files = disk["partitions"][1]["content"]["files"].as_array().unwrap();
    let on_disk = files.iter().find(|file| file["path"] == "EFI/kmimage/a.efi").unwrap();
    assert_eq!(disk["partitions"][2]["content"]["kind"], "squashfs");
    assert_eq!(disk["partitions"][3]["content"]["salt"], manifest["verity"]["salt"]);

    let mut uki = shown(&binary, "efi");
    assert_eq!(uki["texts"][".cmdline"], format!("roothash={root_hash} console=ttyS0 panic=10"));
    assert_eq!(uki["texts"][".uname"], "6.0-mini");
    uki.as_object_mut().unwrap().remove("kind");
    assert_eq!(on_disk["uki"], uki);

    // Both formats are one disk.
    disk["format"] = json!("qcow2");
    assert_eq!(shown(&binary, "qcow2"), disk);

    let root = shown(&binary, "root.squashfs");
    let inside: Vec<&String> = root["files"].as_object().unwrap().keys().collect();
    let table = fs::read_to_string(binary.path(&format!("out/mini/{STEM}.files.tsv"))).unwrap();
    let mut listed: Vec<&str> = table.lines().filter_map(|line| line.split('\t').find(|cell| cell.starts_with('/'))).collect();
    listed.sort_unstable();
    assert_eq!(inside, listed);
    let mode = |path: &str| root["files"][path]["mode"].as_u64().unwrap();
    assert_eq!(["/tmp", "/proc", "/root", "/usr"].map(mode), [0o1777, 0o555, 0o700, 0o755]);
}

#[test]
fn show_speaks_to_people_too() {
    let binary = world();
    binary.succeed(&["build", "--profile", "mini", "--quiet", "--format", "qcow2"]);
    let text = |file: &str| binary.succeed(&["show", file]).stdout;
    for (ending, first) in [
        ("qcow2", "disk image, qcow2, 741 MiB"),
        ("json", "image kmimage-mini 0.1.0, role base, amd64"),
        ("efi", "unified kernel image, not signed, "),
        ("root.squashfs", "squashfs, "),
    ] {
        let text = text(&format!("out/mini/{STEM}.{ending}"));
        assert!(text.starts_with(first), "{ending}: {text}");
    }
    assert_eq!(text("out/mini"), text(&format!("out/mini/{STEM}.json")));

    let unknown = "is nothing that kmimage makes: no disk image, UKI, root image, hash tree or manifest";
    for (file, message) in [
        ("out/mini/SHA256SUMS", format!("error: out/mini/SHA256SUMS {unknown}\n")),
        ("gone", "error: can't read gone\n  caused by: No such file or directory (os error 2)\n".to_owned()),
        ("profiles", "error: profiles holds 0 image manifests, not one\n".to_owned()),
    ] {
        let outcome = binary.run(&["show", file]);
        assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr), (2, "", message));
    }
}

#[test]
fn diff_tells_packages_files_and_sizes() {
    let binary = world();
    let build = |output: &str| binary.succeed(&["build", "--profile", "mini", "--format", "qcow2", "--output", output]);
    build("before");
    binary.write("overlays/site/rootfs/etc/motd", "longer\n");
    Mini::new().extra(SITE).with(package("odd").file("/opt/odd", 0o600, "odd\n")).write(&binary);
    build("after");
    let text = binary.succeed(&["diff", "before", "after"]).stdout;
    let (root_hash, rest) = text.split_once('\n').unwrap();
    assert!(root_hash.starts_with("root hash ") && root_hash.contains(" -> "), "{root_hash}");
    let expected = "\
packages: 1 added, 0 removed, 0 changed
  + odd 1.0
files: 4 added, 0 removed, 1 changed
  ~ /etc/motd, 4 B -> 7 B, content, from overlay site
  + /opt, from package odd 1.0
  + /opt/odd, 4 B, from package odd 1.0
  + /usr/share/licenses/odd, from package odd 1.0
  + /usr/share/licenses/odd/copyright, 20 B, from package odd 1.0
size of files ";
    assert!(rest.starts_with(expected), "{rest}");
    let found: Value = serde_json::from_str(&binary.succeed(&["diff", "--json", "after", "before"]).stdout).unwrap();
    assert_eq!(found["packages"], json!({ "odd": { "from": "1.0", "to": null } }));
    assert_eq!(found["files"]["/etc/motd"]["size"], json!({ "from": 7, "to": 4 }));
    let same = binary.succeed(&["diff", "after", "after"]).stdout;
    assert_eq!(same, "packages: 0 added, 0 removed, 0 changed\nfiles: 0 added, 0 removed, 0 changed\nno difference\n");
}

#[test]
fn profiles_are_listed_even_where_one_is_wrong() {
    let binary = world();
    binary.write("profiles/wrong.toml", "descrption = 1\n");
    let fault = "\
profiles/wrong.toml:1:1: unknown key `descrption`; did you mean `description`?
   |
 1 | descrption = 1
   | ^^^^^^^^^^";
    let text = binary.succeed(&["profiles"]).stdout;
    for line in ["base    The operating system alone: ", "mini    A miniature of a distribution\n"] {
        assert!(text.contains(&format!("\n{line}")) || text.starts_with(line), "{text}");
    }
    assert!(text.ends_with(&format!("\nwrong   cannot be read: {fault}\n")), "{text}");

    let rows: Vec<Value> = serde_json::from_str(&binary.succeed(&["profiles", "--json"]).stdout).unwrap();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, profiles_and(&["mini", "wrong"]));
    assert_eq!(row("base")["file"], "embedded:profiles/base.toml");
    let mini = json!({ "name": "mini", "file": "profiles/mini.toml", "description": "A miniature of a distribution" });
    assert_eq!(*row("mini"), mini);
    assert_eq!(*row("wrong"), json!({ "name": "wrong", "file": "profiles/wrong.toml", "error": fault }));
}

#[test]
fn completions_for_every_shell() {
    let binary = Binary::new(PROGRAM);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = binary.succeed(&["completions", shell]).stdout;
        for word in ["build", "image-version", "profiles", "kmimage"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
}
