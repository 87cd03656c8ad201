//! What lies at a path: the form in which expectation and image meet.

use kmimage::hash::Sha256Digest;
use std::collections::BTreeMap;

/// What lies at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Type and content.
    pub(crate) kind: Kind,
    /// Permission bits, set-uid and sticky ones too.
    pub(crate) mode: u32,
    /// Numeric user and group.
    pub(crate) owner: (u64, u64),
}

/// Type and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File { sha256: Sha256Digest },
    Symlink { target: String },
}

/// Nodes by absolute path.
pub(crate) type Nodes = BTreeMap<String, Node>;

impl Node {
    pub(crate) fn directory() -> Self {
        Self { kind: Kind::Directory, mode: 0o755, owner: (0, 0) }
    }

    pub(crate) fn file(sha256: Sha256Digest) -> Self {
        Self { kind: Kind::File { sha256 }, mode: 0o644, owner: (0, 0) }
    }

    pub(crate) fn symlink(target: impl Into<String>) -> Self {
        Self { kind: Kind::Symlink { target: target.into() }, mode: 0o777, owner: (0, 0) }
    }

    /// As a line of `.files.tsv` has it: type, mode, owner, content.
    pub(crate) fn columns(&self) -> [String; 4] {
        let (letter, content) = match &self.kind {
            Kind::Directory => ("d", "-".to_owned()),
            Kind::File { sha256 } => ("f", sha256.to_string()),
            Kind::Symlink { target } => ("l", target.clone()),
        };
        [letter.to_owned(), format!("{:04o}", self.mode), format!("{}:{}", self.owner.0, self.owner.1), content]
    }
}

/// Every directory above a path, the nearest first, without `/`.
pub(crate) fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/').map(|(parent, _)| parent), |path| path.rsplit_once('/').map(|(parent, _)| parent))
        .filter(|path| !path.is_empty())
}
