//! A miniature distribution: generated packages that make a whole image in about a second. Nothing in it could run; everything in it
//! has the form that kmimage looks at.

use super::binary::Binary;
use super::boot::{efi_program, grub_files, kernel};
use super::deb::{Compression, Deb};
use super::elf::{ElfSpec, module};

/// The release of the miniature kernel.
pub const RELEASE: &str = "6.0-mini";
/// What programs of the miniature distribution are loaded by.
pub const INTERPRETER: &str = "/lib64/ld-linux-x86-64.so.2";

/// A distribution and a profile to be written into a working directory.
#[derive(Debug, Clone)]
pub struct Mini {
    /// The packages.
    pub debs: Vec<Deb>,
    /// Which of them the profile names.
    pub install: Vec<String>,
    /// TOML that is added to the profile.
    pub extra: String,
}

impl Default for Mini {
    fn default() -> Self {
        Self::new()
    }
}

impl Mini {
    /// The sound distribution.
    pub fn new() -> Self {
        let install = ["linux-image-6.0-mini", "mini-program"].map(str::to_owned).into();
        Self { debs: vec![linux(), boot(), libc(), program()], install, extra: String::new() }
    }

    /// Adds a package, which the profile installs.
    pub fn with(mut self, deb: Deb) -> Self {
        self.install.push(deb.get("Package").to_owned());
        self.debs.push(deb);
        self
    }

    /// Changes a package.
    pub fn change(mut self, name: &str, change: impl FnOnce(Deb) -> Deb) -> Self {
        let at = self.debs.iter().position(|deb| deb.get("Package") == name).unwrap();
        let deb = self.debs.remove(at);
        self.debs.insert(at, change(deb));
        self
    }

    /// Adds TOML to the profile: lines before the first table go to its top.
    pub fn extra(mut self, toml: &str) -> Self {
        self.extra.push_str(toml);
        self.extra.push('\n');
        self
    }

    /// The profile's text.
    pub fn profile(&self) -> String {
        profile(&self.install, &self.extra)
    }

    /// Writes `debs/` and `profiles/mini.toml`.
    pub fn write(&self, binary: &Binary) {
        for deb in &self.debs {
            binary.write(&format!("debs/{}", deb.file_name()), deb.build());
        }
        binary.write("profiles/mini.toml", self.profile());
    }
}

/// The profile `mini`, whose packages come from `debs/`, with more TOML: lines before the first table go to its top.
pub fn mini_profile(extra_toml: &str) -> String {
    profile(&Mini::new().install, extra_toml)
}

fn profile(install: &[String], extra: &str) -> String {
    let tables_at = extra.lines().take_while(|line| !line.starts_with('[')).map(|line| line.len() + 1).sum::<usize>();
    let (top, tables) = extra.split_at(tables_at.min(extra.len()));
    format!(
        r#"description = "A miniature of a distribution"
role = "base"
{top}
[packages]
install = {install:?}

[boot]
packages = ["mini-boot"]

[[repository]]
name = "mini"
directory = "../debs"

[[drop]]
path = "/usr/share/{{doc,man}}"
reason = "nobody reads at a node"

[kernel]
cmdline = ["console=ttyS0", "panic=10"]

[[kernel.modules.drop]]
paths = ["kernel/sound"]
reason = "a node is silent"

[kernel.initramfs]
modules = ["mini_disk", "squashfs"]

[image]
slot-size = "16 MiB"
compression-level = 3
block-size = "64 KiB"

{tables}
"#
    )
}

/// Names of the profiles that kmimage brings and of these, sorted: what it lists.
pub fn profiles_and(own: &[&str]) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let brought = entries.filter_map(|name| name.strip_suffix(".toml").map(str::to_owned));
    let mut names: Vec<String> = brought.chain(own.iter().map(|name| (*name).to_owned())).collect();
    names.sort();
    names
}

