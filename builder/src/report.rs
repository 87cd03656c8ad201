//! The one way for a stage to speak while it works: events, rendered by the CLI (bars on a terminal, plain lines elsewhere).
//!
//! Libraries never print. A stage is given a [`Reporter`] and sends it [`Event`]s; tests pass [`silent`].

/// What a stage says while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A stage begins; the name is a present participle for a person ("composing tree").
    Stage(String),
    /// Something worth a line, for the operator.
    Note(String),
    /// Something the operator should act on.
    Warning(String),
    /// Work of a known or unknown size: `done` of `total` (bytes or items) under `label`. `total` 0 = not known.
    /// The same label means the same bar; `done == total` ends it.
    Progress {
        /// What is being worked on; the identity of the bar.
        label: String,
        /// How much is done.
        done: u64,
        /// How much there is.
        total: u64,
        /// What is counted.
        unit: Unit,
    },
}

/// What a progress counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Files, packages, blocks, ...
    Items,
}

/// Receives events; shared by threads.
pub type Reporter<'a> = &'a (dyn Fn(Event) + Sync);

/// A reporter that says nothing.
pub fn silent(_: Event) {}
