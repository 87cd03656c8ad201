//! What a disk's boot loader would boot next, for a machine that was started from elsewhere and goes on to that disk: counted as the loader
//! would count it, and read into memory.

use super::records::{Firmware, Records};
use super::{Esp, EspError};
use kmimage_contract::Slot;
use kmimage_contract::boot_records::grub::{self, EnvironmentBlock};
use kmimage_sys::kexec;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// The longest file that is read, in bytes.
const MOST: u64 = 512 << 20;

/// A slot's files, as they are stored for a BIOS: of the same bytes as the unified kernel image.
#[derive(Debug)]
pub(crate) struct NextBoot {
    /// The slot.
    pub(crate) slot: Slot,
    /// The kernel, in memory.
    pub(crate) kernel: File,
    /// The initramfs, in memory.
    pub(crate) initramfs: File,
    /// The command line; which ESP it is from is to be added.
    pub(crate) command_line: String,
}

impl Esp {
    /// Counts and reads. The count is on the disk before anything of the slot is read: a slot whose files are damaged uses its tries up, too.
    pub(crate) fn next_boot(&self) -> Result<NextBoot, EspError> {
        self.next_boot_of(Firmware::of_this_machine())
    }

    fn next_boot_of(&self, firmware: Firmware) -> Result<NextBoot, EspError> {
        let file = self.open(false)?;
        let records = self.with(&file, Records::read)?;
        let next = match records.next_boot(firmware) {
            // GRUB boots any slot rather than none.
            None if firmware == Firmware::Bios => self.whole_slot(&file)?.map(|slot| (slot, None)),
            next => next,
        };
        let (slot, count) = next.ok_or_else(|| EspError::NoRecords(self.path.clone()))?;
        if let Some(count) = count {
            self.write(&self.open(true)?, &count)?;
        }
        let (kernel, initramfs) = (self.take(&file, &grub::kernel_path(slot))?, self.take(&file, &grub::initramfs_path(slot))?);
        let path = grub::command_line_path(slot);
        let block = self.content(&file, &path)?;
        let command_line =
            EnvironmentBlock::parse(&block).ok().and_then(|block| block.get(grub::COMMAND_LINE).map(str::to_owned));
        let command_line = command_line.ok_or_else(|| self.missing(&path))?;
        Ok(NextBoot { slot, kernel, initramfs, command_line })
    }

    /// The first slot that has its files.
    fn whole_slot(&self, file: &File) -> Result<Option<Slot>, EspError> {
        self.with(file, |volume| {
            for slot in Slot::ALL {
                let files = volume.list(grub::directory(slot))?.unwrap_or_default();
                let has = |path: &str| {
                    files.iter().any(|file| path.rsplit('/').next().is_some_and(|name| file.name.eq_ignore_ascii_case(name)))
                };
                if [grub::kernel_path(slot), grub::initramfs_path(slot), grub::command_line_path(slot)]
                    .iter()
                    .all(|path| has(path))
                {
                    return Ok(Some(slot));
                }
            }
            Ok(None)
        })
    }

    fn content(&self, file: &File, path: &str) -> Result<Vec<u8>, EspError> {
        self.with(file, |volume| volume.read(path, MOST))?.ok_or_else(|| self.missing(path))
    }

    fn take(&self, file: &File, path: &str) -> Result<File, EspError> {
        let bytes = self.content(file, path)?;
        let memory = |source: io::Error| EspError::Device { path: PathBuf::from(path), source };
        kexec::memory_file(path.trim_start_matches('/'), &bytes).map_err(memory)
    }

