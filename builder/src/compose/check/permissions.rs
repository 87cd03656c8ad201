//! Modes that give away rights.

use super::Findings;
use crate::compose::tree::{Kind, Tree};
use crate::profile::Rule;

pub(super) fn check(tree: &Tree, found: &mut Findings<'_>) {
    for (path, entry) in tree.iter() {
        let mode = entry.mode;
        let is_file = matches!(entry.kind, Kind::File(_));
        if is_file && mode & 0o4000 != 0 {
            found.add(Rule::SetUid, path, format!("is set-uid (mode {mode:04o})"));
        } else if is_file && mode & 0o2000 != 0 {
            found.add(Rule::SetUid, path, format!("is set-gid (mode {mode:04o})"));
        }
        let sticky = matches!(entry.kind, Kind::Directory) && mode & 0o1000 != 0;
        if mode & 0o002 != 0 && !sticky && !matches!(entry.kind, Kind::Symlink(_)) {
            found.add(Rule::WorldWritable, path, format!("is writable by everyone (mode {mode:04o})"));
        }
    }
}
