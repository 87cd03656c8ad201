//! `kmimage why`.

use super::Outcome;
use super::build::{BuildOptions, Prepared};
use crate::compose::facts::ModuleName;
use crate::compose::tree::{BadPath, Entry, Kind as EntryKind, Origin, TreePath};
use crate::failure::{Classified, Kind};
use crate::lock::LockedProfile;
use crate::pipeline;
use crate::profile::Profile;
use crate::report::Reporter;
use anstream::println;
use clap::Args;
use serde_json::{Value, json};

/// What `kmimage why` understands.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kmimage why /usr/sbin/e2fsck --profile base")]
pub struct Arguments {
    /// A path of the image.
    path: String,
    /// The profile.
    #[arg(long, value_name = "NAME")]
    profile: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    build: BuildOptions,
}

/// A question without an answer.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// Not a path of an image.
    #[error("`{path}` is no path of an image")]
    Path {
        /// As given.
        path: String,
        /// What is wrong with it.
        source: BadPath,
    },
    /// Nothing is there.
    #[error("{path} is not in the image of {profile}{}", dropped.as_ref().map(|reason| format!(": the profile drops it ({reason})")).unwrap_or_default())]
    Absent {
        /// The path.
        path: TreePath,
        /// The profile.
        profile: String,
        /// The glob and the reason, if the profile drops such paths.
        dropped: Option<String>,
    },
}

impl Classified for WhyError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// Composes the tree and tells where a path is from.
pub fn main(arguments: &Arguments, report: Reporter<'_>) -> Outcome {
    let path = TreePath::new(&arguments.path).map_err(|source| WhyError::Path { path: arguments.path.clone(), source })?;
    let prepared = Prepared::new(&arguments.profile, &arguments.build)?;
    let store = arguments.build.store()?;
    let (profile, locked, tree) = pipeline::tree(&prepared.request(), &store, report)?;
    let found = tree.resolve(&path).filter(|found| tree.get(found).is_some());
    // A path that goes through links is answered by what it leads to; the last link itself by the link.
    let shown = if tree.get(&path).is_some() { Some(path.clone()) } else { found.clone() };
    let Some((shown, entry)) = shown.and_then(|shown| Some((shown.clone(), tree.get(&shown)?))) else {
        return Err(WhyError::Absent { dropped: dropped(&profile, &path), path, profile: profile.name }.into());
    };
    let chain = match &entry.origin {
        Origin::Package { name, .. } => chain(&locked.profile, name),
        _ => Vec::new(),
    };
    if arguments.json {
        println!("{:#}", answer(&shown, entry, &chain));
        return Ok(());
    }
    println!("{shown}: {}", entry.origin);
    if let EntryKind::Symlink(target) = &entry.kind {
        println!("  a link to {}", String::from_utf8_lossy(target));
        if let Some((at, end)) = found.and_then(|at| Some((at.clone(), tree.get(&at)?))) {
            println!("  which is {at}: {}", end.origin);
        }
    }
    for (package, relation) in chain.iter() {
        match relation {
            Some((by, relation)) => println!("  {package}: {by} has {relation}"),
            None => println!("  {package}: profile {} asks for it", profile.name),
        }
    }
    Ok(())
}

/// A package, and the package and relation that brought it; none: the profile asks for it.
type Link = (String, Option<(String, String)>);

/// From the package up to one that the profile asks for.
fn chain(locked: &LockedProfile, package: &str) -> Vec<Link> {
    let mut chain: Vec<Link> = Vec::new();
    let mut next = Some(package.to_owned());
    while let Some(name) = next {
        let because = locked.packages.get(&name).and_then(|chosen| chosen.because.as_ref());
        next = because.map(|because| because.package.clone());
        chain.push((name, because.map(|because| (because.package.clone(), because.relation.clone()))));
        if chain.len() > locked.packages.len() {
            break;
        }
    }
    chain
}

fn dropped(profile: &Profile, path: &TreePath) -> Option<String> {
    if let Some(drop) = profile.drops.iter().find(|drop| drop.glob.matches_or_holds(path)) {
        return Some(format!("`{}`: {}", drop.glob.as_str(), drop.reason));
    }
    let name = ModuleName::of(path)?;
    let drop = profile.kernel.modules.dropped_by(&name.file)?;
    Some(format!("`{}` of [kernel.modules]: {}", drop.path, drop.reason))
}

fn answer(path: &TreePath, entry: &Entry, chain: &[Link]) -> Value {
    let chain: Vec<Value> = chain
        .iter()
        .map(|(package, relation)| match relation {
            Some((by, relation)) => json!({ "package": package, "because": { "package": by, "relation": relation } }),
            None => json!({ "package": package, "because": "profile" }),
        })
        .collect();
    let origin = match &entry.origin {
        Origin::Package { name, version } => json!({ "package": **name, "version": **version }),
        Origin::Overlay(name) => json!({ "overlay": **name }),
        Origin::Derive(step) => json!({ "derive": step }),
        Origin::Image { name, layer } => json!({ "image": **name, "layer": layer }),
        Origin::Kmimage => json!("kmimage"),
    };
    json!({ "path": path.to_string(), "origin": origin, "chain": chain })
}
