//! Installs what the tests need on a Debian machine: the programs that judge our bytes, QEMU and its firmware, cargo-deny.

use crate::run::{Outcome, cargo, command, installed, run};

/// Program, the Debian package that has it. Each is there to judge something that we write or derive.
const PROGRAMS: &[(&str, &str)] = &[
    ("apt-get", "apt"),
    ("blockdev", "util-linux"),
    ("busctl", "systemd"),
    ("cpio", "cpio"),
    ("curl", "curl"),
    ("depmod", "kmod"),
    // Not the package `dnsmasq`, which would start a service.
    ("dnsmasq", "dnsmasq-base"),
    ("dpkg-deb", "dpkg"),
    ("debugfs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("ethtool", "ethtool"),
    ("faketime", "faketime"),
    ("fdisk", "fdisk"),
    ("fsck.fat", "dosfstools"),
    ("g++", "g++"),
    ("grub-editenv", "grub-common"),
    ("grub-file", "grub-common"),
    ("grub-mkimage", "grub-common"),
    ("grub-script-check", "grub-common"),
    ("ip", "iproute2"),
    ("genisoimage", "genisoimage"),
    ("ldconfig", "libc-bin"),
    ("losetup", "mount"),
    ("mdir", "mtools"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mksquashfs", "squashfs-tools"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("objdump", "binutils"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("qemu-img", "qemu-utils"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("radvd", "radvd"),
    ("setpriv", "util-linux"),
    ("sgdisk", "gdisk"),
    ("skopeo", "skopeo"),
    ("systemd-dissect", "systemd-container"),
    ("unshare", "util-linux"),
    ("update-ca-certificates", "ca-certificates"),
    ("unsquashfs", "squashfs-tools"),
    ("veritysetup", "cryptsetup-bin"),
    ("xorriso", "xorriso"),
    ("zstd", "zstd"),
];

/// Installs what is missing.
pub(crate) fn main() -> Outcome {
    let mut packages: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !installed(program)).map(|(_, package)| *package).collect();
    if !std::path::Path::new("/usr/share/OVMF/OVMF_CODE_4M.fd").exists() {
        packages.push("ovmf");
    }
    if !std::path::Path::new("/usr/lib/grub/i386-pc/kernel.img").exists() {
        packages.push("grub-pc-bin");
    }
    // A module of Python, not a program: asked for in the way that uses it.
    if !command("python3").args(["-c", "import venv, ensurepip"]).status().is_ok_and(|status| status.success()) {
        packages.push("python3-venv");
    }
    if !packages.is_empty() {
        run(as_root("apt-get").arg("update"))?;
        run(as_root("apt-get").args(["install", "--yes", "--no-install-recommends"]).args(&packages))?;
    }
    if !installed("cargo-deny") {
        run(&mut cargo(&["install", "--locked", "cargo-deny"]))?;
    }
    Ok(())
}

/// The program itself for root, through sudo for others.
fn as_root(program: &str) -> std::process::Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0);
    if root {
        command(program)
    } else {
        let mut sudo = command("sudo");
        sudo.arg(program);
        sudo
    }
}

/// The programs that are still missing, for the test run to fail on.
pub(crate) fn missing() -> Vec<&'static str> {
    PROGRAMS.iter().filter(|(program, _)| !installed(program)).map(|(program, _)| *program).collect()
}
