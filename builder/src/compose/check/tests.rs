//! Each rule on small trees, with its exact words.

use super::*;
use crate::compose::content::Content;
use crate::compose::derive::testing::{overlay, package, path, put};
use crate::compose::facts::testing::{ElfSpec, module};
use crate::compose::tree::{Entry, Kind, Origin};
use crate::failure::{Classified, Kind as FailureKind};
use crate::profile::PathGlob;

const LIBS: &str = "/usr/lib/x86_64-linux-gnu";

fn program<'a>() -> ElfSpec<'a> {
    ElfSpec { interpreter: Some("/lib64/ld-linux-x86-64.so.2"), needed: &["libc.so.6"], ..Default::default() }
}

fn put_elf(tree: &mut Tree, at: &str, spec: &ElfSpec<'_>, origin: &Origin) {
    tree.insert(path(at), Entry::file(spec.content(), 0o755, origin.clone()));
}

/// A tree that breaks no rule.
fn sound() -> Tree {
    let mut tree = Tree::new();
    let libc = package("libc6");
    put_elf(
        &mut tree,
        &format!("{LIBS}/ld-linux-x86-64.so.2"),
        &ElfSpec { soname: Some("ld-linux-x86-64.so.2"), ..Default::default() },
        &libc,
    );
    put_elf(
        &mut tree,
        &format!("{LIBS}/libc.so.6"),
        &ElfSpec { soname: Some("libc.so.6"), needed: &["ld-linux-x86-64.so.2"], ..Default::default() },
        &libc,
    );
    for (link, target) in [
        ("/lib", "usr/lib"),
        ("/lib64", "usr/lib64"),
        ("/usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
    ] {
        tree.insert(path(link), Entry::symlink(target, libc.clone()));
    }
    put_elf(&mut tree, "/usr/bin/tool", &program(), &package("tool"));
    tree
}

fn broken(tree: &Tree, exceptions: &[Exception]) -> Vec<String> {
    let facts = Facts::gather(tree, None, 2).unwrap();
    match check_with(tree, &facts, exceptions) {
        Ok(_) => Vec::new(),
        Err(CheckError::Broken(violations)) => violations.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("{other}"),
    }
}

/// What `change` to a sound tree breaks.
fn breaks(change: impl FnOnce(&mut Tree)) -> Vec<String> {
    let mut tree = sound();
    change(&mut tree);
    broken(&tree, &[])
}

fn allow(rule: Rule, glob: &str) -> Exception {
    Exception { rule, path: PathGlob::new(glob).unwrap(), reason: "why not".into() }
}

#[test]
fn a_sound_tree_breaks_nothing() {
    assert_eq!(breaks(|_| ()), [""; 0]);
}

#[test]
fn libraries_and_loaders_must_be_there() {
    let missing = breaks(|tree| {
        tree.remove(&path(&format!("{LIBS}/libc.so.6")));
    });
    assert_eq!(
        missing,
        ["/usr/bin/tool needs the shared library libc.so.6, which is not in the image [missing-library; package tool 1]"]
    );
    let missing = breaks(|tree| {
        tree.remove(&path("/usr/lib64"));
        tree.remove(&path("/lib64"));
    });
    assert_eq!(
        missing,
        [
            "/usr/bin/tool needs the program interpreter /lib64/ld-linux-x86-64.so.2, which is not in the image [missing-interpreter; package tool 1]"
        ]
    );
    // A library that needs another, in a program that needs the first.
    let missing = breaks(|tree| {
        put_elf(tree, "/usr/bin/b", &ElfSpec { needed: &["liba.so.1"], ..program() }, &package("b"));
        put_elf(tree, &format!("{LIBS}/liba.so.1"), &ElfSpec { needed: &["libgone.so"], ..Default::default() }, &package("liba"));
    });
    assert_eq!(
        missing,
        [
            "/usr/lib/x86_64-linux-gnu/liba.so.1 needs the shared library libgone.so, which is not in the image [missing-library; package liba 1]"
        ]
    );
    // A text file by the library's name is no library; nor is one of another machine.
    let missing = breaks(|tree| {
        put(tree, &format!("{LIBS}/libc.so.6"), b"GROUP ( libc.so.6 )", &package("libc6-dev"));
    });
    assert_eq!(missing.len(), 1);
    let missing = breaks(|tree| {
        put_elf(tree, &format!("{LIBS}/libc.so.6"), &ElfSpec { machine: Some(183), ..Default::default() }, &package("libc6"));
    });
    assert_eq!(missing.len(), 1, "{missing:?}");
}

#[test]
fn run_paths_are_followed_as_ld_so_does() {
    let lib = |soname| ElfSpec { soname: Some(soname), ..Default::default() };
    // (program, where its library lies, found)
    let origin = ElfSpec { runpath: Some("/none:$ORIGIN/../lib"), needed: &["libx.so.1"], ..program() };
    let rpath = ElfSpec { rpath: Some("${ORIGIN}/../lib"), needed: &["libx.so.1"], ..program() };
    let void = ElfSpec { rpath: Some("/opt/x/lib"), runpath: Some("/none"), needed: &["libx.so.1"], ..program() };
    let plain = ElfSpec { needed: &["libx.so.1"], ..program() };
    let slash = ElfSpec { needed: &["/opt/x/lib/libx.so.1"], ..program() };
    for (spec, found) in [(origin, true), (rpath.clone(), true), (void, false), (plain, false), (slash, true)] {
        let missing = breaks(|tree| {
            put_elf(tree, "/opt/x/bin/p", &spec, &package("x"));
            put_elf(tree, "/opt/x/lib/libx.so.1", &lib("libx.so.1"), &package("x"));
        });
        assert_eq!(missing.is_empty(), found, "{missing:?}");
    }
    // RPATH is handed down to what a library needs; RUNPATH is not, unless the name is loaded already.
    let needs_y = ElfSpec { needed: &["liby.so.1"], ..lib("libx.so.1") };
    let with = |program: &ElfSpec<'_>| {
        breaks(|tree| {
            put_elf(tree, "/opt/x/bin/p", program, &package("x"));
            put_elf(tree, "/opt/x/lib/libx.so.1", &needs_y, &package("x"));
            put_elf(tree, "/opt/x/lib/liby.so.1", &lib("liby.so.1"), &package("x"));
        })
    };
    let runpath = ElfSpec { runpath: rpath.rpath, rpath: None, ..rpath.clone() };
    assert_eq!(with(&rpath), [""; 0]);
    assert_eq!(with(&runpath).len(), 1);
    assert_eq!(with(&ElfSpec { needed: &["liby.so.1", "libx.so.1"], ..runpath }), [""; 0]);
}

