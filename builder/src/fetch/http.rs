//! HTTP: one file from one address, resumed when the connection breaks, given up when it stalls.
//!
//! TLS is rustls with ring (ureq's own choice; no C toolchain beyond what ring brings) and the host's certificate authorities. What
//! comes over plain HTTP is no less safe: everything is checked against a signature or a hash. It follows redirects itself, so that
//! each hop has its own proxy.

mod error;

pub use error::HttpError;

use super::options::Options;
use super::{address, proxy};
use crate::store::Partial;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

/// How often a broken or stalled download is taken up again.
const RESUMED_TRIES: u32 = 3;
const MOST_REDIRECTS: usize = 8;

/// Gets files; shared by threads. Keeps connections open between requests.
#[derive(Debug)]
pub(super) struct Client {
    stall: Duration,
    connections: usize,
    host: super::options::Host,
    /// By proxy and whether it forwards.
    agents: Mutex<BTreeMap<(Option<String>, bool), Agent>>,
}

/// An answer with a body.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
}

impl Client {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            stall: options.stall_timeout,
            connections: options.connections,
            host: options.host.clone(),
            agents: Mutex::default(),
        }
    }

    /// Reads a small document whose length nobody announced.
    pub(super) fn read(&self, address: &str, limit: u64) -> Result<Vec<u8>, HttpError> {
        let got = std::cell::Cell::new(0);
        self.try_often(
            || got.get(),
            || {
                let answer = self.get(address, 0, None)?;
                let announced = content_length(&answer.headers);
                if announced.is_some_and(|len| len > limit) {
                    return Err(HttpError::TooLarge { limit });
                }
                let mut bytes = Vec::new();
                let mut reader = answer.body.into_reader().take(limit + 1);
                let read = reader.read_to_end(&mut bytes);
                got.set(bytes.len() as u64);
                read.map_err(|error| self.broken(error.into()))?;
                match bytes.len() as u64 {
                    len if len > limit => Err(HttpError::TooLarge { limit }),
                    len if announced.is_some_and(|announced| announced != len) => Err(self.ended(len)),
                    _ => Ok(bytes),
                }
            },
        )
    }

    /// Downloads a file of a known size, going on where `partial` ends. `watch` hears how many bytes there are; when it returns
    /// false, the download is given up. The caller checks the hash.
    pub(super) fn download(
        &self,
        address: &str,
        size: u64,
        partial: &mut Partial,
        watch: &dyn Fn(u64) -> bool,
    ) -> Result<(), HttpError> {
        if partial.len() > size {
            partial.restart()?;
        }
        let partial = std::cell::RefCell::new(partial);
        let mut tag = None;
        self.try_often(|| partial.borrow().len(), || self.go_on(address, size, &mut partial.borrow_mut(), &mut tag, watch))
    }

    fn go_on(
        &self,
        address: &str,
        size: u64,
        partial: &mut Partial,
        tag: &mut Option<String>,
        watch: &dyn Fn(u64) -> bool,
    ) -> Result<(), HttpError> {
        if partial.len() == size {
            return Ok(());
        }
        let mut answer = self.get(address, partial.len(), tag.as_deref())?;
        if !partial.is_empty() && !resumes(&answer, partial.len()) {
            // A server that does not know ranges, or a file that has changed. Where the answer is the whole file, take it.
            partial.restart()?;
            if answer.status != StatusCode::OK {
                answer = self.get(address, 0, None)?;
            }
        }
        // A strong validator only: If-Range knows no other.
        let etag = answer.headers.get(header::ETAG).and_then(|value| value.to_str().ok());
        *tag = etag.filter(|value| value.starts_with('"')).map(str::to_string);
        if let Some(rest) = content_length(&answer.headers) {
            let found = partial.len().saturating_add(rest);
            if found != size {
                return Err(HttpError::WrongSize { found, wanted: size, more: found > size });
            }
        }
        let announced = content_length(&answer.headers).is_some();
        let mut reader = answer.body.into_reader();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = match reader.read(&mut buffer) {
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken(error.into())),
            };
            if n == 0 {
                break;
            }
            let found = partial.len() + n as u64;
            if found > size {
                return Err(HttpError::WrongSize { found, wanted: size, more: true });
            }
            partial.append(&buffer[..n])?;
            if !watch(found) {
                return Err(HttpError::Cancelled);
            }
        }
        match partial.len() {
            len if len == size => Ok(()),
            len if announced => Err(self.ended(len)),
            // Without an announced length an end is an end: nothing says that more was to come.
            len => Err(HttpError::WrongSize { found: len, wanted: size, more: false }),
        }
    }

    fn try_often<T>(&self, got: impl Fn() -> u64, mut step: impl FnMut() -> Result<T, HttpError>) -> Result<T, HttpError> {
        let mut tries = 1;
        loop {
            match step() {
                Err(error) if error.worth_another_try() && tries <= RESUMED_TRIES => {
                    std::thread::sleep(Duration::from_millis(250 << tries).min(self.stall));
                    tries += 1;
                }
                Err(error) => return Err(error.after(tries, got())),
                Ok(value) => return Ok(value),
            }
        }
    }

    /// One request from byte `from` on; redirects are followed, statuses other than 200, 206 and 416 are errors.
    fn get(&self, address: &str, from: u64, tag: Option<&str>) -> Result<Answer, HttpError> {
        let mut address = address.to_string();
        for _ in 0..=MOST_REDIRECTS {
            let host = address::host(&address).ok_or_else(|| HttpError::BadAddress { address: address::shown(&address) })?;
            let (agent, authorization) = self.agent(&address)?;
            let mut request = agent.get(&address).header(header::ACCEPT_ENCODING, "identity");
            if let Some(authorization) = authorization {
                request = request.header(header::PROXY_AUTHORIZATION, authorization);
            }
            if from > 0 {
                request = request.header(header::RANGE, format!("bytes={from}-"));
                if let Some(tag) = tag {
                    request = request.header(header::IF_RANGE, tag);
                }
            }
            let (parts, body) = request.call().map_err(|error| self.refused(&host, error))?.into_parts();
            match parts.status.as_u16() {
                200 | 206 | 416 => return Ok(Answer { status: parts.status, headers: parts.headers, body }),
                301 | 302 | 303 | 307 | 308 => {
                    let location = parts.headers.get(header::LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
                    let location = location.unwrap_or_default();
                    address = address::redirected(&address, &location)
                        .ok_or_else(|| HttpError::BadRedirect { location: location.into_owned() })?;
                }
                status @ (404 | 410) => return Err(HttpError::Missing { status }),
                status => return Err(HttpError::Status { status }),
            }
        }
        Err(HttpError::TooManyRedirects)
    }

    /// The agent for an address, and what it has to say to the proxy.
    fn agent(&self, address: &str) -> Result<(Agent, Option<String>), HttpError> {
        let through = proxy::choose(address, &self.host);
        let bad = |text: &str| HttpError::BadProxy { proxy: address::shown(text) };
        let proxy = through.as_deref().map(|text| Proxy::new(text).map_err(|_| bad(text))).transpose()?;
        let forwards = proxy.is_some() && address.starts_with("http://");
        let key = (through, forwards);
        let authorization = proxy.as_ref().filter(|_| forwards).and_then(proxy::authorization);
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let agent = agents.entry(key).or_insert_with(|| {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .user_agent(concat!("kmimage/", env!("CARGO_PKG_VERSION")))
                .max_idle_connections_per_host(self.connections)
                .timeout_resolve(Some(self.stall))
                .timeout_connect(Some(self.stall))
                .timeout_per_read(Some(self.stall))
                .timeout_per_write(Some(self.stall))
                .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build());
            match proxy {
                Some(proxy) if forwards => proxy::forwarding_agent(config.proxy(None).build(), &proxy),
                other => config.proxy(other).build().new_agent(),
            }
        });
        Ok((agent.clone(), authorization))
    }

    /// An error before the answer.
    fn refused(&self, host: &str, error: ureq::Error) -> HttpError {
        use ureq::{Error as E, Timeout as T};
        let host = host.to_string();
        match error {
            E::Timeout(T::Resolve | T::Connect) | E::HostNotFound | E::ConnectionFailed | E::ConnectProxyFailed(_) => {
                HttpError::Unreachable { host, source: error }
            }
            E::Rustls(_) | E::Tls(_) | E::Pem(_) => HttpError::Tls { host, source: error },
            E::Io(ref source) => match source.kind() {
                io::ErrorKind::InvalidData => HttpError::Tls { host, source: error },
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
                | io::ErrorKind::TimedOut
                | io::ErrorKind::WouldBlock => self.broken(error),
                _ => HttpError::Unreachable { host, source: error },
            },
            E::BadUri(_) | E::Http(_) => HttpError::BadAddress { address: host },
            other => self.broken(other),
        }
    }

    /// An error while bytes should come.
    fn broken(&self, error: ureq::Error) -> HttpError {
        match error {
            ureq::Error::Timeout(_) => HttpError::Stalled { stall: self.stall, tries: 1, got: 0 },
            source => HttpError::Broken { source, tries: 1, got: 0 },
        }
    }

    fn ended(&self, got: u64) -> HttpError {
        HttpError::Broken { got, tries: 1, source: io::Error::from(io::ErrorKind::UnexpectedEof).into() }
    }
}

/// True if an answer goes on at `from`.
fn resumes(answer: &Answer, from: u64) -> bool {
    let range = answer.headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.trim().parse::<u64>().ok());
    answer.status == StatusCode::PARTIAL_CONTENT && start == Some(from)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
