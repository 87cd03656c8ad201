//! Looking at all sources, deciding, and waiting for a reason to look again: a device, its medium, or an answer from a URL.

mod decide;
mod look;
#[cfg(test)]
mod tests;

use super::events::{self, Changed};
use super::log;
use super::platform::Platform;
use super::remote::Fetching;
use super::sources::Finding;
use super::store::{Provenance, Store};
use crate::facts::{self, FactError};
use kmimage_contract::cmdline::{BootParameters, Cmdline, CmdlineError};
use kmimage_sys::poll;
use kmimage_sys::uevent::UeventSocket;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
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
    /// The URLs' sources that have answered.
    answered: BTreeSet<String>,
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
            answered: BTreeSet::new(),
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
}
