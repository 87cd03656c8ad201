//! A stick that `kmimage flash` wrote, in a machine: it boots from USB with the config that came along, `var` has the stick's room, and
//! once the machine is ready with its config that is nowhere on the ESP.
//! What flash does with sticks that lie or fail is in builder/tests/flash.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage::run::machine::{Chipset, DiskBus};
use kmimage_qemu_tests::disk::partitions;
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::image::{artefact, kmimage, test};
use kmimage_qemu_tests::output::Mark;
use kmimage_qemu_tests::raw_disk::RawDisk;
use kmimage_qemu_tests::vm::BOOT;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

/// A loop device, let go of in the end.
struct Loop(PathBuf);

impl Loop {
    fn over(file: &Path) -> Self {
        Self(run(program("losetup").args(["--find", "--show"]).arg(file)).trim().into())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = program("losetup").arg("--detach").arg(&self.0).status();
    }
}

const SECRET: &str = "abcdef.0123456789abcdef";

#[test]
fn vm_a_flashed_stick_boots_with_its_config() {
    let folder = tempfile::tempdir().unwrap();
    let image = artefact(test(), ".raw");
    let (stick, config) = (folder.path().join("stick.raw"), folder.path().join("node.toml"));
    let size = fs_err::metadata(&image).unwrap().len() + 300 * MIB;
    fs_err::File::create(&stick).unwrap().set_len(size).unwrap();
    let file = format!("[[file]]\npath = \"/etc/token\"\ncontent = \"{SECRET}\"\n");
    // So long that it does not fit a cluster.
    let document = format!("version = 1\n[machine]\nhostname = \"by-stick\"\n{file}{}", format!("# {SECRET}\n").repeat(1000));
    fs_err::write(&config, document).unwrap();
    let device = Loop::over(&stick);
    run(kmimage().args(["flash", "--quiet", "--config"]).arg(&config).arg("--serial").arg(&stick).arg(&image).arg(&device.0));
    drop(device);
    let var = |disk: &Path| partitions(disk).into_iter().find(|partition| partition.name == "var").expect("var").len;
    assert_eq!(var(&stick), var(&image) + 300 * MIB);

    let flashed = RawDisk::of(&stick);
    assert!(flashed.files().contains(&"kmimage/machine.toml".to_owned()) && flashed.esp_holds(SECRET));
    drop(flashed);

    let guest = || Guest::test().disk_file(&stick).on(Chipset::Q35, DiskBus::Usb).user_network();
    let vm = guest().start();
    let ready = vm.ready();
    assert_eq!(ready.config, "esp");
    let mut probe = vm.probe();
    assert_eq!(probe.read("/etc/hostname"), "by-stick\n");
    assert!(probe.space("/var").total > 300 * MIB);
    drop(probe);
    let erased = vm.state_after(Mark::default(), "esp", BOOT, |_| true);
    assert_eq!(erased.get("erased"), Some("/kmimage/machine.toml"), "{erased}");
    vm.assert_no_crash();
    // No clean end: what was erased is so on the stick.
    drop(vm);
    let adopted = RawDisk::of(&stick);
    assert!(!adopted.files().iter().any(|path| path.starts_with("kmimage/")), "{:?}", adopted.files());
    assert!(!adopted.esp_holds(SECRET));
    adopted.check_esp();
    drop(adopted);

    // What a power cut in the erasing leaves: it is no config, and goes, too.
    let esp = partitions(&stick).into_iter().find(|partition| partition.name == "esp").expect("esp").offset;
    let zeros = folder.path().join("zeros");
    fs_err::write(&zeros, [vec![0; 512], SECRET.repeat(100).into_bytes()].concat()).unwrap();
    let volume = format!("{}@@{esp}", stick.display());
    run(program("mcopy").args(["-i", &volume]).arg(&zeros).arg("::kmimage/machine.toml"));
    let mut vm = guest().start();
    assert_eq!(vm.ready().config, "state");
    vm.state_after(Mark::default(), "esp", BOOT, |line| line.get("erased") == Some("/kmimage/machine.toml"));
    let mut probe = vm.probe();
    assert_eq!(probe.read("/etc/hostname"), "by-stick\n");
    assert_eq!(probe.read("/etc/token"), SECRET);
    drop(probe);
    vm.power_off();
    vm.assert_no_crash();
    assert!(!RawDisk::of(&stick).esp_holds(SECRET));
}
