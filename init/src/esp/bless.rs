//! init's child `bless`: the slot that this boot is from has proven itself, so the boot records say that it is the good one; and a
//! machine config on the ESP that was adopted is erased ([`super::adopted`]).
//!
//! It runs once the machine is ready: for an image that joins a cluster that is when its node was seen Ready, and until then the slot
//! that was good before stays what the boot loader comes back to. Both loaders' records are brought to the same, that of the firmware
//! of this boot first; each is one sector. A slot that the records did not choose (somebody picked it in a menu) changes nothing. It says
//! on its standard output one of the first three, and one of the others where there was something to erase:
//! ```text
//! blessed slot=b wrote=uefi,grub                       what was written; `nothing` where the records said so already
//! unblessed slot=a reason=<text>                       the slot is not for these records to judge
//! bless-failed slot=a cause=<text>                     it is tried again
//! esp erased=/kmimage/machine.toml                     the machine config is on `state` alone
//! erase-failed file=/kmimage/machine.toml cause=<text> it is tried again
//! ```

use super::records::{Firmware, Records};
use super::{Esp, EspError};
use crate::config::store::Store;
use crate::failure;
use kmimage_contract::Slot;
use kmimage_contract::boot_records::grub;
use kmimage_contract::boot_records::uefi::{Change, DIRECTORY, EntryName};
use kmimage_contract::fat32::edit::{EditError, Fat32, Plan};
use kmimage_contract::paths::{self, ESP_MACHINE_CONFIG};
use kmimage_contract::state_line::{Ready, StateLine};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// The name that process 1 starts it by.
pub(crate) const APPLET: &str = "bless";

/// The applet, without words: process 1 has written down which slot is proven.
pub(crate) fn run(_: &[String]) -> ExitCode {
    let text = std::fs::read_to_string(Path::new(paths::READY)).unwrap_or_default();
    let ready = StateLine::parse(&text).ok().and_then(|line| Ready::from_line(&line)?.ok());
    let Some(Ready { slot, .. }) = ready else {
        let _ = writeln!(std::io::stderr(), "{} does not say which slot is proven", paths::READY);
        return ExitCode::FAILURE;
    };
    let (blessed, erased) = match Esp::find() {
        Ok(esp) => {
            let blessed = esp.bless(slot, Firmware::of_this_machine());
            let kept = Store::new(Path::new("/")).load_lasting().map_err(EspError::Kept);
            (blessed, kept.and_then(|kept| esp.erase_adopted(kept.as_ref())))
        }
        // An install medium in a drive that shows none; trying again would find nothing else.
        Err(EspError::Absent) => (Ok(Outcome::NotOurs(EspError::Absent.to_string())), Ok(false)),
        Err(error) => (Err(error), Ok(false)),
    };
    let file = format!("/{ESP_MACHINE_CONFIG}");
    let lines = [
        Some(match &blessed {
            Ok(Outcome::Good(wrote)) if wrote.is_empty() => StateLine::new("blessed").with("slot", slot).with("wrote", "nothing"),
            Ok(Outcome::Good(wrote)) => StateLine::new("blessed").with("slot", slot).with("wrote", wrote.join(",")),
            Ok(Outcome::NotOurs(reason)) => StateLine::new("unblessed").with("slot", slot).with("reason", reason),
            Err(error) => StateLine::new("bless-failed").with("slot", slot).with("cause", failure::chain(error)),
        }),
        match &erased {
            Ok(true) => Some(StateLine::new("esp").with("erased", file)),
            Ok(false) => None,
            Err(error) => Some(StateLine::new("erase-failed").with("file", file).with("cause", failure::chain(error))),
        },
    ];
    let mut output = std::io::stdout();
    for line in lines.into_iter().flatten() {
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    }
    if blessed.is_ok() && erased.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Both records say that the slot is good; these were written.
    Good(Vec<&'static str>),
    /// The records did not lead to this boot.
    NotOurs(String),
}

impl Esp {
    fn bless(&self, slot: Slot, firmware: Firmware) -> Result<Outcome, EspError> {
        let file = self.open(false)?;
        let records = self.with(&file, Records::read)?;
        let Some(own) = records.of(firmware) else {
            return Ok(Outcome::NotOurs("the EFI system partition has no boot records for this firmware".to_owned()));
        };
        if !own.stand_for(slot) {
            let good = own.good.map_or_else(String::new, |good| good.to_string());
            return Ok(Outcome::NotOurs(format!("the boot records name slot {good}: somebody else chose this one")));
        }
        let order = match firmware {
            Firmware::Uefi => [Firmware::Uefi, Firmware::Bios],
            Firmware::Bios => [Firmware::Bios, Firmware::Uefi],
        };
        let mut wrote = Vec::new();
        for firmware in order {
            let (name, steps) = match firmware {
                Firmware::Uefi => ("uefi", records.entries_blessing(slot).into_iter().map(Wish::Entry).collect()),
                Firmware::Bios => ("grub", records.block_blessing(slot).into_iter().map(Wish::Block).collect::<Vec<_>>()),
            };
            if !steps.is_empty() {
                let file = self.open(true)?;
                steps.iter().try_for_each(|step| self.write(&file, step))?;
                wrote.push(name);
            }
        }
        Ok(Outcome::Good(wrote))
    }

    pub(super) fn write(&self, file: &File, wish: &Wish) -> Result<(), EspError> {
        let epoch = jiff::Timestamp::now().as_second();
        self.change(file, |volume| wish.plan(volume, epoch))
    }
}

/// A file that is to be another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Entry(Change),
    Block(Vec<u8>),
}

