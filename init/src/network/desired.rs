//! What init's child `network` is to make true: its input file, written by process 1.

use kmimage_contract::machine_config::network::Network;
use serde::{Deserialize, Serialize};

/// The input: JSON at [`kmimage_contract::paths::NETWORK`]. A missing file stands for the default: DHCPv4 and router advertisements on
/// every physical link with carrier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Desired {
    /// The machine's name, as far as it is known before DHCP had a say: in /etc/hosts, and what DHCP servers are told.
    #[serde(default)]
    pub hostname: Option<String>,
    /// The machine id: 32 hexadecimal digits. The DHCPv6 identifier is made from it, so that the machine keeps it for its life.
    #[serde(default)]
    pub machine_id: Option<String>,
    /// Links, addresses, routes, resolvers: the machine config's `[network]`, or the platform's where that says nothing.
    #[serde(default)]
    pub network: Network,
}
