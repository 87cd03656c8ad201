//! Deciding by what was found: which document is in force, what is kept of it, and what is said.

use super::Watch;
use crate::config::candidate::{Candidate, full, refused, sha256};
use crate::config::choose::{self, Known, Offer, Outcome, Stored, Verdict};
use crate::config::log;
use crate::config::platform::Platform;
use crate::config::sources::Remote;
use crate::config::store::{Kept, Provenance, judge};
use kmimage_contract::state_line::StateLine;
use std::collections::BTreeSet;
use std::io;

impl Watch {
    /// Decides by what is known now, does it, and returns what is worth saying.
    pub(super) fn decide(&mut self) -> Vec<StateLine> {
        let candidates: Vec<Candidate> =
            self.findings().into_iter().filter_map(|finding| Candidate::new(finding, self.role.as_deref())).collect();
        let waiting: Vec<Remote> = self
            .fetching
            .iter()
            .filter(|fetching| fetching.finding().is_none())
            .map(|fetching| fetching.remote.clone())
            .collect();
        let seen: BTreeSet<String> = candidates.iter().map(Candidate::fingerprint).collect();
        let first = self.first.get_or_insert(seen);
        // What a URL answers first was asked for from the start, however long it took: it is nothing that came later, and doesn't overtake
        // what is still waited for.
        for candidate in &candidates {
            let fetched = self.fetching.iter().any(|fetching| fetching.remote.source == candidate.source);
            if fetched && self.answered.insert(candidate.source.clone()) {
                first.insert(candidate.fingerprint());
            }
        }
        let mut offers: Vec<Offer> = candidates
            .iter()
            .map(|candidate| Offer {
                kind: candidate.kind,
                fresh: !first.contains(&candidate.fingerprint()),
                verdict: candidate.verdict(),
            })
            .collect();
        offers.extend(waiting.iter().map(|remote| Offer { kind: remote.kind, fresh: false, verdict: Verdict::Waiting }));
        let stored = self.stored();
        let known = Known {
            marked: self.store.is_marked(),
            stored: match &stored {
                Ok(None) => Stored::Nothing,
                Ok(Some((_, digest))) => Stored::Good(digest),
                Err(_) => Stored::Refused,
            },
            offers: &offers,
            in_force: self.in_force.as_ref().map(|provenance| provenance.sha256.as_str()),
        };
        let choice = choose::choose(&known);
        let bound = known.marked && matches!(known.stored, Stored::Good(_));
        let platform = self.platform(bound);
        let mut lines = Vec::new();
        match choice.outcome {
            Outcome::Take(at) => {
                if let Some(Candidate { source, document: Some(document), digest, .. }) = candidates.get(at) {
                    let provenance = Provenance { source: source.clone(), sha256: digest.clone() };
                    lines.extend(self.take(Kept { document: document.clone(), provenance }, platform, true));
                }
            }
            Outcome::TakeStored => {
                if let Ok(Some((kept, digest))) = stored {
                    let provenance = Provenance { source: "state".to_owned(), sha256: digest };
                    lines.extend(self.take(Kept { document: kept.document, provenance }, platform, false));
                }
            }
            Outcome::Keep => {}
            Outcome::Nothing => lines.extend(self.take_none(platform)),
            Outcome::Refused(at) => {
                if let Some(candidate) = candidates.get(at) {
                    lines.extend(self.result(refused(&candidate.source, candidate.error.as_deref().unwrap_or_default())));
                }
            }
            Outcome::StoredRefused => {
                if let Err(error) = &stored {
                    lines.extend(self.result(refused("state", error)));
                }
            }
            Outcome::Waiting(at) => {
                let place = at.checked_sub(candidates.len()).and_then(|at| waiting.get(at));
                let fetching = self.fetching.iter().find(|fetching| Some(&fetching.remote) == place);
                if let Some((source, reason)) = fetching.map(|fetching| (fetching.remote.source.clone(), fetching.reason())) {
                    let line = StateLine::new("config").with("result", "waiting").with("source", source).with("reason", reason);
                    lines.extend(self.result(line));
                }
            }
        }
        for candidate in choice.ignored.iter().filter_map(|at| candidates.get(*at)) {
            let line = candidate.ignored(if bound { "the config on state outranks it" } else { "another config outranks it" });
            if self.said.insert(line.to_string()) {
                lines.push(line);
            }
        }
        lines
    }

