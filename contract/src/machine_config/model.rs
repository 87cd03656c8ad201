//! A machine config whose every value has been judged.

use super::cluster::Cluster;
use super::install::Install;
use super::kubelet::Kubelet;
use super::network::Network;
use super::registry::Registry;
use super::secret::Secret;
use super::values;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// What a machine is to be. Only [`super::parse`] makes one, from a document that keeps every rule; its default is the machine
/// without a config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MachineConfig {
    /// `[machine] hostname`.
    pub hostname: Option<String>,
    /// `[machine] role`, which is the image's.
    pub role: Option<String>,
    /// `[network]`, but for the proxy.
    pub network: Network,
    /// `[network] proxy`.
    pub proxy: Option<Proxy>,
    /// `[time] servers`: names or addresses. Empty: those of DHCP, else the default.
    pub time_servers: Vec<String>,
    /// `[sysctl]`.
    pub sysctls: BTreeMap<Sysctl, String>,
    /// `[kernel] modules`, with `_` for `-`.
    pub modules: Vec<String>,
    /// `[trust] ca`: certificates, beside those of the image.
    pub trusted: Vec<Certificate>,
    /// `[[file]]`.
    pub files: Vec<File>,
    /// `[[volume]]`.
    pub volumes: Vec<Volume>,
    /// `[[service]]`.
    pub services: Vec<Service>,
    /// `[log] receiver`.
    pub log: Option<LogReceiver>,
    /// `[cluster]`.
    pub cluster: Option<Cluster>,
    /// `[kubelet]`.
    pub kubelet: Kubelet,
    /// `[registry]`.
    pub registry: Registry,
    /// `[install]`.
    pub install: Option<Install>,
}

/// Proxies for what the machine itself fetches, and for its services (as `http_proxy`, `https_proxy`, `no_proxy`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// For http:// addresses. It may hold a password.
    pub http: Option<Secret>,
    /// For https:// addresses. It may hold a password.
    pub https: Option<Secret>,
    /// Names, domains (`.example.org`), addresses and networks to reach without one.
    pub no_proxy: Vec<String>,
}

/// A kernel parameter, as its path below /proc/sys: `net/ipv4/ip_forward`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sysctl(String);

impl Sysctl {
    /// From a path that has been judged.
    pub(super) fn new(path: String) -> Self {
        Self(path)
    }

    /// The path below /proc/sys.
    pub fn path(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A certificate of an authority that the machine trusts.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its DER encoding.
    pub der: Vec<u8>,
    /// Its PEM text, from `-----BEGIN` to `-----END CERTIFICATE-----` with a line's end behind.
    pub pem: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} bytes)", self.der.len())
    }
}

/// A file below [`super::FILE_FOLDER`], owned by root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where: absolute and normal.
    pub path: String,
    /// Permission bits, 0777 at most.
    pub mode: u32,
    /// What is in it.
    pub content: Secret,
}

/// A further disk: made a file system once, and mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name, in state lines and as the file system's label.
    pub name: String,
    /// The disk: a name in /dev/disk/by-id.
    pub disk: String,
    /// Where it is mounted: absolute, normal, below /var.
    pub path: String,
    /// What is made on it.
    pub filesystem: Filesystem,
}

/// The file system of a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Filesystem {
    /// ext4.
    #[default]
    Ext4,
}

/// A program that the machine keeps running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The program (absolute, in the verified root) and its arguments.
    pub command: Vec<String>,
    /// What must be there before it starts, each once.
    pub needs: Vec<Need>,
    /// Its environment, beside PATH and the proxies. Values may be secrets.
    pub environment: BTreeMap<String, Secret>,
    /// How soon it is started again.
    pub restart: Restart,
    /// When it counts as ready. None: as soon as it runs.
    pub readiness: Option<Readiness>,
    /// oom_score_adj, -1000 to 1000: the higher, the rather the kernel kills it when memory ends.
    pub oom_score: i16,
    /// Bytes of memory that the kernel never takes back (cgroup's memory.min).
    pub memory_min: Option<u64>,
    /// Bytes of memory that the kernel takes back last (cgroup's memory.low).
    pub memory_low: Option<u64>,
    /// Capabilities that it keeps.
    pub capabilities: Vec<Capability>,
    /// How long it may take to end after SIGTERM.
    pub stop_timeout: Duration,
}

/// What a service needs before it starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// Something that the machine itself brings about.
    Condition(Condition),
    /// Another service, ready.
    Service(String),
}

/// What the machine itself brings about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// A usable address.
    Network,
    /// A clock that has been set, waited for within bounds.
    Time,
    /// The file system `state` with what is bound from it.
    State,
    /// The file system `var` with what is bound from it.
    Var,
    /// What the config asks for has been made so: kernel parameters, modules, /etc in its final form, further disks.
    Applied,
    /// The machine has all that kubelet reads: its configuration and credentials.
    KubeletConfigured,
}

impl Condition {
    /// Its name: in needs, and among init's units and conditions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Time => "time",
            Self::State => "state",
            Self::Var => "var",
            Self::Applied => "applied",
            Self::KubeletConfigured => "kubelet-configured",
        }
    }
}

/// How soon a service that ended is started again: the pause doubles from one bound to the other, and starts anew after a minute
/// of health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// The first pause.
    pub minimum: Duration,
    /// The longest.
    pub maximum: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self { minimum: Duration::from_millis(100), maximum: Duration::from_secs(30) }
    }
}

/// How to see that a service is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// A Unix socket at this path takes connections.
    Socket(String),
    /// GET answers with a status from 200 to 399.
    Http {
        /// Whom to ask.
        address: SocketAddr,
        /// The path, with its query; begins with `/`.
        path: String,
    },
    /// A program (as [`Service::command`]) ends with 0.
    Exec(Vec<String>),
}

/// Where logs are sent, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReceiver {
    /// How.
    pub protocol: LogProtocol,
    /// To whom: a name or an address.
    pub host: Host,
    /// At which port.
    pub port: u16,
}

/// A host by name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// By name, to be looked up.
    Name(String),
    /// By address.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// How logs are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogProtocol {
    /// TCP, octet-counted (RFC 6587).
    Tcp,
    /// UDP, a datagram each (RFC 5426).
    Udp,
}

impl fmt::Display for LogReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            LogProtocol::Tcp => "tcp",
            LogProtocol::Udp => "udp",
        };
        write!(f, "{protocol}://{}:{}", self.host, self.port)
    }
}

impl FromStr for LogReceiver {
    /// What is wrong, in one line.
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, rest) = match text.split_once("://") {
            Some(("tcp", rest)) => (LogProtocol::Tcp, rest),
            Some(("udp", rest)) => (LogProtocol::Udp, rest),
            _ => return Err("a log receiver is written \"tcp://HOST:PORT\" or \"udp://HOST:PORT\"".to_owned()),
        };
        let (host, port) = values::host_and_port(rest.strip_suffix('/').unwrap_or(rest))?;
        Ok(Self { protocol, host, port })
    }
}

/// A capability of Linux (capabilities(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

impl Capability {
    /// By name, such as `CAP_NET_ADMIN`.
    pub fn named(name: &str) -> Option<Self> {
        let at = CAPABILITIES.iter().position(|known| *known == name)?;
        u8::try_from(at).ok().map(Self)
    }

    /// Its number in the kernel.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Every name, by number.
    pub fn names() -> &'static [&'static str] {
        &CAPABILITIES
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CAPABILITIES.get(usize::from(self.0)).copied().unwrap_or_default())
    }
}

/// linux/capability.h.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];
