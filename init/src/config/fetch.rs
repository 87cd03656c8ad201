//! Fetching a document by HTTP: bounded in size, time and redirects, and by TLS only with roots that this machine trusts.

#[cfg(test)]
mod tests;

use super::location::Url;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::http::StatusCode;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Where the image has its certificate authorities, as one file of PEM.
pub(super) const CA_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// How long a connection, and how long the first byte of an answer, may take.
const STEP: Duration = Duration::from_secs(15);
/// How long the whole may take, with all redirects.
const WHOLE: Duration = Duration::from_secs(60);
/// How many redirects are followed.
const REDIRECTS: u32 = 5;

/// Why a document was not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server's answer is no document.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// The server can't be reached, or stopped answering: nothing that is wrong with the document.
    #[error("the server can't be reached: {0}")]
    Unreachable(String),
    /// The server isn't the one that the URL names, or can't prove it.
    #[error("the server's certificate is refused: {0}")]
    Certificate(String),
    /// More than a document may have.
    #[error("the document has more than {0} bytes")]
    TooLarge(u64),
    /// Too many redirects, one from https to http, or an answer that is not HTTP.
    #[error("the answer is refused: {0}")]
    Answer(String),
}

impl FetchError {
    /// Whether waiting may be all that it takes.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Status(status) => status.is_server_error(),
            Self::Certificate(_) | Self::TooLarge(_) | Self::Answer(_) => false,
        }
    }
}

/// Something that fetches.
#[derive(Debug, Clone)]
pub struct Fetcher {
    roots: Vec<Certificate<'static>>,
}

impl Fetcher {
    /// Trusts the authorities of these PEM texts; parts of them that are no certificates are passed over.
    pub fn new<'a>(bundles: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let certificates = bundles.into_iter().flat_map(parse_pem).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        Self { roots: certificates.collect() }
    }

    /// Fetches a document of at most `limit` bytes.
    pub fn fetch(&self, url: &Url, limit: u64) -> Result<Vec<u8>, FetchError> {
        let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(self.roots.clone()))).build();
        let agent: Agent = Agent::config_builder()
            .tls_config(tls)
            .https_only(url.is_https())
            .max_redirects(REDIRECTS)
            .max_redirects_will_error(true)
            .timeout_global(Some(WHOLE))
            .timeout_connect(Some(STEP))
            .timeout_recv_response(Some(STEP))
            .proxy(None)
            .user_agent(concat!("kmimage/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let mut answer = agent.get(url.as_str()).call().map_err(|error| explain(error, limit))?;
        answer
            .body_mut()
            .with_config()
            .limit(limit.saturating_add(1))
            .read_to_vec()
            .map_err(|error| explain(error, limit))
            .and_then(|bytes| if bytes.len() as u64 > limit { Err(FetchError::TooLarge(limit)) } else { Ok(bytes) })
    }
}

fn explain(error: ureq::Error, limit: u64) -> FetchError {
    match error {
        ureq::Error::StatusCode(code) => match StatusCode::from_u16(code) {
            Ok(status) => FetchError::Status(status),
            Err(error) => FetchError::Answer(error.to_string()),
        },
        ureq::Error::BodyExceedsLimit(_) => FetchError::TooLarge(limit),
        ureq::Error::Rustls(error) => FetchError::Certificate(error.to_string()),
        // rustls' own errors travel inside of the socket's.
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => FetchError::Certificate(error.to_string()),
        ureq::Error::Io(error) => FetchError::Unreachable(error.to_string()),
        ureq::Error::HostNotFound => FetchError::Unreachable("its name is not known".to_owned()),
        ureq::Error::Timeout(phase) => FetchError::Unreachable(format!("it took too long ({phase})")),
        ureq::Error::ConnectionFailed => FetchError::Unreachable("the connection failed".to_owned()),
        other => FetchError::Answer(other.to_string()),
    }
}
