//! Volumes as genisoimage and xorriso make them; hostile ones made from these.

use super::super::{Volume, VolumeError};
use std::io::Cursor;
use std::path::Path;

/// Makes a volume as Proxmox does, with these options more, of a folder of files and links.
#[expect(clippy::disallowed_methods, reason = "another's writer judges our reader")]
fn genisoimage(options: &[&str], files: &[(&str, &str)], links: &[(&str, &str)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    for (name, content) in files {
        let path = tree.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    for (name, target) in links {
        std::os::unix::fs::symlink(Path::new(target), tree.join(name)).unwrap();
    }
    let image = folder.path().join("image.iso");
    let mut command = std::process::Command::new("genisoimage");
    let output = command.args(["-quiet", "-iso-level", "3"]).args(options).arg("-o").arg(&image).arg(&tree).output();
    let output = output.expect("genisoimage: see xtask setup");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(image).unwrap()
}

fn read(image: &[u8], path: &str) -> Result<Option<String>, VolumeError> {
    let mut volume = Volume::open(Cursor::new(image))?.expect("a volume");
    Ok(volume.read(path, 1 << 20)?.map(|bytes| String::from_utf8(bytes).unwrap()))
}

#[test]
fn tools_volumes_are_read_with_every_kind_of_names() {
    let long = format!("a-file-with-a-{}-name.txt", "long-".repeat(30));
    let files = [("user-data", "#kmimage\n"), ("meta-data", ""), ("Sub Folder/deep/x.y.z", "deep"), (long.as_str(), "long")];
    for options in [&["-V", "cidata", "-J", "-joliet-long", "-R"][..], &["-V", "CIDATA", "-R"], &["-V", "cidata", "-r", "-J"]] {
        let image = genisoimage(options, &files, &[]);
        assert_eq!(Volume::open(Cursor::new(&image)).unwrap().unwrap().label().to_lowercase(), "cidata");
        for (path, content) in files {
            assert_eq!(read(&image, path).unwrap().as_deref(), Some(content), "{path} {options:?}");
        }
        for absent in ["User-Data", "user-data/x", "Sub Folder", "", "/", "nothing/else"] {
            assert_eq!(read(&image, absent).unwrap(), None, "{absent}");
        }
    }
    let joliet = genisoimage(&["-V", "cidata", "-J"], &files[..3], &[]);
    assert_eq!(read(&joliet, "user-data").unwrap().as_deref(), Some("#kmimage\n"));
    assert_eq!(read(&joliet, "Sub Folder/deep/x.y.z").unwrap().as_deref(), Some("deep"));
    let plain = genisoimage(&["-V", "CIDATA"], &[("userdata", "plain"), ("x.txt", "dot")], &[]);
    assert_eq!(read(&plain, "userdata").unwrap().as_deref(), Some("plain"));
    assert_eq!(read(&plain, "x.txt").unwrap().as_deref(), Some("dot"));
}

#[test]
fn tools_links_are_followed_within_the_volume() {
    let deep = "../".repeat(40) + "user-data";
    let links = [
        ("a", "user-data"),
        ("b", "sub/../a"),
        ("sub/c", "../user-data"),
        ("d", "/sub/c"),
        ("e", "e"),
        ("f", "nowhere"),
        ("g", "../../../user-data"),
        ("h", deep.as_str()),
    ];
    let image = genisoimage(&["-V", "cidata", "-R"], &[("user-data", "x"), ("sub/file", "y")], &links);
    for path in ["a", "b", "sub/c", "d", "g"] {
        assert_eq!(read(&image, path).unwrap().as_deref(), Some("x"), "{path}");
    }
    assert_eq!(read(&image, "f").unwrap(), None);
    for path in ["e", "h"] {
        let error = read(&image, path).unwrap_err().to_string();
        assert_eq!(error, format!("{path}: a path of so many links and folders is not supported"));
    }
}

#[test]
fn tools_a_damaged_volume_is_an_error_never_a_panic() {
    let image = genisoimage(&["-V", "cidata", "-J", "-R"], &[("user-data", &"x".repeat(5000)), ("meta-data", "y")], &[]);
    let whole = read(&image, "user-data").unwrap().unwrap();
    let mut errors = std::collections::BTreeSet::new();
    for length in (0..image.len()).step_by(512) {
        match Volume::open(Cursor::new(&image[..length])).map(|volume| volume.map(|mut volume| volume.read("user-data", 1 << 20)))
        {
            Ok(None) => assert!(length < 17 * 2048, "{length}"),
            Ok(Some(Ok(found))) => assert_eq!(found.as_deref(), Some(whole.as_bytes())),
            Ok(Some(Err(error))) | Err(error) => {
                errors.insert(error.to_string().split(':').next().unwrap().to_owned());
            }
        }
    }
    assert_eq!(errors.into_iter().collect::<Vec<_>>(), ["the volume is truncated"]);
    // Every byte of the descriptors and folders, set to what hurts most.
    let mut damaged = image.clone();
    for at in (16 * 2048..image.len().min(40 * 2048)).filter(|at| image[*at] != 0) {
        for value in [0, 1, 0x7f, 0xff] {
            damaged[at] = value;
            if let Ok(Some(mut volume)) = Volume::open(Cursor::new(&damaged)) {
                let _ = volume.read("user-data", 1 << 20);
            }
        }
        damaged[at] = image[at];
    }
    assert_eq!(
        Volume::open(Cursor::new(&image)).unwrap().unwrap().read("user-data", 4999).unwrap_err().to_string(),
        "user-data has 5000 bytes; at most 4999 are read"
    );
}

#[test]
fn other_devices_are_no_volumes() {
    for bytes in [vec![], vec![0; 100], vec![0; 1 << 20], vec![0xff; 1 << 20]] {
        assert!(Volume::open(Cursor::new(bytes)).unwrap().is_none());
    }
}
