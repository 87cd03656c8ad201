//! What `unsquashfs` reads back is the tree.

use super::*;

#[test]
fn tools_unsquashfs_lists_the_tree() {
    for (level, block_size) in [(1, 4096), (9, 131_072), (3, 1 << 20)] {
        let tree = torture(true);
        let image = write_image(&tree, options(level, block_size), None);
        let listing = tool("unsquashfs", &["-lln", "-d", "", &image.file.path().to_string_lossy()]);
        let mut found: Vec<String> = listing.lines().map(squeeze).collect();
        let mut expect: Vec<String> = tree.iter().map(|(path, entry)| lln(path, entry)).collect();
        found.sort_unstable();
        expect.sort_unstable();
        for (found, expect) in found.iter().zip(&expect) {
            assert_eq!(found, expect);
        }
        assert_eq!(found.len(), expect.len());
    }
}

/// An entry as `unsquashfs -lln` prints it, but for the width of columns and a directory's size.
fn lln(path: &TreePath, entry: &Entry) -> String {
    // It shows a device's 32 bits as if major were all but the last eight.
    let device = |major: u32, minor: u32| {
        let bits = minor & 0xff | major << 8 | (minor & !0xff) << 12;
        format!("{},{}", bits as i32 >> 8, bits & 0xff)
    };
    let (letter, size) = match &entry.kind {
        Kind::Directory => ('d', String::new()),
        Kind::File(content) => ('-', content.len().to_string()),
        Kind::Symlink(target) => ('l', target.len().to_string()),
        Kind::CharDevice { major, minor } => ('c', device(*major, *minor)),
        Kind::BlockDevice { major, minor } => ('b', device(*major, *minor)),
        Kind::Fifo => ('p', "0".to_owned()),
    };
    let mut mode = String::from(letter);
    for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = entry.mode >> shift;
        mode.push(if bits & 4 != 0 { 'r' } else { '-' });
        mode.push(if bits & 2 != 0 { 'w' } else { '-' });
        mode.push(match (entry.mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    let path = if path.is_root() { "".into() } else { String::from_utf8_lossy(path.as_bytes()) };
    let target = match &entry.kind {
        Kind::Symlink(target) => format!(" -> {}", String::from_utf8_lossy(target)),
        _ => String::new(),
    };
    format!("{mode} {}/{} {size} 2023-11-14 22:13 {path}{target}", entry.uid, entry.gid)
}

/// A line of `unsquashfs -lln` without the padding of its columns and a directory's size.
fn squeeze(line: &str) -> String {
    let (left, right) = line.split_once(" 2023-11-14 22:13 ").unwrap_or((line, "no date"));
    let mut words: Vec<&str> = left.split_ascii_whitespace().collect();
    if words[0].starts_with('d') {
        words[2] = "";
    }
    let size = words[2..].concat();
    format!("{} {} {size} 2023-11-14 22:13 {right}", words[0], words[1])
}

#[test]
fn tools_unsquashfs_extracts_the_tree() {
    let tree = torture(false);
    let image = write_image(&tree, options(6, 4096), None);
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    tool("unsquashfs", &["-quiet", "-no-progress", "-d", &root.to_string_lossy(), &image.file.path().to_string_lossy()]);
    let mut inodes = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let found = root.join(Path::new(std::ffi::OsStr::from_bytes(&path.as_bytes()[1..])));
        let metadata = fs_err::symlink_metadata(&found).unwrap();
        match &entry.kind {
            Kind::Directory => assert!(metadata.is_dir()),
            Kind::File(content) => {
                assert!(fs_err::read(&found).unwrap() == content.to_vec().unwrap(), "{path}");
            }
            Kind::Symlink(target) => {
                let found = fs_err::read_link(&found).unwrap();
                assert_eq!(found.as_os_str().as_encoded_bytes(), &**target);
            }
            Kind::Fifo => assert!(metadata.file_type().is_fifo()),
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } => unreachable!(),
        }
        if !matches!(entry.kind, Kind::Symlink(_)) {
            assert_eq!(metadata.permissions().mode() & 0o7777, u32::from(entry.mode), "{path}");
        }
        for (name, value) in &entry.xattrs {
            let mut buffer = vec![0; 8192];
            let len = rustix::fs::getxattr(&found, name.as_slice(), &mut buffer).unwrap();
            assert_eq!(&buffer[..len], value.as_slice());
        }
        assert_eq!(metadata.mtime(), i64::from(EPOCH), "{path}");
        if let Some(link) = entry.link {
            assert_eq!(*inodes.entry(link).or_insert(metadata.ino()), metadata.ino());
            assert_eq!(metadata.nlink(), 3);
        }
    }
}

