//! What can be wrong with a package file. The caller says which package: these texts go behind its name.

use crate::failure::{Classified, Kind, io_kind};
use std::io;

/// A fault of one .deb file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DebError {
    /// The file cannot be read.
    #[error("cannot read the file")]
    Read(#[source] io::Error),
    /// No ar magic.
    #[error("not a Debian package: it does not begin with `!<arch>`")]
    NotAr,
    /// An ar header that is not one.
    #[error("the archive header at byte {offset} is malformed: {fault}")]
    ArHeader {
        /// Where the header begins.
        offset: u64,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A member's size reaches beyond the file.
    #[error("the file ends {missing} bytes before the end of {member}")]
    ArTruncated {
        /// The member's name.
        member: String,
        /// How many bytes are missing.
        missing: u64,
    },
    /// An ar archive of something else.
    #[error("not a Debian package: its first member is not `debian-binary`")]
    NotADeb,
    /// A format version other than 2.
    #[error("the package format {0:?} is not supported; 2.x is")]
    Version(String),
    /// A part is absent.
    #[error("the package has no {0}")]
    Missing(&'static str),
    /// A member that `deb(5)` does not allow there.
    #[error("unexpected archive member {member}, where {wanted} should be")]
    Unexpected {
        /// What was found.
        member: String,
        /// What should be there.
        wanted: &'static str,
    },
    /// bzip2, lzma and whatever else.
    #[error("{member} is compressed in a way that is not supported")]
    Compression {
        /// The member's name.
        member: String,
    },
    /// The decompressor gave up.
    #[error("cannot decode {part}")]
    Decode {
        /// `control.tar` or `data.tar`.
        part: &'static str,
        /// The decompressor's error.
        source: io::Error,
    },
    /// A tar header or extension that is not one, or that is not supported.
    #[error("{part} is malformed at byte {offset}: {fault}")]
    Tar {
        /// `control.tar` or `data.tar`.
        part: &'static str,
        /// Offset of the header in the decoded tar.
        offset: u64,
        /// What is wrong.
        fault: String,
    },
    /// A fault of one named tar member.
    #[error("{part}: {member}: {fault}")]
    Member {
        /// `control.tar` or `data.tar`.
        part: &'static str,
        /// The member's name as written.
        member: String,
        /// What is wrong.
        fault: String,
    },
    /// It decodes to more than is believable.
    #[error("{part} unpacks to more than {limit} bytes, which is more than is believable for its size")]
    TooLarge {
        /// `control.tar` or `data.tar`.
        part: &'static str,
        /// The limit, in bytes.
        limit: u64,
    },
    /// No control file.
    #[error("control.tar has no control file")]
    NoControl,
}

impl Classified for DebError {
    fn kind(&self) -> Kind {
        match self {
            DebError::Read(error) => io_kind(error),
            // A package that its repository signed for and that is malformed, or a local file that is no package.
            _ => Kind::Trust,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            DebError::Compression { .. } | DebError::Version(_) => {
                vec!["Repack it with `dpkg-deb --raw-extract` and `dpkg-deb --build -Zxz`.".to_string()]
            }
            _ => Vec::new(),
        }
    }
}
