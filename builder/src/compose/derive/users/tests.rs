use super::*;
use crate::compose::derive::testing::{overlay, package, put, run, spill, text_of};

fn with(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    for (at, text) in files {
        put(&mut tree, at, text.as_bytes(), &package("a"));
    }
    tree
}

#[test]
fn without_base_passwd_there_is_a_small_set() {
    let mut tree = with(&[]);
    derive(&mut tree).unwrap();
    assert_eq!(
        text_of(&tree, "/etc/passwd"),
        "root:*:0:0:root:/root:/usr/sbin/nologin\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    );
    let group = text_of(&tree, "/etc/group");
    assert!(group.starts_with("root:*:0:\nadm:*:4:\ntty:*:5:\n"), "{group}");
}

#[test]
fn declarations_add_to_it() {
    let mut tree = with(&[
        ("/usr/lib/sysusers.d/a.conf", "# comment\nu crio - \"Container runtime\" /var/lib/crio\nm crio disk\n"),
        ("/usr/lib/sysusers.d/b.conf", "replaced by /etc\n"),
    ]);
    put(&mut tree, "/etc/sysusers.d/b.conf", b"u fixed 77:disk\ng late 55\ng open -\n", &overlay("site"));
    derive(&mut tree).unwrap();
    let passwd = text_of(&tree, "/etc/passwd");
    let added: Vec<&str> = passwd.lines().skip(2).collect();
    assert_eq!(added, ["crio:*:998:998:Container runtime:/var/lib/crio:/usr/sbin/nologin", "fixed:*:77:6::/:/usr/sbin/nologin"]);
    let group = text_of(&tree, "/etc/group");
    let added: Vec<&str> =
        group.lines().filter(|line| !line.ends_with(':') || line.contains("late") || line.contains(":99")).collect();
    assert_eq!(added, ["disk:*:6:crio", "late:*:55:", "open:*:999:", "crio:*:998:"]);
}

#[test]
fn what_cannot_be_done_is_named() {
    let cases = [
        ("x a", "x: no type of sysusers.d (u, g, m, r)"),
        ("u", "names no user"),
        ("u bad:name 1", "bad:name: no name of a user"),
        ("u a /usr/bin/a", "/usr/bin/a: a number taken from the owner of a file is not supported"),
        ("u a 65535", "65535: no number of a user or group"),
        ("u %m -", "%m: specifiers are not supported"),
        ("u a - \"no end", "a \" has no end"),
        ("u a 0", "group a is to have the number 0, which another group has"),
        ("u a 0:disk", "user a is to have the number 0, which another user has"),
        ("u a -:none", "user a is to have the group none, which does not exist"),
        ("u a -:12345", "user a is to have the group 12345, which does not exist"),
    ];
    for (line, problem) in cases {
        let mut tree = with(&[("/usr/lib/sysusers.d/a.conf", &format!("\n{line}\n"))]);
        assert_eq!(derive(&mut tree).unwrap_err().to_string(), format!("/usr/lib/sysusers.d/a.conf, line 2: {problem}"));
    }
    let mut tree =
        with(&[("/usr/share/base-passwd/passwd.master", "root:*:zero:0:::\n"), ("/usr/share/base-passwd/group.master", "")]);
    assert_eq!(
        derive(&mut tree).unwrap_err().to_string(),
        "/usr/share/base-passwd/passwd.master, line 1: not a line of passwd(5) or group(5)"
    );
}

/// Name, numbers, home of each line of passwd; name, number, members of each of group.
fn essence(text: &str, columns: &[usize]) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .map(|fields| columns.iter().map(|&at| fields[at]).collect::<Vec<_>>().join(":"))
        .collect();
    lines.sort();
    lines
}

#[test]
fn tools_systemd_sysusers_gives_the_same_accounts() {
    let declarations =
        "g plain -\nu one - \"The first\" /var/lib/one\nu two 450 - /var/two\nu three -:disk\nm one plain\nm four tty\n";
    let mut tree = with(&[("/usr/lib/sysusers.d/a.conf", declarations), ("/usr/lib/sysusers.d/b.conf", "u five -\ng nine 9\n")]);
    let directory = tempfile::tempdir().unwrap();
    let mut start = tree.clone();
    // systemd-sysusers starts from the accounts that are there: the same small set.
    let mut small = with(&[]);
    derive(&mut small).unwrap();
    for name in ["/etc/passwd", "/etc/group"] {
        put(&mut start, name, text_of(&small, name).as_bytes(), &package("a"));
    }
    spill(&start, directory.path());
    run("systemd-sysusers", &["--root", directory.path().to_str().unwrap()]);
    derive(&mut tree).unwrap();
    let theirs = |name: &str| fs_err::read_to_string(directory.path().join(name)).unwrap();
    assert_eq!(essence(&text_of(&tree, "/etc/passwd"), &[0, 2, 3, 4, 5]), essence(&theirs("etc/passwd"), &[0, 2, 3, 4, 5]));
    assert_eq!(essence(&text_of(&tree, "/etc/group"), &[0, 2, 3]), essence(&theirs("etc/group"), &[0, 2, 3]));
}

#[test]
fn tools_update_passwd_makes_the_same_accounts() {
    let passwd = "root:*:0:0:root:/root:/bin/bash\ndaemon:*:1:1:daemon:/usr/sbin:/usr/sbin/nologin\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
    let group = "root:*:0:\ndaemon:*:1:\nsudo:*:27:\nnogroup:*:65534:\n";
    let mut tree = with(&[("/usr/share/base-passwd/passwd.master", passwd), ("/usr/share/base-passwd/group.master", group)]);
    let directory = tempfile::tempdir().unwrap();
    spill(&tree, directory.path());
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for name in ["passwd", "group", "shadow"] {
        fs_err::write(at(name), "").unwrap();
    }
    let (masters, files) = (
        ["usr/share/base-passwd/passwd.master", "usr/share/base-passwd/group.master"].map(at),
        ["passwd", "group", "shadow"].map(at),
    );
    run("update-passwd", &["-p", &masters[0], "-g", &masters[1], "-P", &files[0], "-G", &files[1], "-S", &files[2], "-L"]);
    derive(&mut tree).unwrap();
    let theirs = |name: &str| fs_err::read_to_string(at(name)).unwrap();
    assert_eq!(essence(&text_of(&tree, "/etc/passwd"), &[0, 1, 2, 3, 4, 5]), essence(&theirs("passwd"), &[0, 1, 2, 3, 4, 5]));
    assert_eq!(text_of(&tree, "/etc/group"), theirs("group"));
}
