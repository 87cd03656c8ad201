//! `kmimage profiles`: what profiles there are, or what extensions.

use super::Outcome;
use crate::profile::{Library, Shelf};
use anstream::println;
use clap::Args;
use serde_json::json;

/// What `kmimage profiles` understands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kmimage profiles
  kmimage profiles --extensions --json

Profiles are looked up in ./profiles first, extensions in ./profiles/extensions, then among those that kmimage brings.")]
pub struct Arguments {
    /// List the extensions, which a profile takes by `extensions = ["NAME"]`.
    #[arg(long)]
    extensions: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists them; one that can't be read is listed with its error.
pub fn main(arguments: &Arguments) -> Outcome {
    let listings = Library::new(".").listings(if arguments.extensions { Shelf::Extensions } else { Shelf::Profiles })?;
    if arguments.json {
        let rows: Vec<_> = listings
            .iter()
            .map(|listing| match &listing.description {
                Ok(description) => json!({ "name": listing.name, "file": listing.file, "description": description }),
                Err(error) => json!({ "name": listing.name, "file": listing.file, "error": error.to_string() }),
            })
            .collect();
        println!("{:#}", json!(rows));
        return Ok(());
    }
    let width = listings.iter().map(|listing| listing.name.len()).max().unwrap_or_default();
    for listing in listings {
        match listing.description {
            Ok(description) => println!("{:width$}  {description}", listing.name),
            Err(error) => println!("{:width$}  cannot be read: {error}", listing.name),
        }
    }
    Ok(())
}
