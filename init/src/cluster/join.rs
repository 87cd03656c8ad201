//! The steps of a join up to kubelet's start, as kubeadm makes them: discovery, versions, kubelet's settings, the name.

use super::api::{Answer, Api};
use super::discovery;
use super::node;
use super::own::{self, Own};
use super::record::{Record, joined_by};
use super::refusal::Refusal;
use crate::config::seed::yaml;
use kmimage_contract::kubeconfig::{Access, Credentials};
use kmimage_contract::machine_config::{BootstrapToken, Discovery};
use serde_json::Value;

const KUBELET_CONFIG: &str = "/api/v1/namespaces/kube-system/configmaps/kubelet-config";

/// What a join came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    /// What the machine keeps.
    pub(super) record: Record,
    /// How to reach the cluster, and by what credentials.
    pub(super) access: Access,
}

/// Makes the steps; `kubelet` says the version of the image's, and `step` hears the name of each.
pub(super) fn join(
    discovery: &Discovery,
    own: &Own,
    kubelet: impl FnOnce() -> Result<String, Refusal>,
    step: &mut dyn FnMut(&str),
) -> Result<Joined, Refusal> {
    step("discovery");
    let access = discovery::discover(discovery)?;
    let api = Api::new(&access)?;
    step("version");
    let version = get(&api, "/version", "its version", &access)?;
    not_newer(&kubelet()?, &version)?;
    step("kubelet-config");
    let kubelet_config = kubelet_config(&get(&api, KUBELET_CONFIG, "kubelet-config", &access)?)?;
    step("name");
    name_is_free(&api, own, &access)?;
    let record =
        Record { node: own.node.clone(), server: access.server.clone(), joined_by: joined_by(discovery), kubelet_config };
    Ok(Joined { record, access })
}

fn get(api: &Api, path: &str, what: &'static str, access: &Access) -> Result<Value, Refusal> {
    match api.get(path)? {
        Answer::Object(object) => Ok(object),
        Answer::Refused(status, why) => Err(refused(api, status, &why, what, access)),
    }
}

fn refused(api: &Api, status: u16, why: &str, what: &'static str, access: &Access) -> Refusal {
    match (status, &access.credentials) {
        (401, Credentials::Token(token)) => {
            // A bootstrap token has a public part; of another token nothing may be shown.
            let id =
                token.reveal().parse().map_or_else(|_| "(not shown)".to_owned(), |token: BootstrapToken| token.id().to_owned());
            Refusal::TokenUnknown { id }
        }
        _ => Refusal::Answer { server: api.server().to_owned(), what, status: format!("{status} {why}") },
    }
}

/// A kubelet may be older than its API server, never newer (Kubernetes' policy of version skew).
fn not_newer(kubelet: &str, version: &Value) -> Result<(), Refusal> {
    let server = version["gitVersion"].as_str().unwrap_or_default();
    let Some(theirs) = own::minor(server) else {
        return Err(Refusal::Malformed { what: "the API server's version", why: format!("{server:?}") });
    };
    match own::minor(kubelet) {
        Some(ours) if ours > theirs => Err(Refusal::KubeletNewer { kubelet: kubelet.to_owned(), server: server.to_owned() }),
        _ => Ok(()),
    }
}

/// kubelet's settings of a ConfigMap.
fn kubelet_config(map: &Value) -> Result<Value, Refusal> {
    let malformed = |why: String| Refusal::Malformed { what: "kubelet-config", why };
    let text = map["data"]["kubelet"].as_str().ok_or_else(|| malformed("it has no `kubelet`".to_owned()))?;
    let config = yaml::parse(text).map_err(malformed)?.unwrap_or_default();
    let of_kubelet = config["kind"] == "KubeletConfiguration" && config["apiVersion"] == "kubelet.config.k8s.io/v1beta1";
    if of_kubelet {
        Ok(config)
    } else {
        Err(malformed("it is no KubeletConfiguration of kubelet.config.k8s.io/v1beta1".to_owned()))
    }
}

/// No Ready node has the machine's name, unless it is the machine itself, from a join that did not come to its end.
fn name_is_free(api: &Api, own: &Own, access: &Access) -> Result<(), Refusal> {
    match api.get(&node::path(&own.node))? {
        Answer::Object(object) => {
            let itself = object["status"]["nodeInfo"]["machineID"].as_str() == Some(own.machine_id.as_str());
            let taken = node::judge(&object) == node::Health::Ready && !itself;
            if taken { Err(Refusal::NameTaken { node: own.node.clone() }) } else { Ok(()) }
        }
        Answer::Refused(404, _) => Ok(()),
        Answer::Refused(status, why) => Err(refused(api, status, &why, "the machine's node", access)),
    }
}

#[cfg(test)]
mod tests;
