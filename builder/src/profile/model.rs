//! A profile after merging and validation: what every later stage reads. Built by `validate` only.

use super::glob::PathGlob;
use super::library::OverlayPlace;
use crate::container_image::ImageName;
use crate::hash::Sha256Digest;
use kmimage_contract::modules;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A role profile, merged with all that it extends, every value checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Its name: the file name without `.toml`.
    pub name: String,
    /// One line for `kmimage profiles`.
    pub description: String,
    /// The role that the image's init plays and names in its state lines.
    pub role: String,
    /// The versions that its repositories are for.
    pub versions: Versions,
    /// Packages to install, without what they depend on.
    pub packages: BTreeSet<String>,
    /// Packages whose files make the boot image and the ESP; they never enter the root.
    pub boot_packages: BTreeSet<String>,
    /// Packages (or virtual names) that dependencies ask for and the image does without: name -> reason.
    pub absent: BTreeMap<String, String>,
    /// Answers to the ambiguities of resolution.
    pub choices: Choices,
    /// Where packages come from, in the profile's order.
    pub repositories: Vec<Repository>,
    /// File trees laid over the packages, in order: a later one wins.
    pub overlays: Vec<Overlay>,
    /// Kernel, command line and modules.
    pub kernel: Kernel,
    /// Paths that do not enter the image. A directory that matches takes all below it along.
    pub drops: Vec<Drop>,
    /// Files and directories that packages ship at one place and the image has at another.
    pub moves: Vec<Move>,
    /// Permission bits that the image has otherwise than the package.
    pub modes: Vec<Mode>,
    /// Violations of the tree's rules that this profile accepts.
    pub exceptions: Vec<Exception>,
    /// Answers to the ledger of maintainer scripts.
    pub scripts: Vec<ScriptAnswer>,
    /// Container images that the machine has from the start, in the profile's order.
    pub container_images: Vec<ContainerImage>,
    /// Sizes of the images, and the compression of the root image.
    pub image: Image,
    /// The directory that holds `<package>/copyright` for every package; they are kept whatever `drops` say.
    pub licences: String,
    /// The files it was read from, the farthest ancestor first.
    #[serde(skip)]
    pub files: Vec<SourceFile>,
}

impl Profile {
    /// SHA-256 over the whole value (not over the files it came from, nor over the overlays' content): two profiles with the same
    /// digest ask for the same image.
    pub fn digest(&self) -> Sha256Digest {
        // The value holds only strings, numbers, lists and string-keyed maps (paths as numbers): such a value always has a JSON form.
        Sha256Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }
}

/// A file that a profile was read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceFile {
    /// The path, or `embedded:profiles/NAME.toml`.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: Sha256Digest,
}

/// Minor versions of what has a repository for each of its own. None: the profile has none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Versions {
    /// Kubernetes', such as `1.36`.
    pub kubernetes: Option<String>,
    /// CRI-O's.
    pub crio: Option<String>,
}

/// Answers to the ambiguities that resolution refuses to guess.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Choices {
    /// Virtual package -> the package that provides it here.
    pub providers: BTreeMap<String, String>,
    /// Packages to take wherever an alternative (`a | b`) names them.
    pub alternatives: BTreeSet<String>,
    /// Package that several repositories offer -> the repository it comes from.
    pub repositories: BTreeMap<String, String>,
}

/// A signed apt repository, or a directory of .deb files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Repository {
    /// Its name, for `--mirror`, `--repository`, the lock and messages.
    pub name: String,
    /// Where it is.
    pub source: Source,
    /// Template of an archive that keeps old versions: `{date}` stands for a time as `20250520T000000Z`.
    pub snapshot: Option<String>,
}

/// Where a repository is and why it is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A signed repository.
    Signed {
        /// Its addresses.
        location: Location,
        /// How it is laid out.
        layout: Layout,
        /// The keys, one of which must have signed.
        trust: Trust,
    },
    /// A local directory of .deb files, scanned without an index.
    Directory(#[serde(serialize_with = "path_bytes")] PathBuf),
}

fn path_bytes<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(path.as_os_str().as_encoded_bytes())
}

