//! Each step on small trees; messages of what cannot be done.

use super::*;
use crate::compose::content::Content;
use crate::compose::merge::merge;
use crate::compose::tree::{Entry, Kind, Origin, TreePath};
use crate::compose::unpack::example::{directory, file, hard_link, package, symlink};
use crate::profile::{Drop, Mode, Move, PathGlob};

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn tree_of(paths: &[&str]) -> Tree {
    let mut tree = Tree::new();
    for text in paths {
        match text.strip_suffix('/') {
            Some(text) => tree.insert(path(text), Entry::directory(Origin::Kmimage)),
            None => tree.insert(path(text), Entry::file(Content::from_bytes(text.as_bytes()), 0o644, Origin::Kmimage)),
        }
    }
    tree
}

/// Files with their content, links with their target; directories only where they hold nothing.
fn leaves(tree: &Tree) -> Vec<String> {
    tree.iter()
        .filter(|(path, entry)| !matches!(entry.kind, Kind::Directory) || tree.under(path).count() == 1)
        .map(|(path, entry)| match &entry.kind {
            Kind::File(content) => format!("{path} = {}", String::from_utf8(content.to_vec().unwrap()).unwrap()),
            Kind::Symlink(target) => format!("{path} -> {}", String::from_utf8_lossy(target)),
            _ => format!("{path}/"),
        })
        .collect()
}

#[test]
fn of_boot_the_root_keeps_the_configuration() {
    let mut boot = tree_of(&[
        "/usr/lib/systemd/boot/efi/linuxx64.efi.stub",
        "/usr/lib/systemd/boot/efi/systemd-bootx64.efi",
        "/usr/lib/grub/i386-pc/boot.img",
        "/usr/lib/grub/i386-pc/kernel.img",
        "/usr/lib/grub/i386-pc/more/boot.img",
        "/usr/lib/grub/x",
    ]);
    let mut tree =
        tree_of(&["/boot/vmlinuz-6.1-x", "/boot/System.map-6.1-x", "/boot/config-6.1-x", "/boot/grub/config-x", "/etc/"]);
    let inputs = boot::find(&tree, &boot).unwrap();
    assert_eq!(inputs.release, "6.1-x");
    assert_eq!(inputs.kernel.to_vec().unwrap(), b"/boot/vmlinuz-6.1-x");
    assert_eq!(inputs.stub.to_vec().unwrap(), b"/usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    assert_eq!(inputs.loader.to_vec().unwrap(), b"/usr/lib/systemd/boot/efi/systemd-bootx64.efi");
    assert_eq!(inputs.grub.keys().collect::<Vec<_>>(), ["boot.img", "kernel.img"]);
    assert_eq!(inputs.grub["boot.img"].to_vec().unwrap(), b"/usr/lib/grub/i386-pc/boot.img");
    boot::clear(&mut tree);
    assert_eq!(leaves(&tree), ["/boot/config-6.1-x = /boot/config-6.1-x", "/etc/"]);

    let text = |tree: &Tree, boot: &Tree| boot::find(tree, boot).unwrap_err().to_string();
    assert_eq!(text(&tree, &boot), "no package of the profile has a kernel (/boot/vmlinuz-*)");
    let two = tree_of(&["/boot/vmlinuz-6.1-x", "/boot/vmlinuz-6.2-x"]);
    assert_eq!(text(&two, &boot), "the packages have more than one kernel: 6.1-x, 6.2-x");
    let one = tree_of(&["/boot/vmlinuz-6.1-x"]);
    for name in ["boot.img", "kernel.img", "more/boot.img"] {
        boot.remove(&path(&format!("/usr/lib/grub/i386-pc/{name}")));
    }
    assert_eq!(text(&one, &boot), "no boot package has the boot loader for a BIOS (/usr/lib/grub/i386-pc)");
    boot.remove(&path("/usr/lib/systemd/boot/efi/systemd-bootx64.efi"));
    assert_eq!(text(&one, &boot), "no boot package has the boot loader (/usr/lib/systemd/boot/efi/systemd-bootx64.efi)");
    let empty = Tree::new();
    assert_eq!(text(&one, &empty), "no boot package has the EFI stub (/usr/lib/systemd/boot/efi/linuxx64.efi.stub)");
}

#[test]
fn licences_are_in_one_place() {
    let packages = [
        package("one", "", vec![file("./usr/share/doc/one/copyright"), file("./usr/share/doc/one/README")]),
        package("linked", "", vec![symlink("./usr/share/doc/linked", "one")]),
        package(
            "shared",
            "",
            vec![directory("./usr/share/doc/shared"), symlink("./usr/share/doc/shared/copyright", "../one/copyright")],
        ),
        package("elsewhere", "", vec![file("./usr/lib/l"), symlink("./usr/share/doc/elsewhere/copyright", "/usr/lib/l")]),
        package("bare", "", vec![file("./etc/bare")]),
    ];
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]] {
        let packages = order.map(|at| packages[at].clone());
        let mut tree = merge(&packages).unwrap().tree;
        let mut notes = Vec::new();
        licences::collect(&mut tree, &packages, "/usr/share/licenses", &mut notes).unwrap();
        assert_eq!(notes, ["package bare 1 has no copyright file"]);
        let under: Vec<String> = leaves(&tree).into_iter().filter(|line| line.starts_with("/usr/share/licenses")).collect();
        let expected = [
            "/usr/share/licenses/elsewhere/copyright = elsewhere ./usr/lib/l",
            "/usr/share/licenses/linked/copyright -> ../one/copyright",
            "/usr/share/licenses/one/copyright = one ./usr/share/doc/one/copyright",
            "/usr/share/licenses/shared/copyright -> ../one/copyright",
        ];
        assert_eq!(under, expected);
        assert!(tree.get(&path("/usr/share/doc/one/copyright")).is_none());
        assert!(tree.get(&path("/usr/share/doc/one/README")).is_some());
    }
    let blocked = package("blocked", "", vec![file("./usr/share/doc/blocked/copyright"), file("./usr/share/licenses")]);
    let mut tree = merge(std::slice::from_ref(&blocked)).unwrap().tree;
    let error = licences::collect(&mut tree, &[blocked], "/usr/share/licenses", &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "/usr/share/licenses must be a directory, but package blocked 1 has something else there");
}

