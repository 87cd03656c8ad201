//! The kernel command line of this boot.

use super::{FactError, read_text};
use kmimage_contract::cmdline::Cmdline;
use std::path::Path;

/// Reads it from /proc.
pub fn read() -> Result<Cmdline, FactError> {
    Ok(Cmdline::parse(&read_text(Path::new("/proc/cmdline"))?))
}
