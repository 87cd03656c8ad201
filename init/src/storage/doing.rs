//! Doing the plan: one step after the other; what fails ends the steps of its own file system and is said by name.

use super::content::{self, Content};
use super::disk::{self, BootDisk, Partition};
use super::ledger;
use super::places;
use super::plan::{Refusal, Step, What};
use super::tools::{self, Checked, Shape};
use crate::{facts, failure};
use kmimage_contract::gpt::{Copy, GrowError};
use kmimage_contract::ledger::{Ledger, ROOM};
use kmimage_contract::state_line::StateLine;
use kmimage_sys::mount::{self, Restrictions};
use kmimage_sys::{block, filesystem, random};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The unit in which partitions begin and end, in bytes.
const ALIGNMENT: u64 = 1 << 20;
/// What a damaged ext4 answers: EIO, EROFS (it has met damage before), EBADMSG (a checksum), EUCLEAN.
const DAMAGE: [i32; 4] = [5, 30, 74, 117];

/// What a step fails with.
#[derive(Debug, thiserror::Error)]
pub(super) enum StepError {
    /// The plan refuses it.
    #[error("{0}")]
    Refused(Refusal),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] ledger::LedgerFault),
    /// mke2fs or e2fsck.
    #[error(transparent)]
    Tool(#[from] tools::ToolError),
    /// A partition could not be read or written out.
    #[error("{}", path.display())]
    Partition {
        /// Its device.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It could not be mounted.
    #[error("mounting on {}", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A folder or link that has to be there.
    #[error(transparent)]
    Place(#[from] places::PlaceError),
    /// The partition table can't grow.
    #[error("growing the partition")]
    Table(#[from] GrowError),
    /// The kernel or the file system did not grow.
    #[error("growing to {size} bytes: {message}")]
    Grow {
        /// How large it should be.
        size: u64,
        /// What it is instead.
        message: String,
    },
}

impl StepError {
    /// What a person can do.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.remedy(),
            Self::Tool(tools::ToolError::Failed { program: "e2fsck", .. }) => {
                "nothing was changed; run e2fsck -f on the partition from another system, or restore it from a backup"
            }
            Self::Place(places::PlaceError { source, .. }) if source.kind() == io::ErrorKind::StorageFull => {
                "the file system is full: make the disk larger, or free space from another system"
            }
            _ => "look at the disk: cabling, the host's storage, its health",
        }
    }

    /// Whether a thorough check may help.
    fn is_damage(&self) -> bool {
        match self {
            Self::Mount { .. } => true,
            Self::Place(places::PlaceError { source, .. }) => source.raw_os_error().is_some_and(|code| DAMAGE.contains(&code)),
            _ => false,
        }
    }
}

/// A run over the steps.
pub(super) struct Doing<'a> {
    /// The boot disk; sizes change when a partition grows.
    pub disk: BootDisk,
    /// The ledger as it is now.
    pub ledger: Option<Ledger>,
    /// A file for what programs say.
    pub scratch: PathBuf,
    /// Called for every line.
    pub say: &'a mut dyn FnMut(StateLine),
    /// Which file systems can't be used, by name.
    pub failed: Vec<What>,
    made: Vec<(What, Uuid)>,
}

impl<'a> Doing<'a> {
    /// Nothing is done yet.
    pub(super) fn new(disk: BootDisk, ledger: Option<Ledger>, scratch: PathBuf, say: &'a mut dyn FnMut(StateLine)) -> Self {
        Self { disk, ledger, scratch, say, failed: Vec::new(), made: Vec::new() }
    }

    /// Does a step, unless its file system has failed. A failure is said, not returned: the other file system goes on.
    pub(super) fn act(&mut self, step: Step) {
        let what = step.what();
        if self.failed.contains(&what) {
            return;
        }
        if let Err(error) = self.try_step(step) {
            // A partition that stays as it is can be used all the same.
            if step == Step::GrowPartition {
                (self.say)(warning("var-size", &error));
            } else {
                (self.say)(failed(what.name(), &error, error.remedy()));
                self.failed.push(what);
            }
        }
    }

