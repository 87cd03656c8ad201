//! What a NoCloud seed carries: user-data, meta-data and network-config, each read strictly.
//!
//! Documents come in as bytes from a volume or a URL; nothing here reads a device.

pub mod meta_data;
pub mod network_config;
pub mod user_data;
pub(crate) mod yaml;

use super::platform::Platform;
use user_data::UserData;

/// The files of a seed, as far as they are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// `user-data`.
    pub user_data: Option<Vec<u8>>,
    /// `meta-data`.
    pub meta_data: Option<Vec<u8>>,
    /// `network-config`.
    pub network_config: Option<Vec<u8>>,
    /// `vendor-data`.
    pub vendor_data: Option<Vec<u8>>,
}

/// What a source says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seed {
    /// A machine config, as its author wrote it. `None`: the source has none, and others are asked.
    pub document: Option<Vec<u8>>,
    /// What the platform says of this machine.
    pub platform: Platform,
    /// What was there and means nothing to this system, a sentence each.
    pub notes: Vec<String>,
}

/// Why a seed is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// The user-data.
    #[error("user-data: {0}")]
    UserData(String),
    /// The meta-data.
    #[error("meta-data: {0}")]
    MetaData(String),
    /// The network-config.
    #[error("network-config: {0}")]
    NetworkConfig(String),
}

/// Takes the files of a seed together. A document of ours may have `limit` bytes.
pub fn read(files: &Files, limit: u64) -> Result<Seed, SeedError> {
    let mut seed = Seed::default();
    if let Some(bytes) = &files.meta_data {
        let meta_data = meta_data::read(bytes)?;
        seed.platform.instance_id = meta_data.instance_id;
        seed.platform.hostname = meta_data.hostname;
        seed.platform.provider_id = meta_data.provider_id;
    }
    if let Some(bytes) = &files.network_config {
        let found = network_config::read(bytes)?;
        seed.platform.network = found.network;
        seed.notes.extend(found.notes.into_iter().map(|note| format!("network-config: {note}")));
    }
    match files.user_data.as_deref().map(|bytes| user_data::read(bytes, limit)).transpose()? {
        Some(UserData::Config(document)) => seed.document = Some(document),
        Some(UserData::Proxmox { hostname, ignored }) => {
            if seed.platform.hostname.is_none() {
                seed.platform.hostname = hostname;
            }
            if !ignored.is_empty() {
                let keys = ignored.join(", ");
                seed.notes.push(format!("user-data: of a `#cloud-config` the host name is taken; ignored: {keys}"));
            }
        }
        Some(UserData::Empty) | None => {}
    }
    if files.vendor_data.as_deref().is_some_and(|bytes| !bytes.trim_ascii().is_empty()) {
        seed.notes.push("vendor-data is ignored".to_owned());
    }
    Ok(seed)
}
