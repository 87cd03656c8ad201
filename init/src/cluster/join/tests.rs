//! Joins with a stand-in for an API server: what goes on, and what is refused on the way.

use super::*;
use crate::cluster::stand_in::{AUTHORITY, HASH, Routes, TOKEN, cluster_info, serve, status};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;

const INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
const NODE: &str = "/api/v1/nodes/node-1";

fn own() -> Own {
    Own { node: "node-1".to_owned(), machine_id: "ab".repeat(16), ..Own::default() }
}

fn node(ready: &str, machine: &str) -> Value {
    json!({ "kind": "Node", "status": {
        "conditions": [{ "type": "Ready", "status": ready }], "nodeInfo": { "machineID": machine } } })
}

/// A cluster in which everything is as it should be, but for `changed`.
fn join_with(changed: Routes, discovery: Option<Discovery>, kubelet: &str) -> (Result<Joined, Refusal>, Vec<String>, String) {
    let address = serve(include_str!("../stand_in/server.pem"), |address| {
        let kubelet_config =
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nmaxPods: 99\nclusterDNS:\n- 10.96.0.10\n";
        let mut routes = changed;
        routes.extend([
            (INFO, 200, cluster_info(address, AUTHORITY)),
            ("/version", 200, json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.2" })),
            (KUBELET_CONFIG, 200, json!({ "kind": "ConfigMap", "data": { "kubelet": kubelet_config } })),
        ]);
        routes
    });
    let discovery = discovery.unwrap_or_else(|| Discovery::Token {
        endpoint: address.parse().unwrap(),
        token: TOKEN.parse().unwrap(),
        ca_hashes: vec![HASH.parse().unwrap()],
    });
    let mut steps = Vec::new();
    let result = join(&discovery, &own(), || Ok(kubelet.to_owned()), &mut |step| steps.push(step.to_owned()));
    (result, steps, address)
}

#[test]
fn a_join_goes_through_its_steps() {
    let (result, steps, address) = join_with(Vec::new(), None, "v1.36.2");
    let joined = result.unwrap();
    assert_eq!(steps, ["discovery", "version", "kubelet-config", "name"]);
    assert_eq!((joined.record.node.as_str(), &joined.record.server), ("node-1", &format!("https://{address}")));
    assert_eq!(joined.record.kubelet_config["maxPods"], 99);
    assert_eq!(joined.record.joined_by["token"], "abcdef");
    let Credentials::Token(token) = joined.access.credentials else { panic!() };
    assert_eq!(token.reveal(), TOKEN);
}

#[test]
fn each_refusal_has_its_name() {
    let check = |changed: Routes, kubelet: &str, expect: &str| {
        let (result, _, address) = join_with(changed, None, kubelet);
        let said = result.map_or_else(|refusal| format!("{}: {refusal}", refusal.cause()), |_| "joined".to_owned());
        assert_eq!(said.replace(&address, "A"), expect);
    };
    check(
        vec![(NODE, 200, node("True", "other"))],
        "v1.36.2",
        "name-taken: the cluster has a Ready node of the name node-1 already",
    );
    // Not Ready: a machine that is gone. Ready, and the machine itself: a join that was cut off.
    check(vec![(NODE, 200, node("Unknown", "other"))], "v1.36.2", "joined");
    check(vec![(NODE, 200, node("True", &"ab".repeat(16)))], "v1.36.2", "joined");
    check(Vec::new(), "v1.37.0", "kubelet-newer: kubelet v1.37.0 is newer than the API server v1.36.2");
    check(Vec::new(), "v1.36.9", "joined");
    check(Vec::new(), "v1.33.0", "joined");
    check(
        vec![(KUBELET_CONFIG, 403, status(403, "configmaps \"kubelet-config\" is forbidden"))],
        "v1.36.2",
        "answer: https://A answers 403 configmaps \"kubelet-config\" is forbidden to kubelet-config",
    );
    check(
        vec![("/version", 401, status(401, "Unauthorized"))],
        "v1.36.2",
        "token-unknown: the cluster doesn't know the bootstrap token abcdef, or it has expired",
    );
    check(
        vec![(KUBELET_CONFIG, 200, json!({ "data": { "kubelet": "kind: Other" } }))],
        "v1.36.2",
        "malformed: kubelet-config can't be read: it is no KubeletConfiguration of kubelet.config.k8s.io/v1beta1",
    );
    check(
        vec![(KUBELET_CONFIG, 200, json!({ "data": {} }))],
        "v1.36.2",
        "malformed: kubelet-config can't be read: it has no `kubelet`",
    );
    check(
        vec![("/version", 200, json!({ "gitVersion": "x" }))],
        "v1.36.2",
        "malformed: the API server's version can't be read: \"x\"",
    );
}

/// A token of a kubeconfig is no bootstrap token, and nothing of it is shown.
#[test]
fn no_refusal_shows_a_secret() {
    let authority = BASE64_STANDARD.encode(AUTHORITY);
    let address = serve(include_str!("../stand_in/server.pem"), |_| Vec::new());
    let text = format!(
        "current-context: c\ncontexts: [{{name: c, context: {{cluster: a, user: u}}}}]\nusers: [{{name: u, user: {{token: hunter2}}}}]\n\
         clusters: [{{name: a, cluster: {{server: \"https://{address}\", certificate-authority-data: {authority}}}}}]\n"
    );
    let discovery = Discovery::File { kubeconfig: kmimage_contract::machine_config::Secret::new(text), token: None };
    let refusal = join(&discovery, &own(), || Ok("v1.36.2".to_owned()), &mut |_| {}).unwrap_err();
    assert_eq!(refusal, Refusal::TokenUnknown { id: "(not shown)".to_owned() });
}
