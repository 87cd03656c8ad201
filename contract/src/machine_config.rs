//! The machine config: what one machine is to be, in a TOML document of version 1 that its owner writes.
//!
//! ```text
//! bytes -> Document (size, UTF-8, syntax, version) -> raw (the keys) -> MachineConfig (every value judged)
//! ```
//! [`parse`] is the only way through. It judges what a document alone can show; whether there is such a disk or such a module, only
//! the machine knows. An error points at the line, and shows no value that may be a secret.

mod address;
mod cluster;
mod document;
mod files;
mod hidden;
mod image_service;
mod install;
mod kubelet;
mod model;
pub mod network;
mod pem;
mod raw;
mod registry;
mod secret;
mod secrets;
mod sysctl;
#[cfg(test)]
mod tests;
mod validate;
mod values;

pub use address::{AddressError, Cidr, MacAddress};
pub use cluster::{BootstrapToken, CaHash, Cluster, Discovery, Endpoint, NodeIp, Taint};
pub use document::{MAX_SIZE, MachineConfigError};
pub use files::{FILE_FOLDER, RESERVED_FILES};
pub use image_service::{ImageService, image_services};
pub use install::{AfterInstall, Install};
pub use kubelet::Kubelet;
pub use model::{
    Capability, Certificate, Condition, File, Filesystem, Host, LogProtocol, LogReceiver, MachineConfig, Need, Proxy, Readiness,
    Restart, Service, Sysctl, Volume,
};
pub use network::Network;
pub use pem::certificates;
pub use registry::{Credentials, Mirror, Place, Registry};
pub use secret::Secret;
pub use sysctl::KUBELET as KUBELET_SYSCTLS;
pub use validate::RESERVED_SERVICES;

/// Reads a machine config. `name` is what errors call the document; `image_role` is the role of the image that it is for, if that is
/// known: a config for another role is refused.
///
/// A first line `#kmimage`, by which a NoCloud volume's user-data says that it is a machine config, is a comment.
pub fn parse(name: &str, bytes: &[u8], image_role: Option<&str>) -> Result<MachineConfig, MachineConfigError> {
    let document = document::open(name, bytes)?;
    let raw = document.decode()?;
    let context = validate::Context { document: &document, image_role };
    Ok(validate::validate(&raw, &context)?)
}

/// The JSON schema of machine configs.
#[cfg(feature = "schema")]
pub fn schema() -> schemars::Schema {
    schemars::SchemaGenerator::default().into_root_schema_for::<raw::RawMachineConfig>()
}
