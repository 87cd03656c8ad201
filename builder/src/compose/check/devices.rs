//! Device nodes: /dev is devtmpfs; one in the image would be a way around it.

use super::Findings;
use crate::compose::tree::{Kind, Tree};

pub(super) fn check(tree: &Tree, found: &mut Findings<'_>) {
    for (path, entry) in tree.iter() {
        match entry.kind {
            Kind::CharDevice { major, minor } => found.add_firm(path, format!("is a character device ({major}:{minor})")),
            Kind::BlockDevice { major, minor } => found.add_firm(path, format!("is a block device ({major}:{minor})")),
            _ => {}
        }
    }
}
