//! `[cluster]` as written.

use super::Text;
use crate::machine_config::secret::Secret;
use crate::toml_document::Located;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Which cluster the machine joins, and as what.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::machine_config) struct RawCluster {
    /// An API server, or what stands before several: `"10.0.0.1:6443"`. With `token` and `ca-hashes`.
    pub endpoint: Option<Text>,
    /// A bootstrap token (`kubeadm token create`): 6 lower-case letters and digits, a dot, 16 more. Never printed. It is used once: a
    /// machine that has joined keeps its own certificate.
    pub token: Option<Located<Secret>>,
    /// The SHA-256 of the public keys of the cluster's authorities, as `kubeadm token create --print-join-command` prints them:
    /// `"sha256:<64 hexadecimal digits>"`. One of them must be the cluster's.
    #[serde(default)]
    pub ca_hashes: Vec<Text>,
    /// In place of `endpoint` and `ca-hashes`: a kubeconfig (YAML) with the server and its authority, and either with credentials to join
    /// with, or with `token` beside it. Never printed.
    pub discovery: Option<Located<Secret>>,
    /// The machine's address in the cluster, or the network that it lies in: `"10.0.0.5"`, `"10.0.0.0/24"`; one of each family with a comma
    /// between. By default the one that kubelet chooses: that of the default route.
    pub node_ip: Option<Text>,
    /// Labels that the node registers with: `{ "example.org/zone" = "a" }`. Of `kubernetes.io` only those that a kubelet may set.
    #[serde(default)]
    pub labels: BTreeMap<Text, Text>,
    /// Taints that the node registers with: `"example.org/key=value:NoSchedule"`.
    #[serde(default)]
    pub taints: Vec<Text>,
    /// The name that the cloud or hypervisor has for the machine, such as `"proxmox://<uuid>"`. By default `provider-id` of the
    /// platform's meta-data.
    pub provider_id: Option<Text>,
}
