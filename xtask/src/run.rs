//! Running other programs, loudly.

use std::error::Error;
use std::ffi::OsStr;
use std::process::Command;

/// What a task returns.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// A line for the person who waits.
#[expect(clippy::print_stderr, reason = "a task runner speaks on standard error")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// A program to run.
#[expect(clippy::disallowed_methods, reason = "a task runner runs programs")]
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Cargo, the one that runs us, as from a shell: what it tells us about our own package would have build scripts that ask for it (ring's
/// does) run again, and all that depends on them compiled again.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    cargo.args(arguments);
    cargo
}

/// Runs a command to its end; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Outcome {
    say(&format!("+ {}", text(command)));
    let status = command.status().map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", text(command)).into()) }
}

/// True if a program of this name is in PATH or in the folders of the superuser's programs.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|folder| folder.join(program).is_file())
}

fn text(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
