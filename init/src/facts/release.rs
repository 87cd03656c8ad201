//! Which image this is.

use super::{FactError, read_text};
use kmimage_contract::paths;
use kmimage_contract::release::Release;
use std::path::Path;

/// Reads os-release.
pub fn read() -> Result<Release, FactError> {
    let path = Path::new(paths::OS_RELEASE);
    Release::parse(&read_text(path)?).map_err(|error| FactError::Content { path: path.to_owned(), message: error.to_string() })
}
