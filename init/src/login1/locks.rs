//! Locks that delay a shutdown: each is a pipe whose other end its holder has. It is let go when that end is closed, however that comes.

use super::tell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::watch;

/// More than any machine's programs hold; what a client gone wild may cost.
const MOST: usize = 64;

/// Every lock that is held, by its number: who holds it.
#[derive(Debug, Clone)]
pub(super) struct Locks {
    held: Arc<Mutex<Held>>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Held {
    holders: BTreeMap<u64, String>,
    last: u64,
}

impl Default for Locks {
    fn default() -> Self {
        Self { held: Arc::default(), count: watch::Sender::new(0) }
    }
}

impl Locks {
    /// Takes a lock for `who`; returns the end that it is to keep open. `None`: there are too many.
    pub(super) fn take(&self, who: &str) -> io::Result<Option<OwnedFd>> {
        let (ours, theirs) = io::pipe()?;
        let mut ours = pipe::Receiver::from_owned_fd(ours.into())?;
        let mut held = self.held();
        if held.holders.len() >= MOST {
            return Ok(None);
        }
        held.last += 1;
        let number = held.last;
        held.holders.insert(number, who.to_owned());
        self.count.send_replace(held.holders.len());
        drop(held);
        let locks = self.clone();
        tokio::spawn(async move {
            // What is written there means nothing; its end does, and an error is an end.
            let mut buffer = [0; 64];
            while ours.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
            let mut held = locks.held();
            if let Some(who) = held.holders.remove(&number) {
                tell(&format!("{who} delays a shutdown no longer"));
            }
            locks.count.send_replace(held.holders.len());
        });
        Ok(Some(theirs.into()))
    }

    /// Who holds locks.
    pub(super) fn holders(&self) -> Vec<String> {
        self.held().holders.values().cloned().collect()
    }

    /// Waits until nobody holds one.
    pub(super) async fn all_released(&self) {
        // The sender lives as long as this value.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
