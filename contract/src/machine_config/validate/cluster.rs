//! `[cluster]` and `[kubelet]`.

use super::{Context, Result, values};
use crate::machine_config::cluster::{BootstrapToken, Cluster, Discovery, NodeIp, Taint};
use crate::machine_config::kubelet::{self, Kubelet, RawSetting};
use crate::machine_config::raw::{RawCluster, RawMachineConfig, Text};
use crate::machine_config::secret::Secret;
use crate::toml_document::Located;
use std::collections::BTreeMap;

/// The role whose images have no kubelet.
const WITHOUT_KUBELET: &str = "base";

pub(super) fn cluster(raw: &RawMachineConfig, context: &Context<'_>) -> Result<Option<Cluster>> {
    let Some(cluster) = &raw.cluster else { return Ok(None) };
    has_kubelet(raw, cluster, "cluster", context)?;
    Ok(Some(Cluster {
        discovery: discovery(cluster, context)?,
        node_ips: cluster.node_ip.as_ref().map(|text| context.value(text, node_ips)).transpose()?.unwrap_or_default(),
        labels: labels(&cluster.labels, context)?,
        taints: taints(&cluster.taints, context)?,
        provider_id: cluster.provider_id.as_ref().map(|text| context.value(text, values::provider_id)).transpose()?,
    }))
}

pub(super) fn kubelet(raw: &RawMachineConfig, context: &Context<'_>) -> Result<Kubelet> {
    let Some(settings) = &raw.kubelet else { return Ok(Kubelet::default()) };
    has_kubelet(raw, settings, "kubelet", context)?;
    let mut table = toml::Table::new();
    let mut written: Vec<(&Text, &RawSetting)> = settings.iter().collect();
    written.sort_by_key(|(key, _)| key.span().start);
    for (key, RawSetting(value)) in written {
        kubelet::judge(key, value).map_err(|message| context.document.error(key, message))?;
        table.insert((**key).clone(), value.clone());
    }
    Ok(Kubelet::new(table))
}

/// A section about kubelet is for an image that has one.
fn has_kubelet<T>(raw: &RawMachineConfig, section: &Located<T>, name: &str, context: &Context<'_>) -> Result<()> {
    let role = context.image_role.or(raw.machine.role.as_ref().map(|role| role.as_str()));
    if role == Some(WITHOUT_KUBELET) {
        return context
            .fail(section, format!("`{name}`: an image of the role `{WITHOUT_KUBELET}` has no kubelet and joins no cluster"));
    }
    Ok(())
}

fn discovery(raw: &Located<RawCluster>, context: &Context<'_>) -> Result<Discovery> {
    const WHAT: &str = "`endpoint`, `token` and `ca-hashes` say which cluster to join; or `discovery`, a kubeconfig";
    let token = |secret: &Located<Secret>| -> Result<BootstrapToken> {
        secret.reveal().parse().map_err(|message: String| context.document.error(secret, message))
    };
    if let Some(kubeconfig) = &raw.discovery {
        if let Some(endpoint) = &raw.endpoint {
            return context.fail(endpoint, "`discovery` names the server: `endpoint` is not for it");
        }
        if let Some(hash) = raw.ca_hashes.first() {
            return context.fail(hash, "`discovery` names the authority: `ca-hashes` are not for it");
        }
        if kubeconfig.reveal().trim().is_empty() {
            return context.fail(kubeconfig, "`discovery` is a kubeconfig, and this is empty");
        }
        return Ok(Discovery::File { kubeconfig: (**kubeconfig).clone(), token: raw.token.as_ref().map(token).transpose()? });
    }
    let (Some(endpoint), Some(secret)) = (&raw.endpoint, &raw.token) else {
        let missing = match (&raw.endpoint, &raw.token) {
            (Some(_), None) => "`token` is missing: ",
            (None, Some(_)) => "`endpoint` is missing: ",
            _ => "",
        };
        return context.fail(raw, format!("{missing}{WHAT}"));
    };
    let endpoint = context.value(endpoint, str::parse)?;
    let token = token(secret)?;
    let ca_hashes = context.values(&raw.ca_hashes, str::parse)?;
    if ca_hashes.is_empty() {
        return context.fail(raw, format!("`ca-hashes` is missing: without it nobody knows whose cluster answers. {WHAT}"));
    }
    Ok(Discovery::Token { endpoint, token, ca_hashes })
}

/// One address or network, or one of each family.
fn node_ips(text: &str) -> Result<Vec<NodeIp>, String> {
    let ips: Vec<NodeIp> = text.split(',').map(|part| part.trim().parse()).collect::<Result<_, String>>()?;
    match ips.as_slice() {
        [_] => Ok(ips),
        [first, second] if first.is_ipv4() != second.is_ipv4() => Ok(ips),
        _ => Err(format!("`{text}`: a node has one address, or one of each family")),
    }
}

fn labels(raw: &BTreeMap<Text, Text>, context: &Context<'_>) -> Result<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for (key, value) in raw {
        let name = context.value(key, |text| {
            let name = values::qualified_name(text)?;
            kubelet_may_set(&name)?;
            Ok(name)
        })?;
        labels.insert(name, context.value(value, values::label_value)?);
    }
    Ok(labels)
}

/// Labels below kubernetes.io and k8s.io that kubelet and the NodeRestriction admission let a node give itself.
const ALLOWED: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

fn kubelet_may_set(label: &str) -> Result<(), String> {
    let namespace = label.split_once('/').map_or("", |(namespace, _)| namespace);
    let within = |domain: &str| namespace == domain || namespace.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    let allowed = ALLOWED.contains(&label) || within("kubelet.kubernetes.io") || within("node.kubernetes.io");
    if !allowed && (within("kubernetes.io") || within("k8s.io")) {
        return Err(format!("`{label}`: a node may not give itself this label; `kubectl label node` can, once it has joined"));
    }
    Ok(())
}

fn taints(raw: &[Text], context: &Context<'_>) -> Result<Vec<Taint>> {
    let mut taints: Vec<Taint> = Vec::new();
    for text in raw {
        let taint: Taint = context.value(text, str::parse)?;
        if taints.iter().any(|known| known.key == taint.key && known.effect == taint.effect) {
            return context.fail(text, format!("`{}` with the effect `{}` is here twice", taint.key, taint.effect));
        }
        taints.push(taint);
    }
    Ok(taints)
}
