//! `kmimage lock`.

use super::Outcome;
use super::options::{OptionsError, SourceOptions};
use crate::lock::{self, Change, Lock};
use crate::pipeline::{self, Update};
use crate::profile::{self, Library};
use crate::report::{Event, Reporter};
use anstream::println;
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;

/// What `kmimage lock` understands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kmimage lock --profile base                 lock what base asks for and the lock does not have yet
  kmimage lock --update                       take the newest of everything, for every profile of the lock
  kmimage lock --update libssl3t64 --dry-run  what a newer libssl3t64 would bring along")]
pub struct Arguments {
    /// The profile to lock [default: every profile of the lock].
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Take newer versions: of these packages and what they force along, or of all.
    #[arg(long, value_name = "PACKAGE", num_args = 0..)]
    update: Option<Vec<String>>,
    /// Only say what would change.
    #[arg(long)]
    dry_run: bool,
    /// Print the changes as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: SourceOptions,
}

/// Resolves, says what changes, writes the lock.
pub fn main(arguments: &Arguments, report: Reporter<'_>) -> Outcome {
    let path = &arguments.source.lock;
    let before = lock::read(path)?.unwrap_or_default();
    let profiles: Vec<String> = match &arguments.profile {
        Some(profile) => vec![profile.clone()],
        None if before.profiles.is_empty() => return Err(OptionsError::NothingLocked(path.clone()).into()),
        None => before.profiles.keys().cloned().collect(),
    };
    let store = arguments.source.store.open()?;
    let options = arguments.source.fetch();
    let mut after = before.clone();
    for name in &profiles {
        let profile = profile::load(&Library::new("."), name)?;
        let mine = moving(arguments.update.as_deref(), &before, &profiles, name);
        let update = match (arguments.update.as_deref(), &mine) {
            (None, _) => Update::Nothing,
            (Some([]), _) => Update::Everything,
            (Some(_), mine) => Update::Packages(mine),
        };
        after = pipeline::resolve(&profile, &after, update, &options, &store, report)?;
    }
    let changes: BTreeMap<&String, Vec<Change>> = profiles.iter().map(|name| (name, lock::diff(&before, &after, name))).collect();
    print(&changes, arguments.json);
    finish(arguments, &before, &after, report)
}

/// Of the packages to update those that this profile has locked. A name that no profile has stays in, to be refused by name.
fn moving(update: Option<&[String]>, lock: &Lock, profiles: &[String], profile: &str) -> Vec<String> {
    let has = |profile: &String, name: &String| {
        let locked = lock.profiles.get(profile);
        locked.is_some_and(|locked| locked.packages.contains_key(name) || locked.boot.contains_key(name))
    };
    let nobodys = |name: &String| !profiles.iter().any(|profile| has(profile, name));
    let names = update.unwrap_or_default().iter();
    names.filter(|name| has(&profile.to_owned(), name) || nobodys(name)).cloned().collect()
}

fn print(changes: &BTreeMap<&String, Vec<Change>>, as_json: bool) {
    if as_json {
        println!("{:#}", json!(changes));
        return;
    }
    for (profile, changes) in changes {
        println!("{profile}: {}", if changes.is_empty() { "no package changes" } else { "changes" });
        for change in changes {
            println!("  {change}");
        }
    }
}

fn finish(arguments: &Arguments, before: &Lock, after: &Lock, report: Reporter<'_>) -> Outcome {
    let path = arguments.source.lock.display();
    if arguments.dry_run {
        report(Event::Note(format!("{path} stays as it is (--dry-run)")));
    } else if before == after {
        report(Event::Note(format!("{path} is up to date")));
    } else {
        lock::write(&arguments.source.lock, after)?;
        report(Event::Note(format!("wrote {path}")));
    }
    Ok(())
}
