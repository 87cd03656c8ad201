//! The reader, on the writer's images and on damaged ones.

use super::read::{Image, Node, NodeKind, ReadError};
use super::tests::{options, torture, write_image};
use crate::compose::tree::{Entry, Kind, Tree};
use std::collections::BTreeMap;

fn expect(tree: &Tree) -> Vec<Node> {
    let mut links = BTreeMap::<u32, u32>::new();
    let mut subdirectories = BTreeMap::<Vec<u8>, u32>::new();
    for (path, entry) in tree.iter() {
        *links.entry(entry.link.unwrap_or(u32::MAX)).or_default() += 1;
        if let (Kind::Directory, Some(parent)) = (&entry.kind, path.parent()) {
            *subdirectories.entry(parent.as_bytes().to_vec()).or_default() += 1;
        }
    }
    let node = |path: &[u8], entry: &Entry| {
        let (kind, size) = match &entry.kind {
            Kind::Directory => (NodeKind::Directory, 0),
            Kind::File(content) => (NodeKind::File, content.len()),
            Kind::Symlink(target) => (NodeKind::Symlink(target.to_vec()), 0),
            Kind::CharDevice { major, minor } => (NodeKind::CharDevice { major: *major, minor: *minor }, 0),
            Kind::BlockDevice { major, minor } => (NodeKind::BlockDevice { major: *major, minor: *minor }, 0),
            Kind::Fifo => (NodeKind::Fifo, 0),
        };
        let links = match (&entry.kind, entry.link) {
            (Kind::Directory, _) => 2 + subdirectories.get(path).copied().unwrap_or(0),
            (_, Some(link)) => links[&link],
            (_, None) => 1,
        };
        Node { path: path.to_vec(), kind, mode: entry.mode, uid: entry.uid, gid: entry.gid, size, links, inode: 0 }
    };
    tree.iter().map(|(path, entry)| node(path.as_bytes(), entry)).collect()
}

#[test]
fn what_was_written_is_listed() {
    let tree = torture(true);
    let image = write_image(&tree, options(4, 16_384), None);
    let mut image = Image::from_file(image.file.as_file(), 0).unwrap();
    assert_eq!((image.level(), image.superblock().block_size), (Some(4), 16_384));
    let mut found = image.list().unwrap();
    let su: Vec<u32> = found.iter().filter(|node| node.path.ends_with(b"/su")).map(|node| node.inode).collect();
    assert_eq!(su.len(), 3);
    assert!(su.iter().all(|&inode| inode == su[0]));
    found.iter_mut().for_each(|node| node.inode = 0);
    let expect = expect(&tree);
    assert_eq!(found.len(), expect.len());
    for (found, expect) in found.iter().zip(&expect) {
        assert_eq!(found, expect);
    }
}

#[test]
fn damage_is_an_error_or_another_listing_but_never_a_panic() {
    let mut tree = torture(true);
    for path in ["/many", "/noise", "/sizes", "/same", "/sparse", "/long", "/long target"] {
        tree.remove(&crate::compose::tree::TreePath::new(path).unwrap());
    }
    let image = write_image(&tree, options(1, 4096), None);
    let good = fs_err::read(image.file.path()).unwrap();
    let paths = Image::from_bytes(&good).unwrap().list().unwrap().len();
    let metadata = Image::from_bytes(&good).unwrap().superblock().inode_table as usize;
    let mut refused = 0;
    for at in (0..102).chain(metadata..good.len()) {
        for bit in [0x01, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            match Image::from_bytes(&bad).and_then(|mut image| image.list()) {
                Ok(nodes) => assert!(nodes.len() <= paths * 2),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100, "{refused} refused");
    for len in 0..good.len() {
        if let Ok(mut image) = Image::from_bytes(&good[..len]) {
            let _ = image.list();
        }
    }
}

#[test]
fn other_compressions_are_refused_by_name() {
    let image = write_image(&Tree::new(), options(1, 4096), None);
    let mut bytes = fs_err::read(image.file.path()).unwrap();
    bytes[20] = 1;
    let error = Image::from_bytes(&bytes).err().unwrap();
    assert!(matches!(error, ReadError::Compression(1)));
    assert_eq!(error.to_string(), "squashfs compression 1 is not supported (only zstd, 6)");
}
