//! The writer's bytes, judged by squashfs-tools and by what must hold of every image.

mod unsquashfs;

use super::*;
use crate::compose::content::Content;
use crate::compose::tree::{Entry, Kind, Origin, TreePath};
use crate::hash::Sha256Digest;
use crate::report::silent;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const EPOCH: u32 = 1_700_000_000;

pub(super) fn options(level: i32, block_size: u32) -> Options {
    Options { level, block_size, epoch: EPOCH, jobs: 2, salt: None }
}

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

/// Bytes that look like a program: neither noise nor one byte.
pub(super) fn text(seed: u32, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) * 2 + 1;
    let mut bytes = Vec::with_capacity(len + 16);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(format!("{:x} ", (state >> 33) % 997).as_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Bytes that don't compress.
fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn add(tree: &mut Tree, at: &str, bytes: Vec<u8>) {
    tree.insert(path(at), Entry::file(Content::from_bytes(bytes), 0o644, Origin::Kmimage));
}

/// A tree with every kind of oddity that the format knows, blocks of 4096 bytes in mind. Device nodes and foreign owners need a
/// privileged reader, so they can be left out.
pub(super) fn torture(privileged: bool) -> Tree {
    let mut tree = Tree::new();
    for (name, len) in
        [("empty", 0), ("one", 1), ("4095", 4095), ("4096", 4096), ("4097", 4097), ("8192", 8192), ("100k", 100_000)]
    {
        add(&mut tree, &format!("/sizes/{name}"), text(len as u32, len));
        add(&mut tree, &format!("/noise/{name}"), noise(len as u32, len));
    }
    add(&mut tree, "/same/first", text(1, 50_000));
    add(&mut tree, "/same/second", text(1, 50_000));
    add(&mut tree, "/same/small", b"small".to_vec());
    add(&mut tree, "/same/small too", b"small".to_vec());
    add(&mut tree, "/sparse/all", vec![0; 1 << 20]);
    add(&mut tree, "/sparse/all, with a tail", vec![0; (1 << 20) + 5]);
    let mut holes = vec![0; 70_000];
    holes[40_000..40_010].copy_from_slice(b"an island!");
    add(&mut tree, "/sparse/island", holes);
    add(&mut tree, "/sparse/short", vec![0; 300]);
    for number in 0..3000 {
        add(&mut tree, &format!("/many/file {number}"), format!("{}", number % 50).into_bytes());
    }
    for number in 0..700 {
        tree.insert(path(&format!("/long/{number:0>255}")), Entry::symlink(format!("{number}"), Origin::Kmimage));
    }
    tree.insert(path("/directory/empty"), Entry::directory(Origin::Kmimage));
    tree.insert(path("/directory/1/2/3/4/5/6/7"), Entry::directory(Origin::Kmimage));
    tree.insert(path("/link"), Entry::symlink("../some where", Origin::Kmimage));
    tree.insert(path("/long target"), Entry::symlink(vec![b'x'; 4095], Origin::Kmimage));
    tree.insert(path("/fifo"), Entry::new(Kind::Fifo, 0o600, Origin::Kmimage));
    let mut su = Entry::file(Content::from_bytes(text(3, 9000)), 0o4755, Origin::Kmimage);
    su.link = Some(1);
    tree.insert(path("/bin/su"), su.clone());
    tree.insert(path("/aaa/su"), su.clone());
    tree.insert(path("/zzz/su"), su);
    let mut sticky = Entry::directory(Origin::Kmimage);
    sticky.mode = 0o1777;
    tree.insert(path("/tmp"), sticky);
    tree.insert(path("/\u{fc}ml\u{e4}ut"), Entry::symlink(&b"\xff\xfe"[..], Origin::Kmimage));
    let mut capable = Entry::file(Content::from_bytes(text(4, 6000)), 0o755, Origin::Kmimage);
    capable.xattrs.insert(b"user.colour".to_vec(), b"green\0blue".to_vec());
    capable.xattrs.insert(b"user.empty".to_vec(), Vec::new());
    tree.insert(path("/xattrs/file"), capable.clone());
    let mut directory = Entry::directory(Origin::Kmimage);
    directory.xattrs = capable.xattrs.clone();
    directory.xattrs.insert(b"user.big".to_vec(), text(5, 3000));
    tree.insert(path("/xattrs/directory"), directory);
    if privileged {
        let mut ping = capable;
        ping.xattrs =
            BTreeMap::from([(b"security.capability".to_vec(), b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec())]);
        tree.insert(path("/xattrs/ping"), ping);
        for (name, kind) in [
            ("null", Kind::CharDevice { major: 1, minor: 3 }),
            ("wide", Kind::CharDevice { major: 4095, minor: 1_048_575 }),
            ("sda", Kind::BlockDevice { major: 8, minor: 0 }),
            ("minor", Kind::BlockDevice { major: 259, minor: 300 }),
        ] {
            tree.insert(path(&format!("/dev/{name}")), Entry::new(kind, 0o660, Origin::Kmimage));
        }
        for id in [1, 1000, 65534, 4_000_000_000] {
            let mut entry = Entry::file(Content::from_bytes(b"owned".to_vec()), 0o640, Origin::Kmimage);
            (entry.uid, entry.gid) = (id, id / 2);
            tree.insert(path(&format!("/owned/{id}")), entry);
        }
    }
    tree
}

pub(super) struct Image {
    pub(super) file: tempfile::NamedTempFile,
    pub(super) summary: Summary,
}

impl Image {
    fn bytes(&self) -> Vec<u8> {
        fs_err::read(self.file.path()).unwrap()
    }
}

pub(super) fn write_image(tree: &Tree, options: Options, cache: Option<&BlockCache>) -> Image {
    let file = tempfile::NamedTempFile::new().unwrap();
    let target = Target { file: file.as_file(), offset: 0, room: None, replaces: None };
    let summary = write(tree, &options, cache, target, &silent).unwrap();
    assert_eq!(file.as_file().metadata().unwrap().len(), summary.len);
    Image { file, summary }
}

fn failure(tree: &Tree, options: Options) -> String {
    let file = tempfile::tempfile().unwrap();
    write(tree, &options, None, Target { file: &file, offset: 0, room: None, replaces: None }, &silent).unwrap_err().to_string()
}

#[expect(clippy::disallowed_methods, reason = "tests judge our bytes by external tools")]
fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("TZ", "UTC").env("LC_ALL", "C.UTF-8").output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?} failed:\n{out}\n{err}");
    assert!(err.is_empty(), "{program} {arguments:?} complains:\n{err}");
    out.into_owned()
}

