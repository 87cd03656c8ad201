//! Packages whose members break a rule: the build says which member of which package it was.

use super::refused;
use crate::support::deb::{Deb, Member};
use crate::support::mini::{Mini, package};
use tar::EntryType;

/// A distribution with a package `odd` that breaks a rule by itself; `what` is what the message says behind the package's name.
#[track_caller]
fn odd(change: impl FnOnce(Deb) -> Deb, what: &str) {
    let hint = "Do not install this package: leave odd out of the profile, or take a sound version of it.";
    refused(&Mini::new().with(change(package("odd"))), &format!("error: package odd 1.0: {what}\n  help: {hint}"));
}

/// The same for a package that only breaks the rule together with another one.
#[track_caller]
fn clash(mini: Mini, change: impl FnOnce(Deb) -> Deb, what: &str) {
    let hint = "Declare one of the two packages absent in the profile, or leave odd out.";
    refused(&mini.with(change(package("odd"))), &format!("error: package odd 1.0: {what}\n  help: {hint}"));
}

fn file(path: &str) -> Member {
    Member::new(path, EntryType::Regular, 0o644)
}

#[test]
fn path_traversal() {
    odd(|deb| deb.member(file("./usr/../../etc/passwd")), "./usr/../../etc/passwd: path climbs above /");
    odd(|deb| deb.member(file("../etc/passwd")), "../etc/passwd: path climbs above /");
}

#[test]
fn a_member_below_a_symlink() {
    let what = |whose: &str| format!("./opt/way/passwd: it lies below the symlink /opt/way -> /etc of package {whose} 1.0");
    odd(|deb| deb.symlink("/opt/way", "/etc").member(file("./opt/way/passwd")), &what("odd"));
    let guide = package("guide").symlink("/opt/way", "/etc");
    clash(Mini::new().with(guide), |deb| deb.directory("/opt", 0o755).member(file("./opt/way/passwd")), &what("guide"));
}

#[test]
fn a_hard_link_to_no_earlier_member() {
    let what = |target: &str| format!("./opt/link: a hard link to no earlier file of the package ({target})");
    odd(|deb| deb.hard_link("/opt/link", "/opt/later").file("/opt/later", 0o644, "x"), &what("./opt/later"));
    odd(|deb| deb.hard_link("/opt/link", "/etc/mini.conf"), &what("./etc/mini.conf"));
    odd(|deb| deb.hard_link("/opt/link", "/../etc/shadow"), &what("./../etc/shadow"));
}

#[test]
fn a_symlink_climbing_above_the_root() {
    odd(|deb| deb.symlink("/opt/link", "../../etc/shadow"), "./opt/link: a symlink climbing above `/` (to ../../etc/shadow)");
}

#[test]
fn one_path_in_two_packages() {
    let what = "./etc/mini.conf: package mini-program 1.0 ships it, too, and neither replaces the other";
    clash(Mini::new(), |deb| deb.file("/etc/mini.conf", 0o644, "answer = 41\n"), what);
    let replaces = |deb: Deb| deb.field("Replaces", "odd").file("/opt/odd", 0o644, "x");
    let what = "./opt/odd: package mini-program 1.0 ships it, too, and each replaces the other";
    let mini = Mini::new().change("mini-program", replaces);
    clash(mini, |deb| deb.field("Replaces", "mini-program").file("/opt/odd", 0o644, "y"), what);
}

#[test]
fn a_directory_where_another_package_has_a_file() {
    let what = "./etc/mini.conf/: package mini-program 1.0 ships it, too, and only one of the two is a directory";
    clash(Mini::new(), |deb| deb.directory("/etc/mini.conf", 0o755), what);
}

#[test]
fn a_device_node() {
    let memory = Member { device: (1, 1), ..Member::new("./opt/mem", EntryType::Char, 0o600) };
    odd(|deb| deb.member(memory), "./opt/mem: a device node");
}
