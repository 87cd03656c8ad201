//! `kmimage config seed`.

use super::{Outcome, name_of, read};
use crate::cli::options::source_date_epoch;
use crate::failure::{Classified, Kind, io_kind};
use crate::machine_config::seed::{self, Documents};
use clap::Args;
use jiff::Timestamp;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What `kmimage config seed` understands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kmimage config seed node-1.toml -o node-1.iso
  kmimage config seed worker.toml --hostname node-2 --network-config net.yaml -o node-2.iso

The config is judged first. Same documents, same bytes; SOURCE_DATE_EPOCH is the time of the files in it [default: 1970-01-01].
A config may hold secrets: only its owner may read the file that is written.")]
pub(super) struct Arguments {
    /// The machine config; `-` reads standard input.
    file: PathBuf,
    /// The volume to write; one that is there is replaced.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// The host name that its meta-data gives; one in the config outranks it.
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// The instance-id that its meta-data gives [default: from the documents' digest].
    #[arg(long, value_name = "ID")]
    instance_id: Option<String>,
    /// A network-config (version 1 or 2) to put on it; `[network]` in the config outranks it.
    #[arg(long, value_name = "FILE")]
    network_config: Option<PathBuf>,
    /// A meta-data to put on it instead of one made here.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hostname", "instance_id"])]
    meta_data: Option<PathBuf>,
}

/// Why the volume is not written.
#[derive(Debug, thiserror::Error)]
enum SeedFileError {
    /// A document can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The volume can't be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Classified for SeedFileError {
    fn kind(&self) -> Kind {
        match self {
            SeedFileError::Read { source, .. } | SeedFileError::Write { source, .. } => io_kind(source),
        }
    }
}

/// Writes the volume beside its place and moves it there.
pub(super) fn main(arguments: &Arguments) -> Outcome {
    let read = |path: &Path| read(path).map_err(|source| SeedFileError::Read { path: path.to_owned(), source });
    let config = read(&arguments.file)?;
    let network_config = arguments.network_config.as_deref().map(read).transpose()?;
    let meta_data = arguments.meta_data.as_deref().map(read).transpose()?;
    let documents = Documents {
        name: &name_of(&arguments.file),
        config: &config,
        hostname: arguments.hostname.as_deref(),
        instance_id: arguments.instance_id.as_deref(),
        network_config: network_config.as_deref(),
        meta_data: meta_data.as_deref(),
    };
    // Every number of 32 bits is a time that jiff has.
    let time = Timestamp::from_second(i64::from(source_date_epoch()?.unwrap_or(0))).unwrap_or_default();
    let bytes = seed::write(&documents, time)?;
    let path = &arguments.output;
    put(path, &bytes).map_err(|source| SeedFileError::Write { path: path.clone(), source })?;
    Ok(())
}

pub(super) fn put(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut beside = tempfile::NamedTempFile::new_in(folder)?;
    beside.write_all(bytes)?;
    beside.persist(path).map_err(|error| error.error)?;
    Ok(())
}
