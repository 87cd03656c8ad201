use super::*;
use crate::assemble::squashfs;
use crate::assemble::uki::{self, Inputs};
use crate::compose::content::Content;
use crate::compose::tree::{Entry, Origin, Tree, TreePath};
use crate::emit::esp::boot_files;
use crate::emit::{copies, plan, raw};
use kmimage_contract::verity::RootHash;
use std::os::unix::fs::FileExt;

fn tree(text: &'static [u8]) -> Tree {
    let mut tree = Tree::new();
    let path = |text: &str| TreePath::new(text).unwrap();
    tree.insert(path("/etc/config"), Entry::file(Content::from_bytes(text), 0o640, Origin::Kmimage));
    tree.insert(path("/bin"), Entry::symlink("usr/bin", Origin::Kmimage));
    tree
}

/// Writes a squashfs; its length.
fn write_root(tree: &Tree, file: &File, offset: u64) -> u64 {
    let options = squashfs::Options { level: 3, block_size: 1 << 17, epoch: 1_781_000_000, jobs: 1, salt: None };
    let target = squashfs::Target { file, offset, room: None, replaces: None };
    squashfs::write(tree, &options, None, target, &crate::report::silent).unwrap().len
}

/// A disk image as a build makes it, from small parts: its bytes are sparse on the disk.
fn write_disk(directory: &Path, tree: &Tree) -> PathBuf {
    let image = crate::support::boot::efi_program(0x600);
    let inputs = Inputs {
        stub: &image,
        os_release: b"ID=kmimage\nIMAGE_ID=kmimage-base\n",
        cmdline: "roothash=0001 console=ttyS0",
        release: "6.12.107+deb13-amd64",
        initramfs: &[0x28; 600],
        kernel: &image,
        profiles: &[
            uki::Profile { id: "main", title: "Start", cmdline: None },
            uki::Profile { id: "live", title: "Live", cmdline: Some("roothash=0001 kmimage.live".to_owned()) },
        ],
    };
    let boot = boot_files::Boot {
        uki: uki::build(&inputs).unwrap().into(),
        kernel: inputs.kernel.into(),
        initramfs: inputs.initramfs.into(),
        cmdline: inputs.cmdline.to_owned(),
        loader: [1; 1000].as_slice().into(),
        grub_boot: [2; 440].as_slice().into(),
        grub_core: [3; 512].as_slice().into(),
    };
    let params =
        VerityParams { uuid: uuid::Uuid::nil(), data_block_size: 4096, hash_block_size: 4096, data_blocks: 1, salt: vec![0xab] };
    let path = directory.join("disk");
    let disk = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    let place = plan::root_place(16 << 20).unwrap();
    raw::begin(&place, &disk).unwrap();
    let root_len = write_root(tree, &disk, place.root);
    disk.write_all_at(&params.encode_superblock().unwrap(), place.hash_tree).unwrap();
    let inputs = plan::Inputs {
        root_hash: RootHash(std::array::from_fn(|n| n as u8)),
        root_len,
        hash_tree_len: 512,
        slot_size: 16 << 20,
        epoch: 1_781_000_000,
        esp_files: boot_files::factory("base", "0.1.0", &boot),
        boot_code: boot.grub_boot,
        boot_core: boot.grub_core,
    };
    raw::finish(&plan::plan(inputs).unwrap(), &disk).unwrap();
    path
}

/// What a factory disk looks like, but for its first line.
const DISK: &str = include_str!("disk.golden.txt");

#[test]
fn a_disk_image_is_shown_raw_and_inside_a_qcow2() {
    let directory = tempfile::tempdir().unwrap();
    let path = write_disk(directory.path(), &tree(b"one"));
    let text = decode(&path).unwrap().to_string();
    assert_eq!(text, format!("disk image, raw, 741 MiB\n{DISK}"));
    let image = directory.path().join("qcow2");
    copies::qcow2(&File::open(&path).unwrap(), &File::create(&image).unwrap()).unwrap();
    assert_eq!(decode(&image).unwrap().to_string(), text.replace("image, raw", "image, qcow2"));

    let json = serde_json::to_value(decode(&path).unwrap()).unwrap();
    assert_eq!(json["kind"], "disk");
    assert_eq!(json["partitions"][2]["attributes"], "0x1000000000000000");
    assert_eq!(json["partitions"][2]["content"]["kind"], "squashfs");
    assert_eq!(json["partitions"][1]["content"]["files"][8]["uki"]["texts"][".uname"], "6.12.107+deb13-amd64");
    let profiles = &json["partitions"][1]["content"]["files"][8]["uki"]["profiles"];
    assert_eq!(
        profiles,
        &serde_json::json!([
            {".profile": "ID=main\nTITLE=Start"},
            {".profile": "ID=live\nTITLE=Live", ".cmdline": "roothash=0001 kmimage.live"},
        ])
    );

    // A damaged primary table is told, and the backup read.
    File::options().write(true).open(&path).unwrap().write_all_at(&[9], 512 + 60).unwrap();
    let damaged = decode(&path).unwrap().to_string();
    let line = damaged.lines().nth(2).unwrap();
    assert_eq!(line, "the primary table is not valid (the GPT header's checksum is wrong); this is the backup");
}

