//! Boot records for UEFI: type #1 files of the Boot Loader Specification, one per slot, and the counters in their names.
//!
//! `loader/entries/kmimage-a.conf` is proven, `kmimage-a+3.conf` has three tries left, `kmimage-a+2-1.conf` has two left and one
//! done; `+0` is bad. The loader counts down by renaming. An entry's `version` is a generation that only grows, so the newest
//! entry wins whatever the image's version says.

use super::{BootRecords, Trial};
use crate::disk_layout::Slot;

/// Where entries lie on the ESP.
pub const DIRECTORY: &str = "loader/entries";

/// Where systemd-boot has its settings on the ESP.
pub const LOADER_CONF_PATH: &str = "loader/loader.conf";

/// systemd-boot's settings on a disk. No menu, no editor: whoever holds the console must not change a command line that names what is
/// verified. Nothing is booted that an entry does not name.
pub const LOADER_CONF: &str =
    "timeout 0\neditor no\nauto-entries no\nauto-firmware no\nsecure-boot-enroll off\nconsole-mode keep\n";

/// Where the ESP says how its entries are written.
pub const ENTRIES_SREL_PATH: &str = "loader/entries.srel";

/// Entries of type 1 (Boot Loader Specification).
pub const ENTRIES_SREL: &str = "type1\n";

/// The `sort-key` of all our entries.
pub const SORT_KEY: &str = "kmimage";

/// Where a slot's UKI lies on the ESP; never in `/EFI/Linux`, which systemd-boot lists by itself.
pub fn uki_path(slot: Slot) -> &'static str {
    match slot {
        Slot::A => "/EFI/kmimage/a.efi",
        Slot::B => "/EFI/kmimage/b.efi",
    }
}

/// The tries of an entry that is not proven yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// Boots that the loader will still give it.
    pub left: u32,
    /// Boots that it had.
    pub done: u32,
}

/// An entry's file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryName {
    /// The slot that it boots.
    pub slot: Slot,
    /// Its counter; `None`: proven, or the factory's.
    pub tries: Option<Tries>,
}

impl EntryName {
    /// The file name, without directory.
    pub fn render(&self) -> String {
        match self.tries {
            None => format!("kmimage-{}.conf", self.slot),
            Some(Tries { left, done: 0 }) => format!("kmimage-{}+{left}.conf", self.slot),
            Some(Tries { left, done }) => format!("kmimage-{}+{left}-{done}.conf", self.slot),
        }
    }

    /// Reads a file name; `None`: not an entry of kmimage's. FAT knows no case, so neither does this.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let stem = name.strip_prefix("kmimage-")?.strip_suffix(".conf")?;
        let (slot, counter) = stem.split_once('+').map_or((stem, None), |(slot, counter)| (slot, Some(counter)));
        let tries = match counter {
            None => None,
            Some(counter) => {
                let (left, done) = counter.split_once('-').unwrap_or((counter, "0"));
                Some(Tries { left: number(left)?, done: number(done)? })
            }
        };
        Some(Self { slot: slot.parse().ok()?, tries })
    }
}

/// What an entry's file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    /// What the loader shows.
    pub title: String,
    /// Grows with every entry that is written; the highest is the loader's first choice.
    pub generation: u64,
    /// The UKI's path on the ESP.
    pub efi: String,
}

/// Why an entry is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A key that must be there.
    #[error("the boot entry has no `{0}`")]
    Missing(&'static str),
    /// A `version` that is no generation.
    #[error("the boot entry's version `{0}` is not a generation (a number)")]
    Generation(String),
    /// A `sort-key` that is not ours: somebody else's entry.
    #[error("the boot entry's sort-key is `{0}`, not `kmimage`")]
    SortKey(String),
}

impl BootEntry {
    /// The entry of a slot, titled with what the image is.
    pub fn for_slot(slot: Slot, role: &str, image_version: &str, generation: u64) -> Self {
        let title = format!("kmimage {role} {image_version} ({slot})");
        let title = title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { title, generation, efi: uki_path(slot).to_owned() }
    }

    /// The file's text.
    pub fn render(&self) -> String {
        format!("title {}\nsort-key {SORT_KEY}\nversion {}\nefi {}\n", self.title, self.generation, self.efi)
    }

    /// Reads an entry; keys that kmimage doesn't write are ignored, as the specification asks.
    pub fn parse(text: &str) -> Result<Self, EntryError> {
        let value = |key: &'static str| {
            let mut lines = text.lines().filter_map(|line| line.trim().split_once([' ', '\t']));
            lines.find(|(name, _)| *name == key).map(|(_, value)| value.trim().to_owned()).ok_or(EntryError::Missing(key))
        };
        let sort_key = value("sort-key")?;
        if sort_key != SORT_KEY {
            return Err(EntryError::SortKey(sort_key));
        }
        let version = value("version")?;
        let generation = version.parse().map_err(|_| EntryError::Generation(version))?;
        Ok(Self { title: value("title")?, generation, efi: value("efi")? })
    }
}

/// An entry that lies on an ESP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// What its name says.
    pub name: EntryName,
    /// What its file says.
    pub entry: BootEntry,
}

/// A step that brings the entries to what the records are to say. Names are file names in [`DIRECTORY`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A second file of the same slot goes.
    Remove(EntryName),
    /// A file takes another name; none has that name.
    Rename {
        /// The name now.
        from: EntryName,
        /// The name then.
        to: EntryName,
    },
    /// A file takes another content.
    Write(EntryName, BootEntry),
}

