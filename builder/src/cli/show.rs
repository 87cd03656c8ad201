//! `kmimage show`.

use super::Outcome;
use crate::pipeline::PipelineError;
use crate::show;
use anstream::{print, println};
use clap::Args;
use std::path::PathBuf;

/// What `kmimage show` understands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  kmimage show out/base                                   the image manifest of an output folder
  kmimage show out/base/kmimage-base-0.1.0-amd64.raw      partition table, ESP, UKI, root, hash tree
  kmimage show --json out/base/kmimage-base-0.1.0-amd64.efi

The kind of a file is told by its content, not by its name.")]
pub struct Arguments {
    /// A disk image, UKI, root image, hash tree or manifest; or an output folder.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Decodes and prints.
pub fn main(arguments: &Arguments) -> Outcome {
    let shown = show::decode(&arguments.file)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&shown).map_err(PipelineError::Json)?);
    } else {
        print!("{shown}");
    }
    Ok(())
}