#[test]
fn tools_unsquashfs_reads_the_superblock() {
    let image = write_image(&torture(true), options(19, 65536), None);
    let stat = tool("unsquashfs", &["-stat", &image.file.path().to_string_lossy()]);
    for line in [
        "Found a valid SQUASHFS 4:0 superblock on",
        "Creation or last append time Tue Nov 14 22:13:20 2023",
        "Compression zstd",
        "compression-level 19",
        "Block size 65536",
        "Filesystem is exportable via NFS",
        "Inodes are compressed",
        "Data is compressed",
        "Fragments are compressed",
        "Xattrs are compressed",
        "Duplicates are removed",
        &format!("Number of inodes {}", image.summary.inodes),
        "Number of ids 8",
    ] {
        assert!(stat.contains(line), "{line:?} is not in:\n{stat}");
    }
}

/// A directory whose listing is longer than 64 KiB, whose inodes fill several metadata blocks and whose numbers are far apart.
#[test]
fn tools_unsquashfs_reads_a_huge_directory() {
    let mut tree = Tree::new();
    for number in 0..70_000u32 {
        add(&mut tree, &format!("/huge/{}-{number}", number % 7), Vec::new());
    }
    tree.insert(path("/huge/0-0/inside"), Entry::symlink("x", Origin::Kmimage));
    tree.insert(path("/huge/0-0"), Entry::directory(Origin::Kmimage));
    tree.insert(path("/huge/6-69999/inside"), Entry::symlink("x", Origin::Kmimage));
    tree.insert(path("/huge/6-69999"), Entry::directory(Origin::Kmimage));
    let image = write_image(&tree, options(1, 4096), None);
    let listing = tool("unsquashfs", &["-ls", "-d", "", &image.file.path().to_string_lossy()]);
    let mut found: Vec<&str> = listing.lines().collect();
    let mut expect: Vec<String> =
        tree.iter().map(|(path, _)| if path.is_root() { String::new() } else { path.to_string() }).collect();
    found.sort_unstable();
    expect.sort_unstable();
    assert!(found.iter().eq(expect.iter()), "{} of {} paths", found.len(), expect.len());
}

/// More than 4 GiB, nearly all of it holes.
#[test]
fn tools_unsquashfs_reads_a_file_beyond_4_gib() {
    let source = tempfile::tempfile().unwrap();
    let len = (4 << 30) + 70_000;
    source.set_len(len).unwrap();
    source.write_all_at(b"the end", len - 7).unwrap();
    let mut tree = Tree::new();
    let content = Content::from_range(Arc::new(source), 0, len, Sha256Digest([5; 32]));
    tree.insert(path("/big"), Entry::file(content, 0o644, Origin::Kmimage));
    let image = write_image(&tree, options(1, 1 << 20), None);
    assert!(image.summary.len < 1 << 20);
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    tool("unsquashfs", &["-quiet", "-no-progress", "-d", &root.to_string_lossy(), &image.file.path().to_string_lossy()]);
    let big = File::open(root.join("big")).unwrap();
    assert_eq!(big.metadata().unwrap().len(), len);
    let mut tail = [1; 70_000];
    big.read_exact_at(&mut tail, len - 70_000).unwrap();
    assert!(tail.ends_with(b"the end") && tail[..70_000 - 7].iter().all(|&byte| byte == 0));
}
