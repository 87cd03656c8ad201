//! How a machine that has joined does: CRI-O, kubelet, its own Node by kubelet's own certificate. And what is left to do after a join.

use super::api::{Answer, Api};
use super::kubelet_config::{CLIENT_CA, CRI_SOCKET};
use super::node::{self, Health};
use super::place::{CERTIFICATE, Place};
use super::record::Record;
use super::refusal::Refusal;
use crate::services::probe;
use kmimage_contract::kubeconfig::{Access, Credentials};
use kmimage_contract::machine_config::{Secret, certificates};
use kmimage_contract::state_line::StateLine;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// How often it is looked until the node has been Ready, and from then on.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];
/// CRI-O's socket, as a path.
const CRIO: &str = "/var/run/crio/crio.sock";
/// Where kubelet says whether it is well.
const HEALTHZ: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 10248);
/// Where kubeadm looks for the socket of a node's runtime.
const ANNOTATION: &str = "kubeadm.alpha.kubernetes.io/cri-socket";

/// What is known of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Known(Health),
    /// kubelet has not registered, or somebody has deleted the node.
    Missing,
    /// The API server can't be asked.
    Unknown(String),
}

/// The one who looks.
#[derive(Default)]
pub(super) struct Watch {
    /// Whom to ask, and kubelet's certificate with which.
    api: Option<(Secret, Api)>,
    /// Whether the node carries the annotation.
    annotated: bool,
    was_ready: bool,
    said: Option<StateLine>,
}

impl Watch {
    /// Looks; what is new.
    pub(super) fn look(&mut self, place: &Place, record: &Record) -> Option<StateLine> {
        let crio = probe::takes_connections(Path::new(CRIO));
        let kubelet = matches!(probe::status(HEALTHZ, "/healthz"), Ok(Some(200)));
        let node = self.node(place, record).unwrap_or_else(|refusal| Node::Unknown(refusal.to_string()));
        self.was_ready |= node == Node::Known(Health::Ready);
        let line = line(&node, crio, kubelet);
        let new = self.said.as_ref() != Some(&line);
        self.said = Some(line.clone());
        new.then_some(line)
    }

    /// How long to wait before the next look.
    pub(super) fn pause(&self) -> Duration {
        PAUSES[usize::from(self.was_ready)]
    }

    fn node(&mut self, place: &Place, record: &Record) -> Result<Node, Refusal> {
        let annotated = self.annotated;
        let api = self.api(place, record)?;
        let path = node::path(&record.node);
        match api.get(&path)? {
            Answer::Object(node) => {
                if !annotated {
                    self.annotated = annotate(api, &path, &node);
                }
                Ok(Node::Known(node::judge(&node)))
            }
            Answer::Refused(404, _) => Ok(Node::Missing),
            Answer::Refused(status, why) => {
                // A certificate that is not believed any more may have been replaced meanwhile.
                self.api = None;
                Ok(Node::Unknown(format!("the API server answers {status} {why}")))
            }
        }
    }

    /// Whom to ask: with kubelet's certificate as it is now, because kubelet replaces it.
    fn api(&mut self, place: &Place, record: &Record) -> Result<&Api, Refusal> {
        let read = |path: &str| {
            let failed = |error: std::io::Error| Refusal::Machine { what: format!("reading {path}"), why: error.to_string() };
            std::fs::read_to_string(place.at(path)).map_err(failed)
        };
        let own = Secret::new(read(CERTIFICATE)?);
        let known = self.api.take().filter(|(known, _)| *known == own);
        let known = match known {
            Some(known) => known,
            None => {
                let malformed = |why| Refusal::Malformed { what: "the cluster's authority", why };
                let access = Access {
                    server: record.server.clone(),
                    authorities: certificates(&read(CLIENT_CA)?).map_err(malformed)?,
                    credentials: Credentials::Certificate { chain: own.clone(), key: own.clone() },
                };
                (own, Api::new(&access)?)
            }
        };
        Ok(&self.api.insert(known).1)
    }
}

/// Gives the node the annotation by which kubeadm finds CRI-O; whether it has it. A failure is no harm: it is tried again.
fn annotate(api: &Api, path: &str, node: &Value) -> bool {
    let annotations = &node["metadata"]["annotations"];
    if annotations[ANNOTATION] == CRI_SOCKET {
        return true;
    }
    let change = json!({ "metadata": { "annotations": { ANNOTATION: CRI_SOCKET } } });
    matches!(api.patch(path, &change), Ok(Answer::Object(_)))
}

fn line(node: &Node, crio: bool, kubelet: bool) -> StateLine {
    let line = StateLine::new("cluster");
    let line = match node {
        Node::Known(Health::Ready) => line.with("node", "ready"),
        Node::Known(Health::NoNetwork) => line.with("node", "not-ready").with("waiting", "cni"),
        Node::Known(Health::NotReady(reason)) => line.with("node", "not-ready").with("reason", reason),
        Node::Missing => line.with("node", "missing").with("reason", "the cluster has no node of this name"),
        Node::Unknown(reason) => line.with("node", "unknown").with("reason", reason),
    };
    let up = |up| if up { "up" } else { "down" };
    line.with("crio", up(crio)).with("healthz", up(kubelet))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_what_is_missing() {
        let check = |node: Node, crio, kubelet, expect: &str| {
            assert_eq!(line(&node, crio, kubelet).to_string(), format!("kmimage: cluster {expect}"));
        };
        check(Node::Known(Health::Ready), true, true, "node=ready crio=up healthz=up");
        check(Node::Known(Health::NoNetwork), true, true, "node=not-ready waiting=cni crio=up healthz=up");
        check(Node::Known(Health::NotReady("x".to_owned())), true, false, "node=not-ready reason=x crio=up healthz=down");
        check(Node::Missing, false, false, "node=missing reason=\"the cluster has no node of this name\" crio=down healthz=down");
    }

    #[test]
    fn a_machine_without_a_certificate_says_so() {
        let root = tempfile::tempdir().unwrap();
        let record = Record {
            node: "n".to_owned(),
            server: "https://127.0.0.1:1".to_owned(),
            joined_by: Default::default(),
            kubelet_config: Value::Null,
        };
        let mut watch = Watch::default();
        let line = watch.look(&Place::new(root.path()), &record).unwrap();
        assert!(line.get("reason").unwrap().starts_with("reading /var/lib/kubelet/pki/kubelet-client-current.pem: "), "{line}");
        assert_eq!((watch.look(&Place::new(root.path()), &record), watch.pause()), (None, PAUSES[0]));
    }
}
