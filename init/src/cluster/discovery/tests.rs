//! What is believed of a cluster, and what isn't.

use super::*;
use crate::cluster::stand_in::{AUTHORITY, HASH, Routes, TOKEN, cluster_info as info_of, serve, status};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use kmimage_contract::machine_config::Secret;
use serde_json::json;
use std::io::Write as _;
use std::net::TcpListener;

const PATH: &str = CLUSTER_INFO;
const SERVER: &str = include_str!("../stand_in/server.pem");

fn token() -> BootstrapToken {
    TOKEN.parse().unwrap()
}

fn hash() -> CaHash {
    HASH.parse().unwrap()
}

/// cluster-info.json was made and signed by Python's base64, json and hmac (see stand_in.rs).
#[test]
fn a_cluster_info_is_believed_by_signature_and_key() {
    let info: Value = serde_json::from_str(include_str!("../stand_in/cluster-info.json")).unwrap();
    let (_, access) = trusted(&info, &token(), &[CaHash([0; 32]), hash()]).unwrap();
    assert_eq!((access.server.as_str(), access.authorities[0].pem.as_str()), ("https://10.0.0.1:6443", AUTHORITY));
    let other: BootstrapToken = "other0.fedcba9876543210".parse().unwrap();
    assert!(trusted(&info, &other, &[hash()]).is_ok());

    let refused =
        |info: &Value, token: &str, hash: CaHash| trusted(info, &token.parse().unwrap(), &[hash]).unwrap_err().to_string();
    let wrong = refused(&info, TOKEN, CaHash([0; 32]));
    assert_eq!(wrong, format!("the cluster's authority has the hash {HASH}, which is none of `ca-hashes`"));
    assert_eq!(
        refused(&info, "zzzzzz.0123456789abcdef", hash()),
        "the cluster doesn't know the bootstrap token zzzzzz, or it has expired"
    );
    let other_secret = "cluster-info is signed with another secret than that of the bootstrap token abcdef";
    assert_eq!(refused(&info, "abcdef.0123456789abcdeg", hash()), other_secret);
    let mut changed = info.clone();
    changed["data"]["kubeconfig"] = Value::from(info["data"]["kubeconfig"].as_str().unwrap().replace("10.0.0.1", "10.0.0.2"));
    assert_eq!(refused(&changed, TOKEN, hash()), other_secret);
    assert_eq!(refused(&json!({}), TOKEN, hash()), "cluster-info can't be read: it has no `kubeconfig`");
}

fn by_token(address: &str, token: &str, hash: CaHash) -> Discovery {
    Discovery::Token { endpoint: address.parse().unwrap(), token: token.parse().unwrap(), ca_hashes: vec![hash] }
}

fn good(address: &str) -> Routes {
    vec![(PATH, 200, info_of(address, AUTHORITY))]
}

#[test]
fn a_server_that_proves_itself_is_believed() {
    let address = serve(SERVER, good);
    let access = discover(&by_token(&address, TOKEN, hash())).unwrap();
    assert_eq!(access.server, format!("https://{address}"));
    assert_eq!(access.credentials, Credentials::Token(Secret::new(TOKEN)));
}

