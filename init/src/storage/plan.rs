//! What to do with `state` and `var`: pure, from what is on the disk to a list of steps.
//!
//! The rule that decides everything: **a file system once made is never made again.** It was made if the ledger says so, or if its
//! superblock says that it was ever mounted: two witnesses in two places, so that damage to one of them never looks like a new disk.
//! It may be made only if the ledger says that it was begun and not ended, or if nothing at all is there. Everything else is refused
//! by name, and what is on the disk stays as it is.

use super::content::Content;
use super::volume;
use kmimage_contract::ledger::{Ledger, Phase};
use std::fmt;

/// One of the two file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Identity of the machine.
    State,
    /// Everything else that is written.
    Var,
}

impl What {
    /// As state lines, the ledger and the partition table have it.
    pub fn name(self) -> &'static str {
        match self {
            What::State => "state",
            What::Var => "var",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is on the boot disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The ledger. `None`: no copy of it is whole.
    pub ledger: Option<Ledger>,
    /// What begins the partition `state`. `None`: there is no such partition.
    pub state: Option<Content>,
    /// What begins the partition `var`. `None`: there is no such partition.
    pub var: Option<Content>,
}

/// Why a file system is not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The partition is not in the boot disk's table.
    NoPartition,
    /// There is something that kmimage has not made.
    Foreign,
    /// Nothing is there, but the other file system was in use: this one's data is gone.
    Lost,
    /// `var` would have to be made, but without `state` nothing could be noted about it.
    NoLedger,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NoPartition => "the boot disk has no such partition",
            Refusal::Foreign => "the partition holds data that kmimage has not made",
            Refusal::Lost => "the partition is empty, but this machine was in use: its data is gone",
            Refusal::NoLedger => "it is not made yet, and that can't be noted without state",
        })
    }
}

impl Refusal {
    /// What a person can do.
    pub fn remedy(self) -> &'static str {
        match self {
            Refusal::NoPartition => "write the image to the disk again, or restore its partition table",
            Refusal::Foreign => "move the data away and overwrite the partition's first and last MiB with zeros",
            Refusal::Lost => {
                "restore the partition, or overwrite the first and last MiB of state and var with zeros for a new machine"
            }
            Refusal::NoLedger => "mend state first",
        }
    }
}

/// One thing to do. After a step that fails the other steps of the same file system are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Say that it can't be used.
    Refuse(What, Refusal),
    /// Give `var` the room up to the disk's end, in the partition table and in the kernel.
    GrowPartition,
    /// Write into the ledger, and wait until the medium has it.
    Note(What, Phase),
    /// Make the file system, and wait until the medium has it.
    Make(What),
    /// Replay the journal, look for damage, mend what can be mended without asking.
    Check(What),
    /// Mount it.
    Mount(What),
    /// Make the mounted file system as large as its partition.
    GrowFileSystem(What),
}

impl Step {
    /// Whose step it is.
    pub fn what(self) -> What {
        match self {
            Step::GrowPartition => What::Var,
            Step::Refuse(what, _)
            | Step::Note(what, _)
            | Step::Make(what)
            | Step::Check(what)
            | Step::Mount(what)
            | Step::GrowFileSystem(what) => what,
        }
    }
}

/// What may become of one file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// It was made; whether the ledger has to be told.
    Use {
        note: bool,
    },
    Make,
    Refuse(Refusal),
}

/// The steps, in order. Both file systems are made before the first one is mounted: so a `state` that was ever mounted is a witness
/// that `var` was made, too.
pub fn plan(facts: &Facts) -> Vec<Step> {
    let lived = |content: &Option<Content>| content.as_ref().is_some_and(Content::was_mounted);
    let decide = |what: What, content: &Option<Content>, other_lived: bool, can_note: bool| {
        let Some(content) = content else { return Decision::Refuse(Refusal::NoPartition) };
        let phase = facts.ledger.as_ref().and_then(|ledger| ledger.entry(what.name())).map(|entry| entry.phase);
        let make = if can_note { Decision::Make } else { Decision::Refuse(Refusal::NoLedger) };
        match (phase, content) {
            (Some(Phase::Made), _) => Decision::Use { note: false },
            (_, content) if content.was_mounted() => Decision::Use { note: can_note },
            (Some(Phase::Making), _) => make,
            // No word of it in a ledger: a new machine, or one whose ledger is gone. Then the other file system has lived.
            (None, Content::Empty) if facts.ledger.is_none() && other_lived => Decision::Refuse(Refusal::Lost),
            (None, Content::Empty) => make,
            (None, _) => Decision::Refuse(Refusal::Foreign),
        }
    };
    let state = decide(What::State, &facts.state, lived(&facts.var), true);
    // A `state` that is not ours is not written to, and the ledger is in it.
    let can_note = !matches!(state, Decision::Refuse(_));
    let var = decide(What::Var, &facts.var, lived(&facts.state), can_note);
    let decisions = [(What::State, &facts.state, state), (What::Var, &facts.var, var)];
    let mut steps = Vec::new();
    // A ledger of nothing would be a new machine's: what has lived is noted before anything is made.
    for (what, _, decision) in &decisions {
        if *decision == (Decision::Use { note: true }) {
            steps.push(Step::Note(*what, Phase::Made));
        }
    }
    for (what, _, decision) in &decisions {
        if *what == What::Var && !matches!(decision, Decision::Refuse(_)) {
            steps.push(Step::GrowPartition);
        }
        match decision {
            Decision::Make => {
                steps.extend([Step::Note(*what, Phase::Making), Step::Make(*what), Step::Note(*what, Phase::Made)]);
            }
            Decision::Refuse(refusal) => steps.push(Step::Refuse(*what, *refusal)),
            Decision::Use { .. } => {}
        }
    }
    for (what, content, decision) in decisions {
        if matches!(decision, Decision::Refuse(_)) {
            continue;
        }
        if decision != Decision::Make && !content.as_ref().is_some_and(Content::is_clean) {
            steps.push(Step::Check(what));
        }
        steps.extend([Step::Mount(what), Step::GrowFileSystem(what)]);
    }
    steps
}

/// What may become of a further disk that a config names.
pub(super) fn decide_volume(phase: Option<Phase>, content: &Content, can_note: bool) -> volume::Decision {
    match (phase, content) {
        (Some(Phase::Made), _) => volume::Decision::Use,
        (_, content) if content.was_mounted() => volume::Decision::Use,
        (Some(Phase::Making), _) | (None, Content::Empty) if can_note => volume::Decision::Make,
        (Some(Phase::Making), _) | (None, Content::Empty) => volume::Decision::Refuse(Refusal::NoLedger),
        (None, _) => volume::Decision::Refuse(Refusal::Foreign),
    }
}

#[cfg(test)]
mod tests;
