//! init's child `storage`: finds `state` and `var` on the boot disk, makes them once, mends, grows and mounts them, and keeps what has
//! to outlive a boot.
//!
//! # A file system once made is never made again
//!
//! Two witnesses say that a file system was made: the ledger (`contract::ledger`: the last MiB of the partition `state`, outside of
//! every file system, two copies written in turn), and the file system's own superblock, which the kernel marks when it mounts it.
//! One of them is enough. It is made only if the ledger says that it was begun, or if the partition is empty (its first and last MiB
//! are zero) and nothing says that this machine has lived. Everything else is refused by name.
//!
//! What a power cut leaves, step by step; every arrow is a flush of the disk's cache:
//!
//! | cut | found by the next boot | what it does |
//! |---|---|---|
//! | before anything | both empty, no ledger | begins |
//! | in the first note | the note is there or not (it is one sector) | begins |
//! | → in mke2fs of `state` | ledger: making | makes it again; nothing was ever in it |
//! | → in the note that it is made | ledger: making, or made | makes it again, or goes on |
//! | in the growth of `var`'s partition | the old table or the new one, each whole (`contract::gpt`) | grows it, or ends the change |
//! | → in the notes and mke2fs of `var` | as with `state` | as with `state` |
//! | → in a first mount | made, journal perhaps dirty | e2fsck replays the journal |
//! | later, anywhere | made, journal dirty | e2fsck replays the journal |
//! | in a note while another is there | the copy before | as before that note |
//! | in the growth of the mounted file system | ext4's own journal | e2fsck, then grows it again |
//!
//! `var` is made before `state` is mounted for the first time: so a `state` that has lived is a third witness for `var`.
//!
//! # A boot from a medium
//!
//! A medium that machines are installed from has neither partition (`contract::disk_layout::medium`): both are in memory then, and what
//! is above does not apply.
//!
//! # Limits
//!
//! A disk that says "flushed" and has not is not detected beyond the second witness. Somebody who writes to the disk on purpose can
//! make everything look new: this is no security boundary. Nothing here encrypts, and nothing removes a file system.

mod content;
mod disk;
mod doing;
pub mod identity;
mod lasting;
mod ledger;
mod live;
pub mod places;
mod plan;
pub mod record;
pub mod seed;
mod tools;
pub mod volume;

pub use content::Content;
pub use plan::{Facts, Refusal, Step, What, plan};

use crate::facts::{self, modules::Dependencies};
use crate::failure;
use disk::BootDisk;
use doing::{Doing, failed, warning};
use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::module::{self, Loaded};
use kmimage_sys::random;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The name that process 1 starts it by.
pub const APPLET: &str = "storage";
/// The file system.
const EXT4: &str = "ext4";
/// What computes its checksum, the fastest first: it is asked for by an alias only, which no table of dependencies tells.
const CHECKSUMS: [&str; 2] = ["crc32c-intel", "crc32c_generic"];
/// A file for what mke2fs and e2fsck say.
const SCRATCH: &str = "/run/kmimage/storage.said";

