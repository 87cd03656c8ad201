//! `kmimage config join`.

use super::{Outcome, read, seed};
use crate::failure::{Classified, Kind, io_kind};
use crate::machine_config::join::admin::{self, Made};
use crate::machine_config::join::kubeadm_line::{self, Line, LineError};
use crate::machine_config::join::{self, Join};
use anstream::{eprintln, print};
use clap::Args;
use kmimage_contract::machine_config::{Discovery, Endpoint, MachineConfigError, Secret};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What `kmimage config join` understands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kubeadm token create --print-join-command | kmimage config join --hostname node-1 -o node-1.toml
  kmimage config join --kubeconfig admin.conf --ttl 2h -o worker.toml

The line comes from standard input: a token does not belong on a command line. What is written holds a token: only its owner may
read the file. `kmimage config seed` makes a volume of it.")]
pub(super) struct Arguments {
    /// An admin kubeconfig: a bootstrap token is made in its cluster, and the authority's hash computed.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// How long that token is to be valid: 30m, 24h, 7d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = lifetime, requires = "kubeconfig")]
    ttl: Duration,
    /// The API server's address for machines, where it is not the one that cluster-info names.
    #[arg(long, value_name = "HOST:PORT", requires = "kubeconfig")]
    endpoint: Option<Endpoint>,
    /// The machine's name; it outranks `--node-name` of the line.
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// The file to write; by default standard output. One that is there is replaced.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
enum JoinError {
    /// The line is not taken.
    #[error(transparent)]
    Line(#[from] LineError),
    /// What was made of it is no machine config: its values are.
    #[error(transparent)]
    Config(#[from] MachineConfigError),
    /// A file, or standard input, can't be read.
    #[error("cannot read {what}")]
    Read {
        /// What.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no text.
    #[error("{0} is not UTF-8")]
    Text(String),
    /// The file can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Classified for JoinError {
    fn kind(&self) -> Kind {
        match self {
            Self::Line(_) | Self::Text(_) => Kind::Usage,
            Self::Config(_) => Kind::Profile,
            Self::Read { source, .. } | Self::Write { source, .. } => io_kind(source),
        }
    }
}

/// Writes the config.
pub(super) fn main(arguments: &Arguments) -> Outcome {
    let mut join = match &arguments.kubeconfig {
        Some(path) => {
            let Made { cluster, expires } = admin::make(&text(path)?, arguments.ttl, arguments.endpoint.clone())?;
            if let Discovery::Token { token, .. } = &cluster {
                eprintln!("made the bootstrap token {}, valid until {}", token.id(), expires.strftime("%F %T UTC"));
            }
            Join { cluster, hostname: None }
        }
        None => by_line(&text(Path::new("-"))?)?,
    };
    join.hostname = arguments.hostname.clone().or(join.hostname);
    let document = join::document(&join).map_err(JoinError::from)?;
    match &arguments.output {
        Some(path) => {
            let failed = |source| JoinError::Write { path: path.clone(), source };
            seed::put(path, document.reveal().as_bytes()).map_err(failed)?;
        }
        None => print!("{}", document.reveal()),
    }
    Ok(())
}

fn by_line(line: &str) -> Result<Join, JoinError> {
    let Line { endpoint, token, ca_hashes, node_name, discovery_file } = kubeadm_line::parse(line)?;
    let cluster = match (discovery_file, endpoint, token) {
        (Some(path), _, token) => Discovery::File { kubeconfig: Secret::new(text(Path::new(&path))?), token },
        (None, Some(endpoint), Some(token)) => Discovery::Token { endpoint, token, ca_hashes },
        _ => return Err(LineError::NotOne.into()),
    };
    Ok(Join { cluster, hostname: node_name })
}

fn text(path: &Path) -> Result<String, JoinError> {
    let what = super::name_of(path);
    let bytes = read(path).map_err(|source| JoinError::Read { what: what.clone(), source })?;
    String::from_utf8(bytes).map_err(|_| JoinError::Text(what))
}

/// A number with its unit.
fn lifetime(text: &str) -> Result<Duration, String> {
    let seconds = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)].into_iter().find_map(|(unit, seconds)| {
        text.strip_suffix(unit).and_then(|number| number.parse::<u32>().ok()).map(|n| u64::from(n) * seconds)
    });
    match seconds {
        Some(seconds @ 60..=31_536_000) => Ok(Duration::from_secs(seconds)),
        _ => Err("a time from 1m to 365d, such as 24h".to_owned()),
    }
}
