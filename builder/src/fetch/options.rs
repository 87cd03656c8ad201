//! What the operator and the host say about fetching.

use super::apt_conf::{AptConfiguration, AptSource};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

/// How to fetch. [`Options::new`] has the defaults of the command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// `--mirror NAME=URL`: the same signed repository at another address.
    pub mirrors: BTreeMap<String, String>,
    /// `--repository NAME=URL|DIR`: another source for a repository.
    pub repositories: BTreeMap<String, Place>,
    /// `--offline`: the store is all there is.
    pub offline: bool,
    /// `--stall-timeout`: give a connection up after so long without a byte.
    pub stall_timeout: Duration,
    /// `--allow-expired NAME`: repositories whose Valid-Until may have passed.
    pub allow_expired: BTreeSet<String>,
    /// The time, for signatures and Valid-Until; from the wall clock of whoever calls.
    pub now: Timestamp,
    /// How many downloads run at once.
    pub connections: usize,
    /// What the host's environment and apt say.
    pub host: Host,
}

impl Options {
    /// The defaults: nothing redirected, online, 30 s, six connections, a host that says nothing.
    pub fn new(now: Timestamp) -> Self {
        Self {
            mirrors: BTreeMap::new(),
            repositories: BTreeMap::new(),
            offline: false,
            stall_timeout: Duration::from_secs(30),
            allow_expired: BTreeSet::new(),
            now,
            connections: 6,
            host: Host::default(),
        }
    }
}

/// Where a repository's files are, if not where its profile says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A base address.
    Url(String),
    /// A local directory of .deb files.
    Directory(PathBuf),
}

impl Place {
    /// `http://` and `https://` are addresses; everything else is a directory.
    pub fn parse(text: &str) -> Self {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("http" | "https") => Place::Url(text.trim_end_matches('/').to_string()),
            _ => Place::Directory(text.into()),
        }
    }
}

/// What the host says: apt's sources (for a mirror near by) and proxies.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// apt's sources, in apt's order.
    pub sources: Vec<AptSource>,
    /// apt's configuration; only its proxies count.
    pub apt: AptConfiguration,
    /// Environment variables `http_proxy`, `https_proxy`, `all_proxy`, `no_proxy`, by lower-case name (an upper-case one counts where
    /// the lower-case one is missing).
    pub environment: BTreeMap<String, String>,
}
