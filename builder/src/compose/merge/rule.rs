//! What packages may not do, as one error: which package, which member, which rule.

use crate::compose::tree::{BadPath, TreePath};
use crate::compose::unpack::Unpacked;
use crate::failure::{Classified, Kind};

/// Packages cannot be merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A member breaks a rule.
    #[error("package {name} {version}: {member}: {rule}")]
    Refused {
        /// Binary package name.
        name: String,
        /// Debian version.
        version: String,
        /// The member's name as the package has it.
        member: String,
        /// The rule.
        rule: Box<Refusal>,
    },
    /// A control file that cannot be read.
    #[error("package {name} {version}: its control file is malformed: {fault}")]
    Control {
        /// Binary package name.
        name: String,
        /// Debian version.
        version: String,
        /// What is wrong.
        fault: String,
    },
}

impl MergeError {
    pub(super) fn refused(package: &Unpacked, member: &str, rule: Refusal) -> Self {
        let (name, version) = (package.name.to_string(), package.version.to_string());
        MergeError::Refused { name, version, member: member.to_string(), rule: Box::new(rule) }
    }
}

/// A rule that a package's member breaks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Traversal, NUL, length.
    #[error("{0}")]
    Path(BadPath),
    /// /bin, /sbin, /lib or /lib64 that leads elsewhere than into /usr.
    #[error("/{link} is the link to usr/{link}; a package may only bring that link, or a directory")]
    UsrLink {
        /// Its name.
        link: &'static str,
    },
    /// A symlink whose target leaves the root.
    #[error("a symlink climbing above `/` (to {target})")]
    LinkClimbs {
        /// The target as written.
        target: String,
    },
    /// A symlink whose target no kernel would take.
    #[error("a symlink whose target holds a NUL byte or is too long")]
    LinkTarget,
    /// A hard link to what the package has not shipped before as a file.
    #[error("a hard link to no earlier file of the package ({target})")]
    HardLink {
        /// The target as written.
        target: String,
    },
    /// A device node.
    #[error("a device node")]
    Device,
    /// An extended attribute that no file system keeps.
    #[error("the extended attribute {name:?} cannot be kept")]
    Attribute {
        /// The attribute's full name.
        name: String,
    },
    /// Two members of one path.
    #[error("the package ships it twice")]
    Twice,
    /// A path below a symlink of any package.
    #[error("it lies below the symlink {link} -> {target} of package {other}")]
    BelowSymlink {
        /// The symlink.
        link: TreePath,
        /// Where it leads.
        target: String,
        /// Whose it is.
        other: String,
    },
    /// A path below a file of any package.
    #[error("it lies below {file}, which is no directory in package {other}")]
    BelowFile {
        /// The file.
        file: TreePath,
        /// Whose it is.
        other: String,
    },
    /// A directory here, something else there.
    #[error("package {other} ships it, too, and only one of the two is a directory")]
    DirectoryOrNot {
        /// The other package.
        other: String,
    },
    /// Two packages, one path.
    #[error("package {other} ships it, too, and neither replaces the other")]
    Shared {
        /// The other package.
        other: String,
    },
    /// Two packages, one path, and no telling whose.
    #[error("package {other} ships it, too, and each replaces the other")]
    ReplaceEachOther {
        /// The other package.
        other: String,
    },
}

impl Refusal {
    /// True if it takes two packages to break the rule: `own`, with its version, and another.
    fn is_between_packages(&self, own: &str) -> bool {
        match self {
            Refusal::BelowSymlink { other, .. } | Refusal::BelowFile { other, .. } => other != own,
            Refusal::DirectoryOrNot { .. } | Refusal::Shared { .. } | Refusal::ReplaceEachOther { .. } => true,
            _ => false,
        }
    }
}

impl Classified for MergeError {
    fn kind(&self) -> Kind {
        Kind::Policy
    }

    fn hints(&self) -> Vec<String> {
        match self {
            MergeError::Refused { rule, name, version, .. } if rule.is_between_packages(&format!("{name} {version}")) => {
                vec![format!("Declare one of the two packages absent in the profile, or leave {name} out.")]
            }
            // No Debian package does such things: it is hostile, or was not made by dpkg-deb.
            MergeError::Refused { name, .. } => {
                vec![format!("Do not install this package: leave {name} out of the profile, or take a sound version of it.")]
            }
            MergeError::Control { .. } => Vec::new(),
        }
    }
}
