//! A profile file as written: what keys there are, and nothing more. The doc comments are the reference that users read
//! (docs/profiles.md and profiles/profile.schema.json are made from them).

use super::model::{Rule, ScriptKind};
use kmimage_contract::toml_document::Located;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Text = Located<String>;

/// A role profile: what an image is made of.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "kmimage profile")]
pub(super) struct RawProfile {
    /// One line that says what the image is for; `kmimage profiles` prints it.
    pub description: Text,
    /// The profile that this one builds on. Lists are added to the parent's, single values replace the parent's, and `[without]` takes
    /// away.
    pub extends: Option<Text>,
    /// Extensions (files `extensions/NAME.toml` beside the profiles) that this profile takes, in this order: each adds a capability, and
    /// combines with any role. They are laid over the parent, and the profile over them. An extension is written as a profile is, but
    /// has no `extends`, `extensions` and `role`.
    #[serde(default)]
    pub extensions: Vec<Text>,
    /// The role that the image's init plays: `base` is the operating system alone. By default the parent's, else the profile's name.
    pub role: Option<Text>,
    /// Which versions of Kubernetes and CRI-O the image has, as `{kubernetes}` and `{crio}` in addresses of repositories.
    #[serde(default)]
    pub versions: RawVersions,
    /// Overlays (folders `overlays/NAME`) laid over the packages, in this order, after the parent's: a later one wins.
    #[serde(default)]
    pub overlays: Vec<Text>,
    /// Absolute path of the directory that keeps every package's licence as `PACKAGE/copyright`, whatever `drop` says.
    pub licences: Option<Text>,
    /// What enters the root.
    #[serde(default)]
    pub packages: RawPackages,
    /// What the boot image and the EFI system partition are made of.
    #[serde(default)]
    pub boot: RawBoot,
    /// A package (or virtual package) that others depend on and this image does without.
    #[serde(default)]
    pub absent: Vec<RawAbsent>,
    /// Answers where resolution would have to guess. A guess is never made: without an answer the build stops and says what to choose.
    #[serde(default)]
    pub choose: RawChoose,
    /// A place that packages come from: a signed apt repository (`uris`; `suites` and `components`, or `flat`; `keyrings`, or
    /// `fingerprint` and `key-uri`), or a `directory` of .deb files.
    #[serde(default)]
    pub repository: Vec<RawRepository>,
    /// Kernel, command line and modules.
    #[serde(default)]
    pub kernel: RawKernel,
    /// Paths that do not enter the image.
    #[serde(default)]
    pub drop: Vec<RawDrop>,
    /// A package's file or directory that the image has elsewhere.
    #[serde(default, rename = "move")]
    pub moves: Vec<RawMove>,
    /// Permission bits that the image has otherwise than the package.
    #[serde(default)]
    pub mode: Vec<RawMode>,
    /// A violation of the finished tree's rules that this profile accepts.
    #[serde(default)]
    pub allow: Vec<RawAllow>,
    /// The answer to a maintainer script. kmimage runs none; it reads them, and one with an effect that no step of its own covers stops
    /// `kmimage lock` until the profile answers for it.
    #[serde(default)]
    pub script: Vec<RawScript>,
    /// A container image that the machine has from the start: a verified part of the root, where CRI-O finds it without a registry. It is
    /// never pulled, and never removed.
    #[serde(default)]
    pub container_image: Vec<RawContainerImage>,
    /// Sizes of the images, and the compression of the root image.
    #[serde(default)]
    pub image: RawImage,
    /// Takes away what the parent, or an extension, brought. Naming something that none of them has is an error.
    #[serde(default)]
    pub without: RawWithout,
}

/// Versions of what has a repository for each of its own.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawVersions {
    /// Kubernetes' minor version, such as `"1.36"`. Which patch of it, the lock says.
    pub kubernetes: Option<Text>,
    /// CRI-O's minor version. By default the same as Kubernetes'.
    pub crio: Option<Text>,
}

/// What enters the root.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawPackages {
    /// Packages by name; what they depend on comes along.
    #[serde(default)]
    pub install: Vec<Text>,
}

/// What the boot image and the EFI system partition are made of.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawBoot {
    /// Packages whose files the boot image is made of (the UEFI stub, the boot loaders). They never enter the root.
    #[serde(default)]
    pub packages: Vec<Text>,
}

/// A package (or virtual package) that others depend on and this image does without.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAbsent {
    /// The package's name.
    pub package: Text,
    /// Why the image works without it.
    pub reason: Text,
}

