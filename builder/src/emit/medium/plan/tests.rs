//! The plan against those who read media: xorriso, isoinfo, sgdisk, fsck, mtools.

use super::*;
use crate::emit::copies::{self, Wanted};
use crate::emit::stale;
use crate::hash::Sha256Digest;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

const ROOT: Range<u64> = 2 << 20..(5 << 20) + 4096;
const TREE: Range<u64> = 6 << 20..(6 << 20) + 40_960;

fn noise(len: usize, salt: usize) -> Vec<u8> {
    (0..len).map(|at| ((at * 31 + at / 253) ^ salt) as u8 | 1).collect()
}

fn inputs() -> Inputs<'static> {
    let file = |path: &str, bytes: Vec<u8>| EspFile { path: path.to_owned(), bytes: bytes.into() };
    Inputs {
        root_hash: RootHash(std::array::from_fn(|index| index as u8)),
        root: ROOT,
        hash_tree: TREE,
        label: "kmimage-mini 1.0+x".to_owned(),
        epoch: 1_781_000_000,
        esp_files: vec![
            file("EFI/BOOT/BOOTX64.EFI", noise(70_001, 1)),
            file("EFI/kmimage/a.efi", noise(3_000_001, 2)),
            file("boot/a/cmdline.env", noise(1024, 3)),
            file("boot/a/vmlinuz", noise(500_123, 4)),
            file("loader/loader.conf", noise(77, 5)),
        ],
        bios: None,
    }
}

/// The medium, made as a build makes it, and the disk that its root came from.
fn make(folder: &Path) -> (std::path::PathBuf, File) {
    let disk = File::options().create_new(true).read(true).write(true).open(folder.join("disk")).unwrap();
    disk.set_len(16 << 20).unwrap();
    disk.write_all_at(&noise((ROOT.end - ROOT.start) as usize, 6), ROOT.start).unwrap();
    disk.write_all_at(&noise((TREE.end - TREE.start) as usize, 7), TREE.start).unwrap();
    let path = folder.join("medium.iso");
    let (root, iso) = (tempfile::tempfile_in(folder).unwrap(), File::create_new(&path).unwrap());
    let plan = plan(inputs()).unwrap();
    let wanted = Wanted { disk: &disk, root_at: ROOT, root: &root, qcow2: None, iso: Some((&iso, &plan)) };
    let copied = copies::make(&wanted).unwrap().iso.unwrap();
    let bytes = fs_err::read(&path).unwrap();
    assert_eq!((copied.size, copied.sha256), (plan.size(), Sha256Digest::of(&bytes)));
    assert_eq!(copied.seal, stale::seal(File::open(&path).unwrap()).unwrap());
    (path, disk)
}