#[test]
fn the_bytes_don_t_depend_on_jobs_place_or_cache() {
    let tree = torture(true);
    let directory = tempfile::tempdir().unwrap();
    let cache = BlockCache::open(directory.path()).unwrap();
    let one = write_image(&tree, Options { jobs: 1, ..options(5, 4096) }, None);
    let four = write_image(&tree, Options { jobs: 4, salt: Some([3; 32]), ..options(5, 4096) }, Some(&cache));
    let cache = BlockCache::open(directory.path()).unwrap();
    let warm = write_image(&tree, options(5, 4096), Some(&cache));
    assert!(one.bytes() == four.bytes() && one.bytes() == warm.bytes());
    assert_eq!(four.summary.cache.hits, 0);
    assert_eq!(warm.summary.cache, CacheUse { hits: four.summary.cache.misses, misses: 0 });

    let disk = tempfile::tempfile().unwrap();
    disk.write_all_at(&[0xaa; 3 << 20], 0).unwrap();
    let target = Target { file: &disk, offset: 1 << 20, room: Some(one.summary.len), replaces: None };
    let inside = write(&tree, &options(5, 4096), None, target, &silent).unwrap();
    assert_eq!(inside.len, one.summary.len);
    let mut bytes = vec![0; 3 << 20];
    disk.read_exact_at(&mut bytes, 0).unwrap();
    let end = (1 << 20) + inside.len as usize;
    assert!(bytes[1 << 20..end] == one.bytes());
    assert!(bytes[..1 << 20].iter().chain(&bytes[end..]).all(|&byte| byte == 0xaa));
}