#[test]
fn the_cache_is_believed() {
    let mut tree = sound();
    let vendor = package("vendor");
    put_elf(&mut tree, "/opt/v/libv.so.1", &ElfSpec { soname: Some("libv.so.1"), ..Default::default() }, &vendor);
    put_elf(&mut tree, "/usr/bin/v", &ElfSpec { needed: &["libv.so.1"], ..program() }, &vendor);
    put(&mut tree, "/etc/ld.so.conf", b"/opt/v\n", &vendor);
    assert_eq!(broken(&tree, &[]).len(), 1);
    let facts = Facts::gather(&tree, None, 1).unwrap();
    crate::compose::derive::ld_so_cache::derive(&mut tree, &facts).unwrap();
    assert_eq!(broken(&tree, &[]), [""; 0]);
}

#[test]
fn foreign_and_damaged_programs_cannot_run() {
    let found = breaks(|tree| {
        put_elf(
            tree,
            "/usr/bin/arm",
            &ElfSpec { machine: Some(183), interpreter: Some("/ld"), ..Default::default() },
            &overlay("site"),
        );
        tree.insert(path("/usr/bin/torn"), Entry::file(Content::from_bytes(*b"\x7fELF\x02\x01"), 0o755, overlay("site")));
        put_elf(
            tree,
            "/usr/lib/firmware/gsp.bin",
            &ElfSpec { machine: Some(243), interpreter: Some("/ld"), ..Default::default() },
            &package("fw"),
        );
    });
    assert_eq!(
        found,
        [
            "/usr/bin/arm is a program for another machine (64 bits, ELF machine 183) [missing-interpreter; overlay site]",
            "/usr/bin/torn can't be run: the ELF header lies beyond the end of the file [overlay site]",
        ]
    );
}

