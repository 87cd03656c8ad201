//! Kubernetes' API as plain REST: a request, bounded in time and size, and what came of it. Never by a proxy.

use super::refusal::Refusal;
use jiff::Timestamp;
use kmimage_contract::kubeconfig::{Access, Credentials};
use serde_json::Value;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, http};

/// How long a connection may take.
const CONNECTION: Duration = Duration::from_secs(5);
/// How long the whole of a request may take.
const WHOLE: Duration = Duration::from_secs(15);
/// The largest answer, in bytes: etcd's objects have 1.5 MiB.
const LARGEST: u64 = 4 << 20;

/// Somebody to ask.
pub(super) struct Api {
    server: String,
    agent: Agent,
    token: Option<String>,
}

/// What a request came to, if it was understood.
#[derive(Debug)]
pub(super) enum Answer {
    /// The object.
    Object(Value),
    /// A refusal: its status, and what it says.
    Refused(u16, String),
}

impl Api {
    /// A server whom nobody has made sure of: for what is checked by other means.
    pub(super) fn stranger(server: &str) -> Self {
        let tls = TlsConfig::builder().disable_verification(true).build();
        Self { server: server.to_owned(), agent: agent(tls), token: None }
    }

    /// A server that proves itself by one of these authorities.
    pub(super) fn new(access: &Access) -> Result<Self, Refusal> {
        let malformed = |why: &str| Refusal::Malformed { what: "the client certificate", why: why.to_owned() };
        let roots: Vec<Certificate<'static>> =
            access.authorities.iter().map(|certificate| Certificate::from_der(&certificate.der).to_owned()).collect();
        let builder = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots)));
        let (client, token) = match &access.credentials {
            Credentials::None => (None, None),
            Credentials::Token(token) => (None, Some(format!("Bearer {}", token.reveal()))),
            Credentials::Certificate { chain, key } => (
                Some(
                    client(chain.reveal().as_bytes(), key.reveal().as_bytes())
                        .ok_or_else(|| malformed("no certificate with its key"))?,
                ),
                None,
            ),
        };
        Ok(Self { server: access.server.clone(), agent: agent(builder.client_cert(client).build()), token })
    }

    /// Gets an object.
    pub(super) fn get(&self, path: &str) -> Result<Answer, Refusal> {
        let mut request = self.agent.get(format!("{}{path}", self.server)).header("Accept", "application/json");
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        self.understand(request.call())
    }

    /// Changes parts of an object (a merge patch, RFC 7386).
    pub(super) fn patch(&self, path: &str, change: &Value) -> Result<Answer, Refusal> {
        let request = self.agent.patch(format!("{}{path}", self.server)).header("Accept", "application/json");
        let mut request = request.header("Content-Type", "application/merge-patch+json");
        if let Some(token) = &self.token {
            request = request.header("Authorization", token);
        }
        self.understand(request.send(change.to_string()))
    }

    /// Whose answers these are.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    fn understand(&self, answer: Result<http::Response<Body>, ureq::Error>) -> Result<Answer, Refusal> {
        let mut answer = answer.map_err(|error| self.explain(error))?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(LARGEST).read_to_vec().map_err(|error| self.explain(error))?;
        let not_one = |why: String| Refusal::NotAnApiServer { server: self.server.clone(), why };
        let object: Option<Value> = serde_json::from_slice(&body).ok();
        // Everything that an API server says is an object; but for /version and refusals on its way in, it has a kind.
        let Some(object) = object.filter(Value::is_object) else {
            return Err(not_one(format!("its answer ({status}) is no object")));
        };
        if status.is_success() {
            return Ok(Answer::Object(object));
        }
        if object["kind"] != "Status" {
            return Err(not_one(format!("its answer ({status}) is none of Kubernetes")));
        }
        let message: String = object["message"].as_str().unwrap_or_default().chars().take(300).collect();
        Ok(Answer::Refused(status.as_u16(), message))
    }

    fn explain(&self, error: ureq::Error) -> Refusal {
        let server = self.server.clone();
        let unreachable = |why: String| Refusal::Unreachable { server: server.clone(), why };
        match error {
            ureq::Error::Rustls(error) => self.explain_tls(&error),
            ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(tls) => self.explain_tls(tls),
                None if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Refusal::NotAnApiServer { server, why: "it hangs up".to_owned() }
                }
                None => unreachable(error.to_string()),
            },
            ureq::Error::HostNotFound => unreachable("its name is not known".to_owned()),
            ureq::Error::Timeout(phase) => unreachable(format!("it took too long ({phase})")),
            ureq::Error::ConnectionFailed => unreachable("the connection failed".to_owned()),
            other => Refusal::NotAnApiServer { server, why: other.to_string() },
        }
    }

    fn explain_tls(&self, error: &rustls::Error) -> Refusal {
        use rustls::CertificateError as Fault;
        let server = self.server.clone();
        let clock = |why| Refusal::Clock { server: server.clone(), why, clock: Timestamp::now().strftime("%FT%TZ").to_string() };
        match error {
            rustls::Error::InvalidCertificate(Fault::NotValidYet | Fault::NotValidYetContext { .. }) => clock("not valid yet"),
            rustls::Error::InvalidCertificate(Fault::Expired | Fault::ExpiredContext { .. }) => clock("expired"),
            rustls::Error::InvalidCertificate(Fault::UnknownIssuer) => {
                Refusal::Certificate { server, why: "no authority of the cluster has signed it".to_owned() }
            }
            rustls::Error::InvalidCertificate(fault) => Refusal::Certificate { server, why: fault.to_string() },
            other => Refusal::NotAnApiServer { server, why: other.to_string() },
        }
    }
}

fn agent(tls: TlsConfig) -> Agent {
    Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECTION))
        .timeout_global(Some(WHOLE))
        .proxy(None)
        .user_agent(concat!("kmimage/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// A client certificate. `None`: there is none, or its key is another's (which the TLS library doesn't take calmly).
fn client(chain: &[u8], key: &[u8]) -> Option<ClientCert> {
    let chain: Vec<Certificate<'static>> = parse_pem(chain)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    let first = rustls::pki_types::CertificateDer::from(chain.first()?.der().to_vec());
    let own = PrivateKey::from_pem(key).ok()?;
    let der = <rustls::pki_types::PrivateKeyDer<'static> as rustls::pki_types::pem::PemObject>::from_pem_slice(key).ok()?;
    let provider = rustls::crypto::ring::default_provider();
    rustls::sign::CertifiedKey::from_der(vec![first], der, &provider).ok()?;
    Some(ClientCert::new_with_certs(&chain, own))
}
