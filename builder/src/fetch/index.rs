//! A repository's indexes: what it offers, as text that was verified.

use jiff::Timestamp;
use std::sync::Arc;

/// All that a repository offers for amd64, verified.
#[derive(Debug, Clone)]
pub struct RepositoryIndex {
    /// The profile's name of the repository.
    pub name: String,
    /// The newest Date of its Release files; none for a directory of .deb files.
    pub release_date: Option<Timestamp>,
    /// The `Packages` texts.
    pub texts: Vec<IndexText>,
}

/// One `Packages` text.
#[derive(Debug, Clone)]
pub struct IndexText {
    /// Where it is from, for messages: `trixie/main/binary-amd64`, `Packages`, or the directory.
    pub label: String,
    /// The paragraphs. (Debian's main is 55 MB: drop it when it has been read.)
    pub text: Arc<str>,
}