/// Answers where resolution would have to guess.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawChoose {
    /// Which package provides a virtual one: `awk = "mawk"`.
    #[serde(default)]
    pub provider: BTreeMap<Text, Text>,
    /// Packages to take wherever a dependency is met by one of several (`a | b`).
    #[serde(default)]
    pub alternatives: Vec<Text>,
    /// Which repository a package comes from when several offer it: `cri-tools = "kubernetes"`.
    #[serde(default)]
    pub repository: BTreeMap<Text, Text>,
}

/// A place that packages come from.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRepository {
    /// Its name, for `--mirror NAME=URL`, `--repository NAME=URL|DIR` and the lock: lower-case letters, digits and `-`.
    pub name: Text,
    /// Base addresses (`http://` or `https://`), tried in order; `{kubernetes}` and `{crio}` stand for those versions. The word `debian-mirror` alone stands for the mirror that this host's
    /// apt uses, else Debian's alias; `debian-security-mirror` is the same for the security archive.
    #[serde(default)]
    pub uris: Vec<Text>,
    /// Suites, such as `trixie`.
    #[serde(default)]
    pub suites: Vec<Text>,
    /// Components, such as `main`.
    #[serde(default)]
    pub components: Vec<Text>,
    /// True for a repository whose index lies at the base address itself, without suites.
    pub flat: Option<Located<bool>>,
    /// Key files in `profiles/keyrings`. One valid signature by one of their keys suffices.
    #[serde(default)]
    pub keyrings: Vec<Text>,
    /// Fingerprint of the one key that signs (40 or 64 hexadecimal digits), for a repository without a key file here.
    pub fingerprint: Option<Text>,
    /// Where the certificate of `fingerprint` is read from: an address as in `uris`, below the first of them if mirrors have it, too.
    pub key_uri: Option<Text>,
    /// Address of an archive that keeps old versions; `{date}` stands for a time such as `20250520T000000Z`. Versions as in `uris`.
    pub snapshot: Option<Text>,
    /// A directory of .deb files instead of a signed repository, relative to the profile's folder.
    pub directory: Option<Text>,
}

/// Kernel, command line and modules.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawKernel {
    /// The linux-image package to use. By default the one that the installed meta-package (`linux-image-amd64`) depends on.
    pub package: Option<Text>,
    /// Words of the kernel command line, after the parent's. kmimage adds the root hash itself.
    #[serde(default)]
    pub cmdline: Vec<Text>,
    /// Which modules the root has: all of the kernel package but those dropped.
    #[serde(default)]
    pub modules: RawModules,
    /// Which of the root's modules the initramfs has; what they depend on comes along.
    #[serde(default)]
    pub initramfs: RawInitramfs,
}

/// Which modules the root has.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawModules {
    /// Modules that go, whole directories of them, with the reason.
    #[serde(default)]
    pub drop: Vec<RawModuleDrop>,
    /// Patterns over module paths as the package has them, such as `kernel/drivers/hid/hid.ko*`: modules that stay though their directory goes. (In the image modules are unpacked and end in `.ko`.)
    #[serde(default)]
    pub keep: Vec<Text>,
}

/// Modules that go.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawModuleDrop {
    /// Directories such as `kernel/sound`, whose every module goes, or single modules such as `kernel/net/9p/9pnet_rdma`.
    pub paths: Vec<Text>,
    /// Why a node does without them.
    pub reason: Text,
}

/// Which modules the initramfs has.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawInitramfs {
    /// Modules by name, without `.ko`; `-` and `_` are the same. One that is built into the kernel is fine, an unknown one an error.
    #[serde(default)]
    pub modules: Vec<Text>,
    /// Directories such as `kernel/drivers/ata`: every module below that the root has.
    #[serde(default)]
    pub directories: Vec<Text>,
}

/// Paths that do not enter the image.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawDrop {
    /// Absolute path or pattern: `*` and `?` stay inside a component, `**` crosses them, `{a,b}` is either. A directory that matches
    /// takes all below it along.
    pub path: Text,
    /// Why.
    pub reason: Text,
}

/// A package's file or directory that the image has elsewhere.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMove {
    /// Absolute path as the package ships it; a directory takes all below it along.
    pub from: Text,
    /// Absolute path in the image.
    pub to: Text,
    /// Why.
    pub reason: Text,
}

/// Permission bits that the image has otherwise than the package.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMode {
    /// Absolute path of a file or directory.
    pub path: Text,
    /// Permission bits in octal, as a string: `"0755"`.
    pub mode: Text,
    /// Why.
    pub reason: Text,
}

