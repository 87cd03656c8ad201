//! `kmimage cache`.

use super::options::{OptionsError, SourceOptions, StoreOption, now};
use super::{Outcome, terminal};
use crate::lock::{self, Lock};
use crate::pipeline::PipelineError;
use crate::profile::{self, Library};
use crate::report::{Event, Reporter};
use crate::store::GcRules;
use anstream::println;
use clap::{Args, Subcommand};
use jiff::SignedDuration;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What `kmimage cache` understands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kmimage cache gc --days 30                 remove what no lock here names and nobody used for 30 days
  kmimage cache verify --repair              read everything again; remove what is damaged
  kmimage cache export ./debs                the lock's .deb files, for a machine without a network:
                                             kmimage build ... --offline --repository debian=./debs")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Remove what was not used for long. Downloads that the lock names stay.
    Gc {
        /// Keep what was used within so many days.
        #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=36_500))]
        days: u32,
        /// Then remove the longest unused until so many MiB are left.
        #[arg(long, value_name = "MIB")]
        at_most: Option<u64>,
        /// The lock file.
        #[arg(long, value_name = "FILE", default_value = "kmimage.lock")]
        lock: PathBuf,
        #[command(flatten)]
        store: StoreOption,
    },
    /// Read everything in the store again and name what is damaged.
    Verify {
        /// Remove what is damaged; it is downloaded or made again when it is wanted.
        #[arg(long)]
        repair: bool,
        #[command(flatten)]
        store: StoreOption,
    },
    /// Put the lock's .deb files into a directory; what the store lacks is downloaded first.
    Export {
        /// The directory, made if missing.
        directory: PathBuf,
        /// Only what this profile takes [default: every profile of the lock].
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
        #[command(flatten)]
        source: SourceOptions,
    },
}

/// Looks after the store.
pub fn main(arguments: &Arguments, report: Reporter<'_>) -> Outcome {
    match &arguments.command {
        Command::Gc { days, at_most, lock, store } => {
            let lock = lock::read(lock)?.unwrap_or_default();
            let keep: BTreeSet<_> = lock.packages.values().map(|package| package.sha256).collect();
            // A span of at most a hundred years before a clock that says now.
            let unused_since = now().checked_sub(SignedDuration::from_hours(24 * i64::from(*days))).unwrap_or_default();
            let store = store.open()?;
            let rules = GcRules { keep: &keep, unused_since, at_most: at_most.map(|mib| mib << 20) };
            let collected = store.gc(&rules)?;
            println!(
                "removed {} files, {}; {} left",
                collected.removed,
                terminal::size(collected.freed),
                terminal::size(collected.left)
            );
            Ok(())
        }
        Command::Verify { repair, store } => {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let store = store.open()?;
            let found = store.verify(*repair, threads, report)?;
            println!("checked {} files, {}", found.checked, terminal::size(found.bytes));
            for path in &found.damaged {
                println!("{}: {}", if *repair { "removed" } else { "damaged" }, path.display());
            }
            if !found.damaged.is_empty() && !repair {
                return Err(OptionsError::Damaged { files: found.damaged.len(), store: store.directory().into() }.into());
            }
            Ok(())
        }
        Command::Export { directory, profile, source } => export(directory, profile.as_deref(), source, report),
    }
}

fn export(directory: &std::path::Path, profile: Option<&str>, source: &SourceOptions, report: Reporter<'_>) -> Outcome {
    let lock = lock::read(&source.lock)?.unwrap_or_default();
    let names: Vec<&String> = lock.profiles.keys().filter(|name| profile.is_none_or(|wanted| wanted == *name)).collect();
    if names.is_empty() {
        return Err(OptionsError::NothingLocked(source.lock.clone()).into());
    }
    let store = source.store.open()?;
    for name in names {
        let profile = profile::load(&Library::new("."), name)?;
        let session = crate::fetch::Session::new(source.fetch(), &profile.repositories, &store, report)?;
        let (packages, locked) = taken(&lock, name)?;
        session.packages(&packages, &|package| locked.date_of(&package.repository))?;
        let done = crate::fetch::export(&store, &packages, directory)?;
        report(Event::Note(format!("{name}: {} packages in {}", done.files, directory.display())));
    }
    Ok(())
}

/// Everything that a profile takes, boot inputs included, and what else the lock says of it.
fn taken<'a>(lock: &'a Lock, profile: &str) -> Result<(Vec<lock::LockedPackage>, &'a lock::LockedProfile), PipelineError> {
    let missing = || PipelineError::NoLock { profile: profile.to_owned() };
    let mut packages = lock.packages_of(profile).ok_or_else(missing)?;
    packages.extend(lock.boot_packages_of(profile).ok_or_else(missing)?);
    Ok((packages, lock.profiles.get(profile).ok_or_else(missing)?))
}
