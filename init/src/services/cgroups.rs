//! Control groups (cgroup2): one for each unit, so that all of it can be seen, bounded and killed, whatever it forks.
//!
//! ```text
//! /init             process 1 alone
//! /services/NAME    a unit with everything it started
//! ```
//! Pods get a place of their own beside these, made by kubelet.

use super::unit::Memory;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is kept in memory for process 1, in bytes: it is what helps a machine whose memory has run out.
const OWN: u64 = 8 << 20;

/// The hierarchy as far as process 1 uses it.
#[derive(Debug)]
pub struct Cgroups {
    root: PathBuf,
}

impl Cgroups {
    /// Takes over the hierarchy mounted at `root`: process 1 goes into a group of its own, every controller is handed down.
    pub fn open(root: &Path) -> io::Result<Self> {
        let cgroups = Self { root: root.to_owned() };
        let init = root.join("init");
        make(&init)?;
        fs::write(init.join("cgroup.procs"), "0")?;
        make(&root.join("services"))?;
        hand_down(root)?;
        hand_down(&root.join("services"))?;
        set(&init.join("memory.min"), &OWN.to_string())?;
        Ok(cgroups)
    }

    /// A unit's group, made if it is not there, with its memory settings.
    pub fn make(&self, unit: &str, memory: &Memory) -> io::Result<PathBuf> {
        let folder = self.folder(unit);
        make(&folder)?;
        let text = |bytes: Option<u64>, none: &str| bytes.map_or(none.to_owned(), |bytes| bytes.to_string());
        let settings = [
            ("memory.min", text(memory.min, "0")),
            ("memory.low", text(memory.low, "0")),
            ("memory.max", text(memory.max, "max")),
        ];
        for (file, value) in settings {
            set(&folder.join(file), &value)?;
        }
        self.sum_up()?;
        Ok(folder)
    }

    /// What is kept for a group is bounded by what is kept for the one above it: that gets the sum.
    fn sum_up(&self) -> io::Result<()> {
        let services = self.root.join("services");
        for file in ["memory.min", "memory.low"] {
            let below = fs::read_dir(&services)?.flatten().filter_map(|entry| fs::read_to_string(entry.path().join(file)).ok());
            let sum = below.filter_map(|text| text.trim().parse::<u64>().ok()).fold(0, u64::saturating_add);
            set(&services.join(file), &sum.to_string())?;
        }
        Ok(())
    }

    /// Kills everything in a unit's group. A group that is not there has nothing to kill.
    pub fn kill(&self, unit: &str) -> io::Result<()> {
        match fs::write(self.folder(unit).join("cgroup.kill"), "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Whether nothing runs in a unit's group.
    pub fn is_empty(&self, unit: &str) -> bool {
        fs::read_to_string(self.folder(unit).join("cgroup.events")).map_or(true, |text| value(&text, "populated") != Some(1))
    }

    /// How often the kernel ended something of a unit for want of memory, since the group was made.
    pub fn memory_kills(&self, unit: &str) -> u64 {
        let text = fs::read_to_string(self.folder(unit).join("memory.events")).unwrap_or_default();
        value(&text, "oom_kill").unwrap_or(0)
    }

    /// Removes a unit's empty group with those that it made in it.
    pub fn remove(&self, unit: &str) {
        remove(&self.folder(unit));
        // What the others have is not changed by it.
        let _ = self.sum_up();
    }

    fn folder(&self, unit: &str) -> PathBuf {
        self.root.join("services").join(unit)
    }
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Sets what there is to set: a kernel without a controller has none of its files.
fn set(file: &Path, value: &str) -> io::Result<()> {
    if file.exists() { fs::write(file, value) } else { Ok(()) }
}

/// Enables in the groups below every controller that there is. One that the kernel doesn't hand down is left out.
fn hand_down(folder: &Path) -> io::Result<()> {
    let controllers = fs::read_to_string(folder.join("cgroup.controllers"))?;
    for controller in controllers.split_ascii_whitespace() {
        let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
    }
    Ok(())
}

/// Best effort: what is left is only a name.
fn remove(folder: &Path) {
    let below = fs::read_dir(folder).into_iter().flatten().flatten();
    for group in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&group.path());
    }
    let _ = fs::remove_dir(folder);
}

/// The number behind a key, in a file of lines `key number`.
fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_groups_is_kept_for_the_one_above() {
        let root = tempfile::tempdir().unwrap();
        let services = root.path().join("services");
        for (group, least) in [("", "0"), ("a", "1048576"), ("b", "max"), ("c", "4096\n")] {
            let folder = services.join(group);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("memory.min"), least).unwrap();
        }
        let cgroups = Cgroups { root: root.path().to_owned() };
        cgroups.make("c", &Memory { min: Some(8192), low: Some(1), max: None }).unwrap();
        assert_eq!(fs::read_to_string(services.join("memory.min")).unwrap(), "1056768");
        // No such controller, no such file.
        assert!(!services.join("memory.low").exists());
    }

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(
            (value(text, "oom_kill"), value(text, "oom"), value(text, "kill"), value(text, "")),
            (Some(2), Some(3), None, None)
        );
        assert_eq!(value("populated x\n", "populated"), None);
    }
}
