//! Whole packages: hand-made hostile ones with their messages, and `dpkg-deb`'s in every compression.

use super::*;
use std::io::Write;

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, data) in members {
        bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100644, data.len()).into_bytes());
        bytes.extend_from_slice(data);
        if data.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// A tar block with a right checksum.
fn block(name: &str, kind: u8, size: u64, link: &str) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000644\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar  \0");
    checksum(&mut block);
    block
}

fn checksum(block: &mut [u8]) {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    [block(name, b'0', data.len() as u64, ""), padded(data)].concat()
}

fn tar(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), vec![0; 1024]].concat()
}

fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let len = (1..).find(|digits: &usize| (digits + rest).to_string().len() == *digits).unwrap() + rest;
        body.extend(format!("{len} {key}=").into_bytes());
        body.extend_from_slice(value);
        body.push(b'\n');
    }
    [block("PaxHeader", b'x', body.len() as u64, ""), padded(&body)].concat()
}

fn on_disk(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

type Contents = (Control, Vec<(tar::Member, Vec<u8>)>);

fn read_all(bytes: &[u8]) -> Result<Contents, DebError> {
    let file = on_disk(bytes);
    let deb = Deb::open(&file)?;
    let control = deb.control()?;
    let mut data = deb.data(2)?;
    let mut members = Vec::new();
    while let Some(member) = data.next_member()? {
        let mut bytes = Vec::new();
        data.copy_data(|chunk| {
            bytes.extend_from_slice(chunk);
            Ok::<_, DebError>(())
        })?;
        members.push((member, bytes));
    }
    Ok((control, members))
}

#[test]
fn a_package_is_read() {
    let control = tar(&[
        block("./", b'5', 0, ""),
        file("./control", b"Package: a\n"),
        file("./md5sums", b"..."),
        file("./postinst", b"#!/bin/sh\n"),
        file("conffiles", b"/etc/a\n"),
    ]);
    let data = tar(&[
        block("./", b'5', 0, ""),
        file("./etc/a", b"one"),
        block("./etc/b", b'2', 0, "a"),
        block("./etc/c", b'1', 0, "./etc/a"),
    ]);
    let bytes = ar(&[
        ("debian-binary", b"2.0\n"),
        ("_gpgorigin", b"x"),
        ("control.tar", &control),
        ("data.tar.zst", &zstd::encode_all(&data[..], 1).unwrap()),
    ]);
    let (control, members) = read_all(&bytes).unwrap();
    assert_eq!(control.paragraph, b"Package: a\n");
    assert_eq!(control.scripts.into_iter().collect::<Vec<_>>(), [("postinst", b"#!/bin/sh\n".to_vec())]);
    assert_eq!(control.conffiles, b"/etc/a\n");
    let kinds: Vec<MemberText> = members.iter().map(|(member, data)| text(member, data)).collect();
    assert_eq!(kinds, ["./ Directory", "./etc/a File one", "./etc/b Symlink(a)", "./etc/c HardLink(./etc/a)"]);
}

type MemberText = String;

fn text(member: &tar::Member, data: &[u8]) -> MemberText {
    let name = String::from_utf8_lossy(&member.path);
    match &member.kind {
        tar::MemberKind::Symlink(to) => format!("{name} Symlink({})", String::from_utf8_lossy(to)),
        tar::MemberKind::HardLink(to) => format!("{name} HardLink({})", String::from_utf8_lossy(to)),
        tar::MemberKind::File => format!("{name} File {}", String::from_utf8_lossy(data)),
        other => format!("{name} {other:?}"),
    }
}

#[test]
fn layouts_that_are_no_package_are_refused() {
    let control = tar(&[file("control", b"Package: a\n")]);
    let data = tar(&[]);
    let version: (&str, &[u8]) = ("debian-binary", b"2.0\n");
    let cases: &[(Vec<u8>, &str)] = &[
        (ar(&[("hello.o", b"x")]), "not a Debian package: its first member is not `debian-binary`"),
        (ar(&[]), "not a Debian package: its first member is not `debian-binary`"),
        (ar(&[("debian-binary", b"3.0\n")]), "the package format \"3.0\" is not supported; 2.x is"),
        (ar(&[version]), "the package has no control.tar"),
        (ar(&[version, ("control.tar", &control)]), "the package has no data.tar"),
        (ar(&[version, ("data.tar", &data)]), "unexpected archive member data.tar, where control.tar should be"),
        (ar(&[version, ("control.tar.lzma", b"x")]), "control.tar.lzma is compressed in a way that is not supported"),
        (
            ar(&[version, ("control.tar", &control), ("data.tar", &data), ("data.tar.gz", b"")]),
            "unexpected archive member data.tar.gz, where the end should be",
        ),
        (ar(&[version, ("control.tar", &data), ("data.tar", &data)]), "control.tar has no control file"),
        (
            ar(&[version, ("control.tar", &tar(&[file("control", b"a"), file("./control", b"b")])), ("data.tar", &data)]),
            "control.tar: ./control: it is there twice",
        ),
        (
            ar(&[version, ("control.tar", &tar(&[block("control", b'2', 0, "/etc/passwd")])), ("data.tar", &data)]),
            "control.tar: control: it is not a regular file",
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(read_all(bytes).unwrap_err().to_string(), *expected);
    }
}

#[test]
fn malformed_tars_are_refused() {
    let mut bad_sum = file("a", b"x");
    bad_sum[0] = b'b';
    let mut huge = block("a", b'0', 0, "");
    huge[124..136].copy_from_slice(&[0xff; 12]);
    checksum(&mut huge);
    let mut unreadable = block("a", b'0', 0, "");
    unreadable[108..112].copy_from_slice(b"0x10");
    checksum(&mut unreadable);
    let cases: &[(Vec<u8>, &str)] = &[
        (vec![], "tar is malformed at byte 0: it ends early"),
        (file("a", b"x"), "tar is malformed at byte 1024: it ends early"),
        (file("a", &[0; 2000])[..1000].to_vec(), "tar: a: its data ends 1512 bytes early"),
        (tar(&[bad_sum]), "tar is malformed at byte 0: a header with a wrong checksum"),
        (tar(&[huge]), "tar is malformed at byte 0: a header whose size is not a number"),
        (tar(&[unreadable]), "tar is malformed at byte 0: a header whose owner is not a number"),
        (tar(&[block("a", b'S', 0, "")]), "tar is malformed at byte 0: a sparse file, which is not supported"),
        (tar(&[block("a", b'Q', 0, "")]), "tar is malformed at byte 0: a member of the unknown type 'Q'"),
        (tar(&[block("", b'0', 0, "")]), "tar is malformed at byte 0: a member without a name"),
        (tar(&[block("a", b'2', 0, "")]), "tar is malformed at byte 0: a link without a target"),
        (tar(&[block("d", b'5', 3, "")]), "tar is malformed at byte 0: a member with data that is not a regular file"),
        (tar(&[block("l", b'L', 1 << 30, "")]), "tar is malformed at byte 0: an extension header of 1073741824 bytes"),
        (tar(&[pax(&[("path", b"x")])]), "tar is malformed at byte 1024: an extension header without its member"),
        (
            tar(&[pax(&[("path", b"x")]), pax(&[("path", b"y")]), file("a", b"")]),
            "tar is malformed at byte 1024: two extension headers of one kind for one member",
        ),
        (
            tar(&[pax(&[("GNU.sparse.major", b"1")]), file("a", b"")]),
            "tar is malformed at byte 0: the PAX record \"GNU.sparse.major\", which is not supported",
        ),
        (tar(&[pax(&[("uid", b"-1")]), file("a", b"")]), "tar is malformed at byte 0: a PAX record whose uid is not a number"),
        (
            tar(&[pax(&[("uid", b"4294967296")]), file("a", b"")]),
            "tar is malformed at byte 0: a PAX record whose uid is out of range",
        ),
        (
            tar(&[block("p", b'x', 9, ""), padded(b"99 path=x"), file("a", b"")]),
            "tar is malformed at byte 0: a malformed PAX record",
        ),
        ([tar(&[]), vec![1]].concat(), "tar is malformed at byte 512: there are bytes after its end mark"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(tar::members_of_bytes(bytes).unwrap_err().to_string(), *expected);
    }
}

#[test]
fn extensions_describe_the_next_member() {
    let long = format!("./{}", "d/".repeat(120));
    let capability = b"\x01\0\0\x02\n\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let bytes = tar(&[
        [block("././@LongLink", b'L', long.len() as u64 + 1, ""), padded(long.as_bytes())].concat(),
        block("cut", b'5', 0, ""),
        pax(&[("SCHILY.xattr.security.capability", capability), ("uid", b"70000"), ("mtime", b"1.5")]),
        file("ping", b"elf"),
        file("last", b""),
    ]);
    let members = tar::members_of_bytes(&bytes).unwrap();
    assert_eq!(members[0].0.path, long.as_bytes());
    assert_eq!(members[1].0.xattrs.get(&b"security.capability"[..]).map(Vec::as_slice), Some(&capability[..]));
    assert_eq!((members[1].0.uid, members[1].1.as_slice()), (70000, &b"elf"[..]));
    assert_eq!((members[2].0.uid, members[2].0.xattrs.len()), (0, 0));
}

#[test]
fn a_bomb_is_refused() {
    let size = 300 << 20;
    let header = block("zeros", b'0', size, "");
    let data = zstd::encode_all((&header[..]).chain(io::repeat(0).take(size)), 1).unwrap();
    let bytes = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &tar(&[file("control", b"a")])), ("data.tar.zst", &data)]);
    assert_eq!(
        read_all(&bytes).unwrap_err().to_string(),
        "data.tar unpacks to more than 268435456 bytes, which is more than is believable for its size"
    );
}

