//! overlay.toml: what the files of an overlay are beyond their bytes. An overlay without one has root:root, 0644 and 0755 for
//! directories, whatever the working copy's modes are.

use super::error::ProfileError;
use super::glob::PathGlob;
use super::values;
use kmimage_contract::toml_document::{Document, DocumentError, Located};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

type Text = Located<String>;

/// What an overlay.toml says: `overlays/NAME/overlay.toml`, beside `rootfs/`.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "kmimage overlay")]
pub(super) struct RawOverlay {
    /// What a file or directory has otherwise than root:root and 0644 (directories: 0755).
    #[serde(default)]
    file: Vec<RawFile>,
    /// A symbolic link. Links in `rootfs/` itself are refused, so that an overlay is the same files wherever it is unpacked.
    #[serde(default)]
    link: Vec<RawLink>,
    /// A directory that holds no file.
    #[serde(default)]
    directory: Vec<RawDirectory>,
    /// An ELF executable or library that the overlay may bring. Others are refused.
    #[serde(default)]
    executable: Vec<RawExecutable>,
}

/// What a file or directory has otherwise.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawFile {
    /// Absolute path in the image, or a pattern. It must match something of this overlay.
    path: Text,
    /// Permission bits in octal, as a string: `"0755"`.
    mode: Option<Text>,
    /// Numeric owner.
    uid: Option<u32>,
    /// Numeric group.
    gid: Option<u32>,
    /// File capabilities, such as `["net_bind_service"]`, permitted and effective.
    #[serde(default)]
    capabilities: Vec<Text>,
}

/// A symbolic link.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawLink {
    /// Absolute path in the image.
    path: Text,
    /// Where it leads, as written into the link.
    target: Text,
}

/// A directory that holds no file.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawDirectory {
    /// Absolute path in the image.
    path: Text,
}

/// An executable that the overlay may bring.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawExecutable {
    /// Absolute path in the image.
    path: Text,
    /// Why it is not from a package.
    reason: Text,
}

/// A checked overlay.toml.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OverlayManifest {
    /// What files and directories have otherwise, in order: a later one wins, attribute by attribute.
    pub files: Vec<OverlayFile>,
    /// Symbolic links: path -> target.
    pub links: BTreeMap<String, String>,
    /// Directories that hold no file.
    pub directories: Vec<String>,
    /// ELF files that are allowed: path -> reason.
    pub executables: BTreeMap<String, String>,
}

/// What files of an overlay have otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayFile {
    /// Over absolute paths of the image; one that matches nothing of the overlay is an error.
    pub path: PathGlob,
    /// Permission bits.
    pub mode: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Bits of the permitted and effective sets; none: no `security.capability` attribute.
    pub capabilities: Option<u64>,
}

impl OverlayManifest {
    /// Decodes and checks an overlay.toml; `file` is the name for messages.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, ProfileError> {
        let document = Document::from_bytes(file, bytes)?;
        let raw: RawOverlay = document.decode()?;
        let at = |text: &Text, message: String| document.error(text, message);
        let path = |text: &Text| values::path(text).map_err(|message| at(text, message));
        let mut manifest = Self::default();
        for file in &raw.file {
            manifest.files.push(overlay_file(&document, file)?);
        }
        for link in &raw.link {
            if link.target.is_empty() || link.target.contains('\0') || link.target.len() > 4095 {
                return Err(at(&link.target, "this is no target of a link".to_owned()).into());
            }
            if manifest.links.insert(path(&link.path)?, link.target.to_string()).is_some() {
                return Err(at(&link.path, format!("the link `{}` is there already", *link.path)).into());
            }
        }
        for directory in &raw.directory {
            manifest.directories.push(path(&directory.path)?);
        }
        for executable in &raw.executable {
            let reason = values::sentence(&executable.reason).map_err(|message| at(&executable.reason, message))?;
            if manifest.executables.insert(path(&executable.path)?, reason).is_some() {
                return Err(at(&executable.path, format!("the executable `{}` is there already", *executable.path)).into());
            }
        }
        Ok(manifest)
    }
}

