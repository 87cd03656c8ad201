//! By an admin kubeconfig: a bootstrap token is made in the cluster, and the authority's hash computed, so that nobody has to log in to a
//! control-plane node. What is asked for is a Secret in kube-system and the ConfigMap cluster-info.

use crate::failure::{Classified, Kind};
use jiff::{SignedDuration, Timestamp};
use kmimage_contract::certificate;
use kmimage_contract::kubeconfig::{Access, Credentials, Kubeconfig, KubeconfigError};
use kmimage_contract::machine_config::{BootstrapToken, CaHash, Discovery, Endpoint};
use serde_json::{Value, json};
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const CLUSTER_INFO: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
/// How long a request may take.
const WHOLE: Duration = Duration::from_secs(30);
/// The largest answer, in bytes.
const LARGEST: u64 = 4 << 20;

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The kubeconfig is no YAML.
    #[error("the kubeconfig can't be read: {0}")]
    Yaml(String),
    /// It doesn't say how to reach a cluster.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// It names no authority, or nobody to be.
    #[error("the kubeconfig has no {0}")]
    Missing(&'static str),
    /// A certificate in it is none.
    #[error("the kubeconfig's {0}")]
    Certificate(&'static str),
    /// The API server was not reached, or didn't prove itself.
    #[error("asking {server}")]
    Request {
        /// The API server.
        server: String,
        /// What happened.
        source: Box<ureq::Error>,
    },
    /// It refuses.
    #[error("{server} answers {status} to {what}: {message}")]
    Refused {
        /// The API server.
        server: String,
        /// Its status.
        status: u16,
        /// What was asked for.
        what: &'static str,
        /// What it says.
        message: String,
    },
    /// No address to give to machines.
    #[error("the API server's address {0:?} is not HOST:PORT")]
    Endpoint(String),
    /// No random numbers.
    #[error("reading random numbers")]
    Random(#[source] std::io::Error),
    /// A time beyond all calendars.
    #[error("the token would be valid for too long")]
    Expiration,
}

impl Classified for AdminError {
    fn kind(&self) -> Kind {
        match self {
            Self::Yaml(_) | Self::Kubeconfig(_) | Self::Missing(_) | Self::Certificate(_) => Kind::Profile,
            Self::Request { .. } | Self::Refused { .. } => Kind::Unavailable,
            Self::Endpoint(_) | Self::Expiration => Kind::Usage,
            Self::Random(_) => Kind::Host,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Refused { status: 403, .. } => {
                vec!["The kubeconfig's user must be allowed to create Secrets in kube-system.".to_owned()]
            }
            _ => Vec::new(),
        }
    }
}

/// A token that was made.
#[derive(Debug)]
pub struct Made {
    /// What a machine joins by.
    pub cluster: Discovery,
    /// Until when.
    pub expires: Timestamp,
}

/// Makes a token. `endpoint` is the address to give to machines; without it that of cluster-info, else the kubeconfig's own.
pub fn make(kubeconfig: &str, lifetime: Duration, endpoint: Option<Endpoint>) -> Result<Made, AdminError> {
    let access = read(kubeconfig)?;
    let ca_hashes = hashes(&access)?;
    let api = Api::new(&access)?;
    let endpoint = match endpoint {
        Some(endpoint) => endpoint,
        None => {
            let server = api.public_server().unwrap_or_else(|| access.server.clone());
            address(&server)?
        }
    };
    let token = random_token()?;
    let expires = SignedDuration::try_from(lifetime).ok().and_then(|lifetime| Timestamp::now().checked_add(lifetime).ok());
    let expires = expires.ok_or(AdminError::Expiration)?;
    api.create(&secret(&token, expires))?;
    Ok(Made { cluster: Discovery::Token { endpoint, token, ca_hashes }, expires })
}

fn read(text: &str) -> Result<Access, AdminError> {
    let kubeconfig: Kubeconfig = serde_saphyr::from_str_with_options(text, serde_saphyr::options! { with_snippet: false })
        // serde's own message could show a value.
        .map_err(|_| AdminError::Yaml("it is no kubeconfig".to_owned()))?;
    let access = kubeconfig.access()?;
    if access.authorities.is_empty() {
        return Err(AdminError::Missing("`certificate-authority-data`"));
    }
    if access.credentials == Credentials::None {
        return Err(AdminError::Missing("credentials"));
    }
    Ok(access)
}

fn hashes(access: &Access) -> Result<Vec<CaHash>, AdminError> {
    let hash = |der: &[u8]| {
        certificate::read(der).map(|facts| facts.hash()).ok_or(AdminError::Certificate("authority is no certificate"))
    };
    let mut hashes: Vec<CaHash> = access.authorities.iter().map(|authority| hash(&authority.der)).collect::<Result<_, _>>()?;
    hashes.sort_unstable();
    hashes.dedup();
    Ok(hashes)
}

/// `HOST:PORT` of a server's URL.
fn address(server: &str) -> Result<Endpoint, AdminError> {
    let rest = server.strip_prefix("https://").unwrap_or(server).trim_end_matches('/');
    rest.parse().or_else(|_| format!("{rest}:443").parse()).map_err(|_: String| AdminError::Endpoint(server.to_owned()))
}

/// The Secret that is a bootstrap token (k8s.io/cluster-bootstrap), as kubeadm makes it.
fn secret(token: &BootstrapToken, expires: Timestamp) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": { "name": format!("bootstrap-token-{}", token.id()), "namespace": "kube-system" },
        "stringData": {
            "description": "made by kmimage config join",
            "token-id": token.id(),
            "token-secret": token.secret().reveal(),
            "expiration": expires.strftime("%FT%TZ").to_string(),
            "usage-bootstrap-authentication": "true",
            "usage-bootstrap-signing": "true",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    })
}

