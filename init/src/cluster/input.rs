//! What the child is to do: the value of [`kmimage_contract::paths::CLUSTER`], as JSON. Process 1's child `apply` writes it.

use kmimage_contract::machine_config::{BootstrapToken, CaHash, Cluster, Discovery, Endpoint, MachineConfig, NodeIp, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The form of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Form {
    endpoint: Option<String>,
    #[serde(default)]
    ca_hashes: Vec<String>,
    kubeconfig: Option<String>,
    token: Option<String>,
    node_ips: Vec<String>,
    labels: BTreeMap<String, String>,
    taints: Vec<String>,
    provider_id: Option<String>,
    kubelet: Map<String, Value>,
}

/// Which cluster to join, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// `[cluster]`; its provider id is the platform's where the config has none.
    pub cluster: Cluster,
    /// `[kubelet]`.
    pub kubelet: Map<String, Value>,
}

/// The text of the file: `null`, where the config names no cluster.
pub fn write(config: &MachineConfig, platform_provider_id: Option<&str>) -> serde_json::Result<String> {
    let Some(cluster) = &config.cluster else { return Ok("null".to_owned()) };
    let whole = |token: &BootstrapToken| token.whole().reveal().to_owned();
    let (endpoint, ca_hashes, kubeconfig, token) = match &cluster.discovery {
        Discovery::Token { endpoint, token, ca_hashes } => {
            (Some(endpoint.to_string()), ca_hashes.iter().map(ToString::to_string).collect(), None, Some(whole(token)))
        }
        Discovery::File { kubeconfig, token } => {
            (None, Vec::new(), Some(kubeconfig.reveal().to_owned()), token.as_ref().map(whole))
        }
    };
    let kubelet = match serde_json::to_value(&config.kubelet)? {
        Value::Object(settings) => settings,
        _ => Map::new(),
    };
    serde_json::to_string(&Form {
        endpoint,
        ca_hashes,
        kubeconfig,
        token,
        node_ips: cluster.node_ips.iter().map(ToString::to_string).collect(),
        labels: cluster.labels.clone(),
        taints: cluster.taints.iter().map(ToString::to_string).collect(),
        provider_id: cluster.provider_id.clone().or_else(|| platform_provider_id.map(str::to_owned)),
        kubelet,
    })
}

/// Reads the file's text. `None`: there is no cluster to join. The error is one line that shows no secret.
pub fn read(text: &str) -> Result<Option<Input>, String> {
    let form: Option<Form> =
        serde_json::from_str(text).map_err(|error| format!("line {}, column {}", error.line(), error.column()))?;
    let Some(form) = form else { return Ok(None) };
    let token: Option<BootstrapToken> = form.token.as_deref().map(str::parse).transpose()?;
    let discovery = match (form.kubeconfig, form.endpoint, token) {
        (Some(kubeconfig), None, token) => Discovery::File { kubeconfig: Secret::new(kubeconfig), token },
        (None, Some(endpoint), Some(token)) => {
            let ca_hashes: Vec<CaHash> = form.ca_hashes.iter().map(|hash| hash.parse()).collect::<Result<_, String>>()?;
            Discovery::Token { endpoint: endpoint.parse::<Endpoint>()?, token, ca_hashes }
        }
        _ => return Err("no discovery".to_owned()),
    };
    let node_ips: Vec<NodeIp> = form.node_ips.iter().map(|text| text.parse()).collect::<Result<_, String>>()?;
    let taints = form.taints.iter().map(|text| text.parse()).collect::<Result<_, String>>()?;
    let cluster = Cluster { discovery, node_ips, labels: form.labels, taints, provider_id: form.provider_id };
    Ok(Some(Input { cluster, kubelet: form.kubelet }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::machine_config;

    #[test]
    fn it_survives_its_way_to_the_child() {
        let config = |text: &str| machine_config::parse("t", format!("version = 1\n{text}").as_bytes(), None).unwrap();
        let check = |text: &str, platform: Option<&str>, provider: Option<&str>| {
            let config = config(text);
            let input = read(&write(&config, platform).unwrap()).unwrap().unwrap();
            let mut cluster = config.cluster.clone().unwrap();
            cluster.provider_id = provider.map(str::to_owned);
            assert_eq!(input.cluster, cluster);
            assert_eq!(Value::Object(input.kubelet), serde_json::to_value(&config.kubelet).unwrap());
        };
        let hash = format!("sha256:{}", "ab".repeat(32));
        let by_token = format!(
            "[cluster]\nendpoint = \"[2001:db8::1]:6443\"\ntoken = \"abcdef.0123456789abcdef\"\nca-hashes = [\"{hash}\"]\n\
             node-ip = \"10.0.0.0/24,2001:db8::5\"\nlabels = {{ a = \"null\" }}\ntaints = [\"a=b:NoExecute\", \"c:NoSchedule\"]\n"
        );
        check(&by_token, Some("proxmox://1"), Some("proxmox://1"));
        check(&format!("{by_token}provider-id = \"a://b\"\n[kubelet]\nmaxPods = 9\n"), Some("proxmox://1"), Some("a://b"));
        check("[cluster]\ndiscovery = \"x\"\n", None, None);
        check("[cluster]\ndiscovery = \"x\"\ntoken = \"abcdef.0123456789abcdef\"\n", None, None);
        assert_eq!(write(&config(""), Some("a://b")).unwrap(), "null");
        assert_eq!(read("null"), Ok(None));
        assert!(read("{}").is_err() && read("").is_err());
    }
}
