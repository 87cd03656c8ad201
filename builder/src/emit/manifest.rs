//! The image manifest: fills the contract's shape from what a build knows, and turns it into the bytes of `.json`.

use super::plan::DiskPlan;
use crate::lock::LockedPackage;
use kmimage_contract::disk_layout::{Role, Slot};
use kmimage_contract::manifest::{Artefact, ContainerImage, FORMAT, Init, Layout, Manifest, Package, Verity};
use kmimage_contract::verity::{RootHash, VerityParams};
use std::collections::BTreeMap;

/// What a manifest is filled from.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The profile's name.
    pub profile: &'a str,
    /// The profile's role.
    pub role: &'a str,
    /// The image's version.
    pub image_version: &'a str,
    /// Seconds since 1970.
    pub epoch: u64,
    /// Kernel release.
    pub kernel: &'a str,
    /// Packages of the root, in any order.
    pub packages: &'a [&'a LockedPackage],
    /// Packages that only lent boot files.
    pub boot_packages: &'a [&'a LockedPackage],
    /// The container images in the root.
    pub container_images: Vec<ContainerImage>,
    /// The init binary.
    pub init: Init,
    /// The root's verity hash.
    pub root_hash: RootHash,
    /// The rest of the hash tree's superblock.
    pub verity: &'a VerityParams,
    /// The disk.
    pub plan: &'a DiskPlan,
    /// The finished files, this manifest and SHA256SUMS aside.
    pub artefacts: BTreeMap<String, Artefact>,
}

/// The manifest of an image.
pub fn fill(facts: Facts<'_>) -> Manifest {
    let mut layout = Layout::from(&facts.plan.layout);
    for (partition, placed) in layout.partitions.iter_mut().zip(&facts.plan.layout.partitions) {
        partition.used = match placed.role {
            Role::Bios => Some(facts.plan.boot_core.len() as u64),
            Role::Root(Slot::A) => Some(facts.plan.root_len),
            Role::RootVerity(Slot::A) => Some(facts.plan.hash_tree_len),
            Role::Esp => Some(facts.plan.esp_files.iter().map(|file| file.bytes.len() as u64).sum()),
            _ => None,
        };
    }
    Manifest {
        format: FORMAT,
        image_id: format!("kmimage-{}", facts.profile),
        image_version: facts.image_version.to_owned(),
        role: facts.role.to_owned(),
        architecture: "amd64".to_owned(),
        epoch: facts.epoch,
        builder_version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: facts.kernel.to_owned(),
        packages: packages(facts.packages),
        boot_packages: packages(facts.boot_packages),
        container_images: facts.container_images,
        init: facts.init,
        verity: Verity {
            root_hash: facts.root_hash,
            salt: facts.verity.salt_hex(),
            uuid: facts.verity.uuid,
            data_block_size: facts.verity.data_block_size,
            hash_block_size: facts.verity.hash_block_size,
            data_blocks: facts.verity.data_blocks,
        },
        layout,
        artefacts: facts.artefacts,
    }
}

fn packages(locked: &[&LockedPackage]) -> Vec<Package> {
    let mut packages: Vec<Package> = locked
        .iter()
        .map(|package| Package {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            sha256: package.sha256.to_string(),
            repository: package.repository.clone(),
        })
        .collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    packages
}

/// The manifest's JSON text.
pub fn encode(manifest: &Manifest) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(manifest)? + "\n")
}