fn overlay_file(document: &Document, raw: &RawFile) -> Result<OverlayFile, DocumentError> {
    let path = values::path_glob(&raw.path).map_err(|message| document.error(&raw.path, message))?;
    let mode = match &raw.mode {
        None => None,
        Some(text) => Some(values::mode(text).map_err(|message| document.error(text, message))?),
    };
    let mut capabilities = None;
    for text in &raw.capabilities {
        let bit = capability(text).ok_or_else(|| document.error(text, format!("there is no capability `{}`", **text)))?;
        capabilities = Some(capabilities.unwrap_or(0) | 1 << bit);
    }
    if mode.is_none() && raw.uid.is_none() && raw.gid.is_none() && capabilities.is_none() {
        return Err(document.error(&raw.path, "this says nothing: give `mode`, `uid`, `gid` or `capabilities`"));
    }
    Ok(OverlayFile { path, mode, uid: raw.uid, gid: raw.gid, capabilities })
}

/// The bit of a capability, by its name in capabilities(7) without `CAP_`.
fn capability(name: &str) -> Option<u32> {
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("cap_").unwrap_or(&name);
    CAPABILITIES.iter().position(|known| *known == name).and_then(|bit| u32::try_from(bit).ok())
}

/// In the order of the kernel's numbers (include/uapi/linux/capability.h).
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_read() {
        let text = r#"
            [[file]]
            path = "/usr/libexec/*"
            mode = "0755"
            uid = 7
            capabilities = ["net_bind_service", "CAP_CHOWN"]
            [[link]]
            path = "/etc/resolv.conf"
            target = "../run/resolv.conf"
            [[directory]]
            path = "/srv"
            [[executable]]
            path = "/usr/libexec/probe"
            reason = "tests look inside by it"
        "#;
        let manifest = OverlayManifest::parse("overlay.toml", text.as_bytes()).unwrap();
        assert_eq!(manifest.files[0].capabilities, Some(1 << 10 | 1));
        assert_eq!((manifest.files[0].mode, manifest.files[0].uid, manifest.files[0].gid), (Some(0o755), Some(7), None));
        assert_eq!(manifest.links["/etc/resolv.conf"], "../run/resolv.conf");
        assert_eq!(manifest.directories, ["/srv"]);
        assert_eq!(manifest.executables["/usr/libexec/probe"], "tests look inside by it");
    }

    #[test]
    fn faults_point() {
        let table = [
            (
                "[[file]]\npath = \"/a\"\nmode = \"07555\"\n",
                "o:3:8: `07555` is no mode: three or four octal digits, such as \"0755\"\n   |\n 3 | mode = \"07555\"\n   |        ^^^^^^^",
            ),
            (
                "[[file]]\npath = \"/a\"\ncapabilities = [\"net\"]\n",
                "o:3:17: there is no capability `net`\n   |\n 3 | capabilities = [\"net\"]\n   |                 ^^^^^",
            ),
            (
                "[[file]]\npath = \"/a\"\n",
                "o:2:8: this says nothing: give `mode`, `uid`, `gid` or `capabilities`\n   |\n 2 | path = \"/a\"\n   |        ^^^^",
            ),
            (
                "[[executable]]\npath = \"/a\"\nreason = \" \"\n",
                "o:3:10: this must say something\n   |\n 3 | reason = \" \"\n   |          ^^^",
            ),
            ("[[links]]\n", "o:1:3: unknown key `links`; did you mean `link`?\n   |\n 1 | [[links]]\n   |   ^^^^^"),
        ];
        for (text, expected) in table {
            assert_eq!(OverlayManifest::parse("o", text.as_bytes()).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn capabilities_have_the_kernels_numbers() {
        assert_eq!(capability("sys_admin"), Some(21));
        assert_eq!(capability("checkpoint_restore"), Some(40));
    }
}
