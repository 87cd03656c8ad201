//! Gathering: what each source has now, and what a URL answered. Nothing is decided here.

use super::Watch;
use crate::config::events::Changed;
use crate::config::fetch::{CA_BUNDLE, Fetcher};
use crate::config::log;
use crate::config::remote::{Attempt, Fetching};
use crate::config::sources::{self, Finding, Look, Named};
use crate::config::store::judge;
use crate::facts::block::{self, BlockDevice};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

impl Watch {
    /// What is there from the start: the firmware's tables.
    pub(super) fn look_at_fixed(&mut self) {
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
    pub(super) fn look(&mut self, changed: &Changed) {
        if changed.is_nothing() {
            return;
        }
        let devices = block::read().unwrap_or_default();
        self.look_at(changed, &devices);
    }

    /// The same, at these devices.
    pub(super) fn look_at(&mut self, changed: &Changed, devices: &[BlockDevice]) {
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

    pub(super) fn start_fetching(&mut self, done: &Sender<(usize, Attempt)>, wake: &UnixStream) {
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

    pub(super) fn take_answers(&mut self, ended: &Receiver<(usize, Attempt)>) {
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
    pub(super) fn findings(&self) -> Vec<Finding> {
        let fetched = self.fetching.iter().filter_map(Fetching::finding);
        let local = self.partitions.iter().chain(self.volumes.values()).chain(&self.fixed).cloned();
        let mut findings: Vec<Finding> = local.chain(fetched).collect();
        findings.sort_by_key(|finding| finding.kind);
        findings
    }
}
