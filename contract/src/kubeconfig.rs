//! A kubeconfig, as far as it says how to reach one API server: parsed by whoever has a YAML reader, taken apart and written here.
//!
//! Files that it points to are refused by name: a kubeconfig that travels carries what it needs. So are programs and plugins that would
//! bring credentials.

use crate::machine_config::{Certificate, Secret, certificates};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Deserialize;
use serde_json::{Value, json};

/// A kubeconfig as written (JSON, or YAML read as such). Keys that say nothing about reaching the server are passed over.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Kubeconfig {
    current_context: Option<String>,
    clusters: Option<Vec<Named>>,
    contexts: Option<Vec<Named>>,
    users: Option<Vec<Named>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    cluster: Option<Cluster>,
    context: Option<Context>,
    user: Option<User>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: Option<String>,
    certificate_authority_data: Option<String>,
    certificate_authority: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    proxy_url: Option<String>,
    tls_server_name: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct User {
    token: Option<Secret>,
    client_certificate_data: Option<Secret>,
    client_key_data: Option<Secret>,
    client_certificate: Option<String>,
    client_key: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
    username: Option<String>,
}

/// How to reach an API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// `https://HOST:PORT`.
    pub server: String,
    /// Its authorities; none where the kubeconfig names none.
    pub authorities: Vec<Certificate>,
    /// As whom.
    pub credentials: Credentials,
}

/// As whom an API server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// As a stranger.
    None,
    /// With a bearer token.
    Token(Secret),
    /// With a certificate and its key, both PEM.
    Certificate {
        /// The chain.
        chain: Secret,
        /// The key.
        key: Secret,
    },
}

/// Why a kubeconfig doesn't say how to reach an API server. It shows nothing that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeconfigError {
    /// No context, cluster or server to take.
    #[error("the kubeconfig has no {0}")]
    Missing(String),
    /// Something that is not followed.
    #[error("the kubeconfig's `{0}`: {1}")]
    Refused(&'static str, &'static str),
    /// A value that can't be read.
    #[error("the kubeconfig's `{0}` can't be read: {1}")]
    Malformed(&'static str, String),
}

impl Kubeconfig {
    /// What it says: of the current context, or of the only cluster where there is no context (as in cluster-info).
    pub fn access(&self) -> Result<Access, KubeconfigError> {
        let missing = |what: &str| KubeconfigError::Missing(what.to_owned());
        let list = |list: &Option<Vec<Named>>| list.clone().unwrap_or_default();
        let find = |list: &Option<Vec<Named>>, name: &str| self::find(list.as_deref().unwrap_or_default(), name).cloned();
        let current = self.current_context.as_deref().filter(|name| !name.is_empty());
        let (cluster, user) = match current {
            Some(name) => {
                let context = find(&self.contexts, name).and_then(|named| named.context);
                let context = context.ok_or_else(|| missing("context that `current-context` names"))?;
                let cluster = find(&self.clusters, &context.cluster).and_then(|named| named.cluster);
                let user = find(&self.users, &context.user).and_then(|named| named.user);
                (cluster.ok_or_else(|| missing("cluster that its context names"))?, user.unwrap_or_default())
            }
            None => match list(&self.clusters).as_slice() {
                [only] => (only.cluster.clone().ok_or_else(|| missing("cluster"))?, User::default()),
                _ => return Err(missing("`current-context`")),
            },
        };
        Ok(Access { server: server(&cluster)?, authorities: authorities(&cluster)?, credentials: credentials(&user)? })
    }
}

fn find<'a>(list: &'a [Named], name: &str) -> Option<&'a Named> {
    list.iter().find(|named| named.name == name)
}

fn server(cluster: &Cluster) -> Result<String, KubeconfigError> {
    if cluster.insecure_skip_tls_verify == Some(true) {
        return Err(KubeconfigError::Refused("insecure-skip-tls-verify", "nobody would know whose server answers"));
    }
    if cluster.proxy_url.is_some() {
        return Err(KubeconfigError::Refused("proxy-url", "API servers are reached without a proxy"));
    }
    if cluster.tls_server_name.is_some() {
        return Err(KubeconfigError::Refused("tls-server-name", "the server's own name is checked"));
    }
    let server = cluster.server.as_deref().unwrap_or_default().trim_end_matches('/');
    let rest = server.strip_prefix("https://").unwrap_or_default();
    if rest.is_empty() || rest.contains(['/', '?', '#', '@']) || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(KubeconfigError::Malformed("server", "\"https://HOST:PORT\" is expected".to_owned()));
    }
    Ok(server.to_owned())
}

fn authorities(cluster: &Cluster) -> Result<Vec<Certificate>, KubeconfigError> {
    const KEY: &str = "certificate-authority-data";
    match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
        (Some(data), _) => {
            let text = text(KEY, data)?;
            certificates(&text).map_err(|message| KubeconfigError::Malformed(KEY, message))
        }
        (None, Some(_)) => Err(KubeconfigError::Refused("certificate-authority", FILE)),
        (None, None) => Ok(Vec::new()),
    }
}

const FILE: &str = "it is a file, which doesn't travel with it: embed it (`kubectl config view --flatten --raw`)";

