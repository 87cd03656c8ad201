//! `mode`: permission bits that the image has otherwise than the package.

use super::ShapeError;
use crate::compose::tree::{Kind, Tree, TreePath};
use crate::profile::Mode;

/// Sets the bits; all paths of a file with several get them. A path that is not there, or is a link, is an error.
pub fn apply(tree: &mut Tree, modes: &[Mode]) -> Result<(), ShapeError> {
    for change in modes {
        let fault = |fault| ShapeError::Mode { path: change.path.clone(), fault };
        let path = TreePath::new(&change.path).map_err(|fault| ShapeError::Path { path: change.path.clone(), fault })?;
        match tree.get(&path).map(|entry| &entry.kind) {
            None => return Err(fault("nothing is there")),
            Some(Kind::Symlink(_)) => return Err(fault("it is a symlink, which has no mode")),
            Some(_) => tree.for_each_link(&path, |entry| entry.mode = change.mode),
        }
    }
    Ok(())
}
