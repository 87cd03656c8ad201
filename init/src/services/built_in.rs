//! Process 1's own children: the same binary, a row each.

use super::supervisor::LOG_FILES;
use super::unit::{Kind, Memory, Readiness, Restart, Unit};
use crate::applets;
use crate::esp::APPLET as BLESS;
use crate::install::APPLET as INSTALL;
use crate::reconcile::{APPLET as APPLY, MARK_READY};
use kmimage_contract::machine_config::Capability;
use kmimage_contract::paths;
use std::collections::BTreeMap;
use std::time::Duration;

/// A child of process 1.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// The unit's name.
    name: &'static str,
    kind: Kind,
    /// The applet with its words, where that is not the name alone.
    arguments: &'static [&'static str],
    /// When it is started.
    stage: Stage,
    needs: &'static [&'static str],
    /// The condition that says that it does its work. Empty: it is ready when started.
    ready: &'static str,
    /// How many seconds others wait for that. 0: as long as it takes.
    awaited: u64,
    /// The capabilities that it keeps.
    keeps: Keeps,
}

/// What a child may do beyond what files allow their owner.
#[derive(Debug, Clone, Copy)]
enum Keeps {
    /// These capabilities, by name; whatever it starts has no others.
    Only(&'static [&'static str]),
    /// Every one.
    All,
}

/// What making, mending, mounting and growing file systems takes: mounts, partitions, random seed; growth of a mounted ext4; its driver; a
/// clone's folders, whoever owns what is in them.
const DISKS: Keeps = Keeps::Only(&[
    "CAP_SYS_ADMIN",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_MODULE",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
]);

/// When a child is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// From the start: it finds out what the machine is.
    Facts,
    /// Once it is known what the network is to be.
    Network,
    /// Once it is known what the machine is to be.
    Apply,
    /// Once what children read has been written down.
    Applied,
    /// Once there is a cluster to join.
    Cluster,
    /// Once there is a receiver of logs.
    Log,
    /// Once there are further disks to mount.
    Volumes,
    /// Once something is to be installed.
    Install,
    /// Once the machine was ready.
    Ready,
    /// Once the machine was ready with a config.
    ReadyWithConfig,
}

/// Whoever reads what strangers wrote (configs, logs, the hypervisor's questions) and has no need of more keeps nothing.
const ROW: Row = Row {
    name: "",
    kind: Kind::Lasting,
    arguments: &[],
    stage: Stage::Facts,
    needs: &[],
    ready: "",
    awaited: 0,
    keeps: Keeps::Only(&[]),
};

/// The variable that makes a unit another one when what it reads has changed: so it is run again.
pub(crate) const GENERATION: &str = "KMIMAGE_GENERATION";

/// What is kept in memory for each, in bytes: its data, and of the program what it alone uses. Otherwise a machine whose memory runs out
/// reads its own programs again and again, and does nothing else.
const KEPT: u64 = 4 << 20;

const ROWS: [Row; 15] = [
    // Drivers, the names of interfaces, nodes that drivers are loaded by.
    Row { name: "devices", ready: "coldplug", keeps: Keeps::Only(&["CAP_SYS_MODULE", "CAP_NET_ADMIN", "CAP_MKNOD"]), ..ROW },
    Row { name: "kernel", needs: &["state"], keeps: Keeps::Only(&["CAP_SYSLOG"]), ..ROW },
    Row { name: "storage", kind: Kind::Once, keeps: DISKS, ..ROW },
    // What is there at the start must not look like something that comes later.
    Row { name: "config", needs: &["state", "coldplug"], ..ROW },
    Row { name: LOG_FILES, needs: &["var"], ..ROW },
    // It sets whatever kernel parameters a config names, and each may ask for a capability of its own.
    Row { name: APPLY, kind: Kind::Once, stage: Stage::Apply, keeps: Keeps::All, ..ROW },
    Row {
        name: "network",
        stage: Stage::Network,
        ready: "network",
        // Links, DHCP before there is an address, DHCP's port.
        keeps: Keeps::Only(&["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BIND_SERVICE"]),
        ..ROW
    },
    Row { name: "time", stage: Stage::Applied, ready: "time", awaited: 30, keeps: Keeps::Only(&["CAP_SYS_TIME"]), ..ROW },
    Row { name: "agent", stage: Stage::Applied, needs: &["coldplug"], ..ROW },
    // It reads what a cluster says.
    Row { name: "cluster", stage: Stage::Cluster, needs: &["state", "var", "applied", "network"], ..ROW },
    Row { name: "log", stage: Stage::Log, needs: &["network"], ..ROW },
    Row {
        name: "volumes",
        kind: Kind::Once,
        arguments: &["storage", "volumes"],
        stage: Stage::Volumes,
        needs: &["var", "coldplug"],
        keeps: DISKS,
        ..ROW
    },
    // It writes to a disk, which root may.
    Row { name: INSTALL, kind: Kind::Once, stage: Stage::Install, needs: &["coldplug"], ..ROW },
    // Its disk is the one that the root is on: whoever reads this has it.
    Row { name: BLESS, kind: Kind::Once, stage: Stage::Ready, ..ROW },
    Row { name: MARK_READY, kind: Kind::Once, stage: Stage::ReadyWithConfig, needs: &["state"], ..ROW },
];

