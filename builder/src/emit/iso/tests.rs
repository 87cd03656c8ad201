//! What others read from our volumes, and that the same tree makes the same bytes.

use super::{Folder, IsoError, Node, Volume, write};
use jiff::Timestamp;
use std::process::Command;

fn volume(label: &str, files: &[(&str, &str)]) -> Volume {
    let mut root = Folder::new();
    for (path, content) in files {
        let mut folder = &mut root;
        let (parents, name) = path.rsplit_once('/').map_or((None, *path), |(parents, name)| (Some(parents), name));
        for parent in parents.into_iter().flat_map(|parents| parents.split('/')) {
            let Node::Folder(inner) = folder.entry(parent.to_owned()).or_insert_with(|| Node::Folder(Folder::new())) else {
                panic!("{parent} is a file")
            };
            folder = inner;
        }
        folder.insert(name.to_owned(), Node::File(content.as_bytes().to_vec()));
    }
    Volume { label: label.to_owned(), time: Timestamp::from_second(1_700_000_000).unwrap(), root, boot: None }
}

#[expect(clippy::disallowed_methods, reason = "others judge our bytes")]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("TZ", "UTC").output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; see xtask setup"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned() + &errors
}

#[test]
fn tools_isoinfo_and_xorriso_read_both_hierarchies() {
    let many: Vec<String> = (0..100).map(|number| format!("many/file-number-{number}.with-dots")).collect();
    let mut files = vec![
        ("user-data", "#kmimage\nversion = 1\n"),
        ("user_data", "same plain name"),
        ("meta-data", ""),
        ("network-config", "version: 2\n"),
        ("EFI/BOOT/bootx64.efi", "MZ"),
        ("EFI/a name with blanks, and ä.txt", "umlaut"),
    ];
    let long = "x".repeat(60);
    files.push((&long, "long"));
    files.extend(many.iter().map(|name| (name.as_str(), name.as_str())));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.iso");
    let image = write(&volume("cidata", &files)).unwrap();
    fs_err::write(&path, &image.bytes).unwrap();
    let path = path.to_str().unwrap();

    let info = run("isoinfo", &["-d", "-i", path]);
    for line in ["Volume id: cidata", "Joliet with UCS level 3 found", "Rock Ridge signatures version 1 found"] {
        assert!(info.contains(line), "{line} in\n{info}");
    }
    for (name, content) in &files {
        assert_eq!(run("isoinfo", &["-i", path, "-R", "-x", &format!("/{name}")]), *content, "{name}");
        let super::Place { block, length } = image.place_of(name).unwrap();
        let start = block as usize * super::BLOCK;
        assert_eq!(&image.bytes[start..start + length as usize], content.as_bytes());
    }
    // isoinfo cuts Joliet's names off at its own limit and code page; the plain ones are enough to see that they are there.
    let joliet = run("isoinfo", &["-i", path, "-J", "-f"]);
    for name in ["/user-data", "/user_data", "/EFI/BOOT/bootx64.efi", "/many/file-number-99.with-dots"] {
        assert!(joliet.lines().any(|line| line.strip_suffix(";1") == Some(name)), "{name} in\n{joliet}");
    }
    let plain = run("isoinfo", &["-i", path, "-f"]);
    for name in ["/USER_DATA.;1", "/USER_DATA_1.;1", "/EFI/BOOT/BOOTX64.EFI;1"] {
        assert!(plain.lines().any(|line| line == name), "{name} in\n{plain}");
    }
    let out = folder.path().join("out");
    run("xorriso", &["-osirrox", "on", "-indev", path, "-extract", "/", out.to_str().unwrap()]);
    for (name, content) in &files {
        assert_eq!(fs_err::read_to_string(out.join(name)).unwrap(), *content, "{name}");
    }
    let check = run("xorriso", &["-indev", path, "-find", "/user-data", "-exec", "lsdl", "--"]);
    assert!(check.contains("-r--r--r--") && check.contains("Nov 14  2023"), "{check}");
}

#[test]
fn the_same_tree_makes_the_same_bytes() {
    let files = [("b", "1"), ("a", "2"), ("c/d", "3")];
    let mut other = files;
    other.reverse();
    assert_eq!(write(&volume("cidata", &files)), write(&volume("cidata", &other)));
    assert_ne!(write(&volume("cidata", &files)), write(&volume("CIDATA", &files)));
}

#[test]
fn what_cant_be_written_is_refused() {
    let refused = |volume: &Volume| write(volume).unwrap_err();
    for label in ["", "a label", &"x".repeat(33)] {
        assert_eq!(refused(&volume(label, &[])), IsoError::Label(label.to_owned()));
    }
    let long = "x".repeat(65);
    for name in ["..", "a\\b", "a;1", "a\nb", long.as_str()] {
        assert_eq!(refused(&volume("x", &[(name, "")])), IsoError::Name(name.to_owned()));
    }
}
