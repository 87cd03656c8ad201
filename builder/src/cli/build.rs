//! `kmimage build`, and the options with which other subcommands build.

use super::Outcome;
use super::options::SourceOptions;
use crate::failure::Failure;
use crate::pipeline::{self, Built, Format, Request};
use crate::profile::Library;
use crate::report::{Event, Reporter};
use crate::store::Store;
use clap::Args;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What `kmimage build` understands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kmimage build --profile base
  kmimage build --profile base --format qcow2 --image-version 2026.11.1
  kmimage build --profile base --locked --offline          from the lock and the store alone
  kmimage build --profile base --repository debian=./debs --repository debian-security=./debs

Without a lock for the profile, one is made; with one, no index is read. SOURCE_DATE_EPOCH, by default the lock's date, is the image's only clock.
The output folder is replaced as a whole, and only if it is empty or holds what its SHA256SUMS names.")]
pub struct Arguments {
    /// The profile to build.
    #[arg(long, value_name = "NAME")]
    profile: String,
    #[command(flatten)]
    build: BuildOptions,
}

/// How to build.
#[derive(Debug, Clone, Args)]
pub struct BuildOptions {
    /// The folder that the artefacts become [default: out/PROFILE].
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Formats to write.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FORMAT,...", default_value = "raw,qcow2")]
    format: Vec<Format>,
    /// A machine config to put on the ISO's ESP; one with secrets is refused.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Refuse to make or change the lock.
    #[arg(long)]
    locked: bool,
    /// The image's version [default: kmimage's].
    #[arg(long, value_name = "V")]
    image_version: Option<String>,
    /// Threads [default: one per processor].
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// zstd level of the root image, 1 to 22 [default: the profile's].
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(i32).range(1..=22))]
    compression: Option<i32>,
    /// Another init than kmimage's own: for tests of one that is made to fail.
    #[arg(long, value_name = "FILE", hide = true)]
    init: Option<PathBuf>,
    #[command(flatten)]
    source: SourceOptions,
}

/// Builds and says what came of it.
pub fn main(arguments: &Arguments, report: Reporter<'_>) -> Outcome {
    let built = build(&arguments.profile, &arguments.build, report)?;
    if built.fresh {
        report(Event::Stage(format!("built {}", built.directory.display())));
    }
    Ok(())
}

/// Builds a profile, or finds it standing.
pub fn build(profile: &str, options: &BuildOptions, report: Reporter<'_>) -> Result<Built, Failure> {
    let prepared = Prepared::new(profile, options)?;
    let store = options.store()?;
    pipeline::build(&prepared.request(), &store, report)
}

impl BuildOptions {
    /// Opens the store.
    pub fn store(&self) -> Result<Store, Failure> {
        self.source.store.open()
    }
}

/// A request with all that it borrows.
pub struct Prepared<'a> {
    profile: &'a str,
    options: &'a BuildOptions,
    output: PathBuf,
    library: Library,
    formats: BTreeSet<Format>,
    epoch: Option<u32>,
    fetch: crate::fetch::Options,
    builder: String,
}

impl<'a> Prepared<'a> {
    /// Reads what the environment says beside the command line.
    pub fn new(profile: &'a str, options: &'a BuildOptions) -> Result<Self, Failure> {
        Ok(Self {
            profile,
            options,
            output: options.output.clone().unwrap_or_else(|| Path::new("out").join(profile)),
            library: Library::new("."),
            formats: options.format.iter().copied().collect(),
            epoch: super::options::source_date_epoch()?,
            fetch: options.source.fetch(),
            builder: super::options::own_digest()?,
        })
    }

    /// The request.
    pub fn request(&self) -> Request<'_> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        Request {
            library: &self.library,
            profile: self.profile,
            output: &self.output,
            formats: &self.formats,
            config: self.options.config.as_deref(),
            lock: &self.options.source.lock,
            locked: self.options.locked,
            image_version: self.options.image_version.as_deref(),
            level: self.options.compression,
            epoch: self.epoch,
            jobs: self.options.jobs.map_or_else(cores, usize::from),
            fetch: &self.fetch,
            builder: &self.builder,
            init: self.options.init.as_deref(),
        }
    }
}
