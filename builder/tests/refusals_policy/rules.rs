//! Trees that break a rule when they are finished, and overlays that do.

use super::refused;
use crate::PROGRAM;
use crate::support::binary::Binary;
use crate::support::deb::Deb;
use crate::support::elf::ElfSpec;
use crate::support::mini::{INTERPRETER, Mini, RELEASE, elf_program, kernel_module, package};

fn with(change: impl FnOnce(Deb) -> Deb) -> Mini {
    Mini::new().with(change(package("odd")))
}

/// The whole message about these violations; the first one that can be allowed is `(rule, path)`.
fn broken(violations: &[&str], allow: Option<(&str, &str)>) -> String {
    let mut text = match violations.len() {
        1 => "error: the finished tree breaks a rule:\n".to_owned(),
        count => format!("error: the finished tree breaks rules in {count} places:\n"),
    };
    for violation in violations {
        text += &format!("  {violation}\n");
    }
    text += "  help: Leave a file out by `[[drop]]` in the profile, or the package that brings it by `[[absent]]`.\n";
    if let Some((rule, path)) = allow {
        text += &format!(
            "  help: Where it is meant, allow it by name in the profile: [[allow]] rule = \"{rule}\", path = \"{path}\", reason = \"...\".\n"
        );
    }
    text
}

/// A program, and the one violation that its bytes, name or package are: `path` and `what` of it.
#[track_caller]
fn program(mini: &Mini, path: &str, what: &str, rule: &str, origin: &str) {
    refused(mini, &broken(&[&format!("{path} {what} [{rule}; {origin}]")], Some((rule, path))));
}

/// A program with a text in it that only BusyBox has.
fn shell() -> Vec<u8> {
    let constants = "BusyBox v1.37.0 (Debian) multi-call binary.";
    ElfSpec { interpreter: Some(INTERPRETER), needed: &["libmini.so.6"], constants, ..ElfSpec::default() }.bytes()
}

/// Some program of the miniature distribution.
fn sound() -> Vec<u8> {
    elf_program(&["libmini.so.6"])
}

/// An overlay `site` with one program, laid over the miniature distribution.
#[track_caller]
fn overlay(program: &[u8], manifest: &str, message: &str) {
    let binary = Binary::new(PROGRAM);
    Mini::new().extra("overlays = [\"site\"]").write(&binary);
    binary.write("overlays/site/rootfs/usr/bin/helper", program).write("overlays/site/overlay.toml", manifest);
    binary.refuses(&["--profile", "mini"], 6, message);
}

const NAMED: &str = "[[executable]]\npath = \"/usr/bin/helper\"\nreason = \"the site's own\"\n";

#[test]
fn a_missing_shared_library() {
    let mini = with(|deb| deb.file("/usr/bin/odd", 0o755, elf_program(&["libmini.so.6", "libgone.so.1"])));
    let what = "needs the shared library libgone.so.1, which is not in the image";
    program(&mini, "/usr/bin/odd", what, "missing-library", "package odd 1.0");
}

#[test]
fn a_missing_program_interpreter() {
    let musl = ElfSpec { interpreter: Some("/lib/ld-musl-x86_64.so.1"), ..ElfSpec::default() };
    let what = "needs the program interpreter /lib/ld-musl-x86_64.so.1, which is not in the image";
    let mini = with(|deb| deb.file("/usr/bin/odd", 0o755, musl.bytes()));
    program(&mini, "/usr/bin/odd", what, "missing-interpreter", "package odd 1.0");
}

#[test]
fn a_shell_from_its_package() {
    let dash = package("dash").file("/usr/bin/dash", 0o755, sound()).symlink("/usr/bin/sh", "dash");
    let what = "is a program of the package dash: a shell (dash)";
    program(&Mini::new().with(dash), "/usr/bin/dash", what, "shell", "package dash 1.0");
}

#[test]
fn a_shell_under_another_name() {
    let mini = with(|deb| deb.file("/usr/lib/odd/helper", 0o644, shell()));
    program(&mini, "/usr/lib/odd/helper", "is a shell (busybox), by its bytes", "shell", "package odd 1.0");
}

#[test]
fn a_shell_that_a_link_gives_its_name() {
    let mini = with(|deb| deb.file("/usr/lib/odd/helper", 0o755, sound()).symlink("/usr/bin/bash", "../lib/odd/helper"));
    let what = "is a link by the name of a shell (bash) to /usr/lib/odd/helper";
    program(&mini, "/usr/bin/bash", what, "shell", "package odd 1.0");
}

#[test]
fn a_shell_from_an_overlay() {
    let message =
        broken(&["/usr/bin/helper is a shell (busybox), by its bytes [shell; overlay site]"], Some(("shell", "/usr/bin/helper")));
    overlay(&shell(), NAMED, &message);
}

#[test]
fn an_interpreter() {
    let mini = with(|deb| deb.file("/usr/bin/python3.13", 0o755, sound()));
    program(&mini, "/usr/bin/python3.13", "is an interpreter (python), by its name", "interpreter", "package odd 1.0");
}

#[test]
fn a_package_manager() {
    let mini = with(|deb| deb.file("/usr/bin/dpkg", 0o755, sound()));
    program(&mini, "/usr/bin/dpkg", "is a package manager (dpkg), by its name", "package-manager", "package odd 1.0");
}