/// Each refusal by its name, and what it says; the address is left out.
#[test]
fn each_refusal_has_its_name() {
    let check = |certificate: &str, routes: fn(&str) -> Routes, expect: &str| {
        let address = serve(certificate, routes);
        let refusal = discover(&by_token(&address, TOKEN, hash())).unwrap_err();
        let said = format!("{}: {}", refusal.cause(), refusal.to_string().replace(&address, "A"));
        // The clock goes on.
        let said = said.split_once(": this machine's clock").map_or(said.as_str(), |(said, _)| said);
        assert_eq!(said, expect);
        assert!(!refusal.remedy().is_empty());
    };
    check(include_str!("../stand_in/early.pem"), good, "clock: the certificate of https://A is not valid yet");
    check(include_str!("../stand_in/expired.pem"), good, "clock: the certificate of https://A is expired");
    check(
        include_str!("../stand_in/strangers.pem"),
        good,
        "certificate: the certificate of https://A is refused: no authority of the cluster has signed it",
    );
    let address = serve(include_str!("../stand_in/elsewhere.pem"), good);
    let refusal = discover(&by_token(&address, TOKEN, hash())).unwrap_err();
    assert_eq!(refusal.cause(), "certificate", "{refusal}");
    check(
        SERVER,
        |address| vec![(PATH, 200, info_of(address, include_str!("../stand_in/other.pem")))],
        &format!("wrong-ca-hash: the cluster's authority has the hash {}, which is none of `ca-hashes`", other_hash()),
    );
    check(SERVER, |_| Vec::new(), "no-cluster-info: https://A has no public ConfigMap cluster-info (404 not found)");
    check(
        SERVER,
        |_| vec![(PATH, 403, status(403, "forbidden"))],
        "no-cluster-info: https://A has no public ConfigMap cluster-info (403 forbidden)",
    );
    check(SERVER, |_| vec![(PATH, 500, status(500, "oh"))], "answer: https://A answers 500 oh to cluster-info");
    check(
        SERVER,
        |_| vec![(PATH, 200, Value::from("<html>Welcome to nginx!</html>"))],
        "not-an-api-server: https://A is no API server: its answer (200 OK) is no object",
    );
    check(
        SERVER,
        |_| vec![(PATH, 404, json!({ "message": "no such page" }))],
        "not-an-api-server: https://A is no API server: its answer (404 Not Found) is none of Kubernetes",
    );
    check(
        SERVER,
        |_| vec![(PATH, 200, json!({ "kind": "Secret" }))],
        "not-an-api-server: https://A is no API server: its answer is no ConfigMap",
    );
}

fn other_hash() -> String {
    let other = kmimage_contract::machine_config::certificates(include_str!("../stand_in/other.pem")).unwrap();
    certificate::read(&other[0].der).unwrap().hash().to_string()
}

#[test]
fn nobody_and_somebody_else_are_told_apart() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let refusal = discover(&by_token(&closed, TOKEN, hash())).unwrap_err();
    assert_eq!(refusal.cause(), "unreachable", "{refusal}");
    // Somebody who speaks before he is spoken to, and no TLS.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().flatten().try_for_each(|mut stream| stream.write_all(b"SSH-2.0-x\r\n")));
    let refusal = discover(&by_token(&address, TOKEN, hash())).unwrap_err();
    assert_eq!(refusal.cause(), "not-an-api-server", "{refusal}");
}

#[test]
fn a_kubeconfig_is_taken_with_its_credentials_or_the_token() {
    let cluster = |rest: &str| {
        let authority = BASE64_STANDARD.encode(AUTHORITY);
        format!("clusters:\n- name: a\n  cluster: {{server: \"https://x:1\", certificate-authority-data: {authority}}}\n{rest}")
    };
    let by = |text: &str, token: Option<&str>| {
        discover(&Discovery::File { kubeconfig: Secret::new(text), token: token.map(|token| token.parse().unwrap()) })
    };
    let access = by(&cluster(""), Some(TOKEN)).unwrap();
    assert_eq!((access.server.as_str(), access.credentials), ("https://x:1", Credentials::Token(Secret::new(TOKEN))));
    let user =
        "current-context: c\ncontexts: [{name: c, context: {cluster: a, user: u}}]\nusers: [{name: u, user: {token: hunter2}}]\n";
    assert_eq!(by(&cluster(user), None).unwrap().credentials, Credentials::Token(Secret::new("hunter2")));
    assert_eq!(by(&cluster(""), None), Err(Refusal::NoCredentials));
    let malformed = |text: &str| by(text, Some(TOKEN)).unwrap_err().to_string();
    assert_eq!(
        malformed("clusters: [{name: a, cluster: {server: \"https://x\"}}]"),
        "`discovery` can't be read: it has no `certificate-authority-data`"
    );
    assert_eq!(malformed("clusters: hunter2"), "`discovery` can't be read: it is no kubeconfig");
    assert!(malformed("{").starts_with("`discovery` can't be read: not YAML"));
}