fn credentials(user: &User) -> Result<Credentials, KubeconfigError> {
    if let Some(token) = &user.token {
        return Ok(Credentials::Token(token.clone()));
    }
    if let (Some(chain), Some(key)) = (&user.client_certificate_data, &user.client_key_data) {
        return Ok(Credentials::Certificate {
            chain: Secret::new(text("client-certificate-data", chain.reveal())?),
            key: Secret::new(text("client-key-data", key.reveal())?),
        });
    }
    let files = [
        ("client-certificate", user.client_certificate.is_some()),
        ("client-key", user.client_key.is_some()),
        ("tokenFile", user.token_file.is_some()),
    ];
    if let Some((key, _)) = files.into_iter().find(|(_, there)| *there) {
        return Err(KubeconfigError::Refused(key, FILE));
    }
    let others =
        [("exec", user.exec.is_some()), ("auth-provider", user.auth_provider.is_some()), ("username", user.username.is_some())];
    match others.into_iter().find(|(_, there)| *there) {
        Some((key, _)) => Err(KubeconfigError::Refused(key, "only tokens and certificates are used here")),
        None => Ok(Credentials::None),
    }
}

fn text(key: &'static str, data: &str) -> Result<String, KubeconfigError> {
    let compact: String = data.split_ascii_whitespace().collect();
    let bytes = BASE64_STANDARD.decode(&compact).map_err(|_| KubeconfigError::Malformed(key, "not base64".to_owned()))?;
    String::from_utf8(bytes).map_err(|_| KubeconfigError::Malformed(key, "not PEM".to_owned()))
}

impl Access {
    /// A kubeconfig (JSON, which is YAML, too) that says this.
    pub fn render(&self) -> Secret {
        const NAME: &str = "default-cluster";
        let mut cluster = json!({ "server": self.server });
        if !self.authorities.is_empty() {
            let pem: String = self.authorities.iter().map(|certificate| certificate.pem.as_str()).collect();
            cluster["certificate-authority-data"] = Value::from(BASE64_STANDARD.encode(pem.as_bytes()));
        }
        let user = match &self.credentials {
            Credentials::None => json!({}),
            Credentials::Token(token) => json!({ "token": token.reveal() }),
            Credentials::Certificate { chain, key } => json!({
                "client-certificate-data": BASE64_STANDARD.encode(chain.reveal().as_bytes()),
                "client-key-data": BASE64_STANDARD.encode(key.reveal().as_bytes()),
            }),
        };
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": NAME, "cluster": cluster }],
            "contexts": [{ "name": NAME, "context": { "cluster": NAME, "user": NAME } }],
            "current-context": NAME,
            "users": [{ "name": NAME, "user": user }],
        });
        Secret::new(format!("{kubeconfig:#}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Access, KubeconfigError> {
        serde_json::from_value::<Kubeconfig>(value).unwrap().access()
    }

    fn authority() -> String {
        BASE64_STANDARD.encode(include_bytes!("certificate/ec.pem"))
    }

    /// As kubeadm writes cluster-info: no context, no user.
    #[test]
    fn a_cluster_alone_is_taken() {
        let access = read(json!({
            "apiVersion": "v1", "kind": "Config", "contexts": null, "current-context": "", "preferences": {}, "users": null,
            "clusters": [{ "name": "", "cluster": { "certificate-authority-data": authority(), "server": "https://10.0.0.1:6443/" } }],
        }))
        .unwrap();
        assert_eq!((access.server.as_str(), access.authorities.len()), ("https://10.0.0.1:6443", 1));
        assert_eq!(access.credentials, Credentials::None);
    }

    #[test]
    fn the_current_context_decides_and_what_is_written_is_read() {
        let data = |text: &str| BASE64_STANDARD.encode(text.as_bytes());
        let access = read(json!({
            "current-context": "b",
            "clusters": [{ "name": "x", "cluster": { "server": "https://x" } }, { "name": "y", "cluster": { "server": "https://y:1" } }],
            "contexts": [{ "name": "a", "context": { "cluster": "x", "user": "u" } }, { "name": "b", "context": { "cluster": "y", "user": "v" } }],
            "users": [{ "name": "v", "user": { "client-certificate-data": data("hunter-chain"), "client-key-data": data("hunter-key") } }],
        }))
        .unwrap();
        assert_eq!(access.server, "https://y:1");
        assert!(!format!("{access:?}").contains("hunter"));
        let again = serde_json::from_str::<Kubeconfig>(access.render().reveal()).unwrap().access().unwrap();
        assert_eq!(again, access);
        let Credentials::Certificate { chain, key } = again.credentials else { panic!() };
        assert_eq!((chain.reveal(), key.reveal()), ("hunter-chain", "hunter-key"));
    }

    #[test]
    fn what_does_not_travel_is_refused_by_name() {
        let cluster = |cluster: Value| read(json!({ "clusters": [{ "name": "", "cluster": cluster }] })).unwrap_err().to_string();
        let user = |user: Value| {
            let kubeconfig = json!({
                "current-context": "c", "contexts": [{ "name": "c", "context": { "cluster": "a", "user": "u" } }],
                "clusters": [{ "name": "a", "cluster": { "server": "https://a" } }], "users": [{ "name": "u", "user": user }],
            });
            read(kubeconfig).unwrap_err().to_string()
        };
        assert_eq!(read(json!({})).unwrap_err().to_string(), "the kubeconfig has no `current-context`");
        assert_eq!(cluster(json!({})), "the kubeconfig's `server` can't be read: \"https://HOST:PORT\" is expected");
        assert!(cluster(json!({ "server": "http://a" })).contains("`server`"));
        assert!(
            cluster(json!({ "server": "https://a", "insecure-skip-tls-verify": true })).contains("`insecure-skip-tls-verify`")
        );
        assert!(cluster(json!({ "server": "https://a", "certificate-authority": "/x" })).contains("`certificate-authority`"));
        assert!(cluster(json!({ "server": "https://a", "certificate-authority-data": "-" })).contains("not base64"));
        for key in ["client-certificate", "client-key", "tokenFile", "username"] {
            assert!(user(json!({ key: "x" })).contains(&format!("`{key}`")), "{key}");
        }
        assert!(user(json!({ "exec": { "command": "x" } })).contains("`exec`"));
    }
}