/// What the entries tell systemd-boot: of those that are not bad, the one of the highest generation boots.
pub fn records(entries: &[Listed]) -> BootRecords {
    let order = |listed: &&Listed| (listed.entry.generation, listed.name.slot);
    let good = entries.iter().filter(|listed| listed.name.tries.is_none()).max_by_key(order);
    let newer = entries.iter().filter(|listed| good.is_none_or(|good| order(listed) > order(&good)));
    let trial = newer.filter_map(|listed| {
        let left = listed.name.tries?.left;
        Some((left > 0, order(&listed), Trial { slot: listed.name.slot, left }))
    });
    let trial = trial.max_by_key(|(usable, order, _)| (*usable, *order)).map(|(_, _, trial)| trial);
    BootRecords { good: good.map(|good| good.name.slot), trial }
}

/// The generation of an entry that is to win over all of `entries`.
pub fn next_generation(entries: &[Listed]) -> u64 {
    entries.iter().map(|listed| listed.entry.generation).max().unwrap_or(0).saturating_add(1)
}

/// The steps after which the entries say that `slot` is the good one; none where they do already. Power may fail between two of
/// them: the loader then still finds an entry of the slot.
pub fn bless(entries: &[Listed], slot: Slot) -> Vec<Change> {
    let Some(booted) = booted(entries, slot) else { return Vec::new() };
    let proven = EntryName { slot, tries: None };
    let others = entries.iter().filter(|listed| listed.name.slot == slot && listed.name != booted.name);
    let mut changes: Vec<Change> = others.map(|listed| Change::Remove(listed.name)).collect();
    if booted.name != proven {
        changes.push(Change::Rename { from: booted.name, to: proven });
    }
    let rival = entries.iter().any(|listed| {
        let good = listed.name.slot != slot && listed.name.tries.is_none();
        good && (listed.entry.generation, listed.name.slot) > (booted.entry.generation, slot)
    });
    if rival {
        let entry = BootEntry { generation: next_generation(entries), ..booted.entry.clone() };
        changes.push(Change::Write(proven, entry));
    }
    changes
}

/// The entry of a slot that the loader boots. A slot has two only if somebody was cut off while writing: then the one of the highest
/// generation.
fn booted(entries: &[Listed], slot: Slot) -> Option<&Listed> {
    let own = entries.iter().filter(|listed| listed.name.slot == slot);
    own.max_by_key(|listed| (listed.entry.generation, listed.name.tries.is_some()))
}

/// The slot that the loader would boot next, and how it would count that, for a hand-over that is no loader. `None`: there is no entry;
/// no change: the entry has no counter.
pub fn next_boot(entries: &[Listed]) -> Option<(Slot, Option<Change>)> {
    let slot = records(entries).next_boot()?.slot;
    let name = booted(entries, slot)?.name;
    let counted = name.tries.map(|Tries { left, done }| {
        let tries = Tries { left: left.saturating_sub(1), done: done.saturating_add(1) };
        Change::Rename { from: name, to: EntryName { tries: Some(tries), ..name } }
    });
    Some((slot, counted))
}

/// A number as systemd-boot reads one: digits only.
fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip() {
        let check = |name: &str, slot: Slot, tries: Option<(u32, u32)>| {
            let entry = EntryName { slot, tries: tries.map(|(left, done)| Tries { left, done }) };
            assert_eq!(EntryName::parse(name), Some(entry));
            assert_eq!(entry.render(), name);
        };
        check("kmimage-a.conf", Slot::A, None);
        check("kmimage-b+3.conf", Slot::B, Some((3, 0)));
        check("kmimage-a+2-1.conf", Slot::A, Some((2, 1)));
        check("kmimage-a+0-3.conf", Slot::A, Some((0, 3)));
        assert_eq!(EntryName::parse("KMIMAGE-A+2-1.CONF"), EntryName::parse("kmimage-a+2-1.conf"));
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in ["", "kmimage-.conf", "kmimage-c.conf", "kmimage-a+.conf", "kmimage-a++1.conf", "kmimage-a+1-.conf"] {
            assert_eq!(EntryName::parse(name), None, "{name}");
        }
        for name in ["kmimage-a+-1.conf", "kmimage-a+99999999999.conf", "debian.conf", "kmimage-a.conf.bak"] {
            assert_eq!(EntryName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn the_factorys_entry_is_this_text() {
        let entry = BootEntry::for_slot(Slot::A, "base", "0.1.0", 1);
        let text = "title kmimage base 0.1.0 (a)\nsort-key kmimage\nversion 1\nefi /EFI/kmimage/a.efi\n";
        assert_eq!(entry.render(), text);
        assert_eq!(BootEntry::parse(text), Ok(entry));
    }

    #[test]
    fn foreign_entries_are_refused_by_name() {
        let check = |text: &str, expect: &str| assert_eq!(BootEntry::parse(text).unwrap_err().to_string(), expect);
        check("", "the boot entry has no `sort-key`");
        check("sort-key debian", "the boot entry's sort-key is `debian`, not `kmimage`");
        check("sort-key kmimage\nversion 6.1", "the boot entry's version `6.1` is not a generation (a number)");
        check("sort-key\tkmimage\nversion 1\ntitle x\n# efi /x", "the boot entry has no `efi`");
    }
}
