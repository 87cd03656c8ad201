//! The image's files, as unsquashfs gives them.

use crate::node::{Kind, Node, Nodes};
use kmimage::hash::Sha256Digest;
use kmimage_qemu_tests::foreign::{program, run};
use std::path::{Path, PathBuf};

/// An image, listed and unpacked.
#[derive(Debug)]
pub(crate) struct Unsquashed {
    pub(crate) nodes: Nodes,
    /// Where its files lie: owners and modes there depend on who runs the test, so only bytes and hard links are read from it.
    pub(crate) folder: PathBuf,
}

/// Lists and unpacks an image below `folder`.
pub(crate) fn unsquash(image: &Path, folder: &Path) -> Unsquashed {
    let superblock = run(program("unsquashfs").arg("-s").arg(image));
    assert!(superblock.contains("Number of xattr ids 0"), "extended attributes, which this test does not compare\n{superblock}");
    let folder = folder.join("root");
    // Whoever runs this: no attributes of the host, and a user may not make devices (listed all the same, below).
    run(program("unsquashfs").args(["-quiet", "-no-progress", "-no-xattrs", "-dest"]).arg(&folder).arg(image));
    let listing = run(program("unsquashfs").args(["-quiet", "-no-progress", "-lln", "-dest", ""]).arg(image));
    let mut nodes = Nodes::new();
    for line in listing.lines().filter(|line| !line.is_empty()) {
        let (path, node) = parse(line, &folder).unwrap_or_else(|| panic!("unsquashfs -lln prints {line:?}"));
        assert!(nodes.insert(path, node).is_none(), "twice: {line}");
    }
    Unsquashed { nodes, folder }
}

/// `-rwxr-xr-x 0/0   31 2026-05-01 00:00 /etc/hosts`; a link has ` -> target` behind.
fn parse(line: &str, folder: &Path) -> Option<(String, Node)> {
    let mut rest = line;
    let mut field = || {
        let (field, after) = rest.trim_start().split_once(' ')?;
        rest = after;
        Some(field)
    };
    let (bits, owner, _size, _date, _time) = (field()?, field()?, field()?, field()?, field()?);
    let (user, group) = owner.split_once('/')?;
    let owner = (user.parse().ok()?, group.parse().ok()?);
    let kind = bits.chars().next()?;
    let (path, target) = match kind {
        'l' => rest.split_once(" -> ").map(|(path, target)| (path, Some(target)))?,
        _ => (rest, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    let kind = match (kind, target) {
        ('d', _) => Kind::Directory,
        ('l', Some(target)) => Kind::Symlink { target: target.to_owned() },
        ('-', _) => {
            let file = fs_err::File::open(folder.join(path.strip_prefix('/')?)).expect("an unpacked file");
            Kind::File { sha256: Sha256Digest::of_reader(file).expect("its bytes") }
        }
        _ => return None,
    };
    Some((path.to_owned(), Node { kind, mode: mode(bits)?, owner }))
}

/// `-rwsr-xr-t` -> 0o5755.
fn mode(bits: &str) -> Option<u32> {
    let bits: Vec<char> = bits.chars().skip(1).collect();
    if bits.len() != 9 {
        return None;
    }
    let mut mode = 0;
    for (at, &bit) in bits.iter().enumerate() {
        let plain = 0o400 >> at;
        let special = 0o4000 >> (at / 3);
        mode |= match (bit, at % 3) {
            ('-', _) => 0,
            ('r', 0) | ('w', 1) | ('x', 2) => plain,
            ('s', 2) if at < 6 => plain | special,
            ('S', 2) if at < 6 => special,
            ('t', 2) if at == 8 => plain | special,
            ('T', 2) if at == 8 => special,
            _ => return None,
        };
    }
    Some(mode)
}

#[test]
fn modes_are_read_as_unsquashfs_prints_them() {
    let table = [
        ("-rw-r--r--", Some(0o644)),
        ("drwxrwxrwt", Some(0o1777)),
        ("-rwsr-sr-x", Some(0o6755)),
        ("-rw-r-S--T", Some(0o3640)),
        ("-rwxr-xr-s", None),
        ("-rwxr-xr", None),
    ];
    for (text, expected) in table {
        assert_eq!(mode(text), expected, "{text}");
    }
}
