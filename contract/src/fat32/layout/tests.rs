use super::*;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

const SIZE: u64 = 512 << 20;

fn volume(size: u64) -> Volume<'static> {
    Volume { size, disk_offset: 2 << 20, serial: 0x1234_5678, label: "ESP", epoch: 1_781_000_000 }
}

fn files() -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = [
        ("EFI/BOOT/BOOTX64.EFI", 70_000),
        ("EFI/kmimage/a.efi", 300_001),
        ("loader/loader.conf", 20),
        ("loader/entries/kmimage-a.conf", 100),
        ("loader/entries.srel", 6),
        ("a long name, with spaces and ü.txt", 1),
        ("empty", 0),
    ]
    .into_iter()
    .map(|(path, len)| (path.to_owned(), (0..len).map(|at: u32| (at * 7 + len) as u8).collect()))
    .collect();
    // A directory of several clusters.
    files.extend((0..150).map(|number| (format!("many/a file with a long name {number}.conf"), vec![number as u8])));
    files
}

fn write(path: &Path, size: u64, files: &[(String, Vec<u8>)]) {
    let list: Vec<FileAt<'_>> = files.iter().map(|(path, data)| FileAt { path, len: data.len() as u64 }).collect();
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    let mut end = 0;
    for extent in lay_out(&volume(size), &list).unwrap() {
        let bytes = match &extent.data {
            Data::Bytes(bytes) => bytes,
            Data::File(index) => &files[*index].1,
        };
        assert!(extent.offset >= end, "extents overlap at {}", extent.offset);
        end = extent.offset + bytes.len() as u64;
        file.write_all_at(bytes, extent.offset).unwrap();
    }
}

fn tool(program: &str, arguments: &[&str]) -> String {
    #[expect(clippy::disallowed_methods, reason = "a foreign tool judges our bytes")]
    let output = Command::new(program)
        .args(arguments)
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|error| panic!("{program} must be installed (dosfstools, mtools): {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {text}");
    text
}

#[test]
fn tools_fsck_finds_nothing_and_mtools_reads_the_files_back() {
    let directory = tempfile::tempdir().unwrap();
    for size in [SIZE, 48 << 20, 4 << 30] {
        let image = directory.path().join("esp");
        let image_text = image.to_str().unwrap();
        write(&image, size, &files());
        let text = tool("/usr/sbin/fsck.fat", &["-n", "-v", image_text]);
        assert!(!text.contains("differ") && !text.contains("wrong") && !text.contains("Dirty"), "{text}");
        assert!(text.contains("164 files"), "{text}");
        for (path, data) in files().iter().take(8) {
            let out = directory.path().join("out");
            tool("mcopy", &["-n", "-i", image_text, &format!("::{path}"), out.to_str().unwrap()]);
            assert_eq!(&std::fs::read(&out).unwrap(), data, "{path}");
            std::fs::remove_file(&out).unwrap();
        }
        let listing = tool("mdir", &["-i", image_text, "::loader"]);
        assert!(listing.contains("LOADER~1 CON        20 2026-06-09  10:13  loader.conf"), "{listing}");
        std::fs::remove_file(&image).unwrap();
    }
}

#[test]
fn only_what_is_used_is_written() {
    let files = files();
    let list: Vec<FileAt<'_>> = files.iter().map(|(path, data)| FileAt { path, len: data.len() as u64 }).collect();
    let extents = lay_out(&volume(SIZE), &list).unwrap();
    let bytes: usize = extents
        .iter()
        .map(|extent| match &extent.data {
            Data::Bytes(bytes) => bytes.len(),
            Data::File(index) => files[*index].1.len(),
        })
        .sum();
    assert!(bytes < 400_000, "{bytes}");
    assert_eq!(extents, lay_out(&volume(SIZE), &list).unwrap());
    let geometry = Geometry::new(SIZE).unwrap();
    assert_eq!((geometry.sectors_per_cluster, geometry.clusters), (8, 130_811));
    assert_eq!(geometry.cluster_offset(2) % 4096, 0);
}

#[test]
fn what_does_not_fit_is_refused() {
    let check = |size: u64, list: &[(&str, u64)], expect: &str| {
        let list: Vec<FileAt<'_>> = list.iter().map(|&(path, len)| FileAt { path, len }).collect();
        assert_eq!(lay_out(&volume(size), &list).unwrap_err().to_string(), expect);
    };
    check(16 << 20, &[], "a partition of 16777216 bytes can't hold FAT32 (33 MiB to 128 GiB)");
    check(SIZE, &[("a/B", 1), ("A/b", 1)], "A/b is on the EFI system partition twice (FAT does not tell upper from lower case)");
    check(SIZE, &[("a", 1), ("a/b", 1)], "a/b is on the EFI system partition twice (FAT does not tell upper from lower case)");
    check(SIZE, &[("a//b", 1)], "a//b can't be on the EFI system partition: it has an empty, `.` or `..` component");
    check(SIZE, &[("a", 4 << 30)], "a can't be on the EFI system partition: a file on FAT is smaller than 4 GiB");
    check(SIZE, &[("a", 600 << 20)], "the EFI system partition's files need 629149696 bytes, it has 535801856");
}