    /// The document on `state`, judged. The error is one line.
    fn stored(&self) -> Result<Option<(Kept, String)>, String> {
        let kept = self.store.load().map_err(|error| format!("reading it: {error}"))?;
        let Some(kept) = kept else { return Ok(None) };
        match judge("machine.toml", &kept.document, self.role.as_deref()) {
            Ok(_) => {
                let digest = sha256(&kept.document);
                Ok(Some((kept, digest)))
            }
            Err(error) => Err(full("state", &error)),
        }
    }

    /// What the platform says: each thing by the first source that says it. Once `state` decides, what it said then.
    fn platform(&self, bound: bool) -> Platform {
        let kept = self.store.load_platform();
        if bound {
            return kept;
        }
        let mut platform = Platform::default();
        for finding in self.findings() {
            let Ok(said) = finding.content.map(|seed| seed.platform) else { continue };
            if said.is_empty() {
                continue;
            }
            platform.source.get_or_insert(finding.source);
            platform.hostname = platform.hostname.or(said.hostname);
            platform.instance_id = platform.instance_id.or(said.instance_id);
            platform.provider_id = platform.provider_id.or(said.provider_id);
            platform.network = platform.network.or(said.network);
        }
        if platform.is_empty() { kept } else { platform }
    }

    /// Puts a document in force, and keeps it.
    fn take(&mut self, kept: Kept, platform: Platform, keep: bool) -> Option<StateLine> {
        let same = self.in_force.as_ref().is_some_and(|provenance| provenance.sha256 == kept.provenance.sha256);
        if same && self.platform.as_ref() == Some(&platform) {
            return None;
        }
        let mut line = StateLine::new("config")
            .with("result", "taken")
            .with("source", &kept.provenance.source)
            .with("sha256", &kept.provenance.sha256);
        if let Err(error) = self.store.put_in_force(Some(&kept), &platform) {
            return self.result(refused(&kept.provenance.source, &format!("putting it in force: {error}")));
        }
        if keep && let Err(error) = self.keep(Some(&kept), &platform) {
            log(&format!("keeping the config on state: {error}"));
            line = line.with("stored", "no");
        }
        self.in_force = Some(kept.provenance);
        self.platform = Some(platform);
        self.said.clear();
        self.result(line)
    }

    /// There is no config; platform data counts all the same.
    fn take_none(&mut self, platform: Platform) -> Option<StateLine> {
        if self.platform.as_ref() != Some(&platform) {
            if let Err(error) = self.store.put_in_force(None, &platform) {
                log(&format!("putting the platform's data in force: {error}"));
            }
            if !platform.is_empty()
                && let Err(error) = self.keep(None, &platform)
            {
                log(&format!("keeping the platform's data on state: {error}"));
            }
        }
        let line = StateLine::new("config").with("result", "none");
        let line = match &platform.source {
            Some(source) => line.with("platform", source),
            None => line,
        };
        self.platform = Some(platform);
        self.result(line)
    }

    fn keep(&self, kept: Option<&Kept>, platform: &Platform) -> io::Result<()> {
        if self.store.has_state() { self.store.keep(kept, platform) } else { Err(io::Error::other("there is no state")) }
    }

    /// The line, if it says something new.
    fn result(&mut self, line: StateLine) -> Option<StateLine> {
        let text = line.to_string();
        let new = text != self.result;
        self.result = text;
        new.then_some(line)
    }
}
