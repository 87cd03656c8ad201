//! The steps that need no mount, done with the real programs on files in the place of partitions.

use super::*;
use crate::storage::plan::{Facts, plan};
use kmimage_contract::disk_layout::DiskLayout;
use kmimage_contract::gpt::{Found, SectorSize};
use kmimage_contract::verity::RootHash;
use std::fs::File;

const MIB: u64 = 1 << 20;
/// Large enough for a second superblock.
const VAR: u64 = 512 * MIB;

struct Files {
    folder: PathBuf,
    said: Vec<String>,
}

impl Files {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("kmimage-doing-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, size) in [("state", 128 * MIB), ("var", VAR)] {
            File::create(folder.join(name)).unwrap().set_len(size).unwrap();
        }
        Self { folder, said: Vec::new() }
    }

    fn disk(&self) -> BootDisk {
        let table = DiskLayout::factory(MIB, &RootHash(std::array::from_fn(|index| index as u8))).unwrap().gpt(SectorSize::B512);
        let partition = |name: &str, size: u64| {
            Some(Partition { path: self.folder.join(name), uuid: Uuid::nil(), number: 8, start: 0, size })
        };
        BootDisk {
            name: "disk".to_owned(),
            path: self.folder.join("disk"),
            size: 0,
            table: Found { table, copy: Copy::Primary, array: 2..34 },
            state: partition("state", 128 * MIB),
            var: partition("var", VAR),
            is_medium: false,
        }
    }

    fn facts(&self) -> Facts {
        let read = |name: &str| Some(content::read(&self.folder.join(name)).unwrap());
        let ledger = ledger::read(&self.folder.join("state"), 128 * MIB).unwrap();
        Facts { ledger, state: read("state"), var: read("var") }
    }

    /// Plans anew, does what needs no mount, up to `until`; returns what was planned.
    fn boot(&mut self, until: Option<Step>) -> Vec<Step> {
        let (facts, disk, scratch) = (self.facts(), self.disk(), self.folder.join("said"));
        let steps = plan(&facts);
        let mut say = |line: StateLine| self.said.push(line.to_string());
        let mut doing = Doing::new(disk, facts.ledger, scratch, &mut say);
        for step in steps.iter().filter(|step| matches!(step, Step::Note(..) | Step::Make(_) | Step::Check(_) | Step::Refuse(..)))
        {
            if until == Some(*step) {
                break;
            }
            doing.act(*step);
        }
        steps
    }

    fn write(&self, name: &str, offset: u64, bytes: &[u8]) {
        OpenOptions::new().write(true).open(self.folder.join(name)).unwrap().write_all_at(bytes, offset).unwrap();
    }

    /// As the kernel does when it mounts: counts the mount, and leaves the state open.
    fn mounted(&self, name: &str) {
        let path = self.folder.join(name);
        tool("debugfs", &["-w", "-R", "set_super_value mnt_count 1", path.to_str().unwrap()]);
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[expect(clippy::disallowed_methods, reason = "others judge what was made")]
fn tool(name: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = std::process::Command::new(format!("/usr/sbin/{name}")).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

fn makes(steps: &[Step]) -> usize {
    steps.iter().filter(|step| matches!(step, Step::Make(_))).count()
}

#[test]
fn tools_both_are_made_once_and_sound() {
    let mut files = Files::new("once");
    assert_eq!(makes(&files.boot(None)), 2);
    assert_eq!(files.said, ["kmimage: storage state=making", "kmimage: storage var=making"]);
    let facts = files.facts();
    let entries = facts.ledger.as_ref().unwrap().entries.clone();
    for (content, name, size) in [(facts.state, "state", 127 * MIB), (facts.var, "var", VAR)] {
        let Some(Content::Ext4(superblock)) = content else { panic!("{content:?}") };
        let entry = entries.iter().find(|entry| entry.name == name).unwrap();
        assert_eq!((superblock.size(), superblock.mounted, superblock.clean), (size, false, true), "{name}");
        assert_eq!((entry.uuid, entry.phase), (superblock.uuid, kmimage_contract::ledger::Phase::Made), "{name}");
        let judged = tool("e2fsck", &["-fn", files.folder.join(name).to_str().unwrap()]);
        assert_eq!(judged.0, Some(0), "{}", judged.1);
    }
    assert_eq!(makes(&files.boot(None)), 0);
}

#[test]
fn tools_a_cut_before_any_step_ends_in_the_same() {
    let all = plan(&Files::new("all").facts());
    for (at, step) in all.iter().enumerate().filter(|(_, step)| matches!(step, Step::Note(..) | Step::Make(_))) {
        let mut files = Files::new(&format!("cut-{at}"));
        files.boot(Some(*step));
        // What a torn mke2fs may leave: anything.
        if let Step::Make(what) = step {
            files.write(what.name(), 8192, b"torn");
        }
        files.boot(None);
        assert_eq!(makes(&plan(&files.facts())), 0, "{step:?}");
        for name in ["state", "var"] {
            let judged = tool("e2fsck", &["-fn", files.folder.join(name).to_str().unwrap()]);
            assert_eq!(judged.0, Some(0), "{step:?} {}", judged.1);
        }
    }
}

#[test]
fn tools_damage_is_mended_or_named_and_nothing_is_made_again() {
    let mut files = Files::new("damage");
    files.boot(None);
    files.mounted("state");
    files.mounted("var");
    // The superblock is gone: named, because e2fsck asks before it takes another. Who answers finds one.
    for name in ["state", "var"] {
        files.write(name, 0, &[0; 4096]);
        files.said.clear();
        assert_eq!(makes(&files.boot(None)), 0);
        assert!(
            files.said[1].starts_with(&format!("kmimage: storage-failed what={name} cause=\"e2fsck: exit status 8")),
            "{:?}",
            files.said
        );
        tool("e2fsck", &["-fy", files.folder.join(name).to_str().unwrap()]);
        assert_eq!(makes(&files.boot(None)), 0);
        let facts = files.facts();
        assert!(facts.state.unwrap().is_clean() && facts.var.unwrap().is_clean(), "{:?}", files.said);
    }
    // A superblock that remembers damage gets a check, which mends what it can.
    for (name, expect) in [("state", "state=checking"), ("var", "var=checking")] {
        let path = files.folder.join(name);
        tool("debugfs", &["-w", "-R", "set_super_value state 3", path.to_str().unwrap()]);
        files.said.clear();
        assert_eq!(makes(&files.boot(None)), 0);
        assert!(files.said[0].contains(expect) && files.facts().state.unwrap().is_clean(), "{:?}", files.said);
    }
    files.mounted("var");
    files.mounted("state");

    // The first 4 MiB are gone, and the ledger: by the second witness nothing is made, and what is left is named.
    files.write("var", 0, &vec![0; 4 * MIB as usize]);
    files.write("state", 127 * MIB, &vec![0; MIB as usize]);
    files.said.clear();
    let steps = files.boot(None);
    assert_eq!((makes(&steps), steps.contains(&Step::Refuse(What::Var, Refusal::Lost))), (0, true), "{steps:?}");
    assert!(files.said[0].starts_with("kmimage: storage-failed what=var cause="), "{:?}", files.said);

    // With a ledger it is e2fsck that finds nothing.
    let mut files = Files::new("gone");
    files.boot(None);
    for offset in (0..VAR).step_by(4 << 20) {
        files.write("var", offset, &vec![0; 4 * MIB as usize]);
    }
    files.said.clear();
    assert_eq!(makes(&files.boot(None)), 0);
    assert!(files.said[1].contains("storage-failed what=var cause=\"e2fsck: exit status 8"), "{:?}", files.said);
}

#[test]
fn tools_a_foreign_state_is_not_written_to() {
    let mut files = Files::new("foreign");
    let path = files.folder.join("state");
    // An ext4 of somebody else that fills the partition, and was in use: there is no room for a ledger.
    assert_eq!(tool("mke2fs", &["-q", "-t", "ext4", path.to_str().unwrap()]).0, Some(0));
    files.mounted("state");
    let before = std::fs::read(&path).unwrap();
    files.boot(None);
    assert!(
        files.said[0].contains("what=state cause=\"") && files.said[0].contains("no room for the ledger"),
        "{:?}",
        files.said
    );
    assert!(std::fs::read(&path).unwrap() == before);
}