/// The addresses of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Location {
    /// `debian-mirror`: the first URI of the host's apt whose InRelease of the profile's suite verifies, else Debian's alias.
    DebianMirror,
    /// `debian-security-mirror`: the same for the security archive.
    DebianSecurityMirror,
    /// Base addresses without a trailing slash, tried in order.
    Uris(Vec<String>),
}

/// How a repository is laid out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `dists/SUITE/InRelease` and the components' indexes below it, per suite.
    Suites {
        /// Suites, such as `trixie`; each has its own InRelease.
        suites: Vec<String>,
        /// Components, such as `main`.
        components: Vec<String>,
    },
    /// `InRelease` and `Packages` lie at the base address itself.
    Flat,
}

/// Why a repository is believed. One valid signature by one of these keys suffices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Keyrings (binary or armored OpenPGP certificates) of the profile library.
    Keyrings(Vec<Keyring>),
    /// A key read from the repository and held against its fingerprint.
    Pinned {
        /// Fingerprint of the primary key, upper-case hexadecimal without spaces (40 or 64 digits).
        fingerprint: String,
        /// Where the certificate is.
        key_uri: String,
    },
}

/// A keyring of the profile library.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Keyring {
    /// Its file name in `profiles/keyrings`.
    pub name: String,
    /// SHA-256 of its bytes: what of it counts for [`Profile::digest`].
    pub sha256: Sha256Digest,
    /// The certificates.
    #[serde(skip)]
    pub bytes: Arc<[u8]>,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({:?}, {})", self.name, self.sha256)
    }
}

/// A file tree laid over the packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overlay {
    /// Its name: the folder `overlays/NAME`.
    pub name: String,
    /// Where its files are.
    #[serde(skip)]
    pub place: OverlayPlace,
}

/// Kernel, command line and modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// The linux-image package, where the profile names one instead of what its meta-package depends on.
    pub package: Option<String>,
    /// Words of the kernel command line, in order (consoles included, verity's root hash not).
    pub cmdline: Vec<String>,
    /// Which of the kernel's modules the root has.
    pub modules: ModuleSelection,
    /// Which of them the initramfs has.
    pub initramfs: InitramfsModules,
}

/// Which modules of the kernel package stay in the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleSelection {
    /// Directories and modules that go.
    pub drop: Vec<ModuleDrop>,
    /// Patterns over module paths relative to `/usr/lib/modules/RELEASE` (`kernel/drivers/hid/hid.ko.xz`); they win over `drop`.
    pub keep: Vec<PathGlob>,
}

/// Modules that go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModuleDrop {
    /// Relative to `/usr/lib/modules/RELEASE`: a directory such as `kernel/sound`, or a module without `.ko` and what follows.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl ModuleSelection {
    /// True if the module at `path`, relative to `/usr/lib/modules/RELEASE`, stays.
    pub fn keeps(&self, path: &str) -> bool {
        self.dropped_by(path).is_none()
    }

    /// What takes the module at `path`, relative to `/usr/lib/modules/RELEASE`, away.
    pub fn dropped_by(&self, path: &str) -> Option<&ModuleDrop> {
        if self.keep.iter().any(|glob| glob.matches(path)) {
            return None;
        }
        self.drop.iter().find(|drop| is_below(path, &drop.path) || module_is(path, &drop.path))
    }
}

/// Which modules the initramfs has; what they depend on comes along. Names are without `.ko`, `-` and `_` being the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InitramfsModules {
    /// Modules by name; one that is neither a file nor built in is an error.
    pub modules: BTreeSet<String>,
    /// Directories relative to `/usr/lib/modules/RELEASE`; every module below that the root keeps.
    pub directories: BTreeSet<String>,
}

impl InitramfsModules {
    /// True if the module at `path`, relative to `/usr/lib/modules/RELEASE`, is asked for by name or directory.
    pub fn wants(&self, path: &str) -> bool {
        self.modules.contains(&modules::name(path)) || self.directories.iter().any(|directory| is_below(path, directory))
    }
}

