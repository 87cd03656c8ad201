//! Against `grub-mkimage`, with the files of the GRUB that this machine has; refusals with bytes made up here.

use super::*;
use crate::support::boot::{grub_files, grub_kernel};
use liblzma::stream::Stream;
use std::io::Read as _;
use std::process::Command;

/// Where grub-pc-bin has them.
const FOLDER: &str = "/usr/lib/grub/i386-pc";
const MODULES: [&str; 8] = ["biosdisk", "part_gpt", "fat", "search", "configfile", "loadenv", "probe", "linux"];
const CONFIG: &str = "source $prefix/grub.cfg\nreboot\n";

/// Those of the package grub-pc-bin of this machine; `xtask setup` brings it.
fn files() -> GrubFiles {
    let mut files = BTreeMap::new();
    for entry in fs_err::read_dir(FOLDER).expect("grub-pc-bin is installed") {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if GrubFiles::wants(&name) {
            files.insert(name, fs_err::read(path).unwrap());
        }
    }
    GrubFiles::new(files)
}

fn mkimage(format: &str, prefix: &str, config: Option<&str>, modules: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let (image, early) = (directory.path().join("core.img"), directory.path().join("early.cfg"));
    #[expect(clippy::disallowed_methods, reason = "a foreign tool judges our bytes")]
    let mut command = Command::new("grub-mkimage");
    command.args(["-O", format, "-d", FOLDER, "-p", prefix, "-o"]).arg(&image);
    if let Some(config) = config {
        fs_err::write(&early, config).unwrap();
        command.arg("-c").arg(&early);
    }
    let output = command.args(modules).output().expect("grub-mkimage is installed (grub-common)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs_err::read(image).unwrap()
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// A core image taken apart: what loads it, with its sizes set to zero, and what is unpacked.
#[derive(PartialEq, Eq)]
struct Parts {
    loader: Vec<u8>,
    payload: Vec<u8>,
}

impl Parts {
    fn of(image: &[u8], boot: usize, files: &GrubFiles) -> Self {
        let decompressor = boot + SECTOR;
        let start = decompressor + files.get("lzma_decompress.img").unwrap().len();
        let (packed, unpacked) = (number(image, decompressor + 8), number(image, decompressor + 12));
        let sectors = u16::from_le_bytes(image[boot + 508..boot + 510].try_into().unwrap());
        assert_eq!(usize::from(sectors), (start - decompressor + packed).div_ceil(SECTOR), "the block list's length");
        // A stream with the old header, which says how much comes out: GRUB's own has no marker at its end.
        let mut stream = vec![0x5d, 0, 0, 0x10, 0];
        stream.extend_from_slice(&(unpacked as u64).to_le_bytes());
        stream.extend_from_slice(&image[start..start + packed]);
        let mut payload = Vec::new();
        let decoder = Stream::new_lzma_decoder(u64::MAX).unwrap();
        liblzma::read::XzDecoder::new_stream(&stream[..], decoder).read_to_end(&mut payload).unwrap();
        assert_eq!(payload.len(), unpacked);
        let mut loader = image[..start].to_vec();
        loader[boot + 508..boot + 510].fill(0);
        loader[decompressor + 8..decompressor + 12].fill(0);
        Self { loader, payload }
    }
}

#[test]
fn tools_grub_mkimage_makes_the_same() {
    let files = files();
    let check = |target, format, prefix, config, modules: &[&str]| {
        let ours = core_image(&files, &Core { target, prefix, modules, config }).unwrap();
        assert_eq!(core_image(&files, &Core { target, prefix, modules, config }).unwrap(), ours, "deterministic");
        let theirs = mkimage(format, prefix, config, modules);
        let (boot, bytes) = (ours.boot_sector(), ours.bytes());
        assert!(Parts::of(bytes, boot, &files) == Parts::of(&theirs, boot, &files), "{format} {prefix} {modules:?}");
        assert!(bytes.len() <= theirs.len().next_multiple_of(SECTOR), "{} > {}", bytes.len(), theirs.len());
        assert_eq!(bytes.len() % SECTOR, 0);
    };
    check(Target::Disk, "i386-pc", "(,gpt2)/boot/grub", Some(CONFIG), &MODULES);
    check(Target::Disk, "i386-pc", "/g", None, &["linux", "normal", "biosdisk"]);
    check(Target::Disk, "i386-pc", "", Some(""), &[]);
    check(Target::ElTorito, "i386-pc-eltorito", "/boot/grub", Some("x"), &[&MODULES[..], &["iso9660"]].concat());
}

#[test]
fn tools_places_are_written_where_grubs_boot_code_looks() {
    let files = files();
    let core = |target| core_image(&files, &Core { target, prefix: "/", modules: &["biosdisk"], config: None }).unwrap();
    let changed = |old: &[u8], new: &[u8]| -> Vec<(usize, u8)> {
        assert_eq!(old.len(), new.len());
        (0..old.len()).filter(|at| old[*at] != new[*at]).map(|at| (at, new[at])).collect()
    };
    // The block list's first field, a u64; `1` or `2` without a place.
    let disk = core(Target::Disk);
    assert_eq!(changed(disk.bytes(), &disk.clone().at(2048)), [(0x1f4, 0x01), (0x1f5, 0x08)]);
    let cd = core(Target::ElTorito);
    assert_eq!(changed(cd.bytes(), &cd.clone().at(0x1000)), [(2048 + 0x1f4, 0x05), (2048 + 0x1f5, 0x10)]);
    // The drive at 0x64 is 0xff already: the one that the BIOS says.
    let code = boot_code(&files, 0x0a0b_0800).unwrap();
    let sector = files.get("boot.img").unwrap();
    assert_eq!(
        changed(&sector[..440], &code),
        [(0x5c, 0x00), (0x5d, 0x08), (0x5e, 0x0b), (0x5f, 0x0a), (0x66, 0x90), (0x67, 0x90)]
    );
    let code = hybrid_boot_code(&files, 0x1000).unwrap();
    let sector = files.get("boot_hybrid.img").unwrap();
    assert_eq!(changed(&sector[..440], &code), [(0x1b0, 0x04), (0x1b1, 0x10)]);
}

/// GRUB's kernel as small as it can be, and what the test changes of it.
fn program(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut elf = grub_kernel();
    change(&mut elf);
    elf
}

fn set(elf: &mut [u8], at: usize, value: u32) {
    elf[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn compose(change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>), target: Target) -> Result<CoreImage, String> {
    let mut files = grub_files(&["b"]);
    change(&mut files);
    let core = Core { target, prefix: "/p", modules: &["b"], config: None };
    core_image(&GrubFiles::new(files), &core).map_err(|error| error.to_string())
}

#[test]
fn a_core_image_is_this() {
    let image = compose(|_| {}, Target::Disk).unwrap();
    let files = GrubFiles::new(grub_files(&["b"]));
    let Parts { loader, payload } = Parts::of(image.bytes(), 0, &files);
    assert_eq!(loader.len(), SECTOR + 0x20);
    let expect = [&b"KERNEL..mimg\x0c\0\0\0\x28\0\0\0"[..], b"\0\0\0\0\x10\0\0\0module\0\0", b"\x03\0\0\0\x0c\0\0\0/p\0\0"];
    assert_eq!(payload, expect.concat());
    assert_eq!(image.bytes().len(), 2 * SECTOR);
}

#[test]
fn files_that_are_no_grub_are_refused_by_name() {
    let check = |name: &str, bytes: Option<Vec<u8>>, expect: &str| {
        let change = |files: &mut BTreeMap<String, Vec<u8>>| match bytes {
            Some(bytes) => drop(files.insert(name.to_owned(), bytes)),
            None => drop(files.remove(name)),
        };
        assert_eq!(compose(change, Target::Disk).unwrap_err(), expect);
    };
    check("b.mod", None, "there is no b.mod among GRUB's files");
    check("diskboot.img", None, "there is no diskboot.img among GRUB's files");
    check(
        "diskboot.img",
        Some(vec![0; 100]),
        "GRUB's diskboot.img is not usable: it has another size than the boot code expects",
    );
    check("diskboot.img", Some(vec![0; SECTOR]), "GRUB's diskboot.img is not usable: it does not end in a block list");
    check(
        "lzma_decompress.img",
        Some(vec![]),
        "GRUB's lzma_decompress.img is not usable: it does not fit in its place in memory",
    );
    check(
        "lzma_decompress.img",
        Some(vec![0; 4096]),
        "GRUB's lzma_decompress.img is not usable: it does not fit in its place in memory",
    );
    check("moddep.lst", Some(vec![0xff]), "GRUB's moddep.lst is not usable: it is not text");
    check("kernel.img", Some(b"\x7fELF".to_vec()), "GRUB's kernel.img is not usable: it is no 32-bit ELF file");
    // Nothing that compresses: xorshift.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let noise: Vec<u8> = noise.take(64 << 10).flatten().collect();
    let error = compose(|files| drop(files.insert("b.mod".to_owned(), noise)), Target::Disk).unwrap_err();
    assert!(error.starts_with("GRUB's core image has 53") && error.ends_with("bytes; 454656 are the most"), "{error}");
    let cd = compose(|files| drop(files.remove("cdboot.img")), Target::ElTorito);
    assert_eq!(cd.unwrap_err(), "there is no cdboot.img among GRUB's files");
}

#[test]
fn kernels_that_lie_about_themselves_are_refused() {
    let check = |change: &dyn Fn(&mut Vec<u8>), expect: &str| {
        let bytes = program(|elf| change(elf));
        let error = kernel::flat(&bytes).unwrap_err().to_string();
        assert_eq!(error.strip_prefix("GRUB's kernel.img is not usable: "), Some(expect));
    };
    check(&|elf| elf[18] = 62, "it is no program for i386");
    check(&|elf| elf[16] = 1, "it is no program for i386");
    // The section of code begins at 92: kind, flags, address, offset, size from 96 on.
    check(&|elf| set(elf, 96, 8), "it has no code");
    check(&|elf| set(elf, 104, 0x8fff), "a section lies outside of the memory that a BIOS leaves");
    check(&|elf| set(elf, 104, 0xffff_fffe), "a section lies outside of the memory that a BIOS leaves");
    check(&|elf| set(elf, 104, 0x67ff9), "a section lies outside of the memory that a BIOS leaves");
    check(&|elf| set(elf, 108, 0xffff), "a section lies outside of the file");
    assert_eq!(kernel::flat(&program(|elf| set(elf, 104, 0x9004))).unwrap(), b"\0\0\0\0KERNEL..");
}

#[test]
fn boot_sectors_that_are_none_are_refused() {
    let check = |name: &str, sector: Vec<u8>, expect: &str| {
        let files = GrubFiles::new(BTreeMap::from([(name.to_owned(), sector)]));
        let code = if name == "boot.img" { boot_code(&files, 1) } else { hybrid_boot_code(&files, 1) };
        assert_eq!(code.unwrap_err().to_string(), expect);
    };
    let signed = |len| [vec![0; len], vec![0x55, 0xaa]].concat();
    check("boot.img", vec![0; SECTOR], "GRUB's boot.img is not usable: it is no boot sector");
    check("boot.img", signed(SECTOR - 2), "GRUB's boot.img is not usable: the check of the drive is not where it should be");
    check("boot_hybrid.img", signed(8), "GRUB's boot_hybrid.img is not usable: it has another size than the boot code expects");
    check("x", vec![], "there is no boot_hybrid.img among GRUB's files");
}
