//! Loop devices, images for them, and runs of kmimage.

use crate::support::binary::{Binary, Outcome};
use kmimage_contract::disk_layout::Role;
use kmimage_contract::gpt::{Partition, SectorSize, Table};
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use uuid::Uuid;

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) fn binary() -> Binary {
    Binary::new(env!("CARGO_BIN_EXE_kmimage"))
}

/// A program of others.
#[expect(clippy::disallowed_methods, reason = "others make devices and judge what is on them")]
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    command
}

/// What a program prints; it must succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let result = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    let errors = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{command:?} (a test that needs root and loop devices): {}\n{text}{errors}", result.status);
    text
}

/// A loop device, let go of in the end.
pub(crate) struct Loop {
    pub(crate) path: PathBuf,
    pub(crate) file: PathBuf,
}

impl Loop {
    pub(crate) fn over(file: &Path) -> Self {
        Self::with(file, &[])
    }

    pub(crate) fn with(file: &Path, options: &[&str]) -> Self {
        let text = output(program("losetup").args(["--find", "--show"]).args(options).arg(file));
        Self { path: text.trim().into(), file: file.into() }
    }

    /// Over a new file in a folder, full of old bytes.
    pub(crate) fn used(folder: &Path, name: &str, size: u64) -> Self {
        let path = folder.join(name);
        let file = File::create(&path).unwrap();
        let old = vec![0xa5; MIB as usize];
        for at in (0..size).step_by(MIB as usize) {
            file.write_all_at(&old[..MIB.min(size - at) as usize], at).unwrap();
        }
        file.sync_all().unwrap();
        Self::over(&path)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = program("losetup").arg("--detach").arg(&self.path).status();
    }
}

/// Bytes that are nowhere twice.
pub(crate) fn noise(len: u64, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).take((len / 8) as usize).flatten().collect()
}

/// A disk image of 24 MiB in small: ESP with bytes, a hole of 4 MiB, then `var`, which holds some bytes at its begin.
pub(crate) fn image(path: &Path, size: SectorSize) {
    let per_mib = MIB / size.bytes();
    let partition = |number: u32, role: Role, first: u64, mib: u64| Partition {
        number,
        type_guid: role.type_guid(),
        uuid: Uuid::from_u128(u128::from(number)),
        first_lba: first * per_mib,
        last_lba: (first + mib) * per_mib - 1,
        attributes: 0,
        name: role.name().into(),
    };
    let partitions = vec![partition(1, Role::Esp, 1, 16), partition(2, Role::Var, 17, 6)];
    let encoded = Table::new(Uuid::from_u128(77), size, 24 * per_mib, partitions).encode().unwrap();
    let file = File::create(path).unwrap();
    file.set_len(24 * MIB).unwrap();
    file.write_all_at(&encoded.primary, 0).unwrap();
    file.write_all_at(&noise(12 * MIB, 1), MIB).unwrap();
    file.write_all_at(&noise(3 * MIB + 4096, 2), 17 * MIB).unwrap();
    file.write_all_at(&encoded.backup, encoded.backup_offset).unwrap();
}

/// `len` bytes of a file.
pub(crate) fn bytes(path: &Path, at: u64, len: u64) -> Vec<u8> {
    let mut bytes = vec![0; len as usize];
    File::open(path).unwrap().read_exact_at(&mut bytes, at).unwrap();
    bytes
}

/// Runs kmimage and types something.
pub(crate) fn typing(binary: &Binary, arguments: &[&str], typed: &str) -> Outcome {
    let mut command = binary.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // It may have ended before it asks.
    let _ = input.write_all(typed.as_bytes());
    drop(input);
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: binary.normalise(&output.stdout),
        stderr: binary.normalise(&output.stderr),
    }
}