/// A violation of the finished tree's rules that this profile accepts.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawAllow {
    /// The rule.
    pub rule: Located<Rule>,
    /// Absolute path or pattern of what breaks it.
    pub path: Text,
    /// Why that is fine.
    pub reason: Text,
}

/// The answer to a maintainer script.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawScript {
    /// The package's name.
    pub package: Text,
    /// Which of its scripts.
    pub script: Located<ScriptKind>,
    /// The effects that are answered, by the names that `kmimage lock` prints.
    pub effects: Vec<Text>,
    /// Why nothing has to be done, or what does it instead.
    pub reason: Text,
}

/// A container image that the machine has from the start.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawContainerImage {
    /// The name that pods ask for it by, in full: `registry.k8s.io/pause:3.10.1`, `docker.io/library/busybox:1.36`, or with
    /// `@sha256:` and the digest of the image's manifest or index, which the source is then held against.
    pub name: Text,
    /// Where it is, relative to the profile's folder: an OCI image layout (a directory, or a tar of one, as `skopeo copy` writes it to
    /// `oci:DIR` and `oci-archive:FILE`), or what `docker save` writes. Of several platforms it is the one for linux/amd64. Or
    /// `built-in:pause`, the process that holds a pod's namespaces, which kmimage carries.
    pub source: Text,
}

/// Sizes of the images, and the compression of the root image.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawImage {
    /// Size of one root partition, such as `"256 MiB"`: a multiple of 1 MiB, at least twice what the root takes today, so that upgrades
    /// have room. By default `"512 MiB"`.
    pub slot_size: Option<Text>,
    /// zstd level of the root, 1 to 22. By default 9; `--compression` overrides it.
    pub compression_level: Option<Located<i64>>,
    /// Block size of the root, such as `"256 KiB"`: a power of two from 4 KiB to 1 MiB. By default `"256 KiB"`.
    pub block_size: Option<Text>,
    /// What the boot image (kernel, initramfs and stub in one file) may take at most, such as `"24 MiB"`: the build fails above. Firmware
    /// unpacks it in memory, so that a larger one needs a larger machine to boot at all. By default there is no limit.
    pub boot_image_limit: Option<Text>,
}

/// Takes away what the parent brought.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawWithout {
    /// Names of `[packages] install`.
    #[serde(default)]
    pub packages: Vec<Text>,
    /// Names of `[boot] packages`.
    #[serde(default)]
    pub boot_packages: Vec<Text>,
    /// Names of `[[absent]]`: the package may come in again.
    #[serde(default)]
    pub absent: Vec<Text>,
    /// Virtual packages of `[choose.provider]`.
    #[serde(default)]
    pub providers: Vec<Text>,
    /// Names of `[choose] alternatives`.
    #[serde(default)]
    pub alternatives: Vec<Text>,
    /// Names of `[[repository]]`.
    #[serde(default)]
    pub repositories: Vec<Text>,
    /// Names of `overlays`.
    #[serde(default)]
    pub overlays: Vec<Text>,
    /// Words of `[kernel] cmdline`.
    #[serde(default)]
    pub cmdline: Vec<Text>,
    /// Paths of `[[kernel.modules.drop]]`: their modules stay.
    #[serde(default)]
    pub module_drop: Vec<Text>,
    /// Patterns of `[kernel.modules] keep`.
    #[serde(default)]
    pub module_keep: Vec<Text>,
    /// Names of `[kernel.initramfs] modules`.
    #[serde(default)]
    pub initramfs_modules: Vec<Text>,
    /// Directories of `[kernel.initramfs] directories`.
    #[serde(default)]
    pub initramfs_directories: Vec<Text>,
    /// Paths of `[[drop]]`, as written there.
    #[serde(default)]
    pub drop: Vec<Text>,
    /// Sources (`from`) of `[[move]]`.
    #[serde(default, rename = "move")]
    pub moves: Vec<Text>,
    /// Paths of `[[mode]]`.
    #[serde(default)]
    pub mode: Vec<Text>,
    /// Exceptions of `[[allow]]`, as `"RULE PATH"`.
    #[serde(default)]
    pub allow: Vec<Text>,
    /// Answers of `[[script]]`, as `"PACKAGE SCRIPT"`.
    #[serde(default)]
    pub script: Vec<Text>,
    /// Names of `[[container-image]]`.
    #[serde(default)]
    pub container_images: Vec<Text>,
}
