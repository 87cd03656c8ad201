//! Changing files of a FAT32 volume without mounting it: each change is planned as writes, and the caller writes.
//!
//! The volume may be ours, or as firmware, a boot loader or another system left it; nothing on it is trusted. A change never gives
//! up the old state before the new one is complete: what names a file is one sector, written in a step of its own, so a power cut
//! leaves either state, at worst with clusters that belong to no file. Deliberately not here: removing directories, a name whose
//! records take more than a sector (169 characters), FAT12 and FAT16.

mod directory;
mod draft;
mod place;
mod put;
mod remove;
mod rename;
mod volume;

pub use remove::begins_erased;
pub use volume::Fat32;

use std::borrow::Cow;
use std::io;

/// Reads a volume: fills the buffer with the bytes at an offset from the volume's start, or fails.
pub type ReadAt<'a> = dyn Fn(u64, &mut [u8]) -> io::Result<()> + 'a;

/// Bytes for a place: whole sectors at a multiple of the volume's sector size, relative to the volume's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write<'c> {
    /// Where.
    pub offset: u64,
    /// What.
    pub bytes: Cow<'c, [u8]>,
}

/// A change of a volume. It holds for the volume as it was read: after any write a new plan is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Plan<'c> {
    /// What to write. Everything of a step must be on the medium (flushed) before the next step begins; in a step the order is free.
    /// No steps: there is nothing to do.
    pub steps: Vec<Vec<Write<'c>>>,
}

impl Plan<'_> {
    /// Writes every step, with a flush behind each.
    pub fn carry_out(
        &self,
        mut write: impl FnMut(u64, &[u8]) -> io::Result<()>,
        mut flush: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        for step in &self.steps {
            step.iter().try_for_each(|part| write(part.offset, &part.bytes))?;
            flush()?;
        }
        Ok(())
    }
}

/// A file or a directory, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name; FAT does not tell upper from lower case.
    pub name: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// Bytes of a file.
    pub len: u64,
}

/// Why a volume can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The medium fails, or ends before its file system does.
    #[error("the volume can't be read at byte {offset}")]
    Read {
        /// Where, from the volume's start.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else.
    #[error("it is not a FAT32 volume: {0}")]
    NotFat32(&'static str),
    /// FAT32, but what it says of itself can't be.
    #[error("the FAT32 volume is damaged: {0}")]
    Damaged(&'static str),
    /// A path that FAT or this room can't hold.
    #[error("{path} can't be on a FAT32 volume: {fault}")]
    Name {
        /// The path.
        path: String,
        /// Why.
        fault: &'static str,
    },
    /// No such file.
    #[error("{0} is not on the volume")]
    Missing(String),
    /// The name is taken.
    #[error("{0} is on the volume already")]
    Exists(String),
    /// A directory in a file's place.
    #[error("{0} is a directory")]
    Directory(String),
    /// A file in a directory's place.
    #[error("{0} is not a directory")]
    NotDirectory(String),
    /// More than the caller takes.
    #[error("{path} has {len} bytes, more than the {most} that are read of it")]
    TooLarge {
        /// The file.
        path: String,
        /// Its bytes.
        len: u64,
        /// The most that were asked for.
        most: u64,
    },
    /// A content that can't be written over the old one.
    #[error("{path} has {len} bytes; {given} can't be written in their place")]
    Length {
        /// The file.
        path: String,
        /// Its bytes.
        len: u64,
        /// The new content's.
        given: u64,
    },
    /// No room.
    #[error("the volume has no room: {needed} bytes are needed, {free} are free")]
    Full {
        /// Bytes of the clusters that are needed.
        needed: u64,
        /// Bytes of the clusters that are free.
        free: u64,
    },
}

#[cfg(test)]
mod tests;
