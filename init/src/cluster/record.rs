//! What a machine keeps of its join on `state`: whom it joined, as whom, by what, and the cluster's settings for kubelet, so that a reboot
//! needs nobody.

use kmimage_contract::machine_config::Discovery;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The form of the file, JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Record {
    /// The node's name.
    pub(super) node: String,
    /// The API server: `https://HOST:PORT`.
    pub(super) server: String,
    /// What of the config the machine joined by, without secrets; by key.
    pub(super) joined_by: BTreeMap<String, String>,
    /// The cluster's kubelet-config.
    pub(super) kubelet_config: Value,
}

/// What of a config a machine joins by, as it may be kept: of secrets the public part, or a digest.
pub(super) fn joined_by(discovery: &Discovery) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    let mut add = |key: &str, value: String| drop(keys.insert(key.to_owned(), value));
    match discovery {
        Discovery::Token { endpoint, token, ca_hashes } => {
            add("endpoint", endpoint.to_string());
            add("token", token.id().to_owned());
            add("ca-hashes", ca_hashes.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        }
        Discovery::File { kubeconfig, token } => {
            add("discovery", digest(kubeconfig.reveal().as_bytes()));
            if let Some(token) = token {
                add("token", token.id().to_owned());
            }
        }
    }
    keys
}

/// SHA-256 in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Record {
    /// What the config says otherwise now, by key; `hostname` is the machine's name now.
    pub(super) fn changed(&self, discovery: &Discovery, hostname: &str) -> Vec<String> {
        let now = joined_by(discovery);
        let keys = self.joined_by.keys().chain(now.keys().filter(|key| !self.joined_by.contains_key(*key)));
        let mut changed: Vec<String> = keys.filter(|key| now.get(*key) != self.joined_by.get(*key)).cloned().collect();
        if hostname != self.node {
            changed.push("hostname".to_owned());
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::machine_config::{CaHash, Secret};

    #[test]
    fn what_has_changed_is_named() {
        let by_token = |endpoint: &str, token: &str, hash: u8| Discovery::Token {
            endpoint: endpoint.parse().unwrap(),
            token: token.parse().unwrap(),
            ca_hashes: vec![CaHash([hash; 32])],
        };
        let first = by_token("a:1", "abcdef.0123456789abcdef", 1);
        let record = Record {
            node: "n".to_owned(),
            server: "https://a:1".to_owned(),
            joined_by: joined_by(&first),
            kubelet_config: Value::Null,
        };
        let check =
            |discovery: &Discovery, hostname: &str, expect: &[&str]| assert_eq!(record.changed(discovery, hostname), expect);
        check(&first, "n", &[]);
        check(&by_token("b:1", "bbcdef.0123456789abcdef", 1), "n", &["endpoint", "token"]);
        check(&by_token("a:1", "abcdef.0123456789abcdef", 2), "m", &["ca-hashes", "hostname"]);
        let file = Discovery::File { kubeconfig: Secret::new("x"), token: None };
        check(&file, "n", &["ca-hashes", "endpoint", "token", "discovery"]);
        let text = serde_json::to_string(&record).unwrap();
        assert!(!text.contains("0123456789abcdef"));
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
