//! Choices over small kernels.

use super::*;
use crate::compose::content::Content;
use crate::compose::facts::testing;
use crate::compose::tree::Origin;
use crate::hash::Sha256Digest;
use crate::profile::{ModuleDrop, PathGlob};
use std::io::Read as _;

const BASE: &str = "/usr/lib/modules/6.1-x";

/// A kernel of modules by path, each with the names that it depends on.
fn kernel(modules: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::new();
    for (file, depends) in modules {
        let name = file.rsplit('/').next().unwrap().trim_end_matches(".ko");
        let bytes = testing::module(&[&format!("name={name}"), &format!("depends={depends}"), "vermagic=6.1-x SMP"]);
        let path = TreePath::new(format!("{BASE}/{file}")).unwrap();
        tree.insert(path, Entry::file(Content::from_bytes(bytes), 0o644, Origin::Kmimage));
    }
    tree.insert(
        TreePath::new(format!("{BASE}/modules.order")).unwrap(),
        Entry::file(Content::from_bytes(*b"x"), 0o644, Origin::Kmimage),
    );
    tree
}

fn selection(drop: &[&str], keep: &[&str]) -> ModuleSelection {
    ModuleSelection {
        drop: drop.iter().map(|path| ModuleDrop { path: (*path).into(), reason: "test".into() }).collect(),
        keep: keep.iter().map(|glob| PathGlob::new(glob).unwrap()).collect(),
    }
}

fn rest(tree: &Tree) -> Vec<String> {
    let base = TreePath::new(BASE).unwrap();
    tree.under(&base).skip(1).map(|(path, _)| relative(path, &base)).collect()
}

#[test]
fn what_stays_keeps_what_it_needs() {
    let modules = [
        ("kernel/drivers/gpu/drm.ko", "i2c-core,backlight"),
        ("kernel/drivers/gpu/sub/other.ko", ""),
        ("kernel/drivers/hid/hid.ko", ""),
        ("kernel/drivers/hid/usbhid.ko", "hid"),
        ("kernel/drivers/i2c/i2c_core.ko", ""),
        ("kernel/drivers/video/backlight.ko", "video"),
        ("kernel/drivers/video/video.ko", "builtin"),
        ("kernel/net/bridge.ko", "drm"),
        ("kernel/sound/snd.ko", ""),
    ];
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let choice = selection(
        &[
            "kernel/drivers/gpu",
            "kernel/drivers/hid",
            "kernel/drivers/i2c",
            "kernel/drivers/video",
            "kernel/sound",
            "kernel/none",
        ],
        &["kernel/drivers/hid/usb*", "kernel/lib/**"],
    );
    let expected = [
        "kernel",
        "kernel/drivers",
        "kernel/drivers/gpu",
        "kernel/drivers/gpu/drm.ko",
        "kernel/drivers/hid",
        "kernel/drivers/hid/hid.ko",
        "kernel/drivers/hid/usbhid.ko",
        "kernel/drivers/i2c",
        "kernel/drivers/i2c/i2c_core.ko",
        "kernel/drivers/video",
        "kernel/drivers/video/backlight.ko",
        "kernel/drivers/video/video.ko",
        "kernel/net",
        "kernel/net/bridge.ko",
        "modules.order",
    ];
    let mut looked_at = Vec::new();
    for _ in ["cold", "warm"] {
        let mut tree = kernel(&modules);
        let (mut facts, mut notes) = (Facts::default(), Vec::new());
        let counts = select(&mut tree, "6.1-x", &choice, &mut facts, &store, 2, &mut notes).unwrap();
        assert_eq!(rest(&tree), expected);
        assert_eq!(counts, ModuleCounts { kept: 7, needed: 5, dropped: 2 });
        let expected = [
            "the kernel has no module kernel/none, which the profile drops",
            "the kernel has no modules like kernel/lib/**, which the profile keeps",
        ];
        assert_eq!(notes, expected);
        looked_at.push(facts.len());
    }
    assert_eq!(looked_at, [7, 0], "only modules that stay are read, and none when the choice is known");
}

