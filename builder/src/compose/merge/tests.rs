//! What is refused, with the message; what is kept, as a listing.

use super::*;
use crate::compose::deb::tar::MemberKind;
use crate::compose::unpack::example::{directory, file, hard_link, member, package, symlink};
use crate::failure::Classified;

fn listing(tree: &Tree) -> Vec<String> {
    let line = |(path, entry): (&TreePath, &Entry)| {
        let link = entry.link.map(|link| format!(" inode {link}")).unwrap_or_default();
        let origin = match &entry.origin {
            Origin::Package { name, .. } => name.to_string(),
            other => other.to_string(),
        };
        let what = match &entry.kind {
            Kind::Directory => "dir".to_string(),
            Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
            Kind::File(content) => format!("file {:?}", String::from_utf8(content.to_vec().unwrap()).unwrap()),
            other => format!("{other:?}"),
        };
        format!("{path} {:o} {}:{} {origin} {what}{link}", entry.mode, entry.uid, entry.gid)
    };
    tree.iter().map(line).collect()
}

fn refusal(packages: &[Unpacked]) -> String {
    let error = merge(packages).unwrap_err();
    assert_eq!(error.kind(), crate::failure::Kind::Policy);
    error.to_string()
}

#[test]
fn members_that_break_a_rule_are_refused() {
    let long = "n".repeat(256);
    let xattr = |name: &[u8]| {
        let mut member = file("./a");
        member.xattrs.insert(name.to_vec(), vec![1]);
        member
    };
    let cases = [
        (vec![file("./../etc/passwd")], "./../etc/passwd: path climbs above /".to_string()),
        (vec![file("/etc/../../x")], "/etc/../../x: path climbs above /".to_string()),
        (vec![file("./a\0b")], "./a\0b: path holds a NUL byte".to_string()),
        (vec![file(&long)], format!("{long}: path is too long")),
        (vec![symlink("./a", "../x")], "./a: a symlink climbing above `/` (to ../x)".to_string()),
        (vec![symlink("./a/b", "../../x")], "./a/b: a symlink climbing above `/` (to ../../x)".to_string()),
        (vec![symlink("./a", "/../x")], "./a: a symlink climbing above `/` (to /../x)".to_string()),
        (vec![symlink("./a", "b/../../x")], "./a: a symlink climbing above `/` (to b/../../x)".to_string()),
        (vec![symlink("./a", "x\0y")], "./a: a symlink whose target holds a NUL byte or is too long".to_string()),
        (vec![symlink("./a", "b"), file("./a/x")], "./a/x: it lies below the symlink /a -> b of package evil 1".to_string()),
        (
            vec![symlink("./a", "b"), directory("./a/c"), file("./a/c/x")],
            "./a/c: it lies below the symlink /a -> b of package evil 1".to_string(),
        ),
        (vec![file("./a"), file("./a/x")], "./a/x: it lies below /a, which is no directory in package evil 1".to_string()),
        (vec![hard_link("./a", "./b")], "./a: a hard link to no earlier file of the package (./b)".to_string()),
        (vec![hard_link("./a", "./b"), file("./b")], "./a: a hard link to no earlier file of the package (./b)".to_string()),
        (vec![directory("./b"), hard_link("./a", "./b")], "./a: a hard link to no earlier file of the package (./b)".to_string()),
        (
            vec![hard_link("./a", "../../etc/passwd")],
            "./a: a hard link to no earlier file of the package (../../etc/passwd)".to_string(),
        ),
        (vec![member("./dev/sda", MemberKind::BlockDevice)], "./dev/sda: a device node".to_string()),
        (vec![member("./dev/null", MemberKind::CharDevice)], "./dev/null: a device node".to_string()),
        (vec![file("./a"), file("a")], "a: the package ships it twice".to_string()),
        (vec![file("./lib/a"), file("./usr/lib/a")], "./usr/lib/a: the package ships it twice".to_string()),
        (vec![directory("./a"), symlink("./a", "b")], "./a: the package ships it twice".to_string()),
        (
            vec![symlink("./bin", "opt/bin")],
            "./bin: /bin is the link to usr/bin; a package may only bring that link, or a directory".to_string(),
        ),
        (
            vec![file("./sbin")],
            "./sbin: /sbin is the link to usr/sbin; a package may only bring that link, or a directory".to_string(),
        ),
        (
            vec![xattr(b"system.posix_acl_access")],
            "./a: the extended attribute \"system.posix_acl_access\" cannot be kept".to_string(),
        ),
        (vec![xattr(b"user.")], "./a: the extended attribute \"user.\" cannot be kept".to_string()),
    ];
    for (members, expected) in cases {
        assert_eq!(refusal(&[package("evil", "", members)]), format!("package evil 1: {expected}"));
    }
}

