//! Symbolic links: each leads somewhere in the image, or to a place that exists when the image runs.

use super::Findings;
use crate::compose::tree::{Kind, Lead, Tree, TreePath};
use crate::profile::Rule;

/// Places that are filled at run time, with the reason.
const AT_RUN_TIME: [(&str, &str); 8] = [
    ("/dev", "devtmpfs"),
    ("/proc", "proc"),
    ("/run", "tmpfs that init and services fill"),
    ("/sys", "sysfs"),
    ("/var", "the var partition"),
    ("/etc/kubernetes", "on the state partition"),
    ("/etc/cni/net.d", "on the var partition; CNI DaemonSets write there"),
    ("/opt/cni/bin", "on the var partition; CNI DaemonSets write there"),
];

pub(super) fn check(tree: &Tree, found: &mut Findings<'_>) {
    let at_run_time: Vec<TreePath> = AT_RUN_TIME.iter().filter_map(|(path, _)| TreePath::new(path).ok()).collect();
    for (path, entry) in tree.iter() {
        let Kind::Symlink(target) = &entry.kind else { continue };
        let directory = path.parent().unwrap_or_else(TreePath::root);
        let written = String::from_utf8_lossy(target);
        match tree.follow(&directory, target) {
            Lead::To(_) => {}
            Lead::Missing(at) if at_run_time.iter().any(|place| at.is_under(place)) => {}
            Lead::Missing(at) => {
                found.add(Rule::DanglingLink, path, format!("is a link to {written}, but there is no {at}"));
            }
            Lead::Circle => found.add(Rule::DanglingLink, path, format!("is a link to {written}, which goes round in a circle")),
        }
    }
}
