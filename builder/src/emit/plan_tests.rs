use super::super::esp::boot_files;
use super::super::{copies, raw};
use super::*;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

const MIB: u64 = 1 << 20;

fn inputs(root_len: u64) -> Inputs {
    let boot = boot_files::Boot {
        uki: (0..3_000_001u32).map(|n| (n % 251) as u8).collect(),
        kernel: vec![4; 2_000_000].into(),
        initramfs: vec![5; 900_000].into(),
        cmdline: "roothash=00 panic=10".to_owned(),
        loader: vec![1u8; 124_416].into(),
        grub_boot: vec![2; 440].into(),
        grub_core: vec![3; 150_016].into(),
    };
    Inputs {
        root_hash: RootHash(std::array::from_fn(|n| n as u8)),
        root_len,
        hash_tree_len: 4096 * 3,
        slot_size: 64 * MIB,
        epoch: 1_781_000_000,
        esp_files: boot_files::factory("base", "0.1.0", &boot),
        boot_code: boot.grub_boot,
        boot_core: boot.grub_core,
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
fn a_boot_loader_that_has_no_room_is_refused() {
    let core = Inputs { boot_core: vec![0; (1 << 20) + 1].into(), ..inputs(MIB) };
    assert_eq!(
        plan(core).unwrap_err().to_string(),
        "boot code of 440 bytes and a core image of 1048577 have no room on the disk"
    );
    let code = Inputs { boot_code: vec![0; 441].into(), ..inputs(MIB) };
    assert_eq!(plan(code).unwrap_err().to_string(), "boot code of 441 bytes and a core image of 150016 have no room on the disk");
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
            Ok(text) if file.path.ends_with(".env") => format!("{}: {:?}, {}", file.path, text.trim_end_matches('#'), text.len()),
            Ok(text) if file.bytes.len() < 1000 && text.contains('\n') => format!("{}: {text:?}", file.path),
            _ => format!("{}: {} bytes", file.path, file.bytes.len()),
        })
        .collect();
    assert_eq!(
        rows.join("\n"),
        r##"EFI/BOOT/BOOTX64.EFI: 124416 bytes
EFI/kmimage/a.efi: 3000001 bytes
EFI/systemd/systemd-bootx64.efi: 124416 bytes
boot/a/cmdline.env: "# GRUB Environment Block\ncmdline=roothash=00 panic=10\n", 1024
boot/a/initramfs: 900000 bytes
boot/a/vmlinuz: 2000000 bytes
boot/grub/boot.img: 440 bytes
boot/grub/core.img: 150016 bytes
boot/grub/grub.cfg: 1531 bytes
boot/grub/slots.env: "# GRUB Environment Block\ngood=a\n", 1024
loader/entries.srel: "type1\n"
loader/entries/kmimage-a.conf: "title kmimage base 0.1.0 (a)\nsort-key kmimage\nversion 1\nefi /EFI/kmimage/a.efi\n"
loader/loader.conf: "timeout 0\neditor no\nauto-entries no\nauto-firmware no\nsecure-boot-enroll off\nconsole-mode keep\n""##
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
    let mut start = [0; 512];
    disk.read_exact_at(&mut start, 0).unwrap();
    assert_eq!(start[..440], [2; 440], "the boot code");
    assert_eq!((start[440..450].to_vec(), start[510..].to_vec()), (vec![0, 0, 0, 0, 0, 0, 0, 0, 2, 0], vec![0x55, 0xaa]));
    let mut core = vec![0; 150_017];
    disk.read_exact_at(&mut core, plan.layout.partition(Role::Bios).unwrap().offset).unwrap();
    assert_eq!(core, [vec![3; 150_016], vec![0]].concat(), "the core image");
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
