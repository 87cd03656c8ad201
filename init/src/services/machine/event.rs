//! What goes into the machine, and what comes out.

use crate::services::unit::Unit;
use kmimage_sys::process::{Exit, Tell};
use std::collections::BTreeMap;

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// These units are wanted, and no others.
    Units(BTreeMap<String, Unit>),
    /// A condition holds, or doesn't any more.
    Condition {
        /// Its name.
        name: String,
        /// Whether it holds.
        holds: bool,
    },
    /// A unit's program was started.
    Started {
        /// Which.
        unit: String,
        /// As which process.
        pid: u32,
    },
    /// A unit's program could not be started.
    NotStarted {
        /// Which.
        unit: String,
        /// Why not.
        error: String,
    },
    /// A unit's process has ended.
    Ended {
        /// Which.
        unit: String,
        /// As which process.
        pid: u32,
        /// How.
        exit: Exit,
        /// Whether the kernel ended something of it for want of memory.
        out_of_memory: bool,
    },
    /// Nothing of a unit runs any more.
    Empty {
        /// Which.
        unit: String,
    },
    /// The answer to [`Action::Probe`].
    Probed {
        /// Which.
        unit: String,
        /// The process that was looked at.
        pid: u32,
        /// Whether it is ready.
        ready: bool,
    },
    /// A unit is to read its input again.
    Reload {
        /// Which.
        unit: String,
    },
    /// The machine goes down: everything is stopped, and nothing started any more.
    ShutDown,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Start a unit's program; [`Event::Started`] or [`Event::NotStarted`] is the answer.
    Start {
        /// Which.
        unit: String,
    },
    /// Tell a unit's process something.
    Tell {
        /// Its process.
        pid: u32,
        /// What.
        what: Tell,
    },
    /// Kill everything that belongs to a unit; [`Event::Empty`] is the answer, once it has gone.
    KillAll {
        /// Which.
        unit: String,
    },
    /// Look whether a unit is ready; [`Event::Probed`] is the answer.
    Probe {
        /// Which.
        unit: String,
        /// Its process.
        pid: u32,
    },
}