#[test]
fn shells_are_known_by_bytes_package_and_name() {
    let bash = ElfSpec { constants: "GNU bash, version %s-(%s)\n", ..program() };
    let found = breaks(|tree| {
        put_elf(tree, "/usr/bin/ls", &bash, &package("coreutils"));
        put_elf(tree, "/usr/libexec/helper", &bash, &overlay("site"));
        put_elf(tree, "/usr/libexec/moved", &program(), &package("dash"));
        put_elf(tree, "/usr/bin/python3.13", &program(), &overlay("site"));
        put_elf(tree, "/usr/bin/pythonista", &program(), &overlay("site"));
        put_elf(tree, "/usr/bin/apt-get", &program(), &package("apt"));
        put_elf(tree, "/usr/bin/mawk", &program(), &package("mawk"));
        tree.insert(path("/usr/bin/sh"), Entry::symlink("tool", overlay("site")));
        tree.insert(path("/usr/bin/bash"), Entry::symlink("../libexec/helper", overlay("site")));
        // Not programs: a directory, data, a manual by the same name.
        put(tree, "/usr/share/bash-completion/bash", b"complete", &package("bash-completion"));
        put(tree, "/etc/dash", b"#!/usr/bin/tool\n", &package("dash"));
    });
    assert_eq!(
        found,
        [
            "/usr/bin/apt-get is a program of the package apt: a package manager (apt) [package-manager; package apt 1]",
            "/usr/bin/ls is a shell (bash), by its bytes [shell; package coreutils 1]",
            "/usr/bin/mawk is a program of the package mawk: an interpreter (mawk) [interpreter; package mawk 1]",
            "/usr/bin/python3.13 is an interpreter (python), by its name [interpreter; overlay site]",
            "/usr/bin/sh is a link by the name of a shell (dash) to /usr/bin/tool [shell; overlay site]",
            "/usr/libexec/helper is a shell (bash), by its bytes [shell; overlay site]",
            "/usr/libexec/moved is a program of the package dash: a shell (dash) [shell; package dash 1]",
        ]
    );
}

#[test]
fn scripts_need_their_interpreter() {
    let found = breaks(|tree| {
        let mut script = |at: &str, text: &str, mode| {
            tree.insert(path(at), Entry::file(Content::from_bytes(text.as_bytes()), mode, package("scripts")));
        };
        script("/usr/bin/a", "#!/bin/sh -e\n", 0o755);
        script("/usr/bin/b", "#!/usr/bin/tool\n", 0o755);
        script("/usr/bin/c", "#!/usr/bin/tool -x\n", 0o755);
        script("/usr/bin/d", "#!sh\n", 0o755);
        script("/usr/bin/env", "#!/usr/bin/tool\n", 0o755);
        script("/usr/bin/e", "#!/usr/bin/env tool\n", 0o755);
        script("/usr/bin/f", "#!/usr/bin/env -S python3 -u\n", 0o755);
        script("/usr/lib/sourced", "#!/bin/sh\n", 0o644);
    });
    assert_eq!(
        found,
        [
            "/usr/bin/a is a script for /bin/sh, which is not in the image [missing-interpreter; package scripts 1]",
            "/usr/bin/d is a script for sh, which is no absolute path [missing-interpreter; package scripts 1]",
            "/usr/bin/f is a script for python3 (by env), which is not in the image [missing-interpreter; package scripts 1]",
        ]
    );
}

