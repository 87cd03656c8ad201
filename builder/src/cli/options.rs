//! Options that several subcommands share.

use crate::failure::{Classified, Failure, Kind};
use crate::fetch::{Host, Options, Place, apt_conf};
use crate::store::Store;
use clap::Args;
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Where packages come from and how patiently; `build` and `lock` take all of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Packages")]
pub struct SourceOptions {
    /// The lock file.
    #[arg(long, value_name = "FILE", default_value = "kmimage.lock")]
    pub lock: PathBuf,
    /// Never use the network: what the store lacks is an error.
    #[arg(long)]
    pub offline: bool,
    /// Take a signed repository from another address; its signatures count as before.
    #[arg(long, value_name = "NAME=URL")]
    pub mirror: Vec<Assignment>,
    /// Take a repository's packages from elsewhere: another signed repository, or a directory of .deb files.
    #[arg(long, value_name = "NAME=URL|DIR")]
    pub repository: Vec<Assignment>,
    /// Give a download up, and resume it, after so many seconds without a byte.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub stall_timeout: Duration,
    /// Accept a repository's index although its Valid-Until has passed.
    #[arg(long, value_name = "NAME")]
    pub allow_expired: Vec<String>,
    /// Where downloads and derived data are kept.
    #[command(flatten)]
    pub store: StoreOption,
}

/// Where downloads and derived data are kept.
#[derive(Debug, Clone, Args)]
pub struct StoreOption {
    /// The store of downloads and derived data [default: $KMIMAGE_STORE, $XDG_CACHE_HOME/kmimage or ~/.cache/kmimage].
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
}

/// NAME=VALUE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// What is before the first `=`.
    pub name: String,
    /// What is after it.
    pub value: String,
}

impl FromStr for Assignment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok(Self { name: name.into(), value: value.into() }),
            _ => Err("expected NAME=VALUE"),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected a number of seconds, 1 to 86400".into()),
    }
}

impl SourceOptions {
    /// What fetching has to know, with the host's apt configuration and environment.
    pub fn fetch(&self) -> Options {
        let pairs = |list: &[Assignment]| list.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect::<Vec<_>>();
        let (sources, apt) = apt_conf::read(Path::new("/"));
        let environment = PROXY_VARIABLES
            .iter()
            .filter_map(|name| {
                let value = variable(name).or_else(|| variable(&name.to_ascii_uppercase()))?;
                Some(((*name).to_owned(), value))
            })
            .collect();
        Options {
            mirrors: pairs(&self.mirror).into_iter().collect(),
            repositories: pairs(&self.repository).into_iter().map(|(name, value)| (name, Place::parse(&value))).collect(),
            offline: self.offline,
            stall_timeout: self.stall_timeout,
            allow_expired: self.allow_expired.iter().cloned().collect(),
            host: Host { sources, apt, environment },
            ..Options::new(now())
        }
    }
}

impl StoreOption {
    /// Opens the store, made if missing.
    pub fn open(&self) -> Result<Store, Failure> {
        let variables = ["KMIMAGE_STORE", "XDG_CACHE_HOME", "HOME"].map(|name| (name, std::env::var_os(name)));
        let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.as_deref());
        let directory = self.store.clone().or_else(|| Store::default_directory(lookup)).ok_or(OptionsError::NoHome)?;
        Ok(Store::open(directory)?)
    }
}

const PROXY_VARIABLES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The wall clock, for signatures and Valid-Until only: it never reaches an image.
#[expect(clippy::disallowed_methods, reason = "this is where the clock enters")]
pub fn now() -> Timestamp {
    // A clock before year -9999 or after 9999 is a clock that was never set.
    Timestamp::try_from(std::time::SystemTime::now()).unwrap_or_default()
}

/// The environment's SOURCE_DATE_EPOCH, as reproducible-builds.org specifies it.
pub fn source_date_epoch() -> Result<Option<u32>, OptionsError> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|_| OptionsError::Epoch(text)),
    }
}

/// A digest of the program that runs.
pub fn own_digest() -> Result<String, OptionsError> {
    let mut hasher = blake3::Hasher::new();
    let mut program = std::fs::File::open("/proc/self/exe").map_err(OptionsError::Program)?;
    std::io::copy(&mut program, &mut hasher).map_err(OptionsError::Program)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// What is wrong with the environment.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// No variable says where a user's cache is.
    #[error("no place for the store: HOME and XDG_CACHE_HOME are unset")]
    NoHome,
    /// SOURCE_DATE_EPOCH is not a number of seconds that a squashfs can hold.
    #[error("SOURCE_DATE_EPOCH is `{0}`; expected seconds since 1970, 0 to 4294967295")]
    Epoch(String),
    /// `kmimage lock` without a profile, and a lock without one.
    #[error("{} locks no profile yet", .0.display())]
    NothingLocked(PathBuf),
    /// `kmimage cache verify` found damage.
    #[error("{} in the store {}", damaged(*.files), .store.display())]
    Damaged {
        /// How many.
        files: usize,
        /// The store.
        store: PathBuf,
    },
    /// The running program cannot be read.
    #[error("cannot read the running program, /proc/self/exe")]
    Program(#[source] std::io::Error),
}

fn damaged(files: usize) -> String {
    if files == 1 { "there is 1 damaged file".to_owned() } else { format!("there are {files} damaged files") }
}

impl Classified for OptionsError {
    fn kind(&self) -> Kind {
        match self {
            OptionsError::NoHome | OptionsError::Program(_) => Kind::Host,
            OptionsError::Damaged { .. } => Kind::Trust,
            OptionsError::Epoch(_) | OptionsError::NothingLocked(_) => Kind::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            OptionsError::NoHome => vec!["Name a folder with --store.".into()],
            OptionsError::NothingLocked(_) => vec!["Name one with --profile.".into()],
            OptionsError::Damaged { .. } => {
                vec!["`kmimage cache verify --repair` removes what is damaged; the next build fetches or makes it again.".into()]
            }
            OptionsError::Epoch(_) | OptionsError::Program(_) => Vec::new(),
        }
    }
}