#[test]
fn equal_contents_are_stored_once() {
    let mut tree = Tree::new();
    add(&mut tree, "/a", noise(1, 300_000));
    let once = write_image(&tree, options(3, 65536), None).summary;
    for name in ["/b", "/c", "/d/e"] {
        add(&mut tree, name, noise(1, 300_000));
    }
    let four_times = write_image(&tree, options(3, 65536), None).summary;
    assert_eq!((once.content_bytes, once.stored_bytes), (300_000, 300_000));
    assert_eq!((four_times.content_bytes, four_times.stored_bytes), (300_000, 300_000));
}

#[test]
fn a_changed_file_costs_its_own_blocks_only() {
    let directory = tempfile::tempdir().unwrap();
    let mut tree = Tree::new();
    for number in 0..2000 {
        add(&mut tree, &format!("/etc/{number:04}"), text(number, 700 + number as usize % 1500));
    }
    add(&mut tree, "/usr/bin/big", text(9, 2_000_000));
    let first = write_image(&tree, options(3, 65536), Some(&BlockCache::open(directory.path()).unwrap())).summary;
    add(&mut tree, "/etc/1000", b"changed".to_vec());
    let second = write_image(&tree, options(3, 65536), Some(&BlockCache::open(directory.path()).unwrap())).summary;
    assert!(first.cache.misses > 60 && second.cache.hits > 60, "{:?} {:?}", first.cache, second.cache);
    assert!((1..=5).contains(&second.cache.misses), "{:?}", second.cache);
}

#[test]
fn a_damaged_cache_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let tree = torture(true);
    let open = || BlockCache::open(directory.path()).unwrap();
    let good = write_image(&tree, options(3, 16384), Some(&open())).bytes();
    let pack = fs_err::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs_err::read(&pack).unwrap();
    bytes[100] ^= 1;
    fs_err::write(&pack, bytes).unwrap();
    let image = write_image(&tree, options(3, 16384), Some(&open()));
    assert!(image.bytes() == good);
    assert_eq!(image.summary.cache.misses, 1);
}

#[test]
fn an_image_that_does_not_fit_is_refused() {
    let mut tree = Tree::new();
    add(&mut tree, "/noise", noise(1, 3_000_000));
    let file = tempfile::tempfile().unwrap();
    let target = Target { file: &file, offset: 4096, room: Some(2_000_000), replaces: None };
    let error = write(&tree, &options(1, 131_072), None, target, &silent).unwrap_err();
    assert_eq!(error.to_string(), "the root image does not fit into its slot of 2000000 bytes (1 MiB)");
    assert!(file.metadata().unwrap().len() <= 2_004_096);
}

