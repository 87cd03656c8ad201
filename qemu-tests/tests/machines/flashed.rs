//! A stick that `kmimage flash` wrote, in a machine: it boots from USB with the config that came along, and `var` has the stick's room.
//! What flash does with sticks that lie or fail is in builder/tests/flash.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage::run::machine::{Chipset, DiskBus};
use kmimage_qemu_tests::disk::partitions;
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::image::{artefact, kmimage, test};
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

#[test]
fn vm_a_flashed_stick_boots_with_its_config() {
    let folder = tempfile::tempdir().unwrap();
    let image = artefact(test(), ".raw");
    let (stick, config) = (folder.path().join("stick.raw"), folder.path().join("node.toml"));
    let size = fs_err::metadata(&image).unwrap().len() + 300 * MIB;
    fs_err::File::create(&stick).unwrap().set_len(size).unwrap();
    fs_err::write(&config, "version = 1\n[machine]\nhostname = \"by-stick\"\n").unwrap();
    let device = Loop::over(&stick);
    run(kmimage().args(["flash", "--quiet", "--config"]).arg(&config).arg("--serial").arg(&stick).arg(&image).arg(&device.0));
    drop(device);
    let var = |disk: &Path| partitions(disk).into_iter().find(|partition| partition.name == "var").expect("var").len;
    assert_eq!(var(&stick), var(&image) + 300 * MIB);

    let mut vm = Guest::test().disk_file(&stick).on(Chipset::Q35, DiskBus::Usb).user_network().start();
    let ready = vm.ready();
    assert_eq!(ready.config, "esp");
    let mut probe = vm.probe();
    assert_eq!(probe.read("/etc/hostname"), "by-stick\n");
    assert!(probe.space("/var").total > 300 * MIB);
    drop(probe);
    vm.power_off();
    vm.assert_no_crash();
}