#[test]
fn what_is_not_ours_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let check = |bytes: &[u8], expect: &str| {
        let path = directory.path().join("file");
        fs_err::write(&path, bytes).unwrap();
        let failure = crate::failure::Failure::from(decode(&path).unwrap_err());
        assert_eq!(failure.to_string().replace(directory.path().to_str().unwrap(), "D"), expect);
    };
    let unknown = "D/file is nothing that kmimage makes: no disk image, UKI, root image, hash tree or manifest";
    check(b"", unknown);
    check(&[0; 9000], unknown);
    check(b"#!/bin/sh", unknown);
    check(
        b"MZ and no more",
        "D/file looks like a unified kernel image, but can't be decoded: not a PE32+ image: it is too short",
    );
    check(b"hsqs", "D/file looks like a squashfs, but can't be decoded: a squashfs superblock has 96 bytes, this has 4");
    check(
        b"{\"format\": 2}",
        "D/file looks like an image manifest, but can't be decoded: missing field `image_id` at line 1 column 13",
    );
    check(
        b"{\"spdxVersion\": \"SPDX-2.3\"}",
        "D/file looks like an image manifest, but can't be decoded: it is an SBOM; the manifest ends in -amd64.json",
    );
    let failure = decode(directory.path()).map(|_| ()).unwrap_err();
    assert_eq!(failure.to_string().replace(directory.path().to_str().unwrap(), "D"), "D holds 0 image manifests, not one");
}

#[test]
fn damaged_disks_never_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = write_disk(directory.path(), &tree(b"one"));
    let file = File::options().read(true).write(true).open(&path).unwrap();
    for at in (512..512 + 96).chain(1024..1024 + 128).chain((2 << 20)..(2 << 20) + 90) {
        let mut old = [0];
        file.read_exact_at(&mut old, at).unwrap();
        for value in [0, 0x41, 0xff] {
            file.write_all_at(&[value], at).unwrap();
            let _ = decode(&path).map(|shown| shown.to_string());
        }
        file.write_all_at(&old, at).unwrap();
    }
}

#[test]
fn a_root_image_is_shown_with_its_paths() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root");
    write_root(&tree(b"one"), &File::create(&path).unwrap(), 0);
    let text = decode(&path).unwrap().to_string();
    let paths: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(
        paths,
        [
            "d 0755 0:0              - /",
            "l 0777 0:0              - /bin -> usr/bin",
            "d 0755 0:0              - /etc",
            "f 0640 0:0              3 /etc/config",
        ]
    );
}

#[test]
fn root_images_are_compared_wherever_they_lie() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let raw = write_disk(directories[0].path(), &tree(b"one"));
    let other = write_disk(directories[1].path(), &tree(b"three"));
    let image = directories[1].path().join("qcow2");
    copies::qcow2(&File::open(&other).unwrap(), &File::create(&image).unwrap()).unwrap();
    let text = diff::compare(&raw, &image).unwrap().to_string();
    assert_eq!(
        text,
        "packages: not compared (only output folders and manifests name them)\n\
         files: 0 added, 0 removed, 1 changed\n  \
         ~ /etc/config, 3 B -> 5 B, content\n  \
         (contents of the same size were not compared: only output folders have the files' hashes)\n\
         size of files 3 B -> 5 B, +66.7 %\n"
    );
    let root = directories[0].path().join("root");
    write_root(&tree(b"three"), &File::create(&root).unwrap(), 0);
    assert!(diff::compare(&image, &root).unwrap().is_empty());
}