#[test]
fn packages_that_ship_one_path_are_refused() {
    let cases = [
        (("", file("./x")), ("", file("./x")), "./x: package a 1 ships it, too, and neither replaces the other"),
        (
            ("", file("./lib/x")),
            ("", file("./usr/lib/x")),
            "./usr/lib/x: package a 1 ships it, too, and neither replaces the other",
        ),
        (("", symlink("./x", "y")), ("", symlink("./x", "y")), "./x: package a 1 ships it, too, and neither replaces the other"),
        (
            ("", file("./x")),
            ("Replaces: a (<< 1), c\n", file("./x")),
            "./x: package a 1 ships it, too, and neither replaces the other",
        ),
        (
            ("Replaces: b\n", file("./x")),
            ("Replaces: a\n", file("./x")),
            "./x: package a 1 ships it, too, and each replaces the other",
        ),
        (
            ("", directory("./x")),
            ("Replaces: a\n", file("./x")),
            "./x: package a 1 ships it, too, and only one of the two is a directory",
        ),
        (("", symlink("./x", "etc")), ("", file("./x/y")), "./x/y: it lies below the symlink /x -> etc of package a 1"),
        (("", file("./x")), ("", file("./x/y")), "./x/y: it lies below /x, which is no directory in package a 1"),
    ];
    for ((a_fields, a), (b_fields, b), expected) in cases {
        let (a, b) = (package("a", a_fields, vec![a]), package("b", b_fields, vec![b]));
        let expected = format!("package b 1: {expected}");
        assert_eq!(refusal(&[a.clone(), b.clone()]), expected);
        assert_eq!(refusal(&[b, a]), expected, "whatever the order they come in");
    }
    let broken = package("a", "Replaces: (<< 1\n", vec![]);
    assert_eq!(
        refusal(&[broken]),
        "package a 1: its control file is malformed: `(<< 1`: a package name belongs here (letters, digits, `+ - . _`)"
    );
}

#[test]
fn packages_are_laid_over_one_another() {
    let mut tool = file("./bin/tool");
    (tool.mode, tool.uid, tool.gid) = (0o4755, 0, 42);
    tool.xattrs.insert(b"security.capability".to_vec(), vec![1, 2, 10]);
    let mut private = directory("./usr/share");
    private.mode = 0o700;
    let packages = [
        package(
            "zz",
            "Replaces: aa (= 1)\n",
            vec![directory("./usr/share"), file("./usr/share/taken"), symlink("./etc/up", "../usr")],
        ),
        package(
            "aa",
            "",
            vec![
                private,
                directory("./lib"),
                directory("./usr/lib"),
                file("./usr/share/taken"),
                hard_link("./usr/share/left", "usr/share/taken"),
                file("./lib/one"),
                hard_link("./lib/two", "./usr/lib/one"),
                hard_link("./usr/lib/three", "./lib/two"),
            ],
        ),
        package("base-files", "", vec![directory("./"), directory("./usr/share"), symlink("./bin", "usr/bin"), tool]),
    ];
    let merged = merge(&packages).unwrap();
    let expected = [
        "/ 755 0:0 base-files dir",
        "/bin 777 0:0 base-files -> usr/bin",
        "/etc 755 0:0 zz dir",
        "/etc/up 777 0:0 zz -> ../usr",
        "/lib 777 0:0 kmimage -> usr/lib",
        "/lib64 777 0:0 kmimage -> usr/lib64",
        "/sbin 777 0:0 kmimage -> usr/sbin",
        "/usr 755 0:0 base-files dir",
        "/usr/bin 755 0:0 base-files dir",
        "/usr/bin/tool 4755 0:42 base-files file \"base-files ./bin/tool\"",
        "/usr/lib 755 0:0 aa dir",
        "/usr/lib/one 644 0:0 aa file \"aa ./lib/one\" inode 0",
        "/usr/lib/three 644 0:0 aa file \"aa ./lib/one\" inode 0",
        "/usr/lib/two 644 0:0 aa file \"aa ./lib/one\" inode 0",
        "/usr/lib64 755 0:0 kmimage dir",
        "/usr/sbin 755 0:0 kmimage dir",
        "/usr/share 755 0:0 base-files dir",
        "/usr/share/left 644 0:0 aa file \"aa ./usr/share/taken\"",
        "/usr/share/taken 644 0:0 zz file \"zz ./usr/share/taken\"",
    ];
    assert_eq!(listing(&merged.tree), expected);
    let tool = merged.tree.get(&TreePath::new("/usr/bin/tool").unwrap()).unwrap();
    assert_eq!(tool.xattrs[&b"security.capability"[..]], [1, 2, 10]);
    assert_eq!(merged.notes, ["/usr/share is 0755 0:0 (package base-files 1), not 0700 0:0 (package aa 1)"]);
    let [a, b, c] = packages;
    assert_eq!(listing(&merge(&[c, a, b]).unwrap().tree), expected, "whatever the order they come in");
}
