//! `kmimage config`.

mod join;
mod seed;

use super::Outcome;
use crate::failure::{Classified, Kind, io_kind};
use crate::machine_config::{reference, starting};
use anstream::{print, println};
use clap::{Args, Subcommand};
use kmimage_contract::machine_config::{self, MachineConfigError};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// What `kmimage config` understands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kmimage config generate --hostname node-1 > node-1.toml     a document to start from, explained
  kmimage config validate node-1.toml                         judged as the machine will judge it
  kmimage config schema > machine-config.schema.json          for editors
  kubeadm token create --print-join-command | kmimage config join -o node-1.toml
                                                              a worker's, from what kubeadm prints
  kmimage config seed node-1.toml -o node-1.iso               a NoCloud volume that carries it

docs/machine-config.md explains every key.")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a valid document to start from, with every section explained.
    Generate {
        /// The role of the image that it is for.
        #[arg(long)]
        role: Option<String>,
        /// The machine's name.
        #[arg(long, value_name = "NAME")]
        hostname: Option<String>,
    },
    /// Judge a machine config as the machine will; exit 3 if it is refused.
    Validate {
        /// The document; `-` reads standard input.
        file: PathBuf,
        /// The role of the image that it is for; a config for another role is refused.
        #[arg(long)]
        role: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON schema of machine configs.
    Schema,
    /// Write a worker's machine config, from a `kubeadm join` line on standard input or an admin kubeconfig.
    Join(join::Arguments),
    /// Write a NoCloud volume (ISO 9660, label cidata) that carries a machine config.
    Seed(seed::Arguments),
}

/// Why there is no verdict, or a bad one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The document is refused.
    #[error(transparent)]
    Refused(#[from] MachineConfigError),
    /// The document could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Classified for ConfigError {
    fn kind(&self) -> Kind {
        match self {
            ConfigError::Refused(_) => Kind::Profile,
            ConfigError::Read { source, .. } => io_kind(source),
        }
    }
}

/// Does what was asked for.
pub fn main(arguments: &Arguments) -> Outcome {
    match &arguments.command {
        Command::Generate { role, hostname } => generate(role.as_deref(), hostname.as_deref())?,
        Command::Validate { file, role, json } => validate(file, role.as_deref(), *json)?,
        Command::Schema => print!("{}", reference::schema()),
        Command::Join(arguments) => join::main(arguments)?,
        Command::Seed(arguments) => seed::main(arguments)?,
    }
    Ok(())
}

fn generate(role: Option<&str>, hostname: Option<&str>) -> Result<(), ConfigError> {
    print!("{}", starting::document(role, hostname)?);
    Ok(())
}

fn validate(file: &Path, role: Option<&str>, as_json: bool) -> Result<(), ConfigError> {
    let bytes = read(file).map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
    let name = name_of(file);
    let verdict = machine_config::parse(&name, &bytes, role);
    if as_json {
        println!("{:#}", verdict.as_ref().map_or_else(refusal, |_| json!({ "file": name, "valid": true })));
    } else if verdict.is_ok() {
        println!("{name} is valid");
    }
    verdict.map(|_| ()).map_err(ConfigError::from)
}

/// What errors call a document.
pub(super) fn name_of(file: &Path) -> String {
    if file == Path::new("-") { "standard input".into() } else { file.display().to_string() }
}

/// A little more than a config may have: enough to say that it is too large.
pub(super) fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = machine_config::MAX_SIZE as u64 * 64;
    if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn refusal(error: &MachineConfigError) -> Value {
    match error {
        MachineConfigError::Document(error) => json!({
            "file": error.file, "valid": false, "line": error.line, "column": error.column, "message": error.message,
        }),
        MachineConfigError::TooLarge { name, .. } => json!({ "file": name, "valid": false, "message": error.to_string() }),
    }
}
