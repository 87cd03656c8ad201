//! The ledger of maintainer scripts. They never run; here they are read, hashed for the lock, and whatever they would have done that no
//! derive step does must be answered by the profile, or nothing is locked.
//!
//! Reading a script is not running it: a program that a script builds from pieces can hide. That is why the hash is in the lock: a script
//! that changed is seen in review.

mod effects;
mod shell;

pub use effects::{Effect, effects};

use crate::compose::derive::alternatives::Alternative;
use crate::failure::{Classified, Kind};
use crate::hash::Sha256Digest;
use crate::profile::{ScriptAnswer, ScriptKind};
use std::collections::{BTreeMap, BTreeSet};

/// One maintainer script of a package.
#[derive(Debug, Clone, Copy)]
pub struct Script<'a> {
    /// The binary package.
    pub package: &'a str,
    /// Which script.
    pub kind: ScriptKind,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl<'a> Script<'a> {
    /// A member of a package's control archive, if it is a script: `name` as `postinst`.
    pub fn of_member(package: &'a str, name: &str, bytes: &'a [u8]) -> Option<Self> {
        let kind = KINDS.into_iter().find(|kind| kind.name() == name)?;
        Some(Self { package, kind, bytes })
    }
}

const KINDS: [ScriptKind; 6] =
    [ScriptKind::Preinst, ScriptKind::Postinst, ScriptKind::Prerm, ScriptKind::Postrm, ScriptKind::Config, ScriptKind::Triggers];

/// What is known of all scripts once each effect is covered or answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Package -> script -> SHA-256, for the lock.
    pub hashes: BTreeMap<String, BTreeMap<String, Sha256Digest>>,
    /// What the scripts would have told update-alternatives, in the order of the packages.
    pub alternatives: Vec<Alternative>,
    /// Answers of the profile that nothing asks for any more: `package script: effect`.
    pub unused_answers: Vec<String>,
}

/// An effect that neither kmimage nor the profile answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// The package.
    pub package: String,
    /// The script.
    pub script: ScriptKind,
    /// The effect.
    pub effect: Effect,
}

/// Effects that nobody answers for; at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", describe(.0))]
pub struct ScriptsError(pub Vec<Unanswered>);

fn describe(all: &[Unanswered]) -> String {
    let Some(first) = all.first() else { return String::new() };
    let more = match all.len() {
        1 => String::new(),
        2 => "; and 1 more effect like this".to_owned(),
        n => format!("; and {} more effects like this", n - 1),
    };
    let Unanswered { package, script, effect } = first;
    format!(
        "the {} of `{package}` would do in line {} what no step of kmimage does: {} (`{}`){more}",
        script.name(),
        effect.line,
        effect.name,
        effect.text
    )
}

impl Classified for ScriptsError {
    fn kind(&self) -> Kind {
        Kind::Profile
    }

    /// A `[[script]]` to write for each script, its effects as comments.
    fn hints(&self) -> Vec<String> {
        let mut scripts: BTreeMap<(&str, ScriptKind), Vec<&Effect>> = BTreeMap::new();
        for unanswered in &self.0 {
            scripts.entry((&unanswered.package, unanswered.script)).or_default().push(&unanswered.effect);
        }
        let hint = |((package, script), effects): ((&str, ScriptKind), Vec<&Effect>)| {
            let names: BTreeSet<_> = effects.iter().map(|effect| format!("\"{}\"", effect.name)).collect();
            let names: Vec<_> = names.into_iter().collect();
            let lines: String = effects.iter().map(|effect| format!("\n# line {}: {}", effect.line, effect.text)).collect();
            format!(
                "If the image does without it, or an overlay does it, answer in the profile:{lines}\n[[script]]\npackage = \"{package}\"\n\
                 script = \"{}\"\neffects = [{}]\nreason = \"...\"",
                script.name(),
                names.join(", ")
            )
        };
        scripts.into_iter().map(hint).collect()
    }
}

/// Reads all scripts of all packages of a root (boot inputs are not installed, so theirs do not count).
pub fn ledger<'a>(scripts: impl IntoIterator<Item = Script<'a>>, answers: &[ScriptAnswer]) -> Result<Ledger, ScriptsError> {
    let mut ledger = Ledger::default();
    let mut unanswered = Vec::new();
    let mut used: BTreeSet<(&str, ScriptKind, &str)> = BTreeSet::new();
    for script in scripts {
        let hashes = ledger.hashes.entry(script.package.to_owned()).or_default();
        hashes.insert(script.kind.name().to_owned(), Sha256Digest::of(script.bytes));
        ledger.alternatives.extend(alternatives(script));
        for effect in effects(script.kind, script.bytes) {
            if effect.covered.is_some() {
                continue;
            }
            let mut answers = answers.iter().filter(|answer| answer.package == script.package && answer.script == script.kind);
            match answers.find_map(|answer| Some((answer, answer.effects.get(&effect.name)?))) {
                Some((answer, name)) => drop(used.insert((&answer.package, answer.script, name))),
                None => unanswered.push(Unanswered { package: script.package.to_owned(), script: script.kind, effect }),
            }
        }
    }
    let all = answers.iter().flat_map(|answer| answer.effects.iter().map(move |name| (answer, name)));
    ledger.unused_answers = all
        .filter(|(answer, name)| !used.contains(&(answer.package.as_str(), answer.script, name.as_str())))
        .map(|(answer, name)| format!("{} {}: {name}", answer.package, answer.script.name()))
        .collect();
    if unanswered.is_empty() { Ok(ledger) } else { Err(ScriptsError(unanswered)) }
}

/// What a script would tell update-alternatives, as far as it can be read.
pub fn alternatives(script: Script<'_>) -> Vec<Alternative> {
    if script.kind != ScriptKind::Postinst && script.kind != ScriptKind::Preinst {
        return Vec::new();
    }
    effects::alternatives(script.bytes)
}

#[cfg(test)]
mod tests;