    fn try_step(&mut self, step: Step) -> Result<(), StepError> {
        match step {
            // Called a second time: what is in use is neither checked nor mounted over.
            Step::Check(what) | Step::Mount(what) if is_mounted(places::mount_point(what)) => Ok(()),
            Step::Refuse(_, refusal) => Err(StepError::Refused(refusal)),
            Step::GrowPartition => self.grow_partition(),
            Step::Note(what, phase) => {
                let state = self.partition(What::State)?;
                // A `state` that fills its whole partition was not made by us, and has data where the ledger would be.
                if let Ok(Content::Ext4(superblock)) = content::read(&state.path)
                    && superblock.size() > state.size.saturating_sub(ROOM)
                {
                    return Err(ledger::LedgerFault::Size(state.path).into());
                }
                let uuid = self.uuid(what)?;
                self.ledger = Some(ledger::note(&state.path, state.size, self.ledger.take(), what.name(), phase, uuid)?);
                Ok(())
            }
            Step::Make(what) => self.make(what),
            Step::Check(what) => self.check(what, false),
            Step::Mount(what) => self.mount(what),
            Step::GrowFileSystem(what) => self.grow_file_system(what),
        }
    }

    fn partition(&self, what: What) -> Result<Partition, StepError> {
        self.disk.partition(what).cloned().ok_or(StepError::Refused(Refusal::NoPartition))
    }

    /// The UUID of a file system: the one that it has, or is about to get.
    fn uuid(&mut self, what: What) -> Result<Uuid, StepError> {
        if let Some((_, uuid)) = self.made.iter().find(|(made, _)| *made == what) {
            return Ok(*uuid);
        }
        let partition = self.partition(what)?;
        let uuid = match content::read(&partition.path) {
            Ok(Content::Ext4(superblock)) if superblock.mounted => superblock.uuid,
            _ => {
                let bytes = random::bytes().map_err(|source| StepError::Partition { path: "/dev/random".into(), source })?;
                uuid::Builder::from_random_bytes(bytes).into_uuid()
            }
        };
        self.made.push((what, uuid));
        Ok(uuid)
    }

    fn make(&mut self, what: What) -> Result<(), StepError> {
        (self.say)(StateLine::new("storage").with(what.name(), "making"));
        let (partition, uuid) = (self.partition(what)?, self.uuid(what)?);
        let size = Shape::size_in(partition.size, what == What::State);
        let block = if what == What::State { tools::SMALL_BLOCK } else { tools::BLOCK };
        tools::make(&partition.path, &Shape { label: what.name(), uuid, block, size }, &self.scratch)?;
        flush(&partition.path)
    }

    fn check(&mut self, what: What, thorough: bool) -> Result<(), StepError> {
        (self.say)(StateLine::new("storage").with(what.name(), "checking"));
        let partition = self.partition(what)?;
        let (checked, said) = tools::check(&partition.path, thorough, &self.scratch)?;
        if checked == Checked::Mended {
            (self.say)(StateLine::new("storage").with(what.name(), "mended").with("e2fsck", said));
        }
        flush(&partition.path)
    }

    /// Mounts and fills in what has to be there. Damage that only shows now gets one thorough check.
    fn mount(&mut self, what: What) -> Result<(), StepError> {
        let partition = self.partition(what)?;
        match mount_and_fill(what, &partition) {
            Err(error) if error.is_damage() => {
                let target = places::mount_point(what);
                let _ = mount::unmount(target);
                self.check(what, true)?;
                mount_and_fill(what, &partition)
            }
            result => result,
        }
    }

