//! The file systems of a running system that are no disk: a table with a reason per row.
//!
//! /dev, /proc and /sys come from stage 1; disks are the child `storage`'s. Deliberately not mounted: debugfs, whose files are made for kernel
//! developers and have never been guarded (what tools of today need of it is in tracefs), and configfs, which only storage targets want, and
//! whose module a node would load for nothing.

use super::{SystemError, mount_row};
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::mount::{self, Restrictions};
use std::io;
use std::path::Path;

/// A file system to mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Where; made if it isn't there and can be.
    pub target: &'static str,
    /// What kind; also what is named as its source.
    pub kind: &'static str,
    /// What it forbids.
    pub restrictions: Restrictions,
    /// The file system's own options.
    pub options: &'static str,
    /// Whether the system can't be without it. What is not required may be missing in the kernel or on this machine.
    pub required: bool,
    /// What it is for.
    pub reason: &'static str,
}

/// No programs, no devices, no privileges: for file systems that hold data or are the kernel's voice.
const DATA: Restrictions = Restrictions { read_only: false, no_suid: true, no_dev: true, no_exec: true };
/// Programs may lie there, but bring no privileges.
const SCRATCH: Restrictions = Restrictions { no_exec: false, ..DATA };
/// Terminals are devices.
const TERMINALS: Restrictions = Restrictions { no_dev: false, ..DATA };
/// For looking only.
const VIEW: Restrictions = Restrictions { read_only: true, ..DATA };

/// Every row, in the order to mount.
pub const MOUNTS: [Row; 12] = [
    Row {
        target: "/run",
        kind: "tmpfs",
        restrictions: SCRATCH,
        options: "mode=0755,size=20%",
        required: true,
        reason: "what programs keep while the machine runs: sockets, locks, generated configuration",
    },
    Row {
        target: "/tmp",
        kind: "tmpfs",
        restrictions: SCRATCH,
        options: "mode=1777,size=50%",
        required: true,
        reason: "scratch files of programs; never outlives a boot",
    },
    Row {
        target: "/dev/pts",
        kind: "devpts",
        restrictions: TERMINALS,
        options: "gid=5,mode=0620,ptmxmode=0666",
        required: true,
        reason: "pseudo terminals: containers with a terminal, exec and attach",
    },
    Row {
        target: "/dev/shm",
        kind: "tmpfs",
        restrictions: SCRATCH,
        options: "mode=1777",
        required: true,
        reason: "POSIX shared memory",
    },
    Row {
        target: "/dev/mqueue",
        kind: "mqueue",
        restrictions: DATA,
        options: "",
        required: false,
        reason: "POSIX message queues, which pods in the host's IPC namespace share",
    },
    Row {
        target: "/dev/hugepages",
        kind: "hugetlbfs",
        restrictions: DATA,
        options: "mode=0755",
        required: false,
        reason: "huge pages as files: data planes and virtual machines in pods",
    },
    Row {
        target: "/sys/fs/cgroup",
        kind: "cgroup2",
        restrictions: DATA,
        options: "nsdelegate,memory_recursiveprot",
        required: true,
        reason: "resource control of services and pods, the unified hierarchy only",
    },
    Row {
        target: "/sys/kernel/security",
        kind: "securityfs",
        restrictions: DATA,
        options: "",
        required: false,
        reason: "AppArmor's and IMA's interface",
    },
    Row {
        target: "/sys/fs/bpf",
        kind: "bpf",
        restrictions: DATA,
        options: "mode=0700",
        required: false,
        reason: "pinned BPF objects: container runtimes and network plugins",
    },
    Row {
        target: "/sys/kernel/tracing",
        kind: "tracefs",
        restrictions: DATA,
        options: "mode=0700",
        required: false,
        reason: "trace points, which tools for watching the kernel by BPF look up there",
    },
    Row {
        target: "/sys/fs/pstore",
        kind: "pstore",
        restrictions: DATA,
        options: "",
        required: false,
        reason: "the last words of a kernel that crashed",
    },
    Row {
        target: "/sys/firmware/efi/efivars",
        kind: "efivarfs",
        restrictions: VIEW,
        options: "",
        required: false,
        reason: "what the boot loader said; all A/B state is on the ESP, so nothing is written here",
    },
];

/// Mounts the whole table and lets later mounts be seen in containers' namespaces.
pub(super) fn mount_all() -> Result<(), SystemError> {
    for row in &MOUNTS {
        match mount_row(row) {
            Ok(()) => {}
            // Stage 1 has mounted it.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(source) if row.required => {
                return Err(SystemError::Mount { kind: row.kind, target: row.target, reason: row.reason, source });
            }
            Err(error) => kernel_log::write(Level::Debug, &format!("kmimage-init: no {} on {}: {error}", row.kind, row.target)),
        }
    }
    mount::make_shared(Path::new("/")).map_err(|source| SystemError::Mount {
        kind: "shared propagation",
        target: "/",
        reason: "mounts of services are seen in pods",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::paths::MOUNT_POINTS;
    use std::collections::BTreeSet;

    #[test]
    fn rows_lie_on_mount_points_of_the_image_and_below_earlier_ones() {
        let mut seen = BTreeSet::new();
        for row in &MOUNTS {
            let top = format!("/{}", row.target.split('/').nth(1).unwrap());
            assert!(MOUNT_POINTS.contains(&top.as_str()), "{}", row.target);
            assert!(seen.insert(row.target), "{} twice", row.target);
            assert!(!row.reason.is_empty());
            assert!(row.restrictions.no_suid, "{} would bring privileges", row.target);
        }
    }
}
