//! `move`: a package's file or directory put elsewhere.

use super::ShapeError;
use super::licences::make_room;
use crate::compose::tree::{Entry, Kind, Tree, TreePath};
use crate::profile::Move;

/// Moves in the profile's order. A directory may be moved onto a directory: what both hold must not clash.
pub(super) fn apply(tree: &mut Tree, moves: &[Move]) -> Result<(), ShapeError> {
    moves.iter().try_for_each(|step| apply_one(tree, step))
}

fn apply_one(tree: &mut Tree, step: &Move) -> Result<(), ShapeError> {
    let fault = |fault: String| ShapeError::Move { from: step.from.clone(), to: step.to.clone(), fault };
    let path = |text: &str| TreePath::new(text).map_err(|error| fault(error.to_string()));
    let (from, to) = (path(&step.from)?, path(&step.to)?);
    if from.is_root() || to.is_under(&from) {
        return Err(fault("it would lie inside itself".to_string()));
    }
    if tree.get(&from).is_none() {
        return Err(fault(format!("no package has {from}")));
    }
    make_room(tree, &to)?;
    let moved: Vec<(TreePath, Entry)> = tree.under(&from).map(|(path, entry)| (path.clone(), entry.clone())).collect();
    tree.remove(&from);
    for (path, entry) in moved {
        let below = path.as_bytes().get(from.as_bytes().len()..).unwrap_or_default();
        let place = to.join(below).map_err(|error| fault(error.to_string()))?;
        match tree.get(&place) {
            Some(there) if matches!((&there.kind, &entry.kind), (Kind::Directory, Kind::Directory)) => {}
            Some(there) => return Err(fault(format!("{place} is there already ({})", there.origin))),
            None => tree.insert(place, entry),
        }
    }
    Ok(())
}
