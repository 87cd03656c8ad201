//! `kmimage profiles`.

use super::Outcome;
use crate::profile::Library;
use anstream::println;
use clap::Args;
use serde_json::json;

/// What `kmimage profiles` understands.
#[derive(Debug, Args)]
#[command(after_help = "Profiles are looked up in ./profiles first, then among those that kmimage brings.")]
pub struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists the profiles; one that can't be read is listed with its error.
pub fn main(arguments: &Arguments) -> Outcome {
    let listings = Library::new(".").listings()?;
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
