//! Volumes as mkfs.vfat and mtools make them; hostile ones made from these.

use super::super::Volume;
use std::io::Cursor;

#[expect(clippy::disallowed_methods, reason = "another's writer judges our reader")]
fn run(program: &str, arguments: &[&str]) {
    let output = std::process::Command::new(program).args(arguments).env("MTOOLS_SKIP_CHECK", "1").output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; see xtask setup"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A volume of so many KiB with these files.
fn vfat(kib: u64, options: &[&str], files: &[(&str, &str)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image").to_str().unwrap().to_owned();
    std::fs::File::create(&image).unwrap().set_len(kib << 10).unwrap();
    run("mkfs.vfat", &[options, &[image.as_str()]].concat());
    for (name, content) in files {
        if let Some((parent, _)) = name.rsplit_once('/') {
            run("mmd", &["-D", "s", "-i", &image, &format!("::{parent}")]);
        }
        let file = folder.path().join("file");
        std::fs::write(&file, content).unwrap();
        run("mcopy", &["-i", &image, file.to_str().unwrap(), &format!("::{name}")]);
    }
    std::fs::read(image).unwrap()
}

fn read(image: &[u8], path: &str) -> Option<String> {
    let mut volume = Volume::open(Cursor::new(image)).unwrap().expect("a volume");
    volume.read(path, 1 << 20).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn tools_every_width_is_read_with_short_and_long_names() {
    let big = "0123456789abcdef".repeat(4000);
    let files = [
        ("user-data", "#kmimage\n"),
        ("META.TXT", "short"),
        ("network-config", big.as_str()),
        ("kmimage/machine.toml", "deep"),
        ("empty", ""),
    ];
    let widths: [(u64, &[&str]); 4] =
        [(2048, &["-F", "12"]), (20_480, &["-F", "16"]), (40_960, &["-F", "32"]), (4096, &["-S", "2048"])];
    for (kib, width) in widths {
        for label in ["cidata", "CIDATA"] {
            let image = vfat(kib, &[width, &["-n", label]].concat(), &files);
            assert_eq!(Volume::open(Cursor::new(&image)).unwrap().unwrap().label().to_lowercase(), "cidata", "{width:?}");
            for (path, content) in files {
                assert_eq!(read(&image, path).as_deref(), Some(content), "{path} {width:?}");
            }
            assert_eq!(read(&image, "/KMIMAGE/Machine.TOML").as_deref(), Some("deep"));
            for absent in ["kmimage", "user-data/x", "", "CIDATA", "other"] {
                assert_eq!(read(&image, absent), None, "{absent}");
            }
        }
    }
}

#[test]
fn tools_a_damaged_volume_is_an_error_never_a_panic() {
    let image = vfat(2048, &["-F", "12", "-n", "cidata"], &[("user-data", &"x".repeat(5000)), ("a-folder/file", "y")]);
    let try_all = |image: &[u8]| {
        if let Ok(Some(mut volume)) = Volume::open(Cursor::new(image)) {
            let _ = volume.read("user-data", 1 << 20);
            let _ = volume.read("a-folder/file", 1 << 20);
        }
    };
    for length in (0..image.len()).step_by(512) {
        try_all(&image[..length]);
    }
    let mut damaged = image.clone();
    for at in (0..image.len().min(16 << 10)).filter(|at| image[*at] != 0) {
        for value in [0, 1, 2, 0x7f, 0xff] {
            damaged[at] = value;
            try_all(&damaged);
        }
        damaged[at] = image[at];
    }
    // The file's chain leads back to its own beginning: its length ends it.
    let error = Volume::open(Cursor::new(&image)).unwrap().unwrap().read("user-data", 4999).unwrap_err();
    assert_eq!(error.to_string(), "user-data has 5000 bytes; at most 4999 are read");
    let mut short = image.clone();
    // The first table of a FAT12 volume of one reserved sector begins at 512: end the chain of cluster 2.
    short[512 + 3] = 0xff;
    short[512 + 4] |= 0x0f;
    let error = Volume::open(Cursor::new(&short)).unwrap().unwrap().read("user-data", 1 << 20).unwrap_err();
    assert_eq!(error.to_string(), "the volume is damaged: a file that ends before its length");
}

#[test]
fn boot_sectors_of_other_kinds_are_no_volumes() {
    let mut mbr = vec![0; 4096];
    mbr[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert!(Volume::open(Cursor::new(&mbr)).unwrap().is_none());
    mbr[0] = 0xeb;
    assert!(Volume::open(Cursor::new(&mbr)).unwrap().is_none());
    mbr[3..11].copy_from_slice(b"NTFS    ");
    mbr[11..16].copy_from_slice(&[0, 2, 8, 0, 0]);
    assert!(Volume::open(Cursor::new(&mbr)).unwrap().is_none());
}
