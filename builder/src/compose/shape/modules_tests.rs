//! Choices over small kernels.

use super::*;
use crate::compose::content::Content;
use crate::compose::facts::testing;
use crate::compose::tree::Origin;
use crate::profile::{ModuleDrop, PathGlob};

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