impl Wish {
    fn plan(&self, volume: &Fat32<'_>, epoch: i64) -> Result<Plan<'static>, EditError> {
        let path = |name: &EntryName| format!("{DIRECTORY}/{}", name.render());
        match self {
            Self::Block(bytes) => volume.overwrite(grub::SLOTS, bytes),
            Self::Entry(Change::Remove(name)) => volume.remove(&path(name)),
            Self::Entry(Change::Rename { from, to }) => volume.rename(&path(from), &to.render()),
            Self::Entry(Change::Write(name, entry)) => volume.put(&path(name), entry.render().into_bytes(), epoch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::volume;
    use super::*;
    use kmimage_contract::boot_records::BootRecords;

    fn records(esp: &Esp) -> [Option<BootRecords>; 2] {
        let records = esp.with(&esp.open(false).unwrap(), Records::read).unwrap();
        [records.of(Firmware::Uefi), records.of(Firmware::Bios)]
    }

    #[test]
    fn a_slot_on_trial_becomes_good_in_both_records_and_that_once() {
        let trial = BootRecords::factory(Slot::A).try_slot(Slot::B, 2);
        for firmware in [Firmware::Uefi, Firmware::Bios] {
            let (_folder, esp) = volume(&[("kmimage-a.conf", 1), ("kmimage-b+0-3.conf", 2)], Some(&trial), &[]);
            let expect = if firmware == Firmware::Uefi { vec!["uefi", "grub"] } else { vec!["grub", "uefi"] };
            assert_eq!(esp.bless(Slot::B, firmware).unwrap(), Outcome::Good(expect));
            assert_eq!(records(&esp), [Some(BootRecords::factory(Slot::B)); 2]);
            let before = std::fs::read(&esp.path).unwrap();
            assert_eq!(esp.bless(Slot::B, firmware).unwrap(), Outcome::Good(vec![]));
            assert!(std::fs::read(&esp.path).unwrap() == before);
        }
    }

    #[test]
    fn the_record_that_knows_nothing_of_the_slot_is_brought_along() {
        let (_folder, esp) =
            volume(&[("kmimage-a.conf", 1), ("kmimage-b+2-1.conf", 2)], Some(&BootRecords::factory(Slot::A)), &[]);
        assert_eq!(esp.bless(Slot::B, Firmware::Uefi).unwrap(), Outcome::Good(vec!["uefi", "grub"]));
        assert_eq!(records(&esp), [Some(BootRecords::factory(Slot::B)); 2]);
        let trial = BootRecords::factory(Slot::B).try_slot(Slot::A, 1);
        let (_folder, esp) = volume(&[("kmimage-a.conf", 1), ("kmimage-b.conf", 2)], Some(&trial), &[]);
        assert_eq!(esp.bless(Slot::A, Firmware::Bios).unwrap(), Outcome::Good(vec!["grub", "uefi"]));
        assert_eq!(records(&esp), [Some(BootRecords::factory(Slot::A)); 2]);
    }

    #[test]
    fn a_slot_that_somebody_chose_is_left_alone() {
        let (_folder, esp) = volume(&[("kmimage-a.conf", 1), ("kmimage-b.conf", 2)], None, &[]);
        let reason = "the boot records name slot b: somebody else chose this one".to_owned();
        assert_eq!(esp.bless(Slot::A, Firmware::Uefi).unwrap(), Outcome::NotOurs(reason));
        let reason = "the EFI system partition has no boot records for this firmware".to_owned();
        assert_eq!(esp.bless(Slot::A, Firmware::Bios).unwrap(), Outcome::NotOurs(reason));
    }

    #[test]
    fn what_is_no_volume_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("esp");
        std::fs::write(&path, [0; 4096]).unwrap();
        let esp = Esp { path: path.clone(), size: 4096, slot: None };
        let error = failure::chain(&esp.bless(Slot::A, Firmware::Uefi).unwrap_err());
        let expect =
            format!("the EFI system partition {}: it is not a FAT32 volume: its first sector has no signature", path.display());
        assert_eq!(error, expect);
    }
}
