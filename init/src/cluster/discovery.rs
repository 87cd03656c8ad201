//! Finding the cluster, and making sure that it is the right one, as kubeadm does.
//!
//! By token: cluster-info is asked of a stranger; its signature shows that whoever wrote it knows the token's secret, the authority in it must
//! have a pinned key; then it is asked once more of a server that this authority vouches for. By kubeconfig: the server must prove itself
//! by the authority in it.

use super::api::{Answer, Api};
use super::refusal::Refusal;
use super::signature;
use crate::config::seed::yaml;
use kmimage_contract::certificate;
use kmimage_contract::kubeconfig::{Access, Credentials, Kubeconfig};
use kmimage_contract::machine_config::{BootstrapToken, CaHash, Discovery};
use serde_json::Value;

const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";

/// How to reach the cluster, with the credentials to join by.
pub(super) fn discover(discovery: &Discovery) -> Result<Access, Refusal> {
    match discovery {
        Discovery::Token { endpoint, token, ca_hashes } => {
            let server = format!("https://{endpoint}");
            let stranger = Api::stranger(&server);
            let (text, access) = trusted(&cluster_info(&stranger)?, token, ca_hashes)?;
            let verified = Access { server, credentials: Credentials::None, ..access.clone() };
            let again = cluster_info(&Api::new(&verified)?)?;
            if again["data"]["kubeconfig"].as_str() != Some(&text) {
                return Err(Refusal::Changed);
            }
            Ok(Access { credentials: Credentials::Token(token.whole()), ..access })
        }
        Discovery::File { kubeconfig, token } => {
            let mut access = read_kubeconfig("`discovery`", kubeconfig.reveal())?;
            if access.authorities.is_empty() {
                let why = "it has no `certificate-authority-data`".to_owned();
                return Err(Refusal::Malformed { what: "`discovery`", why });
            }
            if let Some(token) = token {
                access.credentials = Credentials::Token(token.whole());
            }
            if access.credentials == Credentials::None {
                return Err(Refusal::NoCredentials);
            }
            Ok(access)
        }
    }
}

/// Asks for cluster-info.
fn cluster_info(api: &Api) -> Result<Value, Refusal> {
    let server = || api.server().to_owned();
    match api.get(CLUSTER_INFO)? {
        Answer::Object(object) if object["kind"] == "ConfigMap" => Ok(object),
        Answer::Object(_) => Err(Refusal::NotAnApiServer { server: server(), why: "its answer is no ConfigMap".to_owned() }),
        Answer::Refused(status @ (401 | 403 | 404), why) => {
            Err(Refusal::NoClusterInfo { server: server(), why: format!("{status} {why}") })
        }
        Answer::Refused(status, why) => {
            Err(Refusal::Answer { server: server(), what: "cluster-info", status: format!("{status} {why}") })
        }
    }
}

/// The kubeconfig of a cluster-info that is to be believed, as text and taken apart. Pure.
fn trusted(info: &Value, token: &BootstrapToken, ca_hashes: &[CaHash]) -> Result<(String, Access), Refusal> {
    const WHAT: &str = "cluster-info";
    let malformed = |why: &str| Refusal::Malformed { what: WHAT, why: why.to_owned() };
    let data = &info["data"];
    let text = data["kubeconfig"].as_str().filter(|text| !text.is_empty()).ok_or_else(|| malformed("it has no `kubeconfig`"))?;
    let id = || token.id().to_owned();
    let jws = data[format!("jws-kubeconfig-{}", token.id())].as_str().filter(|jws| !jws.is_empty());
    let jws = jws.ok_or_else(|| Refusal::TokenUnknown { id: id() })?;
    if !signature::is_valid(jws, text, token) {
        return Err(Refusal::Signature { id: id() });
    }
    let access = read_kubeconfig(WHAT, text)?;
    let mut found = Vec::new();
    for authority in &access.authorities {
        let facts = certificate::read(&authority.der).ok_or_else(|| malformed("its authority is no certificate"))?;
        found.push(facts.hash());
    }
    if !found.iter().any(|hash| ca_hashes.contains(hash)) {
        let found = if found.is_empty() {
            "(none)".to_owned()
        } else {
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        return Err(Refusal::WrongAuthority { found });
    }
    Ok((text.to_owned(), access))
}

/// Reads a kubeconfig (YAML).
pub(super) fn read_kubeconfig(what: &'static str, text: &str) -> Result<Access, Refusal> {
    let malformed = |why: String| Refusal::Malformed { what, why };
    let value = yaml::parse(text).map_err(malformed)?.unwrap_or_default();
    // serde's message could show a value.
    let kubeconfig: Kubeconfig = serde_json::from_value(value).map_err(|_| malformed("it is no kubeconfig".to_owned()))?;
    kubeconfig.access().map_err(|error| malformed(error.to_string()))
}

/// Anyone's bytes as what an API server says of its cluster: for fuzzing. Whether they were believed.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let _ = read_kubeconfig("fuzz", text);
    let (Ok(info), Ok(token)) = (serde_json::from_str::<Value>(text), "abcdef.0123456789abcdef".parse::<BootstrapToken>()) else {
        return false;
    };
    let id = token.id().to_owned();
    let jws = info["data"][format!("jws-kubeconfig-{id}")].as_str().unwrap_or_default();
    let believed = trusted(&info, &token, &[CaHash([0; 32])]);
    // Without the signature nothing else counts.
    let valid = signature::is_valid(jws, info["data"]["kubeconfig"].as_str().unwrap_or_default(), &token);
    assert!(valid || believed.is_err());
    believed.is_ok() || matches!(believed, Err(Refusal::WrongAuthority { .. }))
}

#[cfg(test)]
mod tests;
