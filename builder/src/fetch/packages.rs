//! Locked packages -> verified files.

use crate::lock::LockedPackage;
use std::fs::File;
use std::sync::Arc;

/// A package's .deb, verified against its lock.
#[derive(Debug, Clone)]
pub struct FetchedPackage {
    /// What was locked.
    pub locked: LockedPackage,
    /// The .deb, to be read by offset.
    pub file: Arc<File>,
}