#[test]
fn what_the_format_can_t_hold_is_refused() {
    let tree = Tree::new();
    assert_eq!(failure(&tree, options(3, 5000)), "squashfs block size 5000 is not a power of two from 4096 to 1048576");
    assert_eq!(failure(&tree, options(23, 4096)), "zstd level 23 is not from 1 to 22");
    assert_eq!(failure(&Tree::default(), options(3, 4096)), "the tree has no root directory");

    let mut tree = Tree::new();
    add(&mut tree, "/file", Vec::new());
    add(&mut tree, "/file/below", Vec::new());
    assert_eq!(failure(&tree, options(3, 4096)), "/file/below is not in a directory");

    let mut tree = Tree::new();
    tree.insert(path("/dev/x"), Entry::new(Kind::CharDevice { major: 4096, minor: 0 }, 0o600, Origin::Kmimage));
    assert_eq!(failure(&tree, options(3, 4096)), "/dev/x has the device number 4096:0, beyond 4095:1048575");

    let mut tree = Tree::new();
    for (name, mode) in [("/a", 0o644), ("/b", 0o600)] {
        let mut entry = Entry::file(Content::from_bytes(b"x".to_vec()), mode, Origin::Kmimage);
        entry.link = Some(4);
        tree.insert(path(name), entry);
    }
    assert_eq!(failure(&tree, options(3, 4096)), "/b is a hard link to a file that differs from it");

    let mut tree = Tree::new();
    for id in 0..65_536 {
        let mut entry = Entry::new(Kind::Fifo, 0o600, Origin::Kmimage);
        entry.uid = id;
        tree.insert(path(&format!("/{id}")), entry);
    }
    assert_eq!(failure(&tree, options(3, 4096)), "the tree has more than 65535 different user and group ids");

    let mut tree = Tree::new();
    let file = Arc::new(tempfile::tempfile().unwrap());
    let gone = Content::from_range(file, 0, 100_000, Sha256Digest([1; 32]));
    tree.insert(path("/usr/gone"), Entry::file(gone, 0o644, Origin::Kmimage));
    assert_eq!(failure(&tree, options(3, 4096)), "failed to read the content of /usr/gone");
}

#[test]
fn the_superblock_is_written_last() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"hsqs").unwrap();
    let mut tree = Tree::new();
    add(&mut tree, "/noise", noise(1, 5 << 20));
    let target = Target { file: &file, offset: 0, room: Some(4 << 20), replaces: None };
    write(&tree, &options(1, 4096), None, target, &silent).unwrap_err();
    let mut head = [1; 4096];
    file.read_exact_at(&mut head, 0).unwrap();
    assert!(matches!(Superblock::parse(&head), Err(SuperblockError::Signature)));
}

/// Linux itself, where the test may mount: run by hand as root.
#[test]
#[ignore = "needs root, a loop device and squashfs in the kernel"]
fn the_kernel_mounts_the_tree() {
    for block_size in [4096, 1 << 18] {
        let tree = torture(true);
        let image = write_image(&tree, options(3, block_size), None);
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        tool("mount", &["-t", "squashfs", "-o", "loop,ro", &image.file.path().to_string_lossy(), &root.to_string_lossy()]);
        let compared = std::panic::catch_unwind(|| compare_mounted(&tree, root));
        tool("umount", &[&root.to_string_lossy()]);
        compared.unwrap();
    }
}

fn compare_mounted(tree: &Tree, root: &Path) {
    for (path, entry) in tree.iter() {
        let found = root.join(Path::new(std::ffi::OsStr::from_bytes(&path.as_bytes()[1..])));
        let metadata = fs_err::symlink_metadata(&found).unwrap();
        assert_eq!(
            (metadata.mode() & 0o7777, metadata.uid(), metadata.gid()),
            (entry.mode.into(), entry.uid, entry.gid),
            "{path}"
        );
        let device = match &entry.kind {
            Kind::File(content) => {
                assert!(fs_err::read(&found).unwrap() == content.to_vec().unwrap(), "{path}");
                0
            }
            Kind::Symlink(target) => {
                assert_eq!(fs_err::read_link(&found).unwrap().as_os_str().as_bytes(), &**target);
                0
            }
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => rustix::fs::makedev(*major, *minor),
            Kind::Directory => {
                let children = fs_err::read_dir(&found).unwrap().count();
                assert_eq!(children, tree.iter().filter(|(child, _)| child.parent().as_ref() == Some(path)).count());
                0
            }
            Kind::Fifo => 0,
        };
        assert_eq!(metadata.rdev(), device, "{path}");
        if entry.link.is_some() {
            assert_eq!(metadata.nlink(), 3);
        }
        for (name, value) in &entry.xattrs {
            let mut buffer = vec![0; 8192];
            let len = rustix::fs::lgetxattr(&found, name.as_slice(), &mut buffer).unwrap();
            assert_eq!(&buffer[..len], value.as_slice(), "{path}");
        }
        assert!(fs_err::symlink_metadata(found.join("not there")).is_err());
    }
}
