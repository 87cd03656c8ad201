//! os-release(5): the image's own identity in the place of the base distribution's, with the link that programs open.

use super::{DeriveError, path, put_own};
use crate::compose::content::Content;
use crate::compose::tree::{Entry, Origin, Tree};
use kmimage_contract::paths;
use kmimage_contract::release::Release;

const STEP: Origin = Origin::Derive("os-release");

/// Writes /usr/lib/os-release and the link /etc/os-release.
pub fn derive(tree: &mut Tree, release: &Release) -> Result<(), DeriveError> {
    let content = Content::from_bytes(release.render().into_bytes());
    put_own(tree, path(paths::OS_RELEASE)?, Entry::file(content, 0o644, STEP))?;
    put_own(tree, path("/etc/os-release")?, Entry::symlink("../usr/lib/os-release", STEP))
}