/// Why there is no storage at all.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk under `/` is not known.
    #[error("the boot disk can't be found: {0}")]
    Root(String),
    /// The boot disk's table can't be read.
    #[error("the boot disk {0} has no valid partition table")]
    NoTable(String),
    /// An input file that is missing or not what it should be.
    #[error("{}: {message}", path.display())]
    Input {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The folder for init's children.
    #[error("making {}", paths::RUN)]
    Run(#[source] std::io::Error),
}

/// The applet: without words `state` and `var`; `volumes` mounts further disks; `keep-seed` is for the end of a run.
///
/// Ends with 0 when everything is there, with 1 when something has failed (each by a line `storage-failed`), with 2 when it was called
/// wrongly.
pub fn run(words: &[String]) -> ExitCode {
    let mut say = |line: StateLine| {
        let mut output = std::io::stdout();
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    };
    let good = match words {
        [] => places::make_private(Path::new(paths::RUN)).map_err(StorageError::Run).and_then(|()| mount_all(&mut say)),
        [word] if word == "volumes" => volume::mount_all(Path::new(SCRATCH), &mut say),
        [word] if word == "keep-seed" => {
            let kept = seed::keep(Path::new(paths::STATE));
            return if kept.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        _ => return ExitCode::from(2),
    };
    match good {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(failed("disk", &error, "write the image to the disk again"));
            ExitCode::FAILURE
        }
    }
}

/// Everything that a boot needs of `state` and `var`. `Ok(false)`: something has failed and was said.
fn mount_all(say: &mut dyn FnMut(StateLine)) -> Result<bool, StorageError> {
    load_modules();
    let disk = disk::find()?;
    if disk.is_medium {
        return Ok(live::mount_all(say));
    }
    let facts = look(&disk);
    let steps = plan(&facts);
    let mut doing = Doing::new(disk, facts.ledger, SCRATCH.into(), say);
    let mut good = true;
    for step in steps {
        doing.act(step);
        // Before it is said that they are mounted: who waits for these words relies on what is done here.
        match step {
            Step::Mount(What::State) if !doing.failed.contains(&What::State) && !settle(doing.say) => {
                doing.failed.push(What::State)
            }
            Step::Mount(What::Var) if doing.failed.is_empty() => good &= bind(doing.say),
            _ => {}
        }
    }
    Ok(good && doing.failed.is_empty())
}

/// The places outside of /etc that are seen elsewhere.
fn bind(say: &mut dyn FnMut(StateLine)) -> bool {
    let bound = places::bind_outside_etc();
    if let Err(error) = &bound {
        say(failed("places", error, "report this: the image and its init disagree"));
    }
    bound.is_ok()
}

/// What is on the disk. A partition that can't be read counts as one with something foreign: it is not written to.
fn look(disk: &BootDisk) -> Facts {
    let content = |what: What| {
        disk.partition(what).map(|partition| {
            content::read(&partition.path).unwrap_or_else(|error| {
                warn(&format!("reading {}: {error}", partition.path.display()));
                Content::Other
            })
        })
    };
    let ledger = disk.state.as_ref().and_then(|state| {
        ledger::read(&state.path, state.size).unwrap_or_else(|error| {
            warn(&failure::chain(&error));
            None
        })
    });
    Facts { ledger, state: content(What::State), var: content(What::Var) }
}

/// Identity and random seed, both on `state`.
fn settle(say: &mut dyn FnMut(StateLine)) -> bool {
    let state = Path::new(paths::STATE);
    let identity = match identity::settle(state, identity::product(), random::bytes) {
        Ok(identity) => identity,
        Err(error) => {
            say(failed("state", &error, "look at the disk: state may be full or damaged"));
            return false;
        }
    };
    let word = |yes: bool| if yes { "yes" } else { "no" };
    say(StateLine::new("identity")
        .with("machine-id", &identity.machine_id)
        .with("new", word(identity.new))
        .with("clone", word(identity.clone)));
    if let Err(error) = seed::renew(state, identity.clone) {
        // The kernel has other sources; the next boot has one less.
        say(warning("random-seed", &error));
    }
    true
}

/// Loads ext4, and before it one implementation of its checksum. What fails here is seen when a mount fails.
fn load_modules() {
    let folder = paths::modules(&module::kernel_release());
    let folder = Path::new(&folder);
    let modules_dep = facts::read_text(&folder.join("modules.dep")).unwrap_or_default();
    let dependencies = Dependencies::parse(&modules_dep);
    let load = |name: &str| {
        let mut loaded = false;
        for path in dependencies.load_order(name).unwrap_or_default() {
            let result = module::load(&folder.join(path)).inspect_err(|error| warn(&format!("loading {path}: {error}")));
            loaded = matches!(result, Ok(Loaded::Now | Loaded::Before));
        }
        loaded
    };
    // The first that this processor has.
    let _ = CHECKSUMS.iter().any(|name| load(name));
    load(EXT4);
}

fn warn(message: &str) {
    kernel_log::write(Level::Warning, &format!("kmimage-init: storage: {message}"));
}