/// No prefix of a valid package, and no single flipped byte of its headers, makes the reader panic.
#[test]
fn damage_never_panics() {
    let control = tar(&[file("control", b"Package: a\n")]);
    let data = tar(&[pax(&[("path", b"x")]), file("a", b"one")]);
    let whole = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data)]);
    for len in (0..whole.len() - 1).step_by(7) {
        assert!(read_all(&whole[..len]).is_err(), "{len}");
    }
    for at in 0..tar(&[]).len().min(data.len()) {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = data.clone();
            damaged[at] ^= flip;
            let _ = tar::members_of_bytes(&damaged);
        }
    }
}

/// `dpkg-deb` builds a package in each compression; what we read is what its own `--fsys-tarfile` and `--info` say.
#[test]
#[expect(clippy::disallowed_methods, reason = "judged by dpkg-deb")]
fn tools_dpkg_deb_agrees() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let at = |path: &str| root.join(path);
    for directory in ["DEBIAN", "usr/bin", &format!("usr/share/{}", "long/".repeat(40))] {
        fs_err::create_dir_all(at(directory)).unwrap();
    }
    fs_err::write(
        at("DEBIAN/control"),
        "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: a\n",
    )
    .unwrap();
    fs_err::write(at("DEBIAN/postinst"), "#!/bin/sh\nexit 0\n").unwrap();
    fs_err::set_permissions(at("DEBIAN/postinst"), PermissionsExt::from_mode(0o755)).unwrap();
    let big: Vec<u8> = (0..300_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs_err::write(at("usr/bin/big"), &big).unwrap();
    fs_err::set_permissions(at("usr/bin/big"), PermissionsExt::from_mode(0o4755)).unwrap();
    fs_err::hard_link(at("usr/bin/big"), at("usr/bin/same")).unwrap();
    symlink("../bin/big", at("usr/share/link")).unwrap();
    fs_err::write(at(&format!("usr/share/{}file", "long/".repeat(40))), "text").unwrap();
    for compression in ["none", "gzip", "xz", "zstd"] {
        let deb = folder.path().join(format!("{compression}.deb"));
        let mut command = Command::new("dpkg-deb");
        command.args(["--root-owner-group", &format!("-Z{compression}"), "--build"]).arg(&root).arg(&deb);
        let built = command.output().expect("dpkg-deb must be installed");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let (control, members) = read_all(&fs_err::read(&deb).unwrap()).unwrap();
        assert_eq!(control.paragraph, fs_err::read(at("DEBIAN/control")).unwrap());
        assert_eq!(control.scripts["postinst"], fs_err::read(at("DEBIAN/postinst")).unwrap());
        let listing = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(&deb).output().unwrap();
        let mut second_opinion = ::tar::Archive::new(&listing.stdout[..]);
        let theirs: Vec<String> = second_opinion
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut data = Vec::new();
                entry.read_to_end(&mut data).unwrap();
                let header = entry.header();
                let (kind, mode) = (header.entry_type().as_byte(), header.mode().unwrap());
                let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
                let owner = (header.uid().unwrap(), header.gid().unwrap());
                format!("{path} {kind} {mode:o} {owner:?} {link:?} {}", crate::hash::Sha256Digest::of(&data))
            })
            .collect();
        let ours: Vec<String> = members
            .iter()
            .map(|(member, data)| {
                let (kind, link) = match &member.kind {
                    tar::MemberKind::File => (b'0', None),
                    tar::MemberKind::HardLink(to) => (b'1', Some(String::from_utf8_lossy(to).into_owned())),
                    tar::MemberKind::Symlink(to) => (b'2', Some(String::from_utf8_lossy(to).into_owned())),
                    tar::MemberKind::Directory => (b'5', None),
                    other => panic!("{other:?}"),
                };
                let (path, mode) = (String::from_utf8_lossy(&member.path), member.mode);
                let owner = (u64::from(member.uid), u64::from(member.gid));
                format!("{path} {kind} {mode:o} {owner:?} {link:?} {}", crate::hash::Sha256Digest::of(data))
            })
            .collect();
        assert_eq!(ours, theirs, "{compression}");
        assert!(ours.len() > 45, "{} members", ours.len());
    }
}