#[test]
fn modes_must_not_give_rights_away() {
    let found = breaks(|tree| {
        let mut entry = |at: &str, kind: Kind, mode| tree.insert(path(at), Entry::new(kind, mode, package("p")));
        let file = || Kind::File(Content::from_bytes(*b"x"));
        entry("/a", file(), 0o4755);
        entry("/b", file(), 0o2755);
        entry("/c", file(), 0o666);
        entry("/d", Kind::Directory, 0o777);
        entry("/e", Kind::Directory, 0o1777);
        entry("/f", Kind::Directory, 0o2775);
        entry("/g", file(), 0o1666);
        entry("/h", Kind::CharDevice { major: 1, minor: 3 }, 0o600);
        entry("/i", Kind::BlockDevice { major: 8, minor: 0 }, 0o600);
    });
    assert_eq!(
        found,
        [
            "/a is set-uid (mode 4755) [set-uid; package p 1]",
            "/b is set-gid (mode 2755) [set-uid; package p 1]",
            "/c is writable by everyone (mode 0666) [world-writable; package p 1]",
            "/d is writable by everyone (mode 0777) [world-writable; package p 1]",
            "/g is writable by everyone (mode 1666) [world-writable; package p 1]",
            "/h is a character device (1:3) [package p 1]",
            "/i is a block device (8:0) [package p 1]",
        ]
    );
}

#[test]
fn links_must_lead_somewhere() {
    let found = breaks(|tree| {
        for (link, target) in [
            ("/etc/gone", "../usr/gone"),
            ("/etc/mtab", "../proc/self/mounts"),
            ("/etc/resolv.conf", "/run/resolv.conf"),
            ("/etc/circle", "circle"),
            ("/etc/through", "mtab/x"),
            ("/etc/up", "../../../usr/bin/tool"),
            ("/var/lib/x", "/usr/gone"),
            ("/etc/varlink", "/var/lib/none"),
            ("/runaway", "/running"),
        ] {
            tree.insert(path(link), Entry::symlink(target, package("p")));
        }
    });
    assert_eq!(
        found,
        [
            "/etc/circle is a link to circle, which goes round in a circle [dangling-link; package p 1]",
            "/etc/gone is a link to ../usr/gone, but there is no /usr/gone [dangling-link; package p 1]",
            "/runaway is a link to /running, but there is no /running [dangling-link; package p 1]",
            "/var/lib/x is a link to /usr/gone, but there is no /usr/gone [dangling-link; package p 1]",
        ]
    );
}

#[test]
fn kernel_modules_must_fit() {
    let found = breaks(|tree| {
        let mut put_module = |at: &str, lines: &[&str]| put(tree, at, &module(lines), &package("linux"));
        put_module("/usr/lib/modules/6.1/kernel/a.ko", &["vermagic=6.1 SMP ", "depends=b,in-built"]);
        put_module("/usr/lib/modules/6.1/kernel/b.ko", &["vermagic=6.1 SMP "]);
        put_module("/usr/lib/modules/6.1/kernel/old.ko", &["vermagic=6.0 SMP "]);
        put_module("/usr/lib/modules/6.1/kernel/needy.ko", &["vermagic=6.1 SMP ", "depends=gone"]);
        put_module("/usr/share/stray.ko", &["vermagic=6.1 SMP "]);
        put(tree, "/usr/lib/modules/6.1/kernel/torn.ko.xz", b"\xfd7zXZ\0torn", &package("linux"));
        put(tree, "/usr/lib/modules/6.1/modules.builtin", b"kernel/lib/in-built.ko\n", &package("linux"));
    });
    assert_eq!(
        found,
        [
            "/usr/lib/modules/6.1/kernel/needy.ko needs the kernel module gone, which is neither in the image nor built in [package linux 1]",
            "/usr/lib/modules/6.1/kernel/old.ko is built for kernel \"6.0\", but lies with the modules of 6.1 [package linux 1]",
            "/usr/lib/modules/6.1/kernel/torn.ko.xz is no kernel module: it can't be unpacked (xz) [package linux 1]",
            "/usr/share/stray.ko is a kernel module outside /usr/lib/modules/RELEASE: nothing loads it [package linux 1]",
        ]
    );
}