/// A token by the kernel's random numbers.
fn random_token() -> Result<BootstrapToken, AdminError> {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let random = fs_err::File::open("/dev/urandom").map_err(AdminError::Random)?;
    let mut text = String::new();
    for byte in std::io::BufReader::with_capacity(64, random).bytes() {
        // Every letter as often as every other: 252 is the last multiple of 36.
        let letter = byte.map(|byte| (byte < 252).then(|| LETTERS.get(usize::from(byte % 36)))).map_err(AdminError::Random)?;
        text.extend(letter.flatten().map(|letter| char::from(*letter)));
        match text.len() {
            6 => text.push('.'),
            23 => break,
            _ => {}
        }
    }
    text.parse().map_err(|_: String| AdminError::Random(std::io::Error::other("too few of them")))
}

struct Api {
    server: String,
    agent: Agent,
    authorization: Option<String>,
}

impl Api {
    fn new(access: &Access) -> Result<Self, AdminError> {
        let roots: Vec<Certificate<'static>> =
            access.authorities.iter().map(|certificate| Certificate::from_der(&certificate.der).to_owned()).collect();
        let (client, authorization) = match &access.credentials {
            Credentials::Token(token) => (None, Some(format!("Bearer {}", token.reveal()))),
            Credentials::Certificate { chain, key } => {
                let client = client(chain.reveal().as_bytes(), key.reveal().as_bytes());
                (Some(client.ok_or(AdminError::Certificate("client certificate and key don't belong together"))?), None)
            }
            Credentials::None => (None, None),
        };
        let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).client_cert(client).build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(WHOLE))
            .user_agent(concat!("kmimage/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        Ok(Self { server: access.server.clone(), agent, authorization })
    }

    /// The server that cluster-info names, which is meant for machines; nothing, where there is none.
    fn public_server(&self) -> Option<String> {
        let mut request = self.agent.get(format!("{}{CLUSTER_INFO}", self.server));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let body = request.call().ok()?.body_mut().with_config().limit(LARGEST).read_to_vec().ok()?;
        let map: Value = serde_json::from_slice(&body).ok()?;
        let kubeconfig: Kubeconfig = serde_saphyr::from_str(map["data"]["kubeconfig"].as_str()?).ok()?;
        Some(kubeconfig.access().ok()?.server)
    }

    fn create(&self, secret: &Value) -> Result<(), AdminError> {
        let mut request = self.agent.post(format!("{}{SECRETS}", self.server)).header("Content-Type", "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let failed = |error| AdminError::Request { server: self.server.clone(), source: Box::new(error) };
        let mut answer = request.send(secret.to_string()).map_err(failed)?;
        if answer.status().is_success() {
            return Ok(());
        }
        let body = answer.body_mut().with_config().limit(LARGEST).read_to_vec().map_err(failed)?;
        let status: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = status["message"].as_str().unwrap_or("(no API server's answer)").chars().take(300).collect();
        Err(AdminError::Refused {
            server: self.server.clone(),
            status: answer.status().as_u16(),
            what: "the Secret of a token",
            message,
        })
    }
}

/// A client certificate. `None`: there is none, or its key is another's (which the TLS library doesn't take calmly).
fn client(chain: &[u8], key: &[u8]) -> Option<ClientCert> {
    let certificates: Vec<Certificate<'static>> = parse_pem(chain)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    let first = rustls::pki_types::CertificateDer::from(certificates.first()?.der().to_vec());
    let own = PrivateKey::from_pem(key).ok()?;
    let der = <rustls::pki_types::PrivateKeyDer<'static> as rustls::pki_types::pem::PemObject>::from_pem_slice(key).ok()?;
    rustls::sign::CertifiedKey::from_der(vec![first], der, &rustls::crypto::ring::default_provider()).ok()?;
    Some(ClientCert::new_with_certs(&certificates, own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_random_and_of_their_form() {
        let tokens: std::collections::BTreeSet<String> =
            (0..50).map(|_| random_token().unwrap().whole().reveal().to_owned()).collect();
        assert_eq!(tokens.len(), 50);
    }

    #[test]
    fn the_secret_is_kubeadms() {
        let token: BootstrapToken = "abcdef.0123456789abcdef".parse().unwrap();
        let secret = secret(&token, "2026-11-22T00:00:00Z".parse().unwrap());
        assert_eq!(secret["metadata"]["name"], "bootstrap-token-abcdef");
        assert_eq!(secret["stringData"]["expiration"], "2026-11-22T00:00:00Z");
        assert_eq!(secret["stringData"]["token-secret"], "0123456789abcdef");
    }

    #[test]
    fn addresses_are_those_of_urls() {
        for (server, expect) in [
            ("https://10.0.0.1:6443", "10.0.0.1:6443"),
            ("https://[2001:db8::1]:6443/", "[2001:db8::1]:6443"),
            ("https://api.example.org", "api.example.org:443"),
        ] {
            assert_eq!(address(server).unwrap().to_string(), expect);
        }
        assert!(address("https://").is_err());
    }

    #[test]
    fn a_kubeconfig_that_does_not_do_is_refused() {
        let check = |text: &str, expect: &str| assert_eq!(read(text).unwrap_err().to_string(), expect);
        check("clusters: hunter2", "the kubeconfig can't be read: it is no kubeconfig");
        check("clusters: [{name: a, cluster: {server: \"https://a\"}}]", "the kubeconfig has no `certificate-authority-data`");
        check("{}", "the kubeconfig has no `current-context`");
        assert!(client(b"", b"").is_none());
    }
}
