//! Why a file did not come, and what may be done about it.

use super::MOST_REDIRECTS;
use crate::failure::{Classified, Kind};
use crate::store::StoreError;
use std::time::Duration;

/// Why a file did not come.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server has no such file.
    #[error("the server has no such file (HTTP {status})")]
    Missing {
        /// 404 or 410.
        status: u16,
    },
    /// Any other refusal.
    #[error("the server answered HTTP {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// No connection.
    #[error("{host} cannot be reached")]
    Unreachable {
        /// The server, or the proxy on the way to it.
        host: String,
        /// Why.
        source: ureq::Error,
    },
    /// No trusted connection.
    #[error("{host} does not prove that it is {host}: its TLS certificate is not trusted")]
    Tls {
        /// The server.
        host: String,
        /// Why.
        source: ureq::Error,
    },
    /// A connection on which nothing comes.
    #[error("not a byte came for {} s, in {tries} tries, after {got} bytes", .stall.as_secs_f32())]
    Stalled {
        /// How long it waited, each time.
        stall: Duration,
        /// How often.
        tries: u32,
        /// How many bytes there are.
        got: u64,
    },
    /// A connection that ends too early.
    #[error("the connection broke after {got} bytes, in {tries} tries")]
    Broken {
        /// How many bytes there are.
        got: u64,
        /// How often it was tried.
        tries: u32,
        /// Why.
        source: ureq::Error,
    },
    /// Another length than the index or lock says.
    #[error("it has {} {found} bytes where {wanted} were announced", if *.more { "at least" } else { "only" })]
    WrongSize {
        /// What the server sends.
        found: u64,
        /// What the signed index or the lock says.
        wanted: u64,
        /// True if it is longer.
        more: bool,
    },
    /// A small document that is not small.
    #[error("it is larger than {limit} bytes, too large for what it should be")]
    TooLarge {
        /// The most that is read.
        limit: u64,
    },
    /// Redirects without end.
    #[error("it redirects more than {MOST_REDIRECTS} times")]
    TooManyRedirects,
    /// A redirect to nowhere.
    #[error("it redirects to `{location}`, which is no http or https address")]
    BadRedirect {
        /// The Location header.
        location: String,
    },
    /// Not an address.
    #[error("`{address}` is not an http or https address")]
    BadAddress {
        /// As given.
        address: String,
    },
    /// A proxy's address that is none.
    #[error("the proxy `{proxy}` is not an http address that can be used")]
    BadProxy {
        /// As given, without password.
        proxy: String,
    },
    /// Given up because another download failed.
    #[error("another download failed")]
    Cancelled,
    /// The bytes could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HttpError {
    pub(super) fn worth_another_try(&self) -> bool {
        match self {
            HttpError::Stalled { .. } | HttpError::Broken { .. } => true,
            HttpError::Status { status } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    pub(super) fn after(self, all: u32, bytes: u64) -> Self {
        match self {
            HttpError::Stalled { stall, .. } => HttpError::Stalled { stall, tries: all, got: bytes },
            HttpError::Broken { source, .. } => HttpError::Broken { source, tries: all, got: bytes },
            other => other,
        }
    }

    /// True if another address of the same repository may do better.
    pub(in crate::fetch) fn is_elsewhere(&self) -> bool {
        !matches!(self, HttpError::WrongSize { .. } | HttpError::Cancelled | HttpError::Store(_) | HttpError::BadProxy { .. })
    }

    /// True if the server could not be asked at all.
    pub(in crate::fetch) fn is_unreachable(&self) -> bool {
        matches!(
            self,
            HttpError::Unreachable { .. } | HttpError::Tls { .. } | HttpError::Stalled { .. } | HttpError::Broken { .. }
        )
    }
}

impl Classified for HttpError {
    fn kind(&self) -> Kind {
        match self {
            HttpError::WrongSize { .. } | HttpError::TooLarge { .. } => Kind::Trust,
            HttpError::BadAddress { .. } => Kind::Profile,
            HttpError::BadProxy { .. } => Kind::Host,
            HttpError::Store(error) => error.kind(),
            _ => Kind::Unavailable,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            HttpError::Tls { .. } => vec![
                "kmimage trusts the certificate authorities of this host: install its ca-certificates, or name a file of them in \
                 SSL_CERT_FILE (a proxy that opens TLS needs its own authority there)."
                    .into(),
            ],
            HttpError::BadProxy { .. } => {
                vec!["It comes from http_proxy or https_proxy in the environment, or from Acquire::http::Proxy of apt.".into()]
            }
            HttpError::Store(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}
