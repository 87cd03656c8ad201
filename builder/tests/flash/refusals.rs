//! What is refused, with its words and exit code, and that nothing was written then. The tables of what is in use are beside
//! `flash::judge`; here is what needs a device.

use crate::loops::{Loop, MIB, binary, bytes, image, output, program, typing};
use kmimage_contract::gpt::SectorSize;
use rustix::fs::{Mode, OFlags};

const UNTOUCHED: &str = "  help: Nothing was written: the device holds what it held.\n";
const LIST: &str = "  help: `kmimage flash --list` shows what can be written.\n";

#[test]
fn what_is_no_image_or_no_device_is_refused() {
    let binary = binary();
    image(&binary.path("image.raw"), SectorSize::B512);
    binary.write("a.qcow2", [b"QFI\xfb".as_slice(), &[0; 1000]].concat());
    binary.write("a.raw.gz", [b"\x1f\x8b".as_slice(), &[0; 1000]].concat());
    binary.write("a.txt", "no image");
    let check = |arguments: &[&str], code: i32, expect: &str| {
        let outcome = binary.run(&[&["flash"], arguments].concat());
        assert_eq!((outcome.code, outcome.stderr.as_str()), (code, expect), "{arguments:?}");
    };
    let qcow2 = "\
error: a.qcow2 is a qcow2 image: its bytes are not a disk's
  help: Take the .raw of the same build; it is written beside the .qcow2.
  help: Or unpack it: qemu-img convert -O raw 'a.qcow2' disk.raw
";
    check(&["a.qcow2", "/dev/null"], 2, qcow2);
    check(&["a.raw.gz", "/dev/null"], 2, "error: a.raw.gz is compressed (gzip)\n  help: Unpack it first (gzip -d 'a.raw.gz').\n");
    let no_image = "  help: `kmimage build` makes a .raw; it is what belongs on a stick.\n";
    check(&["a.txt", "/dev/null"], 2, &format!("error: a.txt is no disk image and no ISO\n{no_image}"));
    check(&[".", "/dev/null"], 2, &format!("error: . is no file\n{no_image}"));
    let loop_hint = "  help: A file becomes a device by losetup --find --show FILE.\n";
    for path in ["/dev/null", "a.txt", "."] {
        check(&["image.raw", path], 2, &format!("error: {path} is no block device\n{LIST}{loop_hint}"));
    }
    let missing = "error: can't find the device /dev/nosuch\n  caused by: No such file or directory (os error 2)\n";
    check(&["image.raw", "/dev/nosuch"], 2, &format!("{missing}{LIST}"));
    let outcome = binary.run(&["flash", "none.raw", "/dev/null"]);
    assert_eq!((outcome.code, outcome.stderr.lines().next()), (2, Some("error: can't read none.raw")));
    assert_eq!(binary.run(&["flash", "image.raw"]).code, 2);
}

#[test]
fn tools_a_device_that_is_not_meant_or_not_free_is_left_alone() {
    let binary = binary();
    image(&binary.path("image.raw"), SectorSize::B512);
    let stick = Loop::used(&binary.path(""), "stick", 32 * MIB);
    let (path, name) = (stick.path.to_str().unwrap(), stick.file.to_str().unwrap());
    let untouched = || assert!(bytes(&stick.file, 0, 32 * MIB).iter().all(|&byte| byte == 0xa5));
    let what = "file behind it (a loop device has no serial number)";

    let wrong = format!("error: {path} has the {what} `<dir>/work/stick`, not `stick`\n{UNTOUCHED}{LIST}");
    let outcome = binary.run(&["flash", "--serial", "stick", "image.raw", path]);
    assert_eq!((outcome.code, outcome.stderr), (2, wrong.clone()));
    let outcome = typing(&binary, &["flash", "image.raw", path], "stick\n");
    assert!(outcome.code == 2 && outcome.stderr.ends_with(&wrong), "{}", outcome.stderr);
    let outcome = typing(&binary, &["flash", "image.raw", path], "");
    let unanswered = format!(
        "error: nobody typed the {what} of {path}\n{UNTOUCHED}  help: A script says it with --serial '<dir>/work/stick'.\n"
    );
    assert!(outcome.code == 2 && outcome.stderr.ends_with(&unanswered), "{}", outcome.stderr);
    untouched();

    // Somebody has it: the kernel knows.
    let holder = rustix::fs::open(&stick.path, OFlags::RDONLY | OFlags::EXCL, Mode::empty()).unwrap();
    let outcome = binary.run(&["flash", "--serial", name, "image.raw", path]);
    assert_eq!(
        (outcome.code, outcome.stderr.lines().next()),
        (7, Some(format!("error: {path} is in use, says the kernel").as_str()))
    );
    drop(holder);
    untouched();

    output(program("blockdev").arg("--setro").arg(&stick.path));
    let outcome = binary.run(&["flash", "--serial", name, "image.raw", path]);
    assert_eq!((outcome.code, outcome.stderr.lines().next()), (2, Some(format!("error: {path} is read-only").as_str())));
    output(program("blockdev").arg("--setrw").arg(&stick.path));
    untouched();

    let small = Loop::used(&binary.path(""), "small", 24 * MIB - 512);
    let outcome = binary.run(&["flash", "--serial", "x", "image.raw", small.path.to_str().unwrap()]);
    let expect = format!("error: {} has 25165312 bytes, the image 25165824: 512 bytes too small", small.path.display());
    assert_eq!((outcome.code, outcome.stderr.lines().next()), (2, Some(expect.as_str())));

    output(program("mkfs.ext4").args(["-q", "-F"]).arg(&stick.path));
    let point = binary.path("point");
    std::fs::create_dir(&point).unwrap();
    output(program("mount").arg(&stick.path).arg(&point));
    let outcome = binary.run(&["flash", "--serial", name, "image.raw", path]);
    output(program("umount").arg(&point));
    let expect = format!("error: {path} is mounted: <dir>/work/point\n  help: Unmount it first: `umount '<dir>/work/point'`.\n");
    assert_eq!((outcome.code, outcome.stderr), (2, expect));
}

#[test]
fn tools_without_rights_the_one_command_is_named() {
    let binary = binary();
    image(&binary.path("image.raw"), SectorSize::B512);
    let stick = Loop::used(&binary.path(""), "stick", 32 * MIB);
    // The program and the image where nobody can reach them, too.
    let folder = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let kmimage = folder.path().join("kmimage");
    std::fs::copy(env!("CARGO_BIN_EXE_kmimage"), &kmimage).unwrap();
    std::fs::copy(binary.path("image.raw"), folder.path().join("image.raw")).unwrap();
    let mut command = program("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&kmimage);
    let command = command.args(["flash", "--no-eject", "--serial"]).arg(&stick.file).arg("image.raw").arg(&stick.path);
    let result = command.current_dir(folder.path()).output().unwrap();
    let expect = format!(
        "error: no permission to write to {0}\n  caused by: Permission denied (os error 13)\n  help: Only this needs root: sudo {1} \
         flash --no-eject --serial {2} image.raw {0}\n",
        stick.path.display(),
        kmimage.display(),
        stick.file.display()
    );
    assert_eq!((result.status.code(), String::from_utf8_lossy(&result.stderr).into_owned()), (Some(7), expect));
    assert!(bytes(&stick.file, 0, 32 * MIB).iter().all(|&byte| byte == 0xa5));
}
