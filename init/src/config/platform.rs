//! What the platform says of this machine, apart from its config: the value of [`kmimage_contract::paths::PLATFORM`], as JSON.

use kmimage_contract::machine_config::network::Network;
use serde::{Deserialize, Serialize};

/// Who the platform says that this machine is, and how it is to reach its network. A machine config's own words outrank it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Platform {
    /// Where this is from, as in state lines. `None`: no source said anything.
    pub source: Option<String>,
    /// The host name of meta-data, or of Proxmox's own user-data.
    pub hostname: Option<String>,
    /// The platform's name for this instance; a new one is a new machine.
    pub instance_id: Option<String>,
    /// The name that the cloud or hypervisor has for the machine, for its node: `proxmox://UUID`.
    pub provider_id: Option<String>,
    /// network-config in our own terms. `None`: it says nothing of the network.
    pub network: Option<Network>,
}

impl Platform {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.hostname.is_none() && self.instance_id.is_none() && self.provider_id.is_none() && self.network.is_none()
    }
}