fn module_is(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.starts_with(".ko"))
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Paths that do not enter the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drop {
    /// Over absolute paths of the image; see [`PathGlob::matches_or_holds`].
    pub glob: PathGlob,
    /// Why.
    pub reason: String,
}

/// A package's file or directory put elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Absolute path as the package ships it; a directory takes all below it along.
    pub from: String,
    /// Absolute path in the image.
    pub to: String,
    /// Why.
    pub reason: String,
}

/// Permission bits of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mode {
    /// Absolute path.
    pub path: String,
    /// Permission bits, octal 7777 at most.
    pub mode: u16,
    /// Why.
    pub reason: String,
}

/// An accepted violation of one of the tree's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exception {
    /// The rule.
    pub rule: Rule,
    /// Over absolute paths of the image.
    pub path: PathGlob,
    /// Why.
    pub reason: String,
}

/// A rule of the finished tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// No shell.
    Shell,
    /// No interpreter of another language.
    Interpreter,
    /// No package manager.
    PackageManager,
    /// No set-uid or set-gid file.
    SetUid,
    /// Nothing writable by everyone without the sticky bit.
    WorldWritable,
    /// Every symbolic link leads somewhere.
    DanglingLink,
    /// Every shared library that an ELF file names is in the image.
    MissingLibrary,
    /// The interpreter that an ELF file or a `#!` line names is in the image.
    MissingInterpreter,
}

impl Rule {
    /// Its name in profiles and messages.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Shell => "shell",
            Rule::Interpreter => "interpreter",
            Rule::PackageManager => "package-manager",
            Rule::SetUid => "set-uid",
            Rule::WorldWritable => "world-writable",
            Rule::DanglingLink => "dangling-link",
            Rule::MissingLibrary => "missing-library",
            Rule::MissingInterpreter => "missing-interpreter",
        }
    }
}

/// A maintainer script of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptKind {
    /// Before unpacking.
    Preinst,
    /// After unpacking; where nearly all effects are.
    Postinst,
    /// Before removal.
    Prerm,
    /// After removal.
    Postrm,
    /// debconf's questions.
    Config,
    /// Declared triggers (no script, but an effect).
    Triggers,
}

impl ScriptKind {
    /// Its name in a package's control archive, in profiles and messages.
    pub fn name(self) -> &'static str {
        match self {
            ScriptKind::Preinst => "preinst",
            ScriptKind::Postinst => "postinst",
            ScriptKind::Prerm => "prerm",
            ScriptKind::Postrm => "postrm",
            ScriptKind::Config => "config",
            ScriptKind::Triggers => "triggers",
        }
    }
}

/// The profile's answer to a maintainer script whose effects no derive step covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScriptAnswer {
    /// Binary package name.
    pub package: String,
    /// Which script.
    pub script: ScriptKind,
    /// The effects that are answered, by the names that the ledger prints.
    pub effects: BTreeSet<String>,
    /// Why nothing has to be done, or what does it instead.
    pub reason: String,
}

/// A container image in the verified root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerImage {
    /// What pods ask for it by.
    pub name: ImageName,
    /// Where it is. (That does not tell what it holds: an image's digest is part of a build's key, its path is not.)
    #[serde(skip)]
    pub source: ImageSource,
}

/// Where a container image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// `built-in:pause`.
    Pause,
    /// A layout, or an archive.
    Path(PathBuf),
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageSource::Pause => f.write_str("built-in:pause"),
            // Without a leading `./`, as everywhere.
            ImageSource::Path(path) => path.strip_prefix(".").unwrap_or(path).display().fmt(f),
        }
    }
}

/// Sizes of the images, and the compression of the root image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Bytes of one root slot (the squashfs must fit; its hash tree has a partition of its own). A multiple of 1 MiB.
    pub slot_size: u64,
    /// zstd level of the squashfs, 1 to 22.
    pub compression_level: i32,
    /// Block size of the squashfs in bytes: a power of two, 4 KiB to 1 MiB.
    pub block_size: u32,
    /// Bytes that the boot image may have at most; none: no limit.
    pub boot_image_limit: Option<u64>,
}
