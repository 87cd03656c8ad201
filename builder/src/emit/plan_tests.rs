use super::super::esp::boot_files;
use super::super::{copies, raw};
use super::*;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::Arc;

const MIB: u64 = 1 << 20;

fn inputs(root_len: u64) -> Inputs {
    let loader: Arc<[u8]> = vec![1u8; 124_416].into();
    let uki: Arc<[u8]> = (0..3_000_001u32).map(|n| (n % 251) as u8).collect();
    Inputs {
        root_hash: RootHash(std::array::from_fn(|n| n as u8)),
        root_len,
        hash_tree_len: 4096 * 3,
        slot_size: 64 * MIB,
        epoch: 1_781_000_000,
        esp_files: boot_files::factory("base", "0.1.0", &loader, &uki),
    }
}

#[test]
fn a_root_that_does_not_fit_its_slot_is_refused() {
    let error = plan(inputs(64 * MIB + 1)).unwrap_err();
    assert_eq!(error.to_string(), "the root image has 67108865 bytes (65MiB), but image.slot-size is 67108864 (64MiB)");
    assert_eq!(error.kind(), Kind::Policy);
    assert_eq!(
        error.hints(),
        ["Set image.slot-size in the profile to 129MiB or more (twice the root leaves room for upgrades), or drop files."]
    );
    assert!(plan(inputs(64 * MIB)).is_ok());
}

#[test]
fn a_tight_slot_is_told() {
    assert_eq!(plan(inputs(32 * MIB)).unwrap().tight_slot(), None);
    assert_eq!(
        plan(inputs(33 * MIB)).unwrap().tight_slot().unwrap(),
        "the root image fills 33MiB of image.slot-size = 64MiB: an upgrade that grows may not fit; 66MiB would leave room"
    );
}

#[test]
fn the_esp_of_a_factory_image_holds_these_files() {
    let plan = plan(inputs(MIB)).unwrap();
    let rows: Vec<String> = plan
        .esp_files
        .iter()
        .map(|file| match std::str::from_utf8(&file.bytes) {
            Ok(text) if file.bytes.len() < 1000 => format!("{}: {text:?}", file.path),
            _ => format!("{}: {} bytes", file.path, file.bytes.len()),
        })
        .collect();
    assert_eq!(
        rows.join("\n"),
        r#"EFI/BOOT/BOOTX64.EFI: 124416 bytes
EFI/kmimage/a.efi: 3000001 bytes
EFI/systemd/systemd-bootx64.efi: 124416 bytes
loader/entries.srel: "type1\n"
loader/entries/kmimage-a.conf: "title kmimage base 0.1.0 (a)\nsort-key kmimage\nversion 1\nefi /EFI/kmimage/a.efi\n"
loader/loader.conf: "timeout 0\neditor no\nauto-entries no\nauto-firmware no\nsecure-boot-enroll off\nconsole-mode keep\n""#
    );
}

fn tool(program: &str, arguments: &[&str]) -> String {
    #[expect(clippy::disallowed_methods, reason = "a foreign tool judges our bytes")]
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {text}");
    text
}

#[test]
fn tools_judge_the_whole_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let root: Vec<u8> = (0..5 * MIB).map(|n| (n % 253) as u8).collect();
    let plan = plan(inputs(root.len() as u64)).unwrap();
    let open = |name: &str| File::options().read(true).write(true).create_new(true).open(path(name)).unwrap();
    let disk = open("disk.raw");
    let place = root_place(64 * MIB).unwrap();
    raw::begin(&place, &disk).unwrap();
    disk.write_all_at(&root, place.root).unwrap();
    disk.write_all_at(&[9; 4096 * 3], place.hash_tree).unwrap();
    raw::finish(&plan, &disk).unwrap();

    let verdict = tool("/usr/sbin/sgdisk", &["-v", &text("disk.raw")]);
    assert!(verdict.contains("No problems found."), "{verdict}");
    assert!(!verdict.to_lowercase().contains("warning") && !verdict.contains("Caution"), "{verdict}");
    let esp = plan.layout.partition(Role::Esp).unwrap();
    let at = format!("{}@@{}", text("disk.raw"), esp.offset);
    tool("mcopy", &["-n", "-i", &at, "::EFI/kmimage/a.efi", &text("a.efi")]);
    assert_eq!(fs_err::read(path("a.efi")).unwrap(), &*inputs(1).esp_files[1].bytes);
    let slot = plan.layout.partition(Role::Root(Slot::A)).unwrap();
    let mut back = vec![0; root.len()];
    disk.read_exact_at(&mut back, slot.offset).unwrap();
    assert!(back == root, "the root is not where the layout says");
    let mut behind = [1; 4096];
    disk.read_exact_at(&mut behind, slot.offset + root.len() as u64).unwrap();
    assert_eq!(behind, [0; 4096]);

    use std::os::unix::fs::MetadataExt;
    let metadata = disk.metadata().unwrap();
    assert_eq!(metadata.len(), plan.layout.size);
    assert!(metadata.blocks() * 512 < 12 * MIB, "{} bytes are allocated", metadata.blocks() * 512);
    let image = open("disk.qcow2");
    copies::qcow2(&disk, &image).unwrap();
    tool("qemu-img", &["check", "-f", "qcow2", &text("disk.qcow2")]);
    tool("qemu-img", &["compare", "-f", "raw", "-F", "qcow2", &text("disk.raw"), &text("disk.qcow2")]);
}
