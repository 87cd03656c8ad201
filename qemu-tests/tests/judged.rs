//! Others judge the bytes of the image that users get: partition table, file systems, hash tree, UKI, SBOM.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_qemu_tests::disk::{Partition, extract, partitions};
use kmimage_qemu_tests::foreign::{from_trixie, program, python, run};
use kmimage_qemu_tests::image::{artefact, base};
use std::path::PathBuf;

fn raw() -> PathBuf {
    artefact(base(), ".raw")
}

fn named(name: &str) -> Partition {
    partitions(&raw()).into_iter().find(|partition| partition.name == name).unwrap_or_else(|| panic!("no partition {name}"))
}

/// The root hash, which the image manifest names.
fn root_hash() -> String {
    let manifest = fs_err::read(artefact(base(), "-amd64.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    manifest["verity"]["root_hash"].as_str().expect("verity.root_hash").to_owned()
}

#[test]
fn tools_sgdisk_finds_no_fault() {
    let text = run(program("sgdisk").arg("--verify").arg(raw()));
    assert!(text.contains("No problems found"), "{text}");
    let names: Vec<String> = partitions(&raw()).into_iter().map(|partition| partition.name).collect();
    assert_eq!(names, ["bios", "esp", "root-a", "root-a-verity", "_empty", "_empty", "state", "var"]);
    let hash = root_hash();
    let plain = |name| named(name).uuid.replace('-', "");
    assert_eq!((plain("root-a"), plain("root-a-verity")), (hash[..32].to_owned(), hash[32..].to_owned()));
}

#[test]
fn tools_fsck_fat_finds_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let esp = extract(&raw(), &named("esp"), &folder.path().join("esp"));
    let text = run(program("fsck.fat").arg("-n").arg("-v").arg(&esp));
    assert!(!text.to_lowercase().contains("dirty") && !text.contains("Differences"), "{text}");
    let listing = run(program("mdir").args(["-b", "-/", "-i"]).arg(&esp).arg("::/"));
    for file in
        ["EFI/BOOT/BOOTX64.EFI", "EFI/kmimage/a.efi", "boot/grub/grub.cfg", "loader/loader.conf", "loader/entries/kmimage-a.conf"]
    {
        assert!(listing.to_lowercase().contains(&file.to_lowercase()), "no {file} in\n{listing}");
    }
}

/// A file of the ESP, copied out by mtools.
fn esp_file(folder: &std::path::Path, path: &str) -> PathBuf {
    let to = folder.join(path.replace('/', "_"));
    let mut esp = raw().into_os_string();
    esp.push(format!("@@{}", named("esp").offset));
    run(program("mcopy").arg("-n").arg("-i").arg(esp).arg(format!("::{path}")).arg(&to));
    to
}

#[test]
fn tools_grubs_own_programs_take_what_a_bios_boots() {
    let folder = tempfile::tempdir().unwrap();
    let file = |path: &str| esp_file(folder.path(), path);
    let kernel = file("boot/a/vmlinuz");
    run(program("grub-file").arg("--is-x86-linux").arg(&kernel));
    let list = |path: &str| run(program("grub-editenv").arg(file(path)).arg("list"));
    assert_eq!(list("boot/grub/slots.env"), "good=a\n");
    let cmdline = list("boot/a/cmdline.env");
    assert!(cmdline.starts_with(&format!("cmdline=roothash={} ", root_hash())), "{cmdline}");
    run(program("grub-script-check").arg(file("boot/grub/grub.cfg")));

    // The same bytes as in the UKI, and as on the disk outside of its files.
    let is_section = |name: &str, bytes: &[u8]| {
        let to = folder.path().join(name);
        let only = format!("--only-section={name}");
        run(program("objcopy").args(["-O", "binary", &only]).arg(artefact(base(), ".efi")).arg(&to));
        // Sections are filled up with zeros; behind the first one of this name come those of the UKI's other profiles.
        let section = fs_err::read(to).unwrap();
        section.strip_prefix(bytes).is_some_and(|rest| rest.first().is_none_or(|byte| *byte == 0))
    };
    assert!(is_section(".linux", &fs_err::read(kernel).unwrap()), "another kernel than the UKI's");
    assert!(is_section(".initrd", &fs_err::read(file("boot/a/initramfs")).unwrap()), "another initramfs than the UKI's");
    assert!(
        is_section(".cmdline", cmdline.trim_start_matches("cmdline=").trim_end().as_bytes()),
        "another command line than the UKI's"
    );
    let disk = fs_err::File::open(raw()).unwrap();
    let on_disk = |offset: u64, len: usize| {
        let mut bytes = vec![0; len];
        std::os::unix::fs::FileExt::read_exact_at(disk.file(), &mut bytes, offset).unwrap();
        bytes
    };
    let boot = fs_err::read(file("boot/grub/boot.img")).unwrap();
    assert_eq!(boot.len(), 440);
    assert!(on_disk(0, 440) == boot, "another boot code than the file's");
    let core = fs_err::read(file("boot/grub/core.img")).unwrap();
    assert!(on_disk(named("bios").offset, core.len()) == core, "another core image than the file's");
}

#[test]
fn a_disk_that_both_firmwares_boot_stays_below_its_size() {
    let size = fs_err::metadata(artefact(base(), ".qcow2")).unwrap().len();
    println!("base: {size} bytes");
    assert!(size <= 100_000_000, "the qcow2 of base has {size} bytes");
}

#[test]
fn tools_veritysetup_verifies_the_root() {
    let folder = tempfile::tempdir().unwrap();
    let data = extract(&raw(), &named("root-a"), &folder.path().join("data"));
    let tree = extract(&raw(), &named("root-a-verity"), &folder.path().join("tree"));
    let verify = || program("veritysetup").arg("verify").arg(&data).arg(&tree).arg(root_hash()).output().unwrap();
    let sound = verify();
    assert!(sound.status.success(), "{}", String::from_utf8_lossy(&sound.stderr));
    // The judge must be able to say no.
    let mut bytes = fs_err::read(&data).unwrap();
    bytes[4096] ^= 1;
    fs_err::write(&data, &bytes).unwrap();
    assert!(!verify().status.success(), "veritysetup accepts a flipped bit");
}

#[test]
fn tools_qemu_img_finds_both_disks_equal() {
    let qcow2 = artefact(base(), ".qcow2");
    let text = run(program("qemu-img").arg("check").arg(&qcow2));
    assert!(text.contains("No errors were found"), "{text}");
    let text = run(program("qemu-img").arg("compare").args(["-f", "raw", "-F", "qcow2"]).arg(raw()).arg(&qcow2));
    assert!(text.contains("Images are identical"), "{text}");
}

#[test]
fn tools_systemd_dissect_understands_the_disk() {
    let plain = run(program("systemd-dissect").arg(raw()));
    assert!(plain.contains("root"), "{plain}");
    let hash = format!("--root-hash={}", root_hash());
    let verity = run(program("systemd-dissect").arg(hash).arg(raw()));
    let row = verity.lines().find(|line| line.contains(" root ")).unwrap_or_else(|| panic!("no root in\n{verity}"));
    assert!(row.split_whitespace().any(|word| word == "yes"), "no verity: {row}\n{verity}");
}

#[test]
fn tools_objdump_and_ukify_read_the_uki() {
    let uki = artefact(base(), ".efi");
    let sections = run(program("objdump").arg("-h").arg(&uki));
    for section in [".osrel", ".cmdline", ".uname", ".initrd", ".linux", ".sbat"] {
        assert!(sections.contains(section), "no {section} in\n{sections}");
    }
    let ukify = from_trixie("systemd-ukify", "usr/bin/ukify");
    let text = run(program(python()).arg(ukify).arg("inspect").arg(&uki));
    assert!(text.contains(&format!("roothash={}", root_hash())), "{text}");
    assert!(text.contains("IMAGE_ID=kmimage-base"), "{text}");
}

#[test]
fn tools_spdx_tools_accept_the_sbom() {
    let sbom = artefact(base(), ".spdx.json");
    run(program(python().with_file_name("pyspdxtools")).arg("--infile").arg(&sbom).args(["--version", "SPDX-2.3"]));
}

#[test]
fn tools_sha256sum_agrees() {
    run(program("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(base()));
}
