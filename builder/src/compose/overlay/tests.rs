//! Overlays from folders and from memory, and what is refused.

use super::*;
use crate::profile::EmbeddedFile;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    folder
}

fn overlay(folder: &Path) -> Overlay {
    Overlay { name: "site".into(), place: OverlayPlace::Directory(folder.to_path_buf()) }
}

fn listing(tree: &Tree) -> Vec<String> {
    tree.iter()
        .filter(|(_, entry)| entry.origin == Origin::Overlay("site".into()))
        .map(|(path, entry)| {
            let what = match &entry.kind {
                Kind::File(content) => format!("{:?}", String::from_utf8(content.to_vec().unwrap()).unwrap()),
                Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
                _ => "dir".to_string(),
            };
            let attributes: Vec<String> =
                entry.xattrs.iter().map(|(name, value)| format!(" {}={value:?}", String::from_utf8_lossy(name))).collect();
            format!("{path} {:o} {}:{} {what}{}", entry.mode, entry.uid, entry.gid, attributes.concat())
        })
        .collect()
}

fn base() -> Tree {
    let mut tree = Tree::new();
    let path = |text| TreePath::new(text).unwrap();
    tree.insert(path("/etc/hosts"), Entry::file(Content::from_bytes(*b"old"), 0o600, Origin::Kmimage));
    tree.insert(path("/lib"), Entry::symlink("usr/lib", Origin::Kmimage));
    let mut private = Entry::directory(Origin::Kmimage);
    private.mode = 0o700;
    tree.insert(path("/root"), private);
    tree
}

fn text(result: Result<(), OverlayError>) -> String {
    result.unwrap_err().to_string()
}

const MANIFEST: &str = r#"
[[file]]
path = "/usr/libexec/*"
mode = "0750"
gid = 7
[[file]]
path = "/usr/libexec/serve"
capabilities = ["net_bind_service", "checkpoint_restore"]
[[link]]
path = "/etc/resolv.conf"
target = "../run/resolv.conf"
[[directory]]
path = "/srv/empty"
[[executable]]
path = "/usr/libexec/serve"
reason = "a test's program"
"#;

const FILES: [(&str, &str); 5] = [
    ("overlay.toml", MANIFEST),
    ("rootfs/etc/hosts", "new"),
    ("rootfs/root/note", "secret"),
    ("rootfs/usr/libexec/serve", "\x7fELF..."),
    ("rootfs/usr/libexec/data", "d"),
];

#[test]
fn modes_come_from_the_manifest_never_from_the_host() {
    let expected = [
        "/etc/hosts 644 0:0 \"new\"",
        "/etc/resolv.conf 777 0:0 -> ../run/resolv.conf",
        "/root/note 644 0:0 \"secret\"",
        "/srv 755 0:0 dir",
        "/srv/empty 755 0:0 dir",
        "/usr 755 0:0 dir",
        "/usr/libexec 755 0:0 dir",
        "/usr/libexec/data 750 0:7 \"d\"",
        "/usr/libexec/serve 750 0:7 \"\\u{7f}ELF...\" security.capability=[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]",
    ];
    let folder = folder(&FILES);
    for mode in [0o600, 0o777] {
        fs_err::set_permissions(folder.path().join("rootfs/etc/hosts"), PermissionsExt::from_mode(mode)).unwrap();
        let mut tree = base();
        read(&overlay(folder.path())).unwrap().apply(&mut tree).unwrap();
        assert_eq!(listing(&tree), expected);
        let root = tree.get(&TreePath::new("/root").unwrap()).unwrap();
        assert_eq!((root.mode, &root.origin), (0o700, &Origin::Kmimage), "a directory that is there stays as it is");
    }
    let embedded: Vec<EmbeddedFile> = FILES.iter().map(|(path, text)| EmbeddedFile { path, bytes: text.as_bytes() }).collect();
    let place = OverlayPlace::Embedded(embedded.leak());
    let mut tree = base();
    read(&Overlay { name: "site".into(), place }).unwrap().apply(&mut tree).unwrap();
    assert_eq!(listing(&tree), expected, "embedded or not, it is the same");
}