#[expect(clippy::disallowed_methods, reason = "others judge our bytes")]
fn tool(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("TZ", "UTC").env("MTOOLS_SKIP_CHECK", "1").output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; see xtask setup"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

#[test]
fn tools_of_all_kinds_read_a_medium() {
    let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let (path, _) = make(folder.path());
    let path = path.to_str().unwrap();

    let info = tool("isoinfo", &["-d", "-i", path]);
    for line in ["Volume id: KMIMAGE_MINI_1_0_X", "El Torito VD version 1 found", "Joliet with UCS level 3 found"] {
        assert!(info.contains(line), "{line} in\n{info}");
    }
    let report = tool("xorriso", &["-indev", path, "-report_el_torito", "plain", "-report_system_area", "plain"]);
    // The ESP is the boot image, from the same block on.
    for line in ["El Torito boot img :   1  UEFI  y   none", "System area summary:", "GPT type GUID"] {
        assert!(report.contains(line), "{line} in\n{report}");
    }
    assert!(report.contains("GPT start and size :   2  2048  "), "{report}");
    let uefi = report.lines().find(|line| line.starts_with("El Torito boot img :   1  UEFI")).unwrap();
    assert!(uefi.trim_end().ends_with(" 512"), "the ESP begins at block 512: {uefi}");

    let verdict = tool("sgdisk", &["--verify", path]);
    assert!(verdict.contains("No problems found"), "{verdict}");
    let listing = tool("fdisk", &["--list", path]);
    assert!(listing.contains("Disklabel type: gpt"), "{listing}");

    // What ISO 9660 shows is what the partitions hold.
    let out = folder.path().join("out");
    tool("xorriso", &["-osirrox", "on", "-indev", path, "-extract", "/", out.to_str().unwrap()]);
    for file in inputs().esp_files {
        let shown = fs_err::read(out.join(&file.path)).ok();
        let expect = files::is_shown(&file.path).then(|| file.bytes.to_vec());
        assert!(shown == expect, "{}", file.path);
    }
    assert!(fs_err::read(out.join("kmimage/root.squashfs")).unwrap() == noise((ROOT.end - ROOT.start) as usize, 6));
    assert!(fs_err::read(out.join("kmimage/root.verity")).unwrap() == noise((TREE.end - TREE.start) as usize, 7));

    // The ESP alone.
    let plan = plan(inputs()).unwrap();
    let partition = plan.layout.partition(Role::Esp).unwrap();
    let mut esp = vec![0; partition.size as usize];
    File::open(path).unwrap().read_exact_at(&mut esp, partition.offset).unwrap();
    let image = folder.path().join("esp");
    fs_err::write(&image, esp).unwrap();
    let image = image.to_str().unwrap();
    let text = tool("fsck.fat", &["-n", "-v", image]);
    assert!(!text.contains("differ") && !text.contains("wrong") && !text.contains("Dirty"), "{text}");
    for file in inputs().esp_files {
        let out = folder.path().join("file");
        tool("mcopy", &["-n", "-i", image, &format!("::{}", file.path), out.to_str().unwrap()]);
        assert!(fs_err::read(&out).unwrap() == *file.bytes, "{}", file.path);
        fs_err::remove_file(&out).unwrap();
    }
}

#[test]
fn root_and_hash_tree_lie_where_the_table_says() {
    let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let (path, disk) = make(folder.path());
    let mut file = File::open(&path).unwrap();
    let size = file.metadata().unwrap().len();
    let table = gpt::read(&mut file, size, gpt::SectorSize::B512).unwrap().table;
    assert!(kmimage_contract::disk_layout::medium::is_medium(&table, &inputs().root_hash));
    for (number, from) in [(3, ROOT), (4, TREE)] {
        let partition = table.partitions.iter().find(|partition| partition.number == number).unwrap();
        assert!((partition.first_lba * 512).is_multiple_of(4096));
        let (mut here, mut there) = (vec![0; (from.end - from.start) as usize], vec![0; (from.end - from.start) as usize]);
        file.read_exact_at(&mut here, partition.first_lba * 512).unwrap();
        disk.read_exact_at(&mut there, from.start).unwrap();
        assert!(here == there, "partition {number}");
    }
}

#[test]
fn an_esp_has_room_for_its_files_and_more() {
    let of = |lengths: &[usize]| {
        let mut inputs = inputs();
        let file = |(number, len): (usize, &usize)| EspFile { path: format!("f{number}"), bytes: vec![1; *len].into() };
        inputs.esp_files = lengths.iter().enumerate().map(file).collect();
        plan(inputs).unwrap().layout.partition(Role::Esp).unwrap().size >> 20
    };
    assert_eq!(of(&[]), 36);
    assert_eq!(of(&[40 << 20, 20 << 20]), 67);
    // Many small files, of which each wastes up to a cluster and its alignment.
    assert_eq!(of(&vec![1; 3000]), 36);
    assert!(of(&vec![4097; 9000]) > 70);
}

#[test]
fn grub_is_told_where_it_lies() {
    let files = GrubFiles::new(crate::support::boot::grub_files(&["b"]));
    let core = grub::Core { target: grub::Target::ElTorito, prefix: "/p", modules: &["b"], config: None };
    let bios = Bios { core: grub::core_image(&files, &core).unwrap(), files: &files };
    let len = bios.core.bytes().len();
    let plan = plan(Inputs { bios: Some(bios), ..inputs() }).unwrap();
    let (_, head) = plan.before_the_root().next().unwrap();
    let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
    // The boot catalogue: a BIOS comes first, UEFI in a section behind it.
    let catalogue = word(17 * BLOCK + 0x47) * BLOCK;
    assert_eq!((head[catalogue + 1], head[catalogue + 65]), (0, 0xef));
    let at = word(catalogue + 40);
    assert_eq!(word(catalogue + 104) as u64 * BLOCK as u64, ESP_AT);
    // The boot info table, the block list behind cdboot.img, and the boot code of a stick.
    assert_eq!((word(at * BLOCK + 8), word(at * BLOCK + 12), word(at * BLOCK + 16)), (16, at, len));
    assert_eq!((word(at * BLOCK + 2548), word(0x1b0)), (at * 4 + 5, at * 4 + 4));
    assert_eq!((head[450], head[466], head[462]), (0xee, 0, 0x80));
    assert_eq!(head[510..520], *b"\x55\xaaEFI PART");
}
