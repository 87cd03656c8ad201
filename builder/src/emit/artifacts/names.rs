//! How the files of a set are called.

use super::ArtifactsError;

/// The raw disk's ending.
pub(in crate::emit) const RAW: &str = ".raw";
const QCOW2: &str = ".qcow2";
const ISO: &str = ".iso";
const ROOT: &str = ".root.squashfs";
const UKI: &str = ".efi";
const MANIFEST: &str = ".json";
const FILES: &str = ".files.tsv";
const SPDX: &str = ".spdx.json";
const ENDINGS: [&str; 8] = [RAW, QCOW2, ISO, ROOT, UKI, MANIFEST, FILES, SPDX];

/// How the files of one image are called: `kmimage-<profile>-<version>-amd64` and an ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    stem: String,
}

impl Names {
    /// The names for a profile and an image version; the profile's name was checked when it was read.
    pub fn new(profile: &str, version: &str) -> Result<Self, ArtifactsError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
        if version.is_empty()
            || version.len() > 100
            || !version.chars().all(allowed)
            || !version.starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            return Err(ArtifactsError::Version(version.to_owned()));
        }
        Ok(Self { stem: format!("kmimage-{profile}-{version}-amd64") })
    }

    /// True for a name that [`Names`] of some profile and version give to a file of theirs.
    pub(in crate::emit) fn is_built(name: &str) -> bool {
        ENDINGS
            .iter()
            .filter_map(|ending| name.strip_suffix(ending))
            .any(|stem| stem.starts_with("kmimage-") && stem.ends_with("-amd64"))
    }

    fn with(&self, ending: &str) -> String {
        format!("{}{ending}", self.stem)
    }

    /// The raw disk image.
    pub fn raw(&self) -> String {
        self.with(RAW)
    }

    /// The qcow2 disk image.
    pub fn qcow2(&self) -> String {
        self.with(QCOW2)
    }

    /// The install medium.
    pub fn iso(&self) -> String {
        self.with(ISO)
    }

    /// The squashfs.
    pub fn root(&self) -> String {
        self.with(ROOT)
    }

    /// The unified kernel image.
    pub fn uki(&self) -> String {
        self.with(UKI)
    }

    /// The image manifest.
    pub fn manifest(&self) -> String {
        self.with(MANIFEST)
    }

    /// The list of all paths.
    pub fn files(&self) -> String {
        self.with(FILES)
    }

    /// The bill of materials.
    pub fn spdx(&self) -> String {
        self.with(SPDX)
    }
}