#[test]
fn a_change_that_keeps_size_and_time_is_seen() {
    let folder = folder(&[("rootfs/etc/hosts", "one")]);
    let path = folder.path().join("rootfs/etc/hosts");
    let digest = || {
        let mut tree = base();
        read(&overlay(folder.path())).unwrap().apply(&mut tree).unwrap();
        match &tree.get(&TreePath::new("/etc/hosts").unwrap()).unwrap().kind {
            Kind::File(content) => content.sha256(),
            other => panic!("{other:?}"),
        }
    };
    let first = digest();
    let time = fs_err::metadata(&path).unwrap().modified().unwrap();
    fs_err::write(&path, "two").unwrap();
    fs_err::File::options().write(true).open(&path).unwrap().file().set_modified(time).unwrap();
    assert_ne!(digest(), first);
}

#[test]
fn what_does_not_fit_is_refused() {
    let site = |files: &[(&str, &str)]| {
        let folder = folder(files);
        text(read(&overlay(folder.path())).and_then(|overlay| overlay.apply(&mut base())))
    };
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[("rootfs/usr/bin/x", "\x7fELF")], "overlay site: /usr/bin/x: an ELF executable, which overlay.toml does not name"),
        (
            &[("rootfs/a", "x"), ("overlay.toml", "[[executable]]\npath = \"/a\"\nreason = \"r\"\n")],
            "overlay site: /a: overlay.toml says that it is an executable, and it is no ELF file",
        ),
        (
            &[("overlay.toml", "[[executable]]\npath = \"/a\"\nreason = \"r\"\n")],
            "overlay site: /a: overlay.toml names it as an executable, and it is not in rootfs",
        ),
        (
            &[("overlay.toml", "[[file]]\npath = \"/a*\"\nmode = \"0600\"\n"), ("rootfs/b", "")],
            "overlay site: /a*: overlay.toml changes it, and nothing in the overlay is like that",
        ),
        (&[("overlay.toml", "[[link]]\npath = \"/a\"\ntarget = \"../x\"\n")], "overlay site: /a: a symlink climbing above `/`"),
        (
            &[("overlay.toml", "[[link]]\npath = \"/a\"\ntarget = \"x\"\n"), ("rootfs/a/b", "")],
            "overlay site: /a: overlay.toml names it as a link, and the overlay has something else there",
        ),
        (&[("rootfs/lib/x", "")], "overlay site: /lib: kmimage has it, too, and only one of the two is a directory"),
        (&[("rootfs/root", "")], "overlay site: /root: kmimage has it, too, and only one of the two is a directory"),
        (&[("rootfs/etc/hosts/x", "")], "overlay site: /etc/hosts: kmimage has it, too, and only one of the two is a directory"),
    ];
    for (files, expected) in cases {
        assert_eq!(site(files), expected);
    }
}

#[test]
fn links_and_empty_directories_belong_into_the_manifest() {
    use crate::failure::Classified;
    let folder = folder(&[("rootfs/etc/a", "")]);
    symlink("a", folder.path().join("rootfs/etc/b")).unwrap();
    let error = read(&overlay(folder.path())).unwrap_err();
    assert_eq!(error.to_string(), "overlay site: /etc/b: a symlink; an overlay has its links in overlay.toml");
    assert_eq!(error.hints(), ["Remove it and write in overlay.toml: [[link]] path = \"/etc/b\", target = \"a\"."]);
    fs_err::remove_file(folder.path().join("rootfs/etc/b")).unwrap();
    fs_err::create_dir(folder.path().join("rootfs/srv")).unwrap();
    let error = read(&overlay(folder.path())).unwrap_err();
    assert_eq!(error.to_string(), "overlay site: /srv: a directory that holds no file; an overlay has these in overlay.toml");
}
