//! The command line: what a person types, a file per subcommand. Nothing here composes or packs; it calls the pipeline and prints.

pub mod build;
pub mod cache;
pub mod config;
pub mod diff;
pub mod flash;
pub mod lock;
pub mod options;
pub mod profiles;
pub mod run;
pub mod show;
pub mod terminal;
pub mod why;

use crate::failure::Failure;
use clap::{CommandFactory as _, Parser, Subcommand};
use std::process::ExitCode;

/// Builds immutable, verified operating-system images for Kubernetes nodes.
#[derive(Debug, Parser)]
#[command(name = "kmimage", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct Cli {
    /// When to use colours and progress bars.
    #[arg(long, global = true, value_enum, default_value_t = clap::ColorChoice::Auto, value_name = "WHEN")]
    color: clap::ColorChoice,
    /// Say only what went wrong.
    #[arg(long, short, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  kmimage build --profile base           build out/base/ (raw, qcow2, root image, UKI, manifest, SBOM)
  kmimage run --profile base             boot it in QEMU (builds it first if it is stale)
  kmimage flash out/base/*.raw /dev/sdb  write it to a stick, and read it back
  kmimage lock --update                  see what newer packages would change, then lock them
  kmimage why /usr/sbin/e2fsck --profile base
  kmimage show out/base/*.raw            decode the partition table, the UKI, the verity parameters

Exit codes: 0 done, 1 internal, 2 usage, 3 profile or config, 4 trust, 5 unavailable, 6 policy, 7 host.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Build an image: profile -> lock -> packages -> tree -> root image -> boot image -> disk.
    Build(build::Arguments),
    /// Resolve a profile's packages; show what would change, then write kmimage.lock.
    Lock(lock::Arguments),
    /// Say which package (and dependency chain), overlay or derive step put a path into the image.
    Why(why::Arguments),
    /// Decode a file that kmimage made: disk image, UKI, root image, manifest.
    Show(show::Arguments),
    /// Compare two images: packages, files and sizes that differ.
    Diff(diff::Arguments),
    /// Boot an image in QEMU.
    Run(run::Arguments),
    /// Write an image to a USB stick, memory card or disk, and read it back.
    Flash(flash::Arguments),
    /// Write, check and deliver machine configs: what one machine is to be.
    Config(config::Arguments),
    /// Look after the store of downloads and derived data.
    Cache(cache::Arguments),
    /// List the profiles that can be built.
    Profiles(profiles::Arguments),
    /// Print a shell completion script.
    #[command(after_help = "Example:\n  kmimage completions bash > ~/.local/share/bash-completion/completions/kmimage")]
    Completions {
        /// The shell to complete in.
        shell: clap_complete::Shell,
    },
}

/// Runs the command line of this process; prints an error chain and its remedies once, here.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.color {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    let terminal = terminal::Terminal::new(cli.quiet);
    let report = |event| terminal.event(event);
    let result = match cli.command {
        Command::Build(arguments) => build::main(&arguments, &report),
        Command::Lock(arguments) => lock::main(&arguments, &report),
        Command::Why(arguments) => why::main(&arguments, &report),
        Command::Show(arguments) => show::main(&arguments),
        Command::Diff(arguments) => diff::main(&arguments),
        Command::Run(arguments) => run::main(&arguments, &report),
        Command::Flash(arguments) => flash::main(&arguments, &report),
        Command::Config(arguments) => config::main(&arguments),
        Command::Cache(arguments) => cache::main(&arguments, &report),
        Command::Profiles(arguments) => profiles::main(&arguments),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "kmimage", &mut std::io::stdout());
            Ok(())
        }
    };
    terminal.finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal.failure(&failure);
            ExitCode::from(failure.kind().exit_code())
        }
    }
}

/// What every subcommand returns.
pub type Outcome = Result<(), Failure>;
