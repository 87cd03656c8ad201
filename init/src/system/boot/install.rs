//! How it stands with an installation, by what init's child `install` says.

use super::{Effect, Found};
use kmimage_contract::state_line::StateLine;

/// An installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Install {
    /// Nothing is to be installed.
    Unneeded,
    /// Nothing can be: the machine was not started from an install medium.
    NoMedium,
    /// Something is, and so far it stands thus.
    Wanted(Found),
}

impl Install {
    /// Takes in whether something is to be installed.
    pub(super) fn is_wanted(&mut self, wanted: bool) {
        match (&self, wanted) {
            (Self::NoMedium, _) | (Self::Wanted(_), true) => {}
            (_, true) => *self = Self::Wanted(Found::Unknown(String::new())),
            (_, false) => *self = Self::Unneeded,
        }
    }

    /// Takes in what the child said.
    pub(super) fn hear(&mut self, line: &StateLine) -> Option<Effect> {
        let text = |key: &str| line.get(key).unwrap_or_default();
        if line.get("medium") == Some("no") {
            *self = Self::NoMedium;
            return Some(Effect::NothingToInstall);
        }
        if let Self::Wanted(found) = self {
            *found = match (line.state(), line.get("result"), line.get("step")) {
                ("install-failed", ..) => Found::Failed(format!("{}; {}", text("cause"), text("remedy"))),
                (_, Some("refused"), _) => Found::Failed(text("reason").to_owned()),
                (_, _, Some(step)) => Found::Unknown(format!("{step} {}%", text("percent"))),
                _ => Found::Unknown(String::new()),
            };
        }
        None
    }
}