#[test]
fn what_is_dropped_goes_with_all_it_holds_but_not_licences() {
    let drops: Vec<Drop> = ["/usr/share", "/usr/share/man", "/etc/*.conf", "/nowhere/**", "/usr/lib/*.a"]
        .map(|glob| Drop { glob: PathGlob::new(glob).unwrap(), reason: "test".into() })
        .into();
    let mut tree = tree_of(&[
        "/etc/a.conf",
        "/etc/a.confidential",
        "/etc/d/b.conf",
        "/usr/lib/x.a",
        "/usr/share/man/man1/x",
        "/usr/share/licenses/p/copyright",
        "/usr/share/licenses/p/README",
        "/usr/sharex",
    ]);
    let mut notes = Vec::new();
    let dropped = drops::apply(&mut tree, &drops, "/usr/share/licenses", &mut notes);
    let expected = [
        "/etc/a.confidential = /etc/a.confidential",
        "/etc/d/b.conf = /etc/d/b.conf",
        "/usr/lib/",
        "/usr/share/licenses/p/copyright = /usr/share/licenses/p/copyright",
        "/usr/sharex = /usr/sharex",
    ];
    assert_eq!(leaves(&tree), expected);
    // a.conf, x.a, man, man1, x, README
    assert_eq!(dropped, (6, 11 + 12 + 21 + 28));
    assert_eq!(notes, ["drop /nowhere/** matches nothing"]);
}

#[test]
fn files_and_directories_are_moved() {
    let step = |from: &str, to: &str| Move { from: from.into(), to: to.into(), reason: "test".into() };
    let paths = ["/opt/cni/bin/bridge", "/opt/cni/bin/sub/x", "/usr/libexec/cni/other", "/usr/lib/one", "/usr/lib/two", "/etc/f"];
    let mut tree = tree_of(&paths);
    moves::apply(&mut tree, &[step("/opt/cni/bin", "/usr/libexec/cni"), step("/usr/lib/one", "/usr/bin/two")]).unwrap();
    let expected = [
        "/etc/f = /etc/f",
        "/opt/cni/",
        "/usr/bin/two = /usr/lib/one",
        "/usr/lib/two = /usr/lib/two",
        "/usr/libexec/cni/bridge = /opt/cni/bin/bridge",
        "/usr/libexec/cni/other = /usr/libexec/cni/other",
        "/usr/libexec/cni/sub/x = /opt/cni/bin/sub/x",
    ];
    assert_eq!(leaves(&tree), expected);

    let cases = [
        (step("/none", "/x"), "cannot move /none to /x: no package has /none"),
        (step("/usr", "/usr/lib/usr"), "cannot move /usr to /usr/lib/usr: it would lie inside itself"),
        (step("/", "/x"), "cannot move / to /x: it would lie inside itself"),
        (step("/etc/f", "/usr/lib/two"), "cannot move /etc/f to /usr/lib/two: /usr/lib/two is there already (kmimage)"),
        (step("/etc/f", "/usr/lib/two/f"), "/usr/lib/two must be a directory, but kmimage has something else there"),
    ];
    for (step, expected) in cases {
        assert_eq!(moves::apply(&mut tree_of(&paths), &[step]).unwrap_err().to_string(), expected);
    }
}

#[test]
fn modes_are_those_of_all_links() {
    let change = |path: &str, mode| Mode { path: path.into(), mode, reason: "test".into() };
    let packages = [package("a", "", vec![file("./x"), hard_link("./y", "./x"), directory("./d"), symlink("./l", "x")])];
    let mut tree = merge(&packages).unwrap().tree;
    modes::apply(&mut tree, &[change("/y", 0o700), change("/d", 0o1777)]).unwrap();
    let mode = |text: &str| tree.get(&path(text)).unwrap().mode;
    assert_eq!((mode("/x"), mode("/y"), mode("/d")), (0o700, 0o700, 0o1777));
    let text = |change: Mode| modes::apply(&mut tree.clone(), &[change]).unwrap_err().to_string();
    assert_eq!(text(change("/none", 0o700)), "cannot change the mode of /none: nothing is there");
    assert_eq!(text(change("/l", 0o700)), "cannot change the mode of /l: it is a symlink, which has no mode");
}