#[test]
fn scripts_without_their_interpreters() {
    let mini = with(|deb| {
        deb.file("/usr/bin/env", 0o755, sound())
            .file("/usr/bin/one", 0o755, "#!/bin/sh\n")
            .file("/usr/bin/two", 0o755, "#!/usr/bin/env perl\n")
            .file("/usr/share/odd/no-program", 0o644, "#!/bin/sh\n")
    });
    let one = "/usr/bin/one is a script for /bin/sh, which is not in the image [missing-interpreter; package odd 1.0]";
    let two = "/usr/bin/two is a script for perl (by env), which is not in the image [missing-interpreter; package odd 1.0]";
    refused(&mini, &broken(&[one, two], Some(("missing-interpreter", "/usr/bin/one"))));
}

#[test]
fn set_uid_and_set_gid_files() {
    let mini = with(|deb| deb.file("/usr/bin/odd", 0o4755, sound()).file("/usr/bin/odder", 0o2755, sound()));
    let odd = "/usr/bin/odd is set-uid (mode 4755) [set-uid; package odd 1.0]";
    let odder = "/usr/bin/odder is set-gid (mode 2755) [set-uid; package odd 1.0]";
    refused(&mini, &broken(&[odd, odder], Some(("set-uid", "/usr/bin/odd"))));
}

#[test]
fn a_world_writable_file_and_directory() {
    let mini = with(|deb| deb.file("/etc/odd.conf", 0o666, "x").directory("/opt/odd", 0o777).directory("/opt/sticky", 0o1777));
    let file = "/etc/odd.conf is writable by everyone (mode 0666) [world-writable; package odd 1.0]";
    let directory = "/opt/odd is writable by everyone (mode 0777) [world-writable; package odd 1.0]";
    refused(&mini, &broken(&[file, directory], Some(("world-writable", "/etc/odd.conf"))));
}

#[test]
fn dangling_links() {
    let mini = with(|deb| {
        deb.symlink("/etc/odd", "/usr/share/odd/gone").symlink("/opt/circle", "circle").symlink("/opt/later", "/run/odd/socket")
    });
    let gone = "/etc/odd is a link to /usr/share/odd/gone, but there is no /usr/share/odd [dangling-link; package odd 1.0]";
    let circle = "/opt/circle is a link to circle, which goes round in a circle [dangling-link; package odd 1.0]";
    refused(&mini, &broken(&[gone, circle], Some(("dangling-link", "/etc/odd"))));
}

#[test]
fn a_program_in_an_overlay_that_does_not_name_it() {
    let message = "\
error: overlay site: /usr/bin/helper: an ELF executable, which overlay.toml does not name
  help: Programs come from packages, which are signed and locked; use one if there is one.
  help: Else name it in overlay.toml: [[executable]] path = \"/usr/bin/helper\", reason = \"...\".
";
    overlay(&sound(), "", message);
}

/// The miniature kernel with one more module.
fn with_module(depends: &str, release: &str) -> Mini {
    Mini::new().change("linux-image-6.0-mini", |deb| {
        let path = format!("/usr/lib/modules/{RELEASE}/kernel/fs/odd.ko");
        deb.file(&path, 0o644, kernel_module("odd", depends, release))
    })
}

#[test]
fn a_module_of_another_kernel() {
    let what = "/usr/lib/modules/6.0-mini/kernel/fs/odd.ko is built for kernel \"6.1-mini\", but lies with the modules of 6.0-mini \
                [package linux-image-6.0-mini 1.0]";
    refused(&with_module("", "6.1-mini"), &broken(&[what], None));
}

#[test]
fn a_module_that_needs_one_that_is_nowhere() {
    let what = "/usr/lib/modules/6.0-mini/kernel/fs/odd.ko needs the kernel module gone, which is neither in the image nor built in \
                [package linux-image-6.0-mini 1.0]";
    refused(&with_module("gone", RELEASE), &broken(&[what], None));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let mini = with(|deb| {
        deb.file("/usr/bin/a", 0o4755, elf_program(&["libgone.so.1"]))
            .symlink("/usr/bin/b", "gone")
            .file("/opt/c", 0o777, "#!/x\n")
    });
    let violations = [
        "/opt/c is writable by everyone (mode 0777) [world-writable; package odd 1.0]",
        "/opt/c is a script for /x, which is not in the image [missing-interpreter; package odd 1.0]",
        "/usr/bin/a is set-uid (mode 4755) [set-uid; package odd 1.0]",
        "/usr/bin/a needs the shared library libgone.so.1, which is not in the image [missing-library; package odd 1.0]",
        "/usr/bin/b is a link to gone, but there is no /usr/bin/gone [dangling-link; package odd 1.0]",
    ];
    refused(&mini, &broken(&violations, Some(("world-writable", "/opt/c"))));
}

#[test]
fn a_rule_is_waived_by_its_name_and_path_only() {
    let mini = with(|deb| deb.file("/usr/bin/odd", 0o4755, sound()).file("/usr/bin/odder", 0o4755, sound()));
    let allow = |path: &str| format!("[[allow]]\nrule = \"set-uid\"\npath = \"{path}\"\nreason = \"a test\"");
    let one = mini.clone().extra(&allow("/usr/bin/odd"));
    program(&one, "/usr/bin/odder", "is set-uid (mode 4755)", "set-uid", "package odd 1.0");
    let binary = Binary::new(PROGRAM);
    mini.extra(&allow("/usr/bin/{odd,odder}")).write(&binary);
    binary.succeed(&["build", "--profile", "mini", "--format", "raw"]);
}