/// The children that are wanted in these stages.
pub(crate) fn built_in(stages: &[Stage]) -> BTreeMap<String, Unit> {
    let wanted = ROWS.iter().filter(|row| stages.contains(&row.stage) && is_there(row.name));
    wanted.map(|row| (row.name.to_owned(), unit(row))).collect()
}

/// Whether there is a child of this name. None of them does its work without the devices and the disk.
pub(crate) fn is_there(name: &str) -> bool {
    let applet = ROWS.iter().find(|row| row.name == name).and_then(|row| row.arguments.first()).map_or(name, |applet| applet);
    applets::knows(applet) && ["devices", "storage"].into_iter().all(applets::knows)
}

fn unit(row: &Row) -> Unit {
    Unit {
        kind: row.kind,
        built_in: true,
        environment: vec![("PATH".to_owned(), "/usr/sbin:/usr/bin".to_owned())],
        needs: row.needs.iter().map(|&need| need.to_owned()).collect(),
        readiness: if row.ready.is_empty() { Readiness::Started } else { Readiness::Condition(row.ready.to_owned()) },
        awaited: (row.awaited > 0).then(|| Duration::from_secs(row.awaited)),
        restart: match row.kind {
            Kind::Lasting => Restart::default(),
            // What fails here is mostly not there yet, or waits for somebody's help.
            Kind::Once => Restart { minimum: Duration::from_secs(5), maximum: Duration::from_secs(60), ..Restart::default() },
        },
        // Without them the machine can't be helped any more; process 1 itself is never chosen.
        oom_score: -950,
        memory: Memory { min: Some(KEPT), ..Memory::default() },
        stop_within: Duration::from_secs(5),
        capabilities: match row.keeps {
            Keeps::All => None,
            Keeps::Only(names) => Some(bits(names)),
        },
        no_new_privileges: true,
        ..Unit::lasting(paths::INIT, if row.arguments.is_empty() { std::slice::from_ref(&row.name) } else { row.arguments })
    }
}

/// Capabilities as the kernel counts them: bit n for number n.
fn bits(names: &[&str]) -> u64 {
    names.iter().filter_map(|name| Capability::named(name)).fold(0, |bits, capability| bits | 1 << capability.number())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::machine_config::RESERVED_SERVICES;

    /// A config's service can't take the place of one of ours, nor fulfil what ours wait for.
    #[test]
    fn our_names_are_no_services() {
        for row in ROWS {
            for name in [&[row.name, row.ready], row.needs].concat().into_iter().filter(|name| !name.is_empty()) {
                assert!(RESERVED_SERVICES.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn each_child_keeps_what_it_needs_and_no_more() {
        let units: BTreeMap<&str, Unit> = ROWS.iter().map(|row| (row.name, unit(row))).collect();
        assert!(units.values().all(|unit| unit.no_new_privileges));
        for (names, kept) in [
            (&["config", "agent", "cluster", "log", "log-files", "install", "mark-ready", "bless"][..], Some(0)),
            (&["network"], Some(1 << 10 | 1 << 12 | 1 << 13)),
            (&["time"], Some(1 << 25)),
            (&["kernel"], Some(1 << 34)),
            (&["devices"], Some(1 << 12 | 1 << 16 | 1 << 27)),
            (&["storage", "volumes"], Some(1 << 1 | 1 << 2 | 1 << 3 | 1 << 16 | 1 << 21 | 1 << 24)),
            (&["apply"], None),
        ] {
            for name in names {
                assert_eq!(units[name].capabilities, kept, "{name}");
            }
        }
        for names in ROWS.iter().filter_map(|row| if let Keeps::Only(names) = row.keeps { Some(names) } else { None }) {
            assert_eq!(bits(names).count_ones() as usize, names.len(), "a name that is none: {names:?}");
        }
    }
}