#[test]
fn another_choice_or_kernel_is_chosen_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let run = |modules: &[(&str, &str)], drop: &[&str]| {
        let mut tree = kernel(modules);
        select(&mut tree, "6.1-x", &selection(drop, &[]), &mut Facts::default(), &store, 1, &mut Vec::new()).unwrap();
        rest(&tree).into_iter().filter(|path| path.ends_with(".ko")).collect::<Vec<_>>()
    };
    assert_eq!(run(&[("a/a.ko", "b"), ("b/b.ko", "")], &["b"]), ["a/a.ko", "b/b.ko"]);
    assert_eq!(run(&[("a/a.ko", ""), ("b/b.ko", "")], &["b"]), ["a/a.ko"]);
    assert_eq!(run(&[("a/a.ko", "b"), ("b/b.ko", "")], &["a"]), ["b/b.ko"]);
    assert_eq!(run(&[("a/a.ko", "b"), ("b/b.ko", "")], &["a", "b"]), Vec::<String>::new());
}

#[test]
fn what_stays_is_unpacked_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let plain = |name: &str, depends: &str| {
        testing::module(&[&format!("name={name}"), &format!("depends={depends}"), "vermagic=6.1-x SMP"])
    };
    let xz = |bytes: &[u8]| {
        let mut packed = Vec::new();
        liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut packed).unwrap();
        packed
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let files = [
        ("a/a.ko.xz", xz(&plain("a", "b"))),
        ("b/b.ko.zst", zstd(&plain("b", ""))),
        ("b/c.ko.xz", xz(&plain("c", ""))),
        ("d/d.ko", plain("d", "")),
        ("d/torn.ko.xz", xz(&plain("torn", ""))[..60].to_vec()),
        ("e/two.ko", plain("two", "")),
        ("e/two.ko.xz", xz(&plain("two", "x"))),
    ];
    let mut seen = Vec::new();
    for _ in ["cold", "warm"] {
        let mut tree = Tree::new();
        for (file, bytes) in &files {
            let path = TreePath::new(format!("{BASE}/{file}")).unwrap();
            tree.insert(path, Entry { uid: 7, ..Entry::file(Content::from_bytes(bytes.clone()), 0o600, Origin::Kmimage) });
        }
        let mut facts = Facts::default();
        let counts = select(&mut tree, "6.1-x", &selection(&["b"], &[]), &mut facts, &store, 2, &mut Vec::new()).unwrap();
        assert_eq!(counts, ModuleCounts { kept: 6, needed: 1, dropped: 1 });
        let expected = ["a", "a/a.ko", "b", "b/b.ko", "d", "d/d.ko", "d/torn.ko.xz", "e", "e/two.ko", "e/two.ko.xz"];
        assert_eq!(rest(&tree), expected);
        let content = |file: &str| {
            let entry = tree.get(&TreePath::new(format!("{BASE}/{file}")).unwrap()).unwrap();
            assert_eq!((entry.mode, entry.uid), (0o600, 7), "{file}");
            let Kind::File(content) = &entry.kind else { panic!("{file}") };
            let bytes = content.to_vec().unwrap();
            assert_eq!(Sha256Digest::of(&bytes), content.sha256(), "{file}");
            bytes
        };
        assert!(content("a/a.ko") == plain("a", "b") && content("b/b.ko") == plain("b", ""));
        assert!(content("d/torn.ko.xz") == files[4].1 && content("e/two.ko.xz") == files[6].1);
        facts.gather_more(&tree, None, 1).unwrap();
        seen.push(facts);
    }
    let [cold, warm] = &seen[..] else { panic!() };
    let of = |facts: &Facts, bytes: &[u8]| {
        let path = TreePath::new(format!("{BASE}/a/a.ko")).unwrap();
        facts.of(&path, &Content::from_bytes(bytes.to_vec())).cloned()
    };
    for bytes in [plain("a", "b"), plain("b", ""), plain("d", ""), files[4].1.clone()] {
        assert!(of(cold, &bytes).is_some());
        assert_eq!(of(cold, &bytes), of(warm, &bytes));
    }
}
