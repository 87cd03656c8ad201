//! Process 1's own children: the same binary, a row each.

use super::supervisor::LOG_FILES;
use super::unit::{Kind, Readiness, Unit};
use crate::applets;
use kmimage_contract::paths;
use std::collections::BTreeMap;
use std::time::Duration;

/// A child of process 1.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// The unit's name, which is its applet's, too.
    name: &'static str,
    kind: Kind,
    /// When it is started.
    stage: Stage,
    needs: &'static [&'static str],
    /// The condition that says that it does its work. Empty: it is ready when started.
    ready: &'static str,
    /// How many seconds others wait for that. 0: as long as it takes.
    awaited: u64,
}

/// When a child is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// From the start: it finds out what the machine is.
    Facts,
    /// Once it is known what the network is to be.
    Network,
    /// Once it is known what the machine is to be.
    Applied,
}

const ROWS: [Row; 9] = [
    Row { name: "devices", kind: Kind::Lasting, stage: Stage::Facts, needs: &[], ready: "coldplug", awaited: 0 },
    Row { name: "storage", kind: Kind::Once, stage: Stage::Facts, needs: &[], ready: "", awaited: 0 },
    Row { name: "config", kind: Kind::Lasting, stage: Stage::Facts, needs: &["state", "coldplug"], ready: "", awaited: 0 },
    Row { name: "kernel", kind: Kind::Lasting, stage: Stage::Facts, needs: &["state"], ready: "", awaited: 0 },
    Row { name: LOG_FILES, kind: Kind::Lasting, stage: Stage::Facts, needs: &["var"], ready: "", awaited: 0 },
    Row { name: "network", kind: Kind::Lasting, stage: Stage::Network, needs: &[], ready: "network", awaited: 0 },
    Row { name: "time", kind: Kind::Lasting, stage: Stage::Applied, needs: &[], ready: "time", awaited: 30 },
    Row { name: "log", kind: Kind::Lasting, stage: Stage::Applied, needs: &["network"], ready: "", awaited: 0 },
    Row { name: "agent", kind: Kind::Lasting, stage: Stage::Applied, needs: &["coldplug"], ready: "", awaited: 0 },
];

/// The children that are wanted in these stages.
pub(crate) fn built_in(stages: &[Stage]) -> BTreeMap<String, Unit> {
    let wanted = ROWS.iter().filter(|row| stages.contains(&row.stage) && is_there(row.name));
    wanted.map(|row| (row.name.to_owned(), unit(row))).collect()
}

/// Whether there is a child of this name. None of them does its work without the devices and the disk.
pub(crate) fn is_there(name: &str) -> bool {
    applets::knows(name) && ["devices", "storage"].into_iter().all(applets::knows)
}

fn unit(row: &Row) -> Unit {
    Unit {
        kind: row.kind,
        built_in: true,
        environment: vec![("PATH".to_owned(), "/usr/sbin:/usr/bin".to_owned())],
        needs: row.needs.iter().map(|&need| need.to_owned()).collect(),
        readiness: if row.ready.is_empty() { Readiness::Started } else { Readiness::Condition(row.ready.to_owned()) },
        awaited: (row.awaited > 0).then(|| Duration::from_secs(row.awaited)),
        // Without them the machine can't be helped any more; process 1 itself is never chosen.
        oom_score: -950,
        stop_within: Duration::from_secs(5),
        ..Unit::lasting(paths::INIT, &[row.name])
    }
}
