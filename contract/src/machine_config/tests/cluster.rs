//! `[cluster]` and `[kubelet]`: what is refused, and what is understood.

use super::{MachineConfig, parse, refused};
use crate::machine_config::{Discovery, NodeIp};

#[test]
fn what_is_wrong_is_refused_with_these_words() {
    assert!(refused(include_str!("../refused-cluster.txt"), None) >= 30);
}

#[test]
fn an_image_without_kubelet_joins_nothing() {
    let check = |text: &str, expect: &str| {
        assert_eq!(parse("a", text.as_bytes(), Some("base")).unwrap_err().summary(), expect);
    };
    check(WHOLE, "a:2:1: `cluster`: an image of the role `base` has no kubelet and joins no cluster");
    check(
        "version = 1\n[kubelet]\nmaxPods = 1\n",
        "a:2:1: `kubelet`: an image of the role `base` has no kubelet and joins no cluster",
    );
}

const WHOLE: &str = r#"version = 1
[cluster]
endpoint = "[2001:db8::1]:6443"
token = "abcdef.hunter2hunter2hu"
ca-hashes = [
  "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
  "SHA256:FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
]
node-ip = "10.0.0.0/24, 2001:db8::5"
labels = { "example.org/zone" = "a", "node.kubernetes.io/pool" = "", plain = "Value_1" }
taints = ["example.org/key=value:NoSchedule", "example.org/key:NoExecute"]
provider-id = "proxmox://41ec1197-580f-460b-b41b-1dfefabe6e32"

[kubelet]
maxPods = 200
memoryThrottlingFactor = 0.8
shutdownGracePeriod = "30s"
clusterDNS = ["10.96.0.10"]

[kubelet.authentication.anonymous]
enabled = false
"#;

fn read(text: &str) -> MachineConfig {
    parse("a", text.as_bytes(), Some("worker")).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn whatever_can_be_said_is_understood() {
    let config = read(WHOLE);
    let cluster = config.cluster.clone().unwrap();
    let Discovery::Token { endpoint, token, ca_hashes } = &cluster.discovery else { panic!("{cluster:?}") };
    assert_eq!(endpoint.to_string(), "[2001:db8::1]:6443");
    assert_eq!((token.id(), token.secret().reveal()), ("abcdef", "hunter2hunter2hu"));
    assert_eq!(token.whole().reveal(), "abcdef.hunter2hunter2hu");
    assert_eq!(ca_hashes[0].to_string(), format!("sha256:{}", "0123456789abcdef".repeat(4)));
    assert_eq!(ca_hashes[1].0, [255; 32]);
    assert_eq!(
        cluster.node_ips,
        [NodeIp::Network("10.0.0.0/24".parse().unwrap()), NodeIp::Address("2001:db8::5".parse().unwrap())]
    );
    assert_eq!(cluster.labels.len(), 3);
    let taints: Vec<String> = cluster.taints.iter().map(ToString::to_string).collect();
    assert_eq!(taints, ["example.org/key=value:NoSchedule", "example.org/key:NoExecute"]);
    let settings = serde_json::json!({
        "authentication": { "anonymous": { "enabled": false } }, "clusterDNS": ["10.96.0.10"], "maxPods": 200,
        "memoryThrottlingFactor": 0.8, "shutdownGracePeriod": "30s",
    });
    assert_eq!(serde_json::to_value(&config.kubelet).unwrap(), settings);
    assert!(!format!("{config:?}").contains("hunter"));
}

#[test]
fn a_kubeconfig_stands_for_server_and_authority() {
    let config = read("version = 1\n[cluster]\ndiscovery = \"hunter2\"\ntoken = \"abcdef.0123456789abcdef\"\n");
    let Discovery::File { kubeconfig, token } = config.cluster.unwrap().discovery else { panic!() };
    assert_eq!((kubeconfig.reveal(), token.unwrap().id()), ("hunter2", "abcdef"));
    let config = read("version = 1\n[cluster]\ndiscovery = \"x\"\n");
    assert!(matches!(config.cluster.unwrap().discovery, Discovery::File { token: None, .. }));
}

#[test]
fn without_a_cluster_there_is_none() {
    let config = read("version = 1\n[kubelet]\n");
    assert!(config.cluster.is_none() && config.kubelet.is_empty());
}

/// Damaged documents: an answer, never a panic, and never a secret.
#[test]
fn damaged_documents_get_an_answer() {
    for at in 0..WHOLE.len() {
        let mut bytes = WHOLE.as_bytes().to_vec();
        bytes[at] = b'"';
        for bytes in [bytes.as_slice(), &WHOLE.as_bytes()[..at]] {
            let refusal = parse("a", bytes, None).map_or_else(|error| error.to_string(), |_| String::new());
            assert!(!refusal.contains("hunter"), "{refusal}");
        }
    }
}