#[test]
fn the_profile_allows_by_rule_and_path() {
    let mut tree = sound();
    tree.insert(path("/usr/bin/su"), Entry::file(program().content(), 0o4755, package("p")));
    tree.insert(path("/usr/bin/ping"), Entry::file(program().content(), 0o4755, package("p")));
    let left = broken(&tree, &[allow(Rule::SetUid, "/usr/bin/su"), allow(Rule::Shell, "/usr/bin/ping")]);
    assert_eq!(left, ["/usr/bin/ping is set-uid (mode 4755) [set-uid; package p 1]"]);
    let facts = Facts::gather(&tree, None, 1).unwrap();
    let exceptions =
        [allow(Rule::SetUid, "/usr/bin/*"), allow(Rule::SetUid, "/usr/bin/su"), allow(Rule::DanglingLink, "/etc/**")];
    assert_eq!(
        check_with(&tree, &facts, &exceptions).unwrap(),
        ["the profile allows dangling-link at /etc/** (why not), but nothing there needs it"]
    );
    // What no rule of the profile names can't be allowed.
    tree.insert(path("/h"), Entry::new(Kind::CharDevice { major: 1, minor: 3 }, 0o600, package("p")));
    assert_eq!(broken(&tree, &exceptions), ["/h is a character device (1:3) [package p 1]"]);
}

#[test]
fn the_error_names_every_place_and_the_ways_out() {
    let mut tree = sound();
    tree.insert(path("/a"), Entry::file(Content::from_bytes(*b"x"), 0o4755, package("p")));
    tree.insert(path("/b"), Entry::symlink("none", overlay("site")));
    let facts = Facts::gather(&tree, None, 1).unwrap();
    let error = check_with(&tree, &facts, &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the finished tree breaks rules in 2 places:\n  /a is set-uid (mode 4755) [set-uid; package p 1]\n  \
         /b is a link to none, but there is no /none [dangling-link; overlay site]"
    );
    assert_eq!(error.kind(), FailureKind::Policy);
    assert_eq!(
        error.hints(),
        [
            "Leave a file out by `[[drop]]` in the profile, or the package that brings it by `[[absent]]`.",
            "Where it is meant, allow it by name in the profile: [[allow]] rule = \"set-uid\", path = \"/a\", reason = \"...\"."
        ]
    );
}

#[test]
fn services_are_what_init_reads_and_have_their_programs() {
    let service = |tree: &mut Tree, name: &str, text: &str| {
        put(tree, &format!("{}/{name}", kmimage_contract::paths::SERVICES), text.as_bytes(), &overlay("worker"));
    };
    assert_eq!(breaks(|tree| service(tree, "good.toml", "command = [\"/usr/bin/tool\"]")), [""; 0]);
    // Not init's to read.
    assert_eq!(breaks(|tree| service(tree, "README", "?")), [""; 0]);
    assert_eq!(
        breaks(|tree| service(tree, "odd.toml", "command = [\"/usr/bin/tool\"]\nneeds = [\"nobody\"]")),
        [
            "/usr/lib/kmimage/services/odd.toml is no service that init understands: 2:10: `odd` needs `nobody`, and there is no such service; known here: network, time, state, var, applied, kubelet-configured, odd [overlay worker]"
        ]
    );
    assert_eq!(
        breaks(|tree| service(tree, "gone.toml", "command = [\"/usr/bin/gone\"]")),
        ["/usr/lib/kmimage/services/gone.toml runs /usr/bin/gone, which is not in the image [overlay worker]"]
    );
}
