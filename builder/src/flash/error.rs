//! Why a device was not flashed, and what state it is in then.

use super::judge::{Identity, Refusal};
use super::place;
use crate::failure::{Classified, Kind, io_kind};
use std::io;
use std::path::PathBuf;

/// What a device holds after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// What it held before.
    Untouched,
    /// The begin may be erased or not.
    Unknown,
    /// A part of the image and no partition table.
    Erased,
    /// The image, as far as the device's word counts.
    Unverified,
}

impl State {
    fn sentence(self) -> &'static str {
        match self {
            State::Untouched => "Nothing was written: the device holds what it held.",
            State::Unknown => "What the device held is lost at least in part; don't use it before it is flashed again.",
            State::Erased => {
                "What the device held is lost, and it has no partition table now: nothing boots from it until it is flashed again."
            }
            State::Unverified => "The image is written, but was not verified: flash again before you trust it.",
        }
    }
}

/// Why a device was not flashed.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// The image can't be read.
    #[error("can't read {}", .path.display())]
    Image {
        /// The image.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is {what}", .path.display())]
    NoImage {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A qcow2 is a disk in a wrapping.
    #[error("{} is a qcow2 image: its bytes are not a disk's", .0.display())]
    Qcow2(PathBuf),
    /// It is packed.
    #[error("{} is compressed ({how})", .path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
        /// How.
        how: &'static str,
    },
    /// This machine's devices can't be looked at.
    #[error("can't tell what disks this machine has")]
    Facts(#[source] io::Error),
    /// An interruption could not be answered.
    #[error("can't listen for Ctrl-C")]
    Signals(#[source] io::Error),
    /// There is no such device.
    #[error("can't find the device {}", .path.display())]
    NoDevice {
        /// What was named.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A file, a folder, a terminal.
    #[error("{} is no block device", .0.display())]
    NotBlock(PathBuf),
    /// The device must not be overwritten.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another name than the device's was given.
    #[error("{} has the {} `{identity}`, not `{typed}`", .path.display(), .identity.what())]
    WrongIdentity {
        /// The device.
        path: PathBuf,
        /// Its own.
        identity: Identity,
        /// What was given.
        typed: String,
    },
    /// Nobody answered.
    #[error("nobody typed the {} of {}", .identity.what(), .path.display())]
    Unanswered {
        /// The device.
        path: PathBuf,
        /// What was asked for.
        identity: Identity,
    },
    /// Rights are missing.
    #[error("no permission to write to {}", .path.display())]
    Permission {
        /// The device.
        path: PathBuf,
        /// A command that has them.
        command: String,
        /// What happened.
        source: io::Error,
    },
    /// The kernel knows somebody who uses it.
    #[error("{} is in use, says the kernel", .0.display())]
    Busy(PathBuf),
    /// It can't be opened.
    #[error("can't open {}", .path.display())]
    Open {
        /// The device.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// It is another one by now.
    #[error("{} is not the device any more that was shown", .0.display())]
    Changed(PathBuf),
    /// A write failed.
    #[error("{} took no more at {}", .path.display(), place(*.at))]
    Write {
        /// The device.
        path: PathBuf,
        /// Where, in bytes.
        at: u64,
        /// What it holds now.
        state: State,
        /// What happened.
        source: io::Error,
    },
    /// The image can't be read any more.
    #[error("can't read {} any more", .path.display())]
    Lost {
        /// The image.
        path: PathBuf,
        /// What the device holds now.
        state: State,
        /// What happened.
        source: io::Error,
    },
    /// It can't be read back.
    #[error("{} can't be read back at {}", .path.display(), place(*.at))]
    ReadBack {
        /// The device.
        path: PathBuf,
        /// Where, in bytes.
        at: u64,
        /// What it holds now.
        state: State,
        /// What happened.
        source: io::Error,
    },
    /// It gives back other bytes than it was given.
    #[error("{} holds other bytes than were written, first at {}{}", .path.display(), place(*.at), from(*.written_at))]
    Differs {
        /// The device.
        path: PathBuf,
        /// The first byte that differs.
        at: u64,
        /// Where the bytes that it holds there belong, if they are the image's.
        written_at: Option<u64>,
        /// What it holds now.
        state: State,
    },
    /// A person ended it.
    #[error("interrupted while {doing}, {done} of {total} MiB done")]
    Interrupted {
        /// What was going on.
        doing: &'static str,
        /// How far.
        done: u64,
        /// Of so much.
        total: u64,
        /// What the device holds now.
        state: State,
    },
}

fn from(written_at: Option<u64>) -> String {
    let text = |at| format!(": what belongs to {}. It has less room than it claims to have", place(at));
    written_at.map(text).unwrap_or_default()
}

impl Classified for FlashError {
    fn kind(&self) -> Kind {
        match self {
            // The file that was asked for, not one of the host.
            FlashError::Image { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::Usage,
            FlashError::Image { source, .. } => io_kind(source),
            FlashError::NoImage { .. }
            | FlashError::Qcow2(_)
            | FlashError::Compressed { .. }
            | FlashError::NoDevice { .. }
            | FlashError::NotBlock(_)
            | FlashError::WrongIdentity { .. }
            | FlashError::Unanswered { .. }
            | FlashError::Refused(_) => Kind::Usage,
            FlashError::Differs { .. } => Kind::Trust,
            FlashError::Facts(_)
            | FlashError::Signals(_)
            | FlashError::Permission { .. }
            | FlashError::Busy(_)
            | FlashError::Open { .. }
            | FlashError::Changed(_)
            | FlashError::Write { .. }
            | FlashError::Lost { .. }
            | FlashError::ReadBack { .. }
            | FlashError::Interrupted { .. } => Kind::Host,
        }
    }

    fn hints(&self) -> Vec<String> {
        let list = || "`kmimage flash --list` shows what can be written.".to_owned();
        let of = |state: &State| state.sentence().to_owned();
        match self {
            FlashError::Qcow2(path) => vec![
                "Take the .raw of the same build; it is written beside the .qcow2.".into(),
                format!("Or unpack it: qemu-img convert -O raw '{}' disk.raw", path.display()),
            ],
            FlashError::Compressed { path, how } => vec![format!("Unpack it first ({how} -d '{}').", path.display())],
            FlashError::NoImage { .. } => vec!["`kmimage build` makes a .raw; it is what belongs on a stick.".into()],
            FlashError::NoDevice { .. } => vec![list()],
            FlashError::NotBlock(_) => vec![list(), "A file becomes a device by losetup --find --show FILE.".into()],
            FlashError::Refused(refusal) => vec![refusal.remedy()],
            FlashError::WrongIdentity { .. } => vec![of(&State::Untouched), list()],
            FlashError::Unanswered { identity, .. } => {
                vec![of(&State::Untouched), format!("A script says it with --serial '{identity}'.")]
            }
            FlashError::Permission { command, .. } => vec![format!("Only this needs root: {command}")],
            FlashError::Busy(path) => vec![format!(
                "Something that can't be seen from here uses it (another mount namespace, a ZFS pool, another program): look with \
                 lsblk {0} and fuser --verbose {0}.",
                path.display()
            )],
            FlashError::Changed(_) => vec![of(&State::Untouched), "Was it pulled out? Start again.".into()],
            FlashError::Write { state, source, .. } => {
                let worn = "Try another port; a device that says so again is worn out.";
                let full = "It has less room than it claims to have.";
                let is_full = source.kind() == io::ErrorKind::StorageFull;
                vec![of(state), if is_full { full } else { worn }.to_owned()]
            }
            FlashError::ReadBack { state, .. } => vec![of(state), "Try another port; then another stick.".into()],
            FlashError::Differs { state, .. } => vec![of(state), "Don't use this device.".into()],
            FlashError::Interrupted { state, .. } | FlashError::Lost { state, .. } => vec![of(state)],
            FlashError::Image { .. } | FlashError::Facts(_) | FlashError::Signals(_) | FlashError::Open { .. } => Vec::new(),
        }
    }
}
