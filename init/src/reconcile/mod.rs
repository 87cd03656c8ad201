//! From what is to be and what is to what is to be done, and the doing: the second river's middle.
//!
//! [`plan`] is pure, [`Action`] is the only way to change the system, and `apply` is the one match over it. It runs in a child of
//! process 1 (the applet `apply`), because loading a module or mounting can hang; process 1 starts it again when there is another
//! config. What it says on its standard output:
//! ```text
//! applied inputs=written hostname=<name> hostname-source=config|platform|default   the files that children read are there
//! applied failed=<what> cause=<text>                                                an action that did not succeed
//! applied result=done | result=failed                                               the end
//! ```
//! each with `generation=`, the number that process 1 gave the decision.
//! What a config no longer names (a kernel parameter, a module) stays until the next boot.

mod apply;
mod observe;
mod plan;

pub use apply::{ApplyError, set_hostname};
pub use observe::Observed;
pub use plan::{Action, plan};

use crate::config::platform::Platform;
use crate::desired::{Desired, Inputs, desired};
use crate::services::GENERATION;
use crate::{config, facts, failure};
use kmimage_contract::machine_config::{self, MachineConfig};
use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// The name that process 1 starts it by.
pub(crate) const APPLET: &str = "apply";
/// The name of the applet that keeps on `state` that the machine was ready with its config.
pub(crate) const MARK_READY: &str = "mark-ready";
/// The word that says that the config in force counts; without it the machine has none.
pub(crate) const WITH_CONFIG: &str = "config";

/// Why nothing could be applied at all.
#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error("reading {0}")]
    Read(&'static str, #[source] io::Error),
    #[error("the machine config")]
    Config(#[source] machine_config::MachineConfigError),
    #[error("writing down what children are to do")]
    Json(#[from] serde_json::Error),
    #[error("what the image asks of machines of its role")]
    Role(#[from] facts::FactError),
}

/// The applet: `apply [config]`. It ends well even if something failed, which it has said then.
pub(crate) fn run(words: &[String]) -> ExitCode {
    kmimage_sys::process::clear_umask();
    let with_config = words.iter().any(|word| word == WITH_CONFIG);
    let result = match wish(with_config) {
        Ok(wish) => reconcile(&wish),
        Err(error) => {
            say(&failed("configuration", failure::chain(&error)));
            false
        }
    };
    say(&StateLine::new("applied").with("result", if result { "done" } else { "failed" }));
    // A config that can't be applied does not become better by trying: whoever mends the cause brings another one.
    ExitCode::SUCCESS
}

/// The applet that leaves the mark: a child, because a disk may never answer.
pub(crate) fn mark_ready(_: &[String]) -> ExitCode {
    match crate::storage::record::mark_ready(Path::new(paths::STATE)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "keeping on state that the machine was ready: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads what the machine is to be.
fn wish(with_config: bool) -> Result<Desired, ReconcileError> {
    let config = if with_config { read_config()? } else { MachineConfig::default() };
    let platform: Option<Platform> =
        std::fs::read(Path::new(paths::PLATFORM)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let machine_id = machine_id();
    // Process 1 has judged the command line; what can't be read now is the usual.
    let purpose = facts::cmdline::read().ok().and_then(|cmdline| cmdline.boot_parameters().ok()).map(|boot| boot.purpose);
    let (platform, purpose) = (platform.unwrap_or_default(), purpose.unwrap_or_default());
    let wish = desired(Inputs { config: &config, platform: &platform, machine_id: &machine_id, purpose: &purpose })?;
    Ok(wish.over(&facts::role::read()?))
}

fn read_config() -> Result<MachineConfig, ReconcileError> {
    let bytes =
        std::fs::read(Path::new(paths::MACHINE_CONFIG)).map_err(|error| ReconcileError::Read(paths::MACHINE_CONFIG, error))?;
    let role = facts::release::read().ok().map(|release| release.role);
    config::store::judge(paths::MACHINE_CONFIG, &bytes, role.as_deref()).map_err(ReconcileError::Config)
}

/// The machine's id from `state`; without `state` one for this boot only.
fn machine_id() -> String {
    let kept = Path::new(paths::STATE).join("machine-id");
    let text = std::fs::read_to_string(kept).or_else(|_| std::fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")));
    text.unwrap_or_default().chars().filter(char::is_ascii_hexdigit).collect()
}

/// Observes, plans and acts; whether everything is as it should be. An action that fails keeps no other from being tried.
fn reconcile(wish: &Desired) -> bool {
    let observed = Observed::read(wish);
    let mut good = true;
    let mut told = false;
    for action in plan(wish, &observed) {
        // Inputs come first in every plan: with the last of them written, children can start.
        if !told && !matches!(action, Action::WriteInput { .. } | Action::SetHostname { .. }) {
            told = true;
            say(&inputs_written(wish));
        }
        if let Err(error) = apply::apply(&action) {
            good = false;
            say(&failed(&action.what(), failure::chain(&error)));
        }
    }
    if !told {
        say(&inputs_written(wish));
    }
    good
}

fn inputs_written(wish: &Desired) -> StateLine {
    let line = StateLine::new("applied").with("inputs", "written");
    line.with("hostname", &wish.hostname.name).with("hostname-source", wish.hostname.source)
}

fn failed(what: &str, cause: String) -> StateLine {
    StateLine::new("applied").with("failed", what).with("cause", cause)
}

/// Says a line, and for which decision: process 1 may have made another one meanwhile.
fn say(line: &StateLine) {
    let line = line.clone().with("generation", std::env::var(GENERATION).unwrap_or_default());
    let mut output = io::stdout();
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
