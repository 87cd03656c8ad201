//! `[cluster]`, judged: which cluster a machine joins, and as what.

use super::address::Cidr;
use super::model::Host;
use super::secret::Secret;
use super::values;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Which cluster a machine joins, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// How it finds the cluster, and how it knows that it is the right one.
    pub discovery: Discovery,
    /// The machine's addresses in the cluster: none (kubelet chooses), one, or one of each family.
    pub node_ips: Vec<NodeIp>,
    /// Labels that the node registers with.
    pub labels: BTreeMap<String, String>,
    /// Taints that the node registers with.
    pub taints: Vec<Taint>,
    /// The cloud's name for the machine.
    pub provider_id: Option<String>,
}

/// How a machine finds its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovery {
    /// By a bootstrap token, which the cluster's public information is signed with, and the public keys of its authorities.
    Token {
        /// An API server.
        endpoint: Endpoint,
        /// The bootstrap token.
        token: BootstrapToken,
        /// The keys, one at least; any of them will do.
        ca_hashes: Vec<CaHash>,
    },
    /// By a kubeconfig that names server and authority.
    File {
        /// Its text (YAML).
        kubeconfig: Secret,
        /// The bootstrap token to join with, where the kubeconfig has no credentials.
        token: Option<BootstrapToken>,
    },
}

/// An API server: `HOST:PORT`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: u16,
}

impl FromStr for Endpoint {
    /// What is wrong, in one line.
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            return Err(format!("`{text}` is not HOST:PORT: write it without `https://`"));
        }
        values::host_and_port(text).map(|(host, port)| Self { host, port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A bootstrap token as kubeadm makes them: `abcdef.0123456789abcdef`, of which the first part is public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapToken {
    id: String,
    secret: Secret,
}

impl BootstrapToken {
    /// The part that the API server and its Secret are asked by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The part that nobody else knows.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The whole, as it is sent.
    pub fn whole(&self) -> Secret {
        Secret::new(format!("{}.{}", self.id, self.secret.reveal()))
    }
}

impl FromStr for BootstrapToken {
    /// What is wrong, in one line that shows nothing of the text.
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let fits =
            |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        match text.split_once('.') {
            Some((id, secret)) if fits(id, 6) && fits(secret, 16) => Ok(Self { id: id.to_owned(), secret: Secret::new(secret) }),
            _ => {
                Err("a bootstrap token is 6 lower-case letters and digits, a dot, and 16 more (`kubeadm token create`)"
                    .to_owned())
            }
        }
    }
}

/// The SHA-256 of an authority's public key (its SubjectPublicKeyInfo in DER), written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CaHash(pub [u8; 32]);

impl FromStr for CaHash {
    /// What is wrong, in one line.
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
            format!("`{shown}` is no hash of an authority's key: \"sha256:\" and 64 hexadecimal digits, as kubeadm prints it")
        };
        let digits =
            text.get(..7).filter(|name| name.eq_ignore_ascii_case("sha256:")).and_then(|_| text.get(7..)).ok_or_else(bad)?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = digits.get(at * 2..at * 2 + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(bad)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for CaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CaHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The address of a machine in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeIp {
    /// This one.
    Address(IpAddr),
    /// The one that lies in this network.
    Network(Cidr),
}

impl NodeIp {
    /// Whether it is of the family of IPv4.
    pub fn is_ipv4(&self) -> bool {
        match self {
            Self::Address(address) => address.is_ipv4(),
            Self::Network(network) => network.address().is_ipv4(),
        }
    }
}

impl FromStr for NodeIp {
    /// What is wrong, in one line.
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains('/') {
            let address = values::address(text)?;
            return if address.is_loopback() {
                Err(format!("`{address}` is no address of a node"))
            } else {
                Ok(Self::Address(address))
            };
        }
        let network: Cidr = text.parse().map_err(|error: super::AddressError| error.to_string())?;
        if network.network() != network {
            return Err(format!("`{text}` has bits below its prefix: the network is \"{}\"", network.network()));
        }
        Ok(Self::Network(network))
    }
}

impl fmt::Display for NodeIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Network(network) => network.fmt(f),
        }
    }
}

/// A taint that a node registers with, written `key=value:Effect` or `key:Effect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; it may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: &'static str,
}

/// What a taint may do.
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

impl FromStr for Taint {
    /// What is wrong, in one line.
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
        let bad = || format!("`{shown}` is no taint: \"KEY=VALUE:EFFECT\" or \"KEY:EFFECT\"");
        let (rest, effect) = text.rsplit_once(':').ok_or_else(bad)?;
        let Some(effect) = EFFECTS.into_iter().find(|known| *known == effect) else {
            return Err(format!("`{shown}`: the effect of a taint is {}", EFFECTS.join(", ")));
        };
        let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
        Ok(Self { key: values::qualified_name(key)?, value: values::label_value(value)?, effect })
    }
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, effect } = self;
        if value.is_empty() { write!(f, "{key}:{effect}") } else { write!(f, "{key}={value}:{effect}") }
    }
}