    fn grow_partition(&mut self) -> Result<(), StepError> {
        let var = self.partition(What::Var)?;
        let sector = self.disk.table.table.sector_size.bytes();
        if self.disk.table.copy != Copy::Primary {
            return Ok(());
        }
        let table = &self.disk.table;
        let growth = table.table.grow_last(&table.array, var.uuid, self.disk.size / sector, ALIGNMENT / sector)?;
        let Some(growth) = growth else { return Ok(()) };
        let fail = |source| StepError::Partition { path: self.disk.path.clone(), source };
        let disk = OpenOptions::new().read(true).write(true).open(&self.disk.path).map_err(fail)?;
        for write in &growth.writes {
            disk.write_all_at(&write.bytes, write.offset).map_err(fail)?;
            disk.sync_all().map_err(fail)?;
        }
        let size = (growth.partition.last_lba + 1 - growth.partition.first_lba) * sector;
        block::resize_partition(&disk, var.number, var.start, size).map_err(fail)?;
        let name = var.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let now = disk::device_size(&name).unwrap_or(0);
        if now != size {
            return Err(StepError::Grow { size, message: format!("the kernel's partition has {now}") });
        }
        if let Some(var) = &mut self.disk.var {
            var.size = now;
        }
        Ok(())
    }

    /// Grows a mounted file system that is smaller than its partition, and says how large it is.
    fn grow_file_system(&mut self, what: What) -> Result<(), StepError> {
        let (partition, target) = (self.partition(what)?, places::mount_point(what));
        let wanted = Shape::size_in(partition.size, what == What::State);
        let fail = |message: String| StepError::Grow { size: wanted, message };
        let superblock = || match content::read(&partition.path) {
            Ok(Content::Ext4(superblock)) => Ok(superblock),
            _ => Err(fail("its superblock can't be read".to_owned())),
        };
        let before = superblock()?;
        let wanted_blocks = wanted / before.block_size;
        if before.blocks < wanted_blocks {
            let grown = filesystem::grow_ext4(target, wanted_blocks).map_err(|error| error.to_string());
            // By the superblock, not by the call: it is what the next boot finds.
            let after = superblock()?;
            if after.blocks != wanted_blocks {
                let grown = grown.err().unwrap_or_default();
                let error = fail(format!("it has {} {grown}", after.size()));
                (self.say)(warning(&format!("{what}-size"), &error));
            }
        }
        let usage = filesystem::usage(target).map_err(|source| StepError::Partition { path: target.to_owned(), source })?;
        let line = StateLine::new("storage").with(what.name(), "mounted").with("size", superblock()?.size());
        (self.say)(line.with("partition", partition.size).with("for-files", usage.size).with("free", usage.free));
        if usage.free < usage.size / 100 || usage.free_files == 0 {
            (self.say)(
                StateLine::new("storage-full").with("what", what).with("free", usage.free).with("free-files", usage.free_files),
            );
        }
        Ok(())
    }
}

/// The line that says that something can't be used.
pub(super) fn failed(what: &str, error: &dyn std::error::Error, remedy: &str) -> StateLine {
    StateLine::new("storage-failed").with("what", what).with("cause", failure::chain(error)).with("remedy", remedy)
}

/// The line that says that something is not as it should be, and is used all the same.
pub(super) fn warning(what: &str, error: &dyn std::error::Error) -> StateLine {
    StateLine::new("storage-warning").with("what", what).with("cause", failure::chain(error))
}

fn mount_and_fill(what: What, partition: &Partition) -> Result<(), StepError> {
    let target = places::mount_point(what);
    let fail = |source| StepError::Mount { path: target.to_owned(), source };
    if !target.is_dir() {
        places::make_private(target).map_err(fail)?;
    }
    let restrictions = Restrictions { no_suid: true, no_dev: true, no_exec: what == What::State, read_only: false };
    mount::mount(&partition.path.to_string_lossy(), target, "ext4", restrictions, "errors=remount-ro").map_err(fail)?;
    Ok(places::fill(what, target)?)
}

pub(super) fn is_mounted(target: &Path) -> bool {
    facts::mounts::read().unwrap_or_default().iter().any(|mount| mount.target == target)
}

/// Waits until the medium has all that was written to a device.
fn flush(device: &Path) -> Result<(), StepError> {
    let file = OpenOptions::new().write(true).open(device);
    file.and_then(|file| file.sync_all()).map_err(|source| StepError::Partition { path: device.to_owned(), source })
}

#[cfg(test)]
mod tests;