/// A package with the copyright file that every package has.
pub fn package(name: &str) -> Deb {
    let copyright = format!("The licence of {name}.\n");
    Deb::new(name, "1.0").compression(Compression::Gzip).file(&format!("/usr/share/doc/{name}/copyright"), 0o644, copyright)
}

/// A program that needs these shared libraries.
pub fn elf_program(needed: &[&str]) -> Vec<u8> {
    ElfSpec { interpreter: Some(INTERPRETER), needed, ..ElfSpec::default() }.bytes()
}

/// A kernel module of this release.
pub fn kernel_module(name: &str, depends: &str, release: &str) -> Vec<u8> {
    let vermagic = format!("vermagic={release} SMP preempt mod_unload modversions ");
    let alias = format!("alias=mini:{name}");
    module(&[&alias, &format!("depends={depends}"), &format!("name={name}"), &vermagic])
}

fn linux() -> Deb {
    let directory = format!("/usr/lib/modules/{RELEASE}");
    let mut deb = package(&format!("linux-image-{RELEASE}"))
        .file(&format!("/boot/vmlinuz-{RELEASE}"), 0o644, kernel(RELEASE))
        .file(&format!("/boot/config-{RELEASE}"), 0o644, "CONFIG_MINI=y\n")
        .file(&format!("/boot/System.map-{RELEASE}"), 0o600, "0 T mini\n")
        .file(&format!("{directory}/modules.builtin"), 0o644, "kernel/fs/squashfs/squashfs.ko\n")
        .file(&format!("{directory}/modules.builtin.modinfo"), 0o644, "squashfs.file=fs/squashfs/squashfs\0")
        .file(&format!("{directory}/modules.order"), 0o644, "kernel/lib/mini_core.ko\nkernel/drivers/block/mini_disk.ko\n");
    for (path, depends) in
        [("kernel/lib/mini_core", ""), ("kernel/drivers/block/mini_disk", "mini_core"), ("kernel/sound/mini_beep", "mini_core")]
    {
        let name = path.rsplit('/').next().unwrap_or(path);
        deb = deb.file(&format!("{directory}/{path}.ko"), 0o644, kernel_module(name, depends, RELEASE));
    }
    deb
}

fn boot() -> Deb {
    // Every module that an image's core image is made of.
    let modules = [
        "biosdisk",
        "part_gpt",
        "fat",
        "configfile",
        "loadenv",
        "test",
        "probe",
        "linux",
        "echo",
        "sleep",
        "reboot",
        "serial",
        "terminal",
    ];
    let efi = ["linuxx64.efi.stub", "systemd-bootx64.efi"]
        .map(|name| (format!("/usr/lib/systemd/boot/efi/{name}"), efi_program(0x600)));
    let grub = grub_files(&modules).into_iter().map(|(name, bytes)| (format!("/usr/lib/grub/i386-pc/{name}"), bytes));
    efi.into_iter().chain(grub).fold(package("mini-boot"), |deb, (path, bytes)| deb.file(&path, 0o644, bytes))
}

fn libc() -> Deb {
    let library = ElfSpec { soname: Some("libmini.so.6"), needed: &["ld-linux-x86-64.so.2"], ..ElfSpec::default() };
    let loader = ElfSpec { soname: Some("ld-linux-x86-64.so.2"), ..ElfSpec::default() };
    package("mini-libc")
        .file("/usr/lib/x86_64-linux-gnu/libmini.so.6", 0o755, library.bytes())
        .file("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", 0o755, loader.bytes())
        .symlink("/usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
}

fn program() -> Deb {
    package("mini-program")
        .field("Depends", "mini-libc (>= 1.0)")
        .file("/usr/bin/mini", 0o755, elf_program(&["libmini.so.6"]))
        .file("/etc/mini.conf", 0o644, "answer = 42\n")
        .file("/usr/share/man/man1/mini.1", 0o644, ".TH MINI 1\n")
}
