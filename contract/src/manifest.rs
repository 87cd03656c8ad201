//! The image manifest: one JSON document beside an image that says what it is made of and where everything lies.
//!
//! Written by the builder; read by `kmimage show`, `kmimage diff`, the updater and tests. Fields are only added within a format
//! version; a reader ignores those that it doesn't know and refuses another version ([`Manifest::check_format`]).

use crate::verity::RootHash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The format's version.
pub const FORMAT: u32 = 1;

/// An image, completely described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// IMAGE_ID: `kmimage-<profile>`.
    pub image_id: String,
    /// IMAGE_VERSION.
    pub image_version: String,
    /// The profile's role.
    pub role: String,
    /// The machine's architecture in Debian's words: `amd64`.
    pub architecture: String,
    /// SOURCE_DATE_EPOCH: seconds since 1970, the only clock of the image.
    pub epoch: u64,
    /// The kmimage that built it.
    pub builder_version: String,
    /// The kernel's release, as `uname -r` says it.
    pub kernel: String,
    /// The packages in the root, by name.
    pub packages: Vec<Package>,
    /// The packages that only lent files to booting, by name.
    pub boot_packages: Vec<Package>,
    /// The container images in the root, by their names.
    #[serde(default)]
    pub container_images: Vec<ContainerImage>,
    /// The init binary.
    pub init: Init,
    /// How the root is verified.
    pub verity: Verity,
    /// The disk.
    pub layout: Layout,
    /// The finished files by name, this manifest and SHA256SUMS aside.
    pub artefacts: BTreeMap<String, Artefact>,
}

/// A package that files were taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its architecture: `amd64` or `all`.
    pub architecture: String,
    /// SHA-256 of the .deb, in hexadecimal.
    pub sha256: String,
    /// The profile's name of the repository that it came from.
    pub repository: String,
}

/// A container image that pods can use without a registry; it lies in [`crate::paths::IMAGES`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerImage {
    /// What pods ask for it by, in full; the first is what messages call it.
    pub names: Vec<String>,
    /// SHA-256 of its manifest, in hexadecimal.
    pub digest: String,
    /// SHA-256 of its config, in hexadecimal: its ID.
    pub id: String,
    /// How many layers it has.
    pub layers: u32,
    /// Bytes of its layers' tars, before any compression.
    pub size: u64,
}

/// The init binary of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// The compiler that made it, as `rustc --version` says.
    pub compiler: String,
}

/// How the root is verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verity {
    /// The root hash.
    pub root_hash: RootHash,
    /// The salt, in hexadecimal.
    pub salt: String,
    /// The superblock's UUID.
    pub uuid: Uuid,
    /// Bytes per data block.
    pub data_block_size: u32,
    /// Bytes per hash block.
    pub hash_block_size: u32,
    /// Length of the verified data, in data blocks.
    pub data_blocks: u64,
}

/// Where everything lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// [`crate::disk_layout::VERSION`].
    pub version: u32,
    /// The GPT's disk GUID.
    pub disk_guid: Uuid,
    /// Bytes per sector that the GPT counts in.
    pub sector_size: u64,
    /// The disk image's size in bytes.
    pub disk_size: u64,
    /// The partitions in order.
    pub partitions: Vec<Partition>,
}

/// A partition of the disk image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its number, from 1.
    pub number: u32,
    /// Its GPT name.
    pub label: String,
    /// Its GPT type.
    #[serde(rename = "type")]
    pub type_guid: Uuid,
    /// Its UUID.
    pub uuid: Uuid,
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub size: u64,
    /// How much of it holds something, in bytes, where the builder filled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artefact {
    /// Its size in bytes (a sparse file's full length).
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A manifest of a format that this kmimage doesn't know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image manifest format {0} is not known to this kmimage (it knows {FORMAT})")]
pub struct UnknownFormat(pub u32);

impl Manifest {
    /// Refuses a manifest of another format version.
    pub fn check_format(&self) -> Result<(), UnknownFormat> {
        if self.format == FORMAT { Ok(()) } else { Err(UnknownFormat(self.format)) }
    }
}

impl From<&crate::disk_layout::DiskLayout> for Layout {
    /// The layout of a disk image (which has sectors of 512 bytes); nothing is said about what is used.
    fn from(layout: &crate::disk_layout::DiskLayout) -> Self {
        let partitions = layout.partitions.iter().map(|partition| Partition {
            number: partition.number,
            label: partition.label.to_owned(),
            type_guid: partition.role.type_guid(),
            uuid: partition.uuid,
            offset: partition.offset,
            size: partition.size,
            used: None,
        });
        Self {
            version: crate::disk_layout::VERSION,
            disk_guid: layout.disk_guid,
            sector_size: 512,
            disk_size: layout.size,
            partitions: partitions.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk_layout::DiskLayout;

    fn manifest() -> Manifest {
        let root_hash = RootHash([3; 32]);
        let package = Package {
            name: "libc6".to_owned(),
            version: "2.41-12".to_owned(),
            architecture: "amd64".to_owned(),
            sha256: "00".repeat(32),
            repository: "debian".to_owned(),
        };
        Manifest {
            format: FORMAT,
            image_id: "kmimage-base".to_owned(),
            image_version: "0.1.0".to_owned(),
            role: "base".to_owned(),
            architecture: "amd64".to_owned(),
            epoch: 1_700_000_000,
            builder_version: "0.1.0".to_owned(),
            kernel: "6.12.1-amd64".to_owned(),
            packages: vec![package],
            boot_packages: vec![],
            container_images: vec![],
            init: Init { sha256: "11".repeat(32), size: 1, compiler: "rustc 1.95.0".to_owned() },
            verity: Verity {
                root_hash,
                salt: "ab".to_owned(),
                uuid: Uuid::nil(),
                data_block_size: 4096,
                hash_block_size: 4096,
                data_blocks: 1,
            },
            layout: Layout::from(&DiskLayout::factory(1 << 20, &root_hash).unwrap()),
            artefacts: BTreeMap::new(),
        }
    }

    #[test]
    fn json_survives_the_round_trip_and_ignores_what_is_new() {
        let mut json = serde_json::to_value(manifest()).unwrap();
        json["invented_later"] = true.into();
        // An older image's manifest does not say.
        json.as_object_mut().unwrap().remove("container_images");
        assert_eq!(serde_json::from_value::<Manifest>(json.clone()).unwrap(), manifest());
        assert_eq!(json["layout"]["partitions"][1]["type"], "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        assert_eq!(json["verity"]["root_hash"], "03".repeat(32));
    }

    #[test]
    fn another_format_is_refused() {
        let other = Manifest { format: 2, ..manifest() };
        assert_eq!(
            other.check_format().unwrap_err().to_string(),
            "image manifest format 2 is not known to this kmimage (it knows 1)"
        );
        assert_eq!(manifest().check_format(), Ok(()));
    }
}
