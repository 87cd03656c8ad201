//! `--config`: what is on the EFI system partition then, read by others.

use crate::loops::{Loop, MIB, binary, bytes, image, output, program};
use kmimage_contract::disk_layout::Role;
use kmimage_contract::fat32::layout::{Data, FileAt, Volume, lay_out};
use kmimage_contract::gpt::{Partition, SectorSize, Table};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use uuid::Uuid;

const CONFIG: &str = "version = 1\n[machine]\nhostname = \"node-1\"\n";
const ESP: u64 = 64 * MIB;

/// A disk with an EFI system partition of 64 MiB at 1 MiB, laid out as `build` does it, and behind it perhaps one for what a machine keeps.
fn image_with_esp(path: &Path, state: bool) {
    let partition = |number, role: Role, first_lba, last_lba| Partition {
        number,
        type_guid: role.type_guid(),
        uuid: Uuid::from_u128(5 + u128::from(number)),
        first_lba,
        last_lba,
        attributes: 0,
        name: role.name().into(),
    };
    let esp = partition(1, Role::Esp, 2048, 65 * 2048 - 1);
    let state = state.then(|| partition(2, Role::State, 65 * 2048, 65 * 2048 + 1023));
    let partitions = [esp].into_iter().chain(state).collect();
    let table = Table::new(Uuid::from_u128(6), SectorSize::B512, 66 * 2048, partitions).encode().unwrap();
    let file = File::create(path).unwrap();
    file.set_len(66 * MIB).unwrap();
    file.write_all_at(&table.primary, 0).unwrap();
    file.write_all_at(&table.backup, table.backup_offset).unwrap();
    let loader = vec![9; 100_000];
    let volume = Volume { size: ESP, disk_offset: MIB, serial: 1, label: "ESP", epoch: 0 };
    for extent in lay_out(&volume, &[FileAt { path: "EFI/BOOT/BOOTX64.EFI", len: loader.len() as u64 }]).unwrap() {
        let bytes = match &extent.data {
            Data::Bytes(bytes) => bytes,
            Data::File(_) => &loader,
        };
        file.write_all_at(bytes, MIB + extent.offset).unwrap();
    }
}

#[test]
fn tools_a_config_is_on_the_esp_and_nowhere_else() {
    let binary = binary();
    image_with_esp(&binary.path("image.raw"), true);
    let before = bytes(&binary.path("image.raw"), 0, 66 * MIB);
    let secret = format!("{CONFIG}[[file]]\npath = \"/etc/app/key\"\nmode = \"0600\"\ncontent = \"hunter2\"\n");
    binary.write("node-1.toml", &secret);
    let stick = Loop::used(&binary.path(""), "stick", 80 * MIB);
    let (path, name) = (stick.path.to_str().unwrap(), stick.file.to_str().unwrap());
    let outcome = binary.succeed(&["flash", "--config", "node-1.toml", "--serial", name, "image.raw", path]);
    let warning = "warning: whoever holds the device can read the config's secrets (file.content (/etc/app/key)) until a machine has taken it\n";
    assert!(outcome.stderr.contains(warning) && !outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    assert!(bytes(&binary.path("image.raw"), 0, 66 * MIB) == before, "the image has changed");

    let esp = binary.path("esp");
    std::fs::write(&esp, bytes(&stick.file, MIB, ESP)).unwrap();
    let text = output(program("mtype").arg("-i").arg(&esp).arg("::/kmimage/machine.toml"));
    assert_eq!(text, secret);
    output(program("fsck.fat").args(["-n", "-v"]).arg(&esp));
    let loader = output(program("mtype").arg("-i").arg(&esp).arg("::/EFI/BOOT/BOOTX64.EFI"));
    assert!(loader.len() == 100_000 && loader.bytes().all(|byte| byte == 9));
    let verdict = output(program("sgdisk").arg("--verify").arg(&stick.path));
    assert!(verdict.contains("No problems found"), "{verdict}");
    // Without one, the next flash leaves nothing of it.
    binary.succeed(&["flash", "--serial", name, "image.raw", path]);
    assert!(bytes(&stick.file, MIB, ESP) == before[1 << 20..65 << 20]);

    // A machine that runs from a medium keeps no config, so it erases none.
    image_with_esp(&binary.path("medium.iso"), false);
    let outcome = binary.succeed(&["flash", "--config", "node-1.toml", "--serial", name, "medium.iso", path]);
    let warning = "can read the config's secrets (file.content (/etc/app/key)): on an install medium they stay\n";
    assert!(outcome.stderr.contains(warning), "{}", outcome.stderr);
}

#[test]
fn a_config_that_does_not_hold_or_fit_is_refused() {
    let binary = binary();
    image_with_esp(&binary.path("image.raw"), true);
    image(&binary.path("noise.raw"), SectorSize::B512);
    binary.write("bad.toml", "version = 1\nhostnam = \"x\"\n");
    binary.write("good.toml", CONFIG);
    // Its device is never looked at.
    let outcome = binary.run(&["flash", "--config", "bad.toml", "image.raw", "/dev/null"]);
    assert_eq!(
        (outcome.code, outcome.stderr.lines().next().unwrap().starts_with("error: bad.toml:2:1: ")),
        (3, true),
        "{}",
        outcome.stderr
    );
    let outcome = binary.run(&["flash", "--config", "none.toml", "image.raw", "/dev/null"]);
    assert_eq!((outcome.code, outcome.stderr.lines().next()), (2, Some("error: cannot read none.toml")));
    let outcome = binary.run(&["flash", "--config", "good.toml", "noise.raw", "/dev/null"]);
    let first = "error: the EFI system partition of noise.raw can't take a machine config";
    assert_eq!((outcome.code, outcome.stderr.lines().next()), (6, Some(first)), "{}", outcome.stderr);
    binary.write("a.iso", [vec![0; 32_769], b"CD001".to_vec(), vec![0; 4096]].concat());
    let outcome = binary.run(&["flash", "--config", "good.toml", "a.iso", "/dev/null"]);
    let first = "error: a.iso has no EFI system partition, where a machine config would go";
    assert_eq!((outcome.code, outcome.stderr.lines().next()), (2, Some(first)));
}
