//! Looking at all sources, deciding, and waiting for a reason to look again: a device, its medium, or an answer from a URL.

#[cfg(test)]
mod tests;

use super::candidate::{Candidate, full, refused, sha256};
use super::choose::{self, Known, Offer, Outcome, Stored, Verdict};
use super::events::{self, Changed};
use super::fetch::{CA_BUNDLE, Fetcher};
use super::log;
use super::platform::Platform;
use super::remote::{Attempt, Fetching};
use super::sources::{self, Finding, Look, Named, Remote};
use super::store::{Kept, Provenance, Store, judge};
use crate::facts::block::{self, BlockDevice};
use crate::facts::{self, FactError};
use kmimage_contract::cmdline::{BootParameters, Cmdline, CmdlineError};
use kmimage_contract::state_line::StateLine;
use kmimage_sys::poll;
use kmimage_sys::uevent::UeventSocket;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;
use uuid::Uuid;

/// Why the child ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    #[error(transparent)]
    Fact(#[from] FactError),
    #[error(transparent)]
    Cmdline(#[from] CmdlineError),
    #[error("waiting for events")]
    Events(#[source] io::Error),
    #[error("saying a state line")]
    Say(#[source] io::Error),
}

/// All that is known of the sources, and what has been said.
pub(super) struct Watch {
    root: PathBuf,
    store: Store,
    parameters: BootParameters,
    loader: Option<Uuid>,
    role: Option<String>,
    /// What was looked at once: it doesn't change while the machine runs.
    fixed: Vec<Finding>,
    fetching: Vec<Fetching>,
    /// NoCloud volumes, by the names of their devices.
    volumes: BTreeMap<String, Finding>,
    /// What partitions that are asked for have: the command line's, the ESP.
    partitions: Vec<Finding>,
    /// What the first decision saw.
    first: Option<BTreeSet<String>>,
    in_force: Option<Provenance>,
    platform: Option<Platform>,
    said: BTreeSet<String>,
    logged: BTreeSet<String>,
    result: String,
}

impl Watch {
    /// Reads what doesn't change. `root` is `/` on a machine.
    pub(super) fn new(root: &Path, loader: Option<Uuid>, role: Option<String>) -> Result<Self, WatchError> {
        let cmdline = facts::read_text(&root.join("proc/cmdline"))?;
        let parameters = Cmdline::parse(&cmdline).boot_parameters()?;
        let store = Store::new(root);
        let mut watch = Self {
            root: root.to_owned(),
            parameters,
            loader,
            role,
            fixed: Vec::new(),
            fetching: Vec::new(),
            volumes: BTreeMap::new(),
            partitions: Vec::new(),
            first: None,
            in_force: store.in_force().map(|kept| kept.provenance),
            platform: None,
            said: BTreeSet::new(),
            logged: BTreeSet::new(),
            result: String::new(),
            store,
        };
        watch.look_at_fixed();
        Ok(watch)
    }

    /// Watches for ever.
    pub(super) fn run(mut self) -> Result<Infallible, WatchError> {
        let events = UeventSocket::open().map_err(WatchError::Events)?;
        let (mut woken, wake) = UnixStream::pair().map_err(WatchError::Events)?;
        woken.set_nonblocking(true).map_err(WatchError::Events)?;
        let (done, ended) = channel();
        if let Err(error) = events::poll_media(&self.root) {
            log(&format!("a medium that is changed will not be noticed: {error}"));
        }
        let mut changed = Changed::All;
        loop {
            self.look(&changed);
            for line in self.decide() {
                writeln!(io::stdout(), "{line}").map_err(WatchError::Say)?;
            }
            self.start_fetching(&done, &wake);
            let due = self.fetching.iter().filter_map(Fetching::next).min();
            let timeout = due.map(|due| due.saturating_duration_since(Instant::now()));
            let ready = poll::readable(&[events.as_fd(), woken.as_fd()], timeout).map_err(WatchError::Events)?;
            changed = if ready.first() == Some(&true) {
                events::receive(&events).map_err(WatchError::Events)?
            } else {
                Changed::default()
            };
            let mut bytes = [0; 64];
            while matches!(woken.read(&mut bytes), Ok(1..)) {}
            self.take_answers(&ended);
        }
    }

    /// What is there from the start: the firmware's tables.
    fn look_at_fixed(&mut self) {
        let [seed, string] = sources::smbios(&self.root);
        for named in [seed, string, Named::Look(sources::fw_cfg(&self.root))] {
            self.note(named);
        }
        if let Named::Remote(remote) = sources::command_line(&self.root, &self.parameters, &[]) {
            self.note(Named::Remote(remote));
        }
    }

    fn note(&mut self, named: Named) {
        match named {
            Named::Look(look) => {
                let found = self.found(look);
                self.fixed.extend(found);
            }
            Named::Remote(remote) => {
                self.log(format!("{}: to be fetched", remote.source));
                self.fetching.push(Fetching::new(remote, Instant::now()));
            }
        }
    }

    /// What a look found; what it found and what it didn't is logged.
    fn found(&mut self, look: Look) -> Option<Finding> {
        match look {
            Look::Found(finding) => {
                self.log_finding(&finding);
                Some(*finding)
            }
            Look::Absent(what) => {
                self.log(what);
                None
            }
        }
    }

    fn log_finding(&mut self, finding: &Finding) {
        let source = &finding.source;
        match &finding.content {
            Err(error) => self.log(format!("{source}: refused: {error}")),
            Ok(seed) => {
                let what = if seed.document.is_some() { "a machine config" } else { "no machine config" };
                let who = if seed.platform.is_empty() { "" } else { ", and platform data" };
                self.log(format!("{source}: {what}{who}"));
                for note in &seed.notes {
                    self.log(format!("{source}: {note}"));
                }
            }
        }
    }

    /// For the log, each text once.
    fn log(&mut self, text: String) {
        if !self.logged.contains(&text) {
            log(&text);
            self.logged.insert(text);
        }
    }

    /// Looks at what may have changed.
    fn look(&mut self, changed: &Changed) {
        if changed.is_nothing() {
            return;
        }
        let devices = block::read().unwrap_or_default();
        self.look_at(changed, &devices);
    }

    /// The same, at these devices.
    fn look_at(&mut self, changed: &Changed, devices: &[BlockDevice]) {
        let is_there = |name: &str| devices.iter().any(|device| device.name == name && device.sectors > 0);
        self.volumes.retain(|name, _| is_there(name));
        for device in devices.iter().filter(|device| device.sectors > 0 && changed.names(&device.name)) {
            self.volumes.remove(&device.name);
            if let Some(finding) = sources::volume(&self.root, &device.name).and_then(|look| self.found(look)) {
                self.volumes.insert(device.name.clone(), finding);
            }
        }
        if self.volumes.is_empty() {
            self.log("no volume has the label cidata".to_owned());
        }
        let asked = [
            sources::command_line(&self.root, &self.parameters, devices),
            Named::Look(sources::esp(&self.root, &self.parameters, self.loader, devices)),
        ];
        self.partitions.clear();
        for named in asked {
            // What has to be fetched was noted at the start.
            if let Named::Look(look) = named {
                let found = self.found(look);
                self.partitions.extend(found);
            }
        }
    }

    fn start_fetching(&mut self, done: &Sender<(usize, Attempt)>, wake: &UnixStream) {
        let now = Instant::now();
        let is_due = |fetching: &Fetching| fetching.next().is_some_and(|due| due <= now);
        // Once `state` decides, what a URL has changes nothing.
        if !self.fetching.iter().any(is_due) || self.in_force.is_some() && self.store.is_marked() {
            return;
        }
        let fetcher = self.fetcher();
        for (place, fetching) in self.fetching.iter_mut().enumerate().filter(|(_, fetching)| is_due(fetching)) {
            if let Err(error) = fetching.start(place, &fetcher, done, wake) {
                fetching.end(Attempt::Waiting(error.to_string()), false, now);
            }
        }
    }

    /// Trusts the image's authorities, and those of the last config.
    fn fetcher(&self) -> Fetcher {
        let image = std::fs::read(self.root.join(CA_BUNDLE)).unwrap_or_default();
        let kept = self.store.load().ok().flatten();
        let config = kept.and_then(|kept| judge("state", &kept.document, self.role.as_deref()).ok());
        let own = config.map(|config| config.trusted).unwrap_or_default();
        Fetcher::new(std::iter::once(image.as_slice()).chain(own.iter().map(|certificate| certificate.pem.as_bytes())))
    }

    fn take_answers(&mut self, ended: &Receiver<(usize, Attempt)>) {
        while let Ok((place, attempt)) = ended.try_recv() {
            let Some(fetching) = self.fetching.get_mut(place) else { continue };
            let good = match &attempt {
                Attempt::Waiting(_) | Attempt::Answer(Err(_)) => false,
                Attempt::Answer(Ok(seed)) => {
                    seed.document.as_deref().is_none_or(|document| judge("document", document, self.role.as_deref()).is_ok())
                }
            };
            fetching.end(attempt, good, Instant::now());
            match fetching.finding() {
                Some(finding) => self.log_finding(&finding),
                None => {
                    let text = format!("{}: {}", fetching.remote.source, fetching.reason());
                    self.log(text);
                }
            }
        }
    }

    /// Every finding, in the order of the sources.
    fn findings(&self) -> Vec<Finding> {
        let fetched = self.fetching.iter().filter_map(Fetching::finding);
        let local = self.partitions.iter().chain(self.volumes.values()).chain(&self.fixed).cloned();
        let mut findings: Vec<Finding> = local.chain(fetched).collect();
        findings.sort_by_key(|finding| finding.kind);
        findings
    }

    /// Decides by what is known now, does it, and returns what is worth saying.
    fn decide(&mut self) -> Vec<StateLine> {
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
