//! Profiles from text to value: merging, and every fault with its exact message.

use super::*;
use crate::failure::{Classified, Kind};
use std::path::Path;

/// A library of the given profiles (name, text) and overlays (name).
struct TestLibrary(tempfile::TempDir);

impl TestLibrary {
    fn new(profiles: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(folder.path().join("profiles/keyrings")).unwrap();
        fs_err::create_dir_all(folder.path().join("overlays/extra/rootfs")).unwrap();
        fs_err::write(folder.path().join("profiles/keyrings/own.asc"), "certificate").unwrap();
        for (name, text) in profiles {
            fs_err::write(folder.path().join(format!("profiles/{name}.toml")), text).unwrap();
        }
        Self(folder)
    }

    fn load(&self, name: &str) -> Result<Profile, ProfileError> {
        load(&Library::new(self.0.path()), name)
    }

    /// The error's text, with the folder's name taken out.
    fn error(&self, name: &str) -> String {
        self.load(name).unwrap_err().to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

const ROOT: &str = r#"description = "root"
[packages]
install = ["linux-image-amd64", "libc6"]
[[absent]]
package = "kmod"
reason = "none"
[[repository]]
name = "main"
uris = ["http://host/debian/"]
suites = ["trixie"]
components = ["main"]
keyrings = ["own.asc"]
[kernel]
cmdline = ["quiet", "panic=10"]
[[kernel.modules.drop]]
paths = ["kernel/sound", "kernel/drivers/media"]
reason = "silence"
[[drop]]
path = "/usr/share/{doc,man}"
reason = "nobody reads"
"#;

#[track_caller]
fn check(child: &str, expected: &str) {
    let text = format!("description = \"child\"\nextends = \"root\"\n{child}");
    assert_eq!(TestLibrary::new(&[("root", ROOT), ("child", &text)]).error("child"), expected);
}

#[test]
fn the_embedded_profiles_are_valid() {
    let nowhere = tempfile::tempdir().unwrap();
    let library = Library::new(nowhere.path());
    assert_eq!(library.names(Shelf::Profiles).unwrap(), ["base", "worker"]);
    for listing in library.listings(Shelf::Profiles).unwrap() {
        let profile = load(&library, &listing.name).unwrap();
        assert_eq!(listing.description.unwrap(), profile.description);
        assert_eq!(profile.files.last().unwrap().path, listing.file);
        assert!(profile.packages.iter().any(|package| package.starts_with("linux-image-")), "{}", profile.name);
    }
}

#[test]
fn every_embedded_extension_combines_with_every_embedded_profile() {
    let library = Library::new(tempfile::tempdir().unwrap().path());
    for (extension, profile) in library.names(Shelf::Extensions).unwrap().iter().zip(library.names(Shelf::Profiles).unwrap()) {
        let text = format!("description = \"x\"\nextends = \"{profile}\"\nextensions = [\"{extension}\"]\n");
        let (with, without) = (TestLibrary::new(&[("with", &text)]).load("with").unwrap(), load(&library, &profile).unwrap());
        assert_eq!((with.role, with.description.as_str()), (without.role, "x"));
        assert!(with.packages.is_superset(&without.packages) && with.packages != without.packages, "{extension} on {profile}");
    }
}

#[test]
fn an_extension_is_laid_between_the_parent_and_the_profile() {
    let folder = |shelf: &TestLibrary| shelf.0.path().join("profiles/extensions");
    let library = TestLibrary::new(&[
        ("root", ROOT),
        (
            "child",
            "description = \"child\"\nextends = \"root\"\nextensions = [\"one\", \"two\"]\n[image]\nblock-size = \"128 KiB\"\n[without]\npackages = [\"crun\"]\n",
        ),
        ("again", "description = \"x\"\nextends = \"child\"\nextensions = [\"two\"]\n"),
        ("near", "description = \"x\"\nextends = \"root\"\nextensions = [\"on\"]\n"),
        ("bad", "description = \"x\"\nextends = \"root\"\nextensions = [\"bad\"]\n"),
    ]);
    fs_err::create_dir(folder(&library)).unwrap();
    let write =
        |name: &str, text: &str| fs_err::write(folder(&library).join(name), format!("description = \"e\"\n{text}")).unwrap();
    write("one.toml", "[packages]\ninstall = [\"crun\", \"one\"]\n[image]\nslot-size = \"64 MiB\"\nblock-size = \"64 KiB\"\n");
    write("two.toml", "[packages]\ninstall = [\"two\"]\n[image]\nslot-size = \"96 MiB\"\n[without]\ncmdline = [\"quiet\"]\n");
    let profile = library.load("child").unwrap();
    assert_eq!(profile.packages.iter().map(String::as_str).collect::<Vec<_>>(), ["libc6", "linux-image-amd64", "one", "two"]);
    assert_eq!((profile.image.slot_size, profile.image.block_size), (96 << 20, 128 << 10));
    assert_eq!(
        (profile.role.as_str(), profile.description.as_str(), profile.kernel.cmdline),
        ("root", "child", vec!["panic=10".to_owned()])
    );
    let files: Vec<&str> = profile.files.iter().filter_map(|file| file.path.rsplit("profiles/").next()).collect();
    assert_eq!(files, ["root.toml", "extensions/one.toml", "extensions/two.toml", "child.toml"]);

    let again = library.error("again");
    assert!(
        again.starts_with("profiles/again.toml:3:15: the extension `two` was taken already, at profiles/child.toml:3"),
        "{again}"
    );
    let near = library.error("near");
    assert!(near.starts_with("profiles/near.toml:3:15: there is no extension `on`; did you mean `one`?"), "{near}");
    for (key, value) in [("extends", "\"root\""), ("role", "\"root\""), ("extensions", "[\"one\"]")] {
        write("bad.toml", &format!("{key} = {value}\n"));
        let error = library.error("bad");
        let expected = format!("an extension has no `{key}`: it adds to the profile that takes it");
        assert!(error.starts_with("profiles/extensions/bad.toml:2:") && error.contains(&expected), "{error}");
    }
}

#[test]
fn the_profile_of_the_benchmarks_is_valid() {
    let shelf = TestLibrary::new(&[("bench", include_str!("../../benches/speed/bench.toml"))]);
    assert_eq!(shelf.load("bench").unwrap().packages.len(), 113);
}

#[test]
fn a_grandchild_of_an_embedded_profile_plays_its_role() {
    let extends = |name: &str| format!("description = \"x\"\nextends = \"{name}\"\n");
    let shelf = TestLibrary::new(&[("edge", &extends("base")), ("lab", &extends("edge"))]);
    let profile = shelf.load("lab").unwrap();
    assert_eq!((profile.name.as_str(), profile.role.as_str(), profile.files.len()), ("lab", "base", 3));
    assert_eq!(profile.files[0].path, "embedded:profiles/base.toml");
}

/// Profiles, overlay.toml and the lock are foreign bytes: whatever they hold, the answer is an error that points into them.
#[test]
fn no_text_is_a_panic() {
    let seed = ROOT.as_bytes();
    let shelf = TestLibrary::new(&[]);
    let mut texts: Vec<Vec<u8>> = (0..seed.len()).step_by(7).map(|at| seed[..at].to_vec()).collect();
    for at in (0..seed.len()).step_by(13) {
        for byte in [b'"', b'[', b'=', b'\n', b'0', 0, 0xff] {
            let mut text = seed.to_vec();
            text[at] = byte;
            texts.push(text);
        }
    }
    for deep in ["a = ", "a.", "[", "[[", "a = {b = "] {
        texts.push([deep.as_bytes(), "[".repeat(3_000).as_bytes()].concat());
        texts.push(deep.repeat(3_000).into_bytes());
    }
    for text in texts {
        fs_err::write(shelf.0.path().join("profiles/x.toml"), &text).unwrap();
        if let Err(error) = shelf.load("x") {
            let shown = error.to_string();
            assert!(shown.lines().all(|line| line.chars().count() < 2_000), "{shown}");
        }
        let _ = OverlayManifest::parse("overlay.toml", &text);
    }
}

#[test]
fn a_child_adds_replaces_and_takes_away() {
    let child = r#"
        description = "child"
        extends = "root"
        role = "worker"
        overlays = ["extra"]
        [packages]
        install = ["crun"]
        [kernel]
        cmdline = ["ro"]
        [kernel.modules]
        keep = ["kernel/drivers/media/rc/*"]
        [[kernel.modules.drop]]
        paths = ["kernel/net/9p/9pnet_rdma"]
        reason = "no RDMA"
        [image]
        slot-size = "64 MiB"
        boot-image-limit = "9 MiB"
        [without]
        absent = ["kmod"]
        packages = ["libc6"]
        cmdline = ["quiet"]
        module-drop = ["kernel/sound"]
        drop = ["/usr/share/{doc,man}"]
    "#;
    let shelf = TestLibrary::new(&[("root", ROOT), ("child", child)]);
    let profile = shelf.load("child").unwrap();
    assert_eq!(profile.packages.iter().collect::<Vec<_>>(), ["crun", "linux-image-amd64"]);
    assert_eq!(profile.kernel.cmdline, ["panic=10", "ro"]);
    assert_eq!((profile.role.as_str(), profile.description.as_str()), ("worker", "child"));
    let boot_image_limit = Some(9 << 20);
    assert_eq!(profile.image, Image { slot_size: 64 << 20, compression_level: 9, block_size: 256 << 10, boot_image_limit });
    assert!(profile.absent.is_empty() && profile.drops.is_empty());
    assert_eq!(profile.overlays[0].name, "extra");
    let kept = |path: &str| profile.kernel.modules.keeps(path);
    assert!(kept("kernel/sound/core/snd.ko.xz") && kept("kernel/drivers/media/rc/rc-core.ko.xz"));
    assert!(!kept("kernel/drivers/media/v4l2-core/videodev.ko.xz") && !kept("kernel/net/9p/9pnet_rdma.ko.xz"));
    assert!(kept("kernel/net/9p/9pnet.ko.xz") && kept("kernel/drivers/mediator.ko.xz"));

    let root = shelf.load("root").unwrap();
    assert_eq!(root.role, "root");
    assert_ne!(root.digest(), profile.digest());
    assert_eq!(root.digest(), shelf.load("root").unwrap().digest());
    assert_eq!(
        profile.files.iter().map(|file| Path::new(&file.path).file_name().unwrap()).collect::<Vec<_>>(),
        ["root.toml", "child.toml"]
    );
}

#[test]
fn the_digest_is_of_the_value_not_of_the_text() {
    let one = TestLibrary::new(&[("root", ROOT)]).load("root").unwrap();
    let spaced = TestLibrary::new(&[("root", &format!("# a remark\n{ROOT}"))]).load("root").unwrap();
    assert_eq!(one.digest(), spaced.digest());
    assert_ne!(one.files[0].sha256, spaced.files[0].sha256);
    let reasoned = TestLibrary::new(&[("root", &ROOT.replace("silence", "quiet"))]).load("root").unwrap();
    assert_ne!(one.digest(), reasoned.digest());
}

#[test]
fn initramfs_modules_are_wanted_by_name_or_directory() {
    let modules =
        InitramfsModules { modules: ["dm_verity".to_owned()].into(), directories: ["kernel/drivers/ata".to_owned()].into() };
    assert!(modules.wants("kernel/drivers/md/dm-verity.ko.xz"));
    assert!(modules.wants("kernel/drivers/ata/ahci.ko.xz"));
    assert!(!modules.wants("kernel/drivers/md/dm-mod.ko.xz"));
}

#[test]
fn unknown_profiles_name_those_that_exist() {
    let known = crate::support::mini::profiles_and(&["root"]).join(", ");
    let shelf = TestLibrary::new(&[("root", ROOT)]);
    let error = shelf.load("rot").unwrap_err();
    assert_eq!(error.to_string(), format!("there is no profile `rot`; there are: {known}"));
    assert_eq!(error.kind(), Kind::Profile);
    assert_eq!(error.hints(), ["Did you mean `root`?"]);
    let error = shelf.load("../root").unwrap_err();
    assert_eq!(error.to_string(), format!("there is no profile `../root`; there are: {known}"));
    assert_eq!(error.hints(), ["A profile's name has lower-case letters, digits and `-`, 64 at most; see `kmimage profiles`."]);

    let shelf = TestLibrary::new(&[("child", "description = \"x\"\nextends = \"bas\"\n")]);
    assert_eq!(
        shelf.error("child"),
        "profiles/child.toml:2:11: there is no profile `bas`; did you mean `base`?\n   |\n 2 | extends = \"bas\"\n   |           ^^^^^"
    );
}

#[test]
fn profiles_that_extend_each_other_are_named() {
    let extends = |name: &str| format!("description = \"x\"\nextends = \"{name}\"\n");
    let shelf = TestLibrary::new(&[("a", &extends("b")), ("b", &extends("c")), ("c", &extends("b")), ("d", &extends("d"))]);
    assert_eq!(
        shelf.error("a"),
        "profiles/c.toml:2:11: these profiles extend each other: profiles/b.toml -> profiles/c.toml -> profiles/b.toml\n   |\n 2 | \
         extends = \"b\"\n   |           ^^^"
    );
    assert_eq!(
        shelf.error("d"),
        "profiles/d.toml:2:11: a profile cannot extend itself\n   |\n 2 | extends = \"d\"\n   |           ^^^"
    );
}

#[test]
fn an_unknown_key_names_the_nearest() {
    check(
        "[package]\n",
        "profiles/child.toml:3:2: unknown key `package`; did you mean `packages`?\n   |\n 3 | [package]\n   |  ^^^^^^^",
    );
    check(
        "[kernel]\ncommand = []\n",
        "profiles/child.toml:4:1: unknown key `command`; known here: package, cmdline, modules, initramfs\n   |\n 4 | command = \
         []\n   | ^^^^^^^",
    );
}

#[test]
fn packages_are_judged() {
    check(
        "packages.install = [\"kmod\"]\n",
        "profiles/child.toml:3:21: `kmod` is declared absent, in profiles/root.toml:5; take it from there by `[without] absent`\n   |\n 3 \
         | packages.install = [\"kmod\"]\n   |                     ^^^^^^",
    );
    check(
        "packages.install = [\"libc6\"]\n",
        "profiles/child.toml:3:21: the package `libc6` is there already, from profiles/root.toml:3\n   |\n 3 | packages.install = \
         [\"libc6\"]\n   |                     ^^^^^^^",
    );
    check(
        "packages.install = [\"libc6:amd64\"]\n",
        "profiles/child.toml:3:21: `libc6:amd64` is no package name: two or more of a-z, 0-9, `+`, `-` and `.`, no version, no \
         architecture\n   |\n 3 | packages.install = [\"libc6:amd64\"]\n   |                     ^^^^^^^^^^^^^",
    );
    check(
        "choose.provider.awk = \"kmod\"\n",
        "profiles/child.toml:3:23: `kmod` is declared absent, in profiles/root.toml:5; take it from there by `[without] absent`\n   |\n 3 \
         | choose.provider.awk = \"kmod\"\n   |                       ^^^^^^",
    );
    check(
        "choose.repository.crio = \"mian\"\n",
        "profiles/child.toml:3:26: there is no repository `mian`; did you mean `main`?\n   |\n 3 | choose.repository.crio = \"mian\"\n   \
         |                          ^^^^^^",
    );
    check(
        "without.packages = [\"libc\"]\n",
        "profiles/child.toml:3:21: no parent has the package `libc`; did you mean `libc6`?\n   |\n 3 | without.packages = [\"libc\"]\n   \
         |                     ^^^^^^",
    );
    check(
        "overlays = [\"extar\"]\n",
        "profiles/child.toml:3:13: there is no overlay `extar`; did you mean `extra`?\n   |\n 3 | overlays = [\"extar\"]\n   \
         |             ^^^^^^^",
    );
}

#[test]
fn paths_and_reasons_are_judged() {
    check(
        "[[drop]]\npath = \"/usr/[a\"\nreason = \"x\"\n",
        "profiles/child.toml:4:8: bad pattern: unclosed character class; missing ']'\n   |\n 4 | path = \"/usr/[a\"\n   \
         |        ^^^^^^^^^",
    );
    check(
        "[[drop]]\npath = \"/usr/a\"\nreason = \"\"\n",
        "profiles/child.toml:5:10: this must say something\n   |\n 5 | reason = \"\"\n   |          ^^",
    );
    check(
        "[[drop]]\npath = \"/usr/a\"\n",
        "profiles/child.toml:3:1: the key `reason` is missing here\n   |\n 3 | [[drop]]\n   | ^^^^^^^^",
    );
    check(
        "[[mode]]\npath = \"/usr/a\"\nmode = \"07555\"\nreason = \"x\"\n",
        "profiles/child.toml:5:8: `07555` is no mode: three or four octal digits, such as \"0755\"\n   |\n 5 | mode = \"07555\"\n   \
         |        ^^^^^^^",
    );
    check(
        "[[move]]\nfrom = \"/opt/cni\"\nto = \"/opt/cni/bin\"\nreason = \"x\"\n",
        "profiles/child.toml:5:6: `/opt/cni/bin` lies in `/opt/cni` itself\n   |\n 5 | to = \"/opt/cni/bin\"\n   |      ^^^^^^^^^^^^^^",
    );
    check(
        "[[allow]]\nrule = \"setuid\"\npath = \"/a\"\nreason = \"x\"\n",
        "profiles/child.toml:4:8: unknown value `setuid`; did you mean `set-uid`?\n   |\n 4 | rule = \"setuid\"\n   |        ^^^^^^^^",
    );
    check(
        "[[script]]\npackage = \"dash\"\nscript = \"postinst\"\neffects = []\nreason = \"x\"\n",
        "profiles/child.toml:4:11: name the effects of `dash`'s postinst that are answered\n   |\n 4 | package = \"dash\"\n   \
         |           ^^^^^^",
    );
}

#[test]
fn kernel_and_image_are_judged() {
    check(
        "kernel.cmdline = [\"roothash=1\"]\n",
        "profiles/child.toml:3:19: `roothash` is kmimage's to say\n   |\n 3 | kernel.cmdline = [\"roothash=1\"]\n   \
         |                   ^^^^^^^^^^^^",
    );
    check(
        "kernel.cmdline = [\"a b\"]\n",
        "profiles/child.toml:3:19: `a b` is not one word of a command line: visible ASCII without quotes and backslashes\n   |\n 3 | kernel.cmdline = \
         [\"a b\"]\n   |                   ^^^^^",
    );
    check(
        "kernel.modules.keep = [\"sound/*\"]\n",
        "profiles/child.toml:3:24: `sound/*` can match nothing: module paths begin with `kernel/`\n   |\n 3 | kernel.modules.keep = \
         [\"sound/*\"]\n   |                        ^^^^^^^^^",
    );
    check(
        "image.slot-size = \"1025 KiB\"\n",
        "profiles/child.toml:3:19: `1025 KiB` is not a multiple of 1 MiB\n   |\n 3 | image.slot-size = \"1025 KiB\"\n   \
         |                   ^^^^^^^^^^",
    );
    check(
        "image.block-size = \"3 MiB\"\n",
        "profiles/child.toml:3:20: `3 MiB` is no power of two from 4 KiB to 1 MiB\n   |\n 3 | image.block-size = \"3 MiB\"\n   \
         |                    ^^^^^^^",
    );
    check(
        "image.compression-level = 30\n",
        "profiles/child.toml:3:27: `30` is no zstd level: 1 to 22\n   |\n 3 | image.compression-level = 30\n   \
         |                           ^^",
    );
}

#[test]
fn repositories_are_one_whole_form() {
    let name = "   |\n 4 | name = \"x\"\n   |        ^^^";
    check(
        "[[repository]]\nname = \"x\"\n",
        &format!("profiles/child.toml:4:8: where is this repository? Give `uris` or a `directory`\n{name}"),
    );
    check(
        "[[repository]]\nname = \"x\"\nuris = [\"http://a\"]\n",
        &format!("profiles/child.toml:4:8: a repository needs `suites` and `components`, or `flat = true`\n{name}"),
    );
    check(
        "[[repository]]\nname = \"x\"\nuris = [\"http://a\"]\nflat = true\n",
        &format!(
            "profiles/child.toml:4:8: why is this repository believed? Give either `keyrings`, or `fingerprint` and `key-uri`\n{name}"
        ),
    );
    check(
        "[[repository]]\nname = \"x\"\nuris = [\"http://a\"]\nflat = true\nkeyrings = [\"debian-archive-trixie.gpg\"]\n",
        "profiles/child.toml:7:13: there is no keyring `debian-archive-trixie.gpg`; did you mean `debian-archive-trixie-stable.gpg`?\n   \
         |\n 7 | keyrings = [\"debian-archive-trixie.gpg\"]\n   |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^",
    );
    check(
        "[[repository]]\nname = \"x\"\ndirectory = \"debs\"\nflat = false\n",
        "profiles/child.toml:6:8: a repository with a `directory` has no `flat`\n   |\n 6 | flat = false\n   |        ^^^^^",
    );
    check(
        "[[repository]]\nname = \"main\"\n",
        "profiles/child.toml:4:8: the repository `main` is there already, from profiles/root.toml:8\n   |\n 4 | name = \"main\"\n   \
         |        ^^^^^^",
    );
}

#[test]
fn flat_pinned_and_local_repositories() {
    let text = format!(
        "{ROOT}[[repository]]\nname = \"k8s\"\nuris = [\"https://host/k8s/\"]\nflat = true\nfingerprint = \"{}\"\nkey-uri = \
         \"https://host/k8s/Release.key\"\n[[repository]]\nname = \"local\"\ndirectory = \"../debs\"\n",
        "DE15 B144 86CD 377B 9E87 6E1A 2346 54DA 9A29 6436".to_lowercase()
    );
    let shelf = TestLibrary::new(&[("root", &text)]);
    let profile = shelf.load("root").unwrap();
    assert_eq!(
        profile.repositories[1].source,
        Source::Signed {
            location: Location::Uris(vec!["https://host/k8s".to_owned()]),
            layout: Layout::Flat,
            trust: Trust::Pinned {
                fingerprint: "DE15B14486CD377B9E876E1A234654DA9A296436".to_owned(),
                key_uri: "https://host/k8s/Release.key".to_owned(),
            },
        }
    );
    assert_eq!(profile.repositories[2].source, Source::Directory(shelf.0.path().join("profiles/../debs")));
}

#[test]
fn a_profile_that_is_no_text_or_no_file_is_an_error() {
    let shelf = TestLibrary::new(&[]);
    fs_err::write(shelf.0.path().join("profiles/x.toml"), b"description = \"\xff\"").unwrap();
    assert_eq!(shelf.error("x"), "profiles/x.toml:1:16: not UTF-8\n   |\n 1 | description = \"\u{fffd}\"\n   |                ^");
    fs_err::create_dir(shelf.0.path().join("profiles/y.toml")).unwrap();
    assert_eq!(shelf.error("y"), "cannot read profiles/y.toml");
}

#[test]
fn versions_choose_repositories() {
    let text = format!(
        "{ROOT}[versions]\nkubernetes = \"1.36\"\n[[repository]]\nname = \"crio\"\nuris = [\"https://host/v{{crio}}/deb/\"]\nflat = \
         true\nfingerprint = \"{}\"\nkey-uri = \"https://host/v{{crio}}/deb/Release.key\"\n",
        "A".repeat(40)
    );
    let child = |versions: &str| format!("description = \"child\"\nextends = \"root\"\n{versions}");
    let address = |versions: &str| {
        let shelf = TestLibrary::new(&[("root", &text), ("child", &child(versions))]);
        let profile = shelf.load("child").unwrap();
        match &profile.repositories[1].source {
            Source::Signed { location: Location::Uris(uris), trust: Trust::Pinned { key_uri, .. }, .. } => {
                assert_eq!(*key_uri, format!("{}/Release.key", uris[0]));
                (uris[0].clone(), crate::resolve::Request::of(&profile).digest())
            }
            other => panic!("{other:?}"),
        }
    };
    let (same, digest) = address("");
    assert_eq!(same, "https://host/v1.36/deb");
    let (own, other) = address("[versions]\ncrio = \"1.35\"\n");
    assert_eq!(own, "https://host/v1.35/deb");
    // A lock of one version is none for another.
    assert_ne!(digest, other);
    assert_eq!(address("[versions]\nkubernetes = \"1.34\"\n").0, "https://host/v1.34/deb");

    check(
        "[versions]\nkubernetes = \"1.36.2\"\n",
        "profiles/child.toml:4:14: `1.36.2` is no minor version such as \"1.36\": repositories are for one, and the lock names the patch\n   \
         |\n 4 | kubernetes = \"1.36.2\"\n   |              ^^^^^^^^",
    );
    check(
        "[[repository]]\nname = \"x\"\nuris = [\"http://a/{crio}\"]\nflat = true\n",
        "profiles/child.toml:5:9: `{crio}`: which version? Say it in `[versions] crio`\n   |\n 5 | uris = [\"http://a/{crio}\"]\n   \
         |         ^^^^^^^^^^^^^^^^^",
    );
}

#[test]
fn container_images_have_full_names_and_a_source() {
    let text = r#"
[[container-image]]
name = "registry.k8s.io/pause:3.10.1"
source = "built-in:pause"
[[container-image]]
name = "docker.io/library/busybox:1.36"
source = "images/busybox.tar"
"#;
    let child = format!("description = \"child\"\nextends = \"root\"\n{text}");
    let shelf = TestLibrary::new(&[("root", ROOT), ("child", &child)]);
    let images = shelf.load("child").unwrap().container_images;
    assert_eq!(images[0].source, ImageSource::Pause);
    assert_eq!(images[1].source, ImageSource::Path(shelf.0.path().join("profiles/images/busybox.tar")));

    let grandchild =
        "description = \"g\"\nextends = \"child\"\n[without]\ncontainer-images = [\"registry.k8s.io/pause:3.10.1\"]\n";
    let shelf = TestLibrary::new(&[("root", ROOT), ("child", &child), ("g", grandchild)]);
    assert_eq!(shelf.load("g").unwrap().container_images.len(), 1);

    let image = |name: &str, source: &str| format!("[[container-image]]\nname = \"{name}\"\nsource = \"{source}\"\n");
    check(
        &(image("a.b/c:1", "x") + &image("a.b/c:1", "y")),
        "profiles/child.toml:7:8: the container image `a.b/c:1` is there already, from profiles/child.toml:4\n   \
        |\n 7 | name = \"a.b/c:1\"\n   |        ^^^^^^^^^",
    );
    check(
        &image("a.b/c:1", "docker://a.b/c:1"),
        "profiles/child.toml:5:10: `docker://a.b/c:1` lies in a registry, and fetching images is not built yet; \
        `skopeo copy docker://a.b/c:1 oci-archive:FILE` makes a file that can be named here\n   \
        |\n 5 | source = \"docker://a.b/c:1\"\n   |          ^^^^^^^^^^^^^^^^^^",
    );
    check(
        &image("a.b/c:1", "oci:layout"),
        "profiles/child.toml:5:10: `oci:` is a word of skopeo's; write the path alone, `layout`\n   \
        |\n 5 | source = \"oci:layout\"\n   |          ^^^^^^^^^^^^",
    );
    check(
        &image("a.b/c:1", "built-in:busybox"),
        "profiles/child.toml:5:10: `built-in:busybox` is not built in; `built-in:pause` is\n   \
        |\n 5 | source = \"built-in:busybox\"\n   |          ^^^^^^^^^^^^^^^^^^",
    );
}
