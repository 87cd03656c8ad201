//! A finding with its document judged: what can be chosen, or is refused.

use super::choose::{Kind, Verdict};
use super::log;
use super::sources::Finding;
use super::store::judge;
use kmimage_contract::machine_config::MachineConfigError;
use kmimage_contract::state_line::StateLine;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// A judged finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The kind of source.
    pub(super) kind: Kind,
    /// The source, as in state lines.
    pub(super) source: String,
    /// The document, if there is one.
    pub(super) document: Option<Vec<u8>>,
    /// Its SHA-256 in hexadecimal, or nothing.
    pub(super) digest: String,
    /// Why it is refused, in one line.
    pub(super) error: Option<String>,
}

impl Candidate {
    /// Judges a finding. `None`: it has no document, and is not refused.
    pub(super) fn new(finding: Finding, image_role: Option<&str>) -> Option<Self> {
        let Finding { kind, source, document: name, content } = finding;
        let (document, error) = match content {
            Err(error) => (None, Some(error)),
            Ok(seed) => {
                let document = seed.document?;
                let judged = judge(&name, &document, image_role);
                (Some(document), judged.err().map(|error| full(&source, &error)))
            }
        };
        let digest = document.as_deref().map(sha256).unwrap_or_default();
        Some(Self { kind, source, document, digest, error })
    }

    /// What it is worth.
    pub(super) fn verdict(&self) -> Verdict {
        if self.error.is_some() { Verdict::Refused } else { Verdict::Good(self.digest.clone()) }
    }

    /// What tells it from others, and from itself after a change.
    pub(super) fn fingerprint(&self) -> String {
        format!("{} {} {}", self.source, self.digest, self.error.as_deref().unwrap_or_default())
    }

    /// The line that names it as passed over.
    pub(super) fn ignored(&self, reason: &str) -> StateLine {
        let line = StateLine::new("config").with("result", "ignored").with("source", &self.source);
        let line = if self.digest.is_empty() { line } else { line.with("sha256", &self.digest) };
        let line = line.with("reason", reason);
        match &self.error {
            Some(error) => line.with("error", error),
            None => line,
        }
    }
}

/// The line of a refusal.
pub(super) fn refused(source: &str, error: &str) -> StateLine {
    StateLine::new("config").with("result", "refused").with("source", source).with("error", error)
}

/// An error in one line; the whole of it, with the document's line and a caret, goes to the log.
pub(super) fn full(source: &str, error: &MachineConfigError) -> String {
    log(&format!("{source}: refused:\n{error}"));
    error.summary()
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
