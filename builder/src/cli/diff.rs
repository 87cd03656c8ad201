//! `kmimage diff`.

use super::Outcome;
use crate::pipeline::PipelineError;
use crate::show::diff;
use anstream::{print, println};
use clap::Args;
use std::path::PathBuf;

/// What `kmimage diff` understands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kmimage diff out/base old/base
  kmimage diff --json a.qcow2 b.raw

Differences are no failure: the exit code is 0 either way.")]
pub struct Arguments {
    /// An output folder, disk image or root image.
    before: PathBuf,
    /// Another one.
    after: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Compares and prints.
pub fn main(arguments: &Arguments) -> Outcome {
    let found = diff::compare(&arguments.before, &arguments.after)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&found).map_err(PipelineError::Json)?);
    } else {
        print!("{found}");
    }
    Ok(())
}
