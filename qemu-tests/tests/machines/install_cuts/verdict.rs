//! What a disk is on which an installation was cut off, judged from outside by the functions that the installer chooses by.

use super::scene::MIB;
use kmimage_contract::cmdline::Purpose;
use kmimage_contract::disk_selector::DiskIdentity;
use kmimage_contract::machine_config::Install;
use kmimage_init::install::{Content, Disk, Needs, Wish, choose};
use kmimage_qemu_tests::cut_disk::CutDisk;
use std::ops::Range;

const SECTOR: u64 = 512;

/// What follows a power cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No firmware finds anything to start on the disk, and the installer takes it again. What it takes it for.
    Again(Content),
    /// Nothing is done to the disk yet that it would not survive, and the installer takes it again as it was told: with `wipe`.
    Untouched,
    /// Nothing starts on the disk, what was on it is cleared in part, and the installer takes it again as it was told: with `wipe`.
    Cleared,
    /// It is the finished disk, which boots. Whether the mark of an unfinished installation is gone.
    Boots { clean: bool },
}

/// Judges the cuts of one installation.
pub(super) struct Judge<'a> {
    /// The disk before it.
    pub before: CutDisk<'a>,
    /// The disk after it, which others have judged.
    pub finished: CutDisk<'a>,
    /// Where the mark was.
    pub mark: Range<u64>,
    /// The disk as the installer sees it, but for what is on it.
    pub target: DiskIdentity,
    /// The machine's other disks.
    pub others: Vec<Disk>,
    pub install: Install,
    pub needs: Needs<'static>,
}

impl Judge<'_> {
    /// What follows, or what is wrong with the disk.
    pub(super) fn verdict(&self, disk: &CutDisk<'_>) -> Result<Verdict, String> {
        let content = Content::on(disk, self.target.size, SECTOR);
        let dark = disk.bytes(0..SECTOR).iter().all(|&byte| byte == 0);
        let (as_told, unasked) = (self.takes(&content, true), self.takes(&content, false));
        match &content {
            Content::Empty | Content::Unfinished if dark => {
                as_told?;
                unasked?;
                Ok(Verdict::Again(content))
            }
            Content::Kmimage { installed_from: Some(esp) } if *esp == self.needs.esp => {
                let differences = disk.differences(&self.finished);
                if differences.iter().any(|place| *place != self.mark) {
                    return Err(format!("it would boot, and is not what it should be at {differences:?}"));
                }
                match as_told {
                    Ok(()) => Err("it boots, and the installer would take it".to_owned()),
                    Err(_) => Ok(Verdict::Boots { clean: differences.is_empty() }),
                }
            }
            Content::Foreign(_) if unasked.is_err() => {
                as_told?;
                // The first write may have been a block of 4 KiB with the same bytes behind its first sector.
                let differences = disk.differences(&self.before);
                let first = |place: &Range<u64>| place.end <= 4096 && disk.bytes(SECTOR..4096) == self.before.bytes(SECTOR..4096);
                let edge = |place: &Range<u64>| place.end <= MIB || place.start >= self.target.size - MIB;
                if differences.iter().all(first) {
                    Ok(Verdict::Untouched)
                } else if dark && differences.iter().all(edge) {
                    Ok(Verdict::Cleared)
                } else {
                    Err(format!("it holds {content:?}, and has lost {differences:?}"))
                }
            }
            _ => Err(format!("it holds {content:?}; its first sector is zero: {dark}; the installer: {as_told:?}")),
        }
    }

    /// Whether the installer takes the disk, with `wipe` as the config has it or without.
    fn takes(&self, content: &Content, wipe: bool) -> Result<(), String> {
        let (identity, content) = (self.target.clone(), content.clone());
        let target = Disk { identity, content, ..plain("vda") };
        let disks: Vec<Disk> = std::iter::once(target).chain(self.others.iter().cloned()).collect();
        let install = Install { wipe: self.install.wipe.clone().filter(|_| wipe), ..self.install.clone() };
        let wish = Wish::of(&Purpose::Usual, Some(&install)).unwrap();
        match choose(&disks, &wish, &self.needs) {
            Ok(disk) if disk.name == "vda" => Ok(()),
            Ok(disk) => Err(format!("the installer takes {}", disk.name)),
            Err(refusal) => Err(refusal.to_string()),
        }
    }
}

/// A disk about which nothing is remarkable.
pub(super) fn plain(name: &str) -> Disk {
    Disk {
        name: name.to_owned(),
        identity: DiskIdentity::default(),
        sector_size: SECTOR,
        removable: false,
        read_only: false,
        held: None,
        content: Content::Empty,
    }
}
