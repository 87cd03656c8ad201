//! The ledger on the medium: the last MiB of the partition `state`. What it means and how it is written is `contract`'s.

use kmimage_contract::ledger::{COPY, Ledger, LedgerError, PLACES, Phase, ROOM};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Why the ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum LedgerFault {
    /// The partition is too small for it.
    #[error("{} has no room for the ledger", .0.display())]
    Size(PathBuf),
    /// Reading or writing failed.
    #[error("the ledger at the end of {}", path.display())]
    Io {
        /// The partition.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It can't be written down.
    #[error(transparent)]
    Text(#[from] LedgerError),
}

/// Reads it. `None`: no copy is whole.
pub(super) fn read(partition: &Path, size: u64) -> Result<Option<Ledger>, LedgerFault> {
    let begin = size.checked_sub(ROOM).ok_or_else(|| LedgerFault::Size(partition.to_owned()))?;
    let fail = |source| LedgerFault::Io { path: partition.to_owned(), source };
    let file = File::open(partition).map_err(fail)?;
    let mut copies = Vec::new();
    for place in PLACES {
        let mut copy = vec![0; COPY];
        // A copy that can't be read is as good as one that is not whole; that is what the other one is for.
        if file.read_exact_at(&mut copy, begin + place).is_ok() {
            copies.push(copy);
        }
    }
    Ok(Ledger::newest(&copies))
}

/// Writes that a file system has come so far, and waits until the medium has it. Returns the ledger as it is now.
pub(super) fn note(
    partition: &Path,
    size: u64,
    ledger: Option<Ledger>,
    name: &str,
    phase: Phase,
    uuid: Uuid,
) -> Result<Ledger, LedgerFault> {
    let begin = size.checked_sub(ROOM).ok_or_else(|| LedgerFault::Size(partition.to_owned()))?;
    let fail = |source| LedgerFault::Io { path: partition.to_owned(), source };
    let ledger = ledger.unwrap_or_default().with(name, phase, uuid);
    let copy = ledger.encode()?;
    let file = OpenOptions::new().write(true).open(partition).map_err(fail)?;
    file.write_all_at(&copy, begin + ledger.place()).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    Ok(ledger)
}
