//! Reasons to look again: block devices that come, change (their medium, too) or go.

use kmimage_sys::poll;
use kmimage_sys::uevent::{Received, UeventSocket};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

/// How long the announcements of one event may straggle: a disk, then its partitions.
const STRAGGLE: Duration = Duration::from_millis(50);
/// How many announcements are read before looking.
const AT_ONCE: usize = 1000;
/// Where the kernel is told how often to look at the drives of removable media; by default it never does.
const MEDIA_POLL: &str = "sys/module/block/parameters/events_dfl_poll_msecs";
/// How often it should, in milliseconds.
const MEDIA_INTERVAL: &str = "2000";

/// What may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Changed {
    /// Anything.
    All,
    /// The devices of these names.
    Devices(BTreeSet<String>),
}

impl Default for Changed {
    fn default() -> Self {
        Self::Devices(BTreeSet::new())
    }
}

impl Changed {
    /// Whether a device is among them.
    pub(super) fn names(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Devices(names) => names.contains(name),
        }
    }

    /// Whether there is nothing.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Devices(names) if names.is_empty())
    }

    fn add(&mut self, name: &str) {
        if let Self::Devices(names) = self {
            names.insert(name.to_owned());
        }
    }
}

/// Reads the announcements that are there, and those that follow close behind one about a block device.
pub(super) fn receive(events: &UeventSocket) -> io::Result<Changed> {
    let mut changed = Changed::default();
    for _ in 0..AT_ONCE {
        match events.receive()? {
            // A disk's partitions are announced by themselves.
            Received::Event(event) if event.get("SUBSYSTEM") == "block" => {
                changed.add(event.get("DEVNAME").trim_start_matches("/dev/"));
            }
            Received::Event(_) => {}
            Received::Lost => changed = Changed::All,
            Received::Nothing => {
                let more = !changed.is_nothing() && poll::readable(&[events.as_fd()], Some(STRAGGLE))?.contains(&true);
                if !more {
                    break;
                }
            }
        }
    }
    Ok(changed)
}

/// Lets the kernel look at removable media by itself.
pub(super) fn poll_media(root: &Path) -> io::Result<()> {
    std::fs::write(root.join(MEDIA_POLL), MEDIA_INTERVAL)
}