    fn missing(&self, file: &str) -> EspError {
        EspError::Missing { path: self.path.clone(), file: file.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::volume;
    use super::*;
    use crate::failure;
    use kmimage_contract::boot_records::{BootRecords, Trial};
    use std::io::{Read as _, Seek as _};

    fn content(mut file: File) -> String {
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    /// Both slots' files but slot B's `without`.
    fn disk(without: &str) -> (tempfile::TempDir, Esp) {
        let block = |slot: &str| EnvironmentBlock::for_command_line(&format!("roothash={slot}")).render();
        let [a, b] = ["a", "b"].map(block);
        let files: [(&str, &[u8]); 6] = [
            ("/boot/a/vmlinuz", b"kernel a"),
            ("/boot/a/initramfs", b"initramfs a"),
            ("/boot/a/cmdline.env", &a),
            ("/boot/b/vmlinuz", b"kernel b"),
            ("/boot/b/initramfs", b"initramfs b"),
            ("/boot/b/cmdline.env", &b),
        ];
        let files: Vec<_> = files.into_iter().filter(|(path, _)| *path != without).collect();
        volume(
            &[("kmimage-a.conf", 1), ("kmimage-b+2.conf", 2)],
            Some(&BootRecords::factory(Slot::A).try_slot(Slot::B, 2)),
            &files,
        )
    }

    fn left(esp: &Esp, firmware: Firmware) -> u32 {
        let records = esp.with(&esp.open(false).unwrap(), Records::read).unwrap().of(firmware).unwrap();
        assert_eq!(records.good, Some(Slot::A));
        records.trial.map_or(0, |Trial { left, .. }| left)
    }

    #[test]
    fn a_slot_on_trial_is_counted_by_the_firmwares_record_and_then_the_good_one_comes() {
        for (firmware, other) in [(Firmware::Uefi, Firmware::Bios), (Firmware::Bios, Firmware::Uefi)] {
            let (_folder, esp) = disk("");
            for expect in [1, 0] {
                let next = esp.next_boot_of(firmware).unwrap();
                assert_eq!((next.slot, next.command_line.as_str()), (Slot::B, "roothash=b"));
                assert_eq!((content(next.kernel), content(next.initramfs)), ("kernel b".to_owned(), "initramfs b".to_owned()));
                assert_eq!((left(&esp, firmware), left(&esp, other)), (expect, 2));
            }
            let next = esp.next_boot_of(firmware).unwrap();
            assert_eq!((next.slot, content(next.kernel).as_str()), (Slot::A, "kernel a"));
        }
    }

    #[test]
    fn a_slot_that_lacks_a_file_uses_its_tries_up() {
        for missing in ["/boot/b/vmlinuz", "/boot/b/initramfs", "/boot/b/cmdline.env"] {
            let (_folder, esp) = disk(missing);
            for expect in [1, 0] {
                let error = failure::chain(&esp.next_boot_of(Firmware::Bios).unwrap_err());
                assert_eq!(error, format!("the EFI system partition {} has no {missing}", esp.path.display()));
                assert_eq!(left(&esp, Firmware::Bios), expect);
            }
            assert_eq!(esp.next_boot_of(Firmware::Bios).unwrap().slot, Slot::A);
        }
    }

    #[test]
    fn without_a_record_a_bios_takes_any_slot_that_is_whole() {
        let block = EnvironmentBlock::for_command_line("roothash=b").render();
        let files: [(&str, &[u8]); 4] = [
            ("/boot/a/vmlinuz", b"kernel a"),
            ("/boot/b/vmlinuz", b"kernel b"),
            ("/boot/b/initramfs", b"initramfs b"),
            ("/boot/b/cmdline.env", &block),
        ];
        let (_folder, esp) = volume(&[], None, &files);
        assert_eq!(esp.next_boot_of(Firmware::Bios).unwrap().slot, Slot::B);
        assert!(esp.next_boot_of(Firmware::Uefi).is_err());
    }

    #[test]
    fn without_records_there_is_nothing_to_go_on_to() {
        let (_folder, esp) = volume(&[], None, &[]);
        for firmware in [Firmware::Uefi, Firmware::Bios] {
            let error = failure::chain(&esp.next_boot_of(firmware).unwrap_err());
            assert_eq!(error, format!("the EFI system partition {} has no boot records for this firmware", esp.path.display()));
        }
    }
}
