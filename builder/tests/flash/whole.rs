//! What is on a device after a success.

use crate::loops::{Loop, MIB, binary, bytes, image, output, program, typing};
use kmimage_contract::gpt::{self, Copy, SectorSize};
use std::fs::File;

/// An odd number of sectors, so that nothing ends at a multiple of anything.
const DEVICE: u64 = 40 * MIB + 3 * 512;

#[test]
fn tools_a_device_holds_the_image_and_a_table_for_its_own_size() {
    let binary = binary();
    let folder = binary.path("");
    let raw = binary.path("image.raw");
    image(&raw, SectorSize::B512);
    let stick = Loop::used(&folder, "stick", DEVICE);
    let decoy = Loop::used(&folder, "decoy", DEVICE);
    let before = bytes(&decoy.file, 0, DEVICE);
    let (path, name) = (stick.path.to_str().unwrap(), stick.file.to_str().unwrap());

    let outcome = typing(&binary, &["flash", "image.raw", path], &format!("{name}\n"));
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    for text in [path, "40.00 MiB", "loop", "Type the file behind it", "==> written and verified: everything is on it"] {
        assert!(outcome.stderr.contains(text), "no {text} in\n{}", outcome.stderr);
    }
    let (wanted, found) = (bytes(&raw, 0, 24 * MIB), bytes(&stick.file, 0, DEVICE));
    // The primary table and the protective record's size are for the device; all else is the image's, its holes too.
    assert!(found[..458] == wanted[..458] && found[462..512] == wanted[462..512]);
    assert!(found[34 * 512..24 << 20] == wanted[34 * 512..]);
    // Behind it, old bytes; the last mebibyte has nothing of an old table.
    let tail = (DEVICE - MIB) as usize / 4096 * 4096;
    assert!(found[24 << 20..tail].iter().all(|&byte| byte == 0xa5));
    assert!(found[tail..DEVICE as usize - 33 * 512].iter().all(|&byte| byte == 0));
    let table = gpt::read(&mut File::open(&stick.file).unwrap(), DEVICE, SectorSize::B512).unwrap();
    assert_eq!((table.copy, table.table.disk_sectors), (Copy::Primary, DEVICE / 512));
    let ends: Vec<u64> = table.table.partitions.iter().map(|partition| (partition.last_lba + 1) / 2048).collect();
    assert_eq!(ends, [17, 39]);
    let verdict = output(program("sgdisk").arg("--verify").arg(&stick.path));
    assert!(verdict.contains("No problems found"), "{verdict}");
    assert!(bytes(&decoy.file, 0, DEVICE) == before);
}

#[test]
fn tools_a_script_names_the_device_and_reads_json() {
    let binary = binary();
    image(&binary.path("image.raw"), SectorSize::B4096);
    let folder = binary.path("");
    // Exactly as large as the image, with sectors of 4096 bytes.
    File::create(folder.join("stick")).unwrap().set_len(24 * MIB).unwrap();
    let stick = Loop::with(&folder.join("stick"), &["--sector-size", "4096"]);
    let (path, name) = (stick.path.to_str().unwrap(), stick.file.to_str().unwrap());
    let outcome = binary.succeed(&["flash", "--quiet", "--json", "--serial", name, "image.raw", path]);
    let done: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&done["verified"], &done["ejected"], &done["path"]), (&true.into(), &false.into(), &path.into()));
    assert_eq!((&done["image-bytes"], &done["sector-size"], &done["bus"]), (&(24 * MIB).into(), &4096.into(), &"loop".into()));
    assert_eq!(outcome.stderr, "");
    assert!(bytes(&stick.file, 0, 24 * MIB) == bytes(&binary.path("image.raw"), 0, 24 * MIB));
}

#[test]
fn tools_an_iso_is_written_as_it_is() {
    let binary = binary();
    binary.write("files/a", vec![7; 100_001]);
    output(program("genisoimage").args(["-quiet", "-R", "-o"]).arg(binary.path("a.iso")).arg(binary.path("files")));
    let size = std::fs::metadata(binary.path("a.iso")).unwrap().len();
    let stick = Loop::used(&binary.path(""), "stick", 4 * MIB);
    binary.succeed(&["flash", "--serial", stick.file.to_str().unwrap(), "a.iso", stick.path.to_str().unwrap()]);
    assert!(bytes(&stick.file, 0, size) == bytes(&binary.path("a.iso"), 0, size));
}

#[test]
fn tools_the_list_names_devices_and_reasons() {
    let binary = binary();
    let free = Loop::used(&binary.path(""), "free", 4 * MIB);
    let mounted = Loop::used(&binary.path(""), "mounted", 16 * MIB);
    output(program("mkfs.ext4").args(["-q", "-F"]).arg(&mounted.path));
    let point = binary.path("point");
    std::fs::create_dir(&point).unwrap();
    output(program("mount").arg(&mounted.path).arg(&point));
    let text = binary.succeed(&["flash", "--list"]).stdout;
    let json = binary.succeed(&["flash", "--list", "--json"]).stdout;
    output(program("umount").arg(&point));
    assert!(text.contains(&format!("{}  4.00 MiB  loop  <dir>/work/free\n  can be written", free.path.display())), "{text}");
    assert!(text.contains(&format!("refused: {} is mounted: <dir>/work/point", mounted.path.display())), "{text}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let of =
        |device: &Loop| json.as_array().unwrap().iter().find(|entry| entry["path"] == device.path.to_str().unwrap()).unwrap();
    assert_eq!((&of(&free)["refused"], &of(&free)["confirm-by"]), (&serde_json::Value::Null, &"<dir>/work/free".into()));
    assert!(of(&mounted)["refused"].as_str().unwrap().ends_with("is mounted: <dir>/work/point"));
}
