//! Boot records for GRUB: environment blocks (`grub-editenv`) at fixed paths, read by a grub.cfg that never changes.
//!
//! `slots.env` holds `good`, and `next` and `left` while a slot is on trial; a second block in each slot's directory holds its
//! `cmdline`. A block is a text of a fixed length, so that GRUB can write it back without a file system: the signature, a line
//! `name=value` each with `\` before a `\` or a line's end, then `#` up to a multiple of 1024 bytes (GRUB 2.12, lib/envblk.c).

use super::{BootRecords, TRIES, Trial};
use crate::disk_layout::Slot;

/// GRUB's configuration.
pub const CONFIGURATION: &str = "/boot/grub/grub.cfg";

/// The environment block that says which slot boots.
pub const SLOTS: &str = "/boot/grub/slots.env";

/// What [`CONFIGURATION`] holds on a disk; it never changes.
pub const CONFIGURATION_TEXT: &str = include_str!("grub.cfg");

/// The folder that the core image takes its configuration from: on the second partition, the ESP, of the drive that it was started
/// from. Nothing is searched for.
pub const PREFIX: &str = "(,gpt2)/boot/grub";

/// The commands in the core image itself. Behind its last command GRUB would look for a configuration of its own accord, and without
/// one give whoever is at the console a shell: so the last one restarts the machine.
pub const CORE_CONFIGURATION: &str = include_str!("core.cfg");

/// The most bytes that GRUB and [`CONFIGURATION_TEXT`] add to a slot's command line: `BOOT_IMAGE=`, `kmimage.esp=`.
pub const COMMAND_LINE_ROOM: usize = 128;

/// GRUB's boot code, the first bytes of a disk (as many as this file has): it loads the core image of the partition `bios`.
pub const BOOT_IMAGE: &str = "/boot/grub/boot.img";

/// GRUB's core image, which the partition `bios` of a disk begins with. Both files are for disks with sectors of 512 bytes.
pub const CORE_IMAGE: &str = "/boot/grub/core.img";

/// The directory of a slot.
pub fn directory(slot: Slot) -> &'static str {
    match slot {
        Slot::A => "/boot/a",
        Slot::B => "/boot/b",
    }
}

/// A slot's kernel.
pub fn kernel_path(slot: Slot) -> String {
    format!("{}/vmlinuz", directory(slot))
}

/// A slot's initramfs.
pub fn initramfs_path(slot: Slot) -> String {
    format!("{}/initramfs", directory(slot))
}

/// The environment block with a slot's command line, as [`COMMAND_LINE`].
pub fn command_line_path(slot: Slot) -> String {
    format!("{}/cmdline.env", directory(slot))
}

/// The variable that holds a slot's command line.
pub const COMMAND_LINE: &str = "cmdline";

/// The variable that names the good slot.
const GOOD: &str = "good";
/// The variable that names the slot on trial.
const NEXT: &str = "next";
/// The variable that counts the tries left.
const LEFT: &str = "left";

const SIGNATURE: &[u8] = b"# GRUB Environment Block\n";
/// The unit of a block's length in bytes.
const UNIT: usize = 1024;

/// Why bytes are no environment block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Something else.
    #[error("it does not begin as GRUB's environment blocks do")]
    Signature,
    /// A name or a value that is not UTF-8.
    #[error("its variables are not UTF-8")]
    Text,
    /// More than a block's length holds.
    #[error("its variables do not fit in {0} bytes")]
    Full(usize),
}

/// An environment block: variables in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvironmentBlock {
    variables: Vec<(String, String)>,
}

impl EnvironmentBlock {
    /// Reads a block as GRUB does: comments and what is no variable are skipped.
    pub fn parse(bytes: &[u8]) -> Result<Self, BlockError> {
        let mut rest = bytes.strip_prefix(SIGNATURE).ok_or(BlockError::Signature)?;
        let mut block = Self::default();
        while let Some(&first) = rest.first() {
            if first != b'#' {
                let Some(equals) = rest.iter().position(|&byte| byte == b'=') else { break };
                let (name, value) = rest.split_at(equals);
                let value = value.get(1..).unwrap_or_default();
                let Some((value, after)) = unescaped_line(value) else { break };
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| BlockError::Text);
                block.set(&text(name.to_vec())?, &text(value)?);
                rest = after;
            } else {
                let Some((_, after)) = unescaped_line(rest) else { break };
                rest = after;
            }
        }
        Ok(block)
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Gives a variable a value. A name is letters, digits and `_`.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Takes a variable away.
    pub fn unset(&mut self, name: &str) {
        self.variables.retain(|(known, _)| known != name);
    }

    /// The block's bytes, as short as it can be.
    pub fn render(&self) -> Vec<u8> {
        let mut bytes = self.text();
        bytes.resize(bytes.len().next_multiple_of(UNIT), b'#');
        bytes
    }

    /// The block's bytes in exactly `len`, to overwrite a block in its place.
    pub fn render_in(&self, len: usize) -> Result<Vec<u8>, BlockError> {
        let mut bytes = self.text();
        if bytes.len() > len {
            return Err(BlockError::Full(len));
        }
        bytes.resize(len, b'#');
        Ok(bytes)
    }

    fn text(&self) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        for (name, value) in &self.variables {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'=');
            for byte in value.bytes() {
                if matches!(byte, b'\\' | b'\n') {
                    bytes.push(b'\\');
                }
                bytes.push(byte);
            }
            bytes.push(b'\n');
        }
        bytes
    }

    /// What the block `slots.env` tells the loader. A slot or a number that is none counts as not there.
    pub fn records(&self) -> BootRecords {
        let slot = |name| self.get(name).and_then(|letter| letter.parse::<Slot>().ok());
        let left = self.get(LEFT).and_then(|left| left.parse().ok()).unwrap_or(0).min(TRIES);
        let trial = slot(NEXT).map(|slot| Trial { slot, left });
        // Where no slot is proven, `good` names what is left to boot: the one on trial.
        let good = slot(GOOD).filter(|good| trial.is_none_or(|trial| trial.slot != *good));
        BootRecords { good, trial }
    }

    /// Writes the records into the block; other variables stay.
    pub fn set_records(&mut self, records: &BootRecords) {
        match records.good.or(records.trial.map(|trial| trial.slot)) {
            Some(good) => self.set(GOOD, &good.to_string()),
            None => self.unset(GOOD),
        }
        match records.trial {
            Some(Trial { slot, left }) => {
                self.set(NEXT, &slot.to_string());
                self.set(LEFT, &left.min(TRIES).to_string());
            }
            None => {
                self.unset(NEXT);
                self.unset(LEFT);
            }
        }
    }

    /// The block `slots.env` that says these records and nothing else.
    pub fn for_records(records: &BootRecords) -> Self {
        let mut block = Self::default();
        block.set_records(records);
        block
    }

    /// The block `cmdline.env` of a slot.
    pub fn for_command_line(command_line: &str) -> Self {
        let mut block = Self::default();
        block.set(COMMAND_LINE, command_line);
        block
    }
}

/// The line that `bytes` begin with, without its escapes, and what is behind it; `None`: no line's end.
fn unescaped_line(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut line = Vec::new();
    let mut rest = bytes.iter();
    loop {
        match rest.next()? {
            b'\n' => return Some((line, rest.as_slice())),
            b'\\' => line.push(*rest.next()?),
            byte => line.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_factorys_block_is_this_text() {
        let bytes = EnvironmentBlock::for_records(&BootRecords::factory(Slot::A)).render();
        assert_eq!(bytes.len(), 1024);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.trim_end_matches('#'), "# GRUB Environment Block\ngood=a\n");
    }

    #[test]
    fn the_configuration_counts_every_number_of_tries() {
        // GRUB has no arithmetic: a number that is not spelled out would count as none.
        for left in 1..=TRIES {
            let line = format!("\"$left\" = {left} ]; then\n  set left={}\n", left - 1);
            assert!(CONFIGURATION_TEXT.contains(&line), "{line}");
        }
        for path in [SLOTS, CONFIGURATION] {
            assert!(path.starts_with(PREFIX.trim_start_matches("(,gpt2)")), "{path} is not below {PREFIX}");
        }
        for name in [GOOD, NEXT, LEFT] {
            assert!(CONFIGURATION_TEXT.contains(&format!("${name}")), "{name}");
        }
        for path in [kernel_path, initramfs_path, command_line_path] {
            let file = path(Slot::A).replace("/a/", "/$1/");
            assert!(CONFIGURATION_TEXT.contains(&file), "{file}");
        }
        assert!(CORE_CONFIGURATION.ends_with("\nreboot\n") && CONFIGURATION_TEXT.ends_with("\nreboot\n"));
        let added = "BOOT_IMAGE= kmimage.esp= ".len() + kernel_path(Slot::A).len() + 36;
        assert!(added < COMMAND_LINE_ROOM, "{added}");
    }

    #[test]
    fn values_survive_the_round_trip() {
        let long = "x".repeat(3000);
        for value in ["", "a=b c=\\\"d\\\"", "back\\slash\nnew line \\", "#", "ü", &long] {
            let mut block = EnvironmentBlock::for_command_line(value);
            block.set("other", "1");
            let bytes = block.render();
            assert!(bytes.len().is_multiple_of(1024));
            let read = EnvironmentBlock::parse(&bytes).unwrap();
            assert_eq!(read, block);
            assert_eq!(read.get(COMMAND_LINE), Some(value));
        }
    }

    #[test]
    fn foreign_bytes_are_read_as_grub_does_or_refused() {
        let read = |text: &str| EnvironmentBlock::parse(format!("# GRUB Environment Block\n{text}").as_bytes());
        assert_eq!(EnvironmentBlock::parse(b"good=a\n"), Err(BlockError::Signature));
        assert_eq!(EnvironmentBlock::parse(b"# GRUB Environment Block\ngood=\xff\n"), Err(BlockError::Text));
        assert_eq!(read("# WARNING\ngood=b\n####").unwrap().records(), BootRecords::factory(Slot::B));
        assert_eq!(read("good=a").unwrap(), EnvironmentBlock::default());
        assert_eq!(read("good=a\\").unwrap(), EnvironmentBlock::default());
        assert_eq!(read("good=a\nnext=c\nleft=x\n").unwrap().records(), BootRecords::factory(Slot::A));
        let records = read("good=a\nnext=b\nleft=4000000000\n").unwrap().records();
        assert_eq!(records.trial, Some(Trial { slot: Slot::B, left: TRIES }));
    }

    #[test]
    fn a_block_is_written_in_its_place_or_not_at_all() {
        let mut block = EnvironmentBlock::for_records(&BootRecords::factory(Slot::A));
        assert_eq!(block.render_in(1024).unwrap(), block.render());
        block.set("other", &"x".repeat(1000));
        assert_eq!(block.render_in(1024), Err(BlockError::Full(1024)));
        assert_eq!(block.render().len(), 2048);
    }

    #[test]
    fn tools_grub_editenv_reads_our_block_and_we_read_its() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slots.env");
        let editenv = |arguments: &[&str]| {
            #[expect(clippy::disallowed_methods, reason = "a foreign tool judges our bytes")]
            let output = Command::new("grub-editenv")
                .arg(&path)
                .args(arguments)
                .output()
                .unwrap_or_else(|error| panic!("grub-editenv must be installed (grub-common): {error}"));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let records = BootRecords::factory(Slot::A).try_slot(Slot::B, 3);
        let mut block = EnvironmentBlock::for_records(&records);
        block.set(COMMAND_LINE, "quiet back\\slash \"quoted\" #x");
        std::fs::write(&path, block.render()).unwrap();
        assert_eq!(editenv(&["list"]), "good=a\nnext=b\nleft=3\ncmdline=quiet back\\slash \"quoted\" #x\n");
        editenv(&["set", "left=2"]);
        editenv(&["unset", COMMAND_LINE]);
        let read = EnvironmentBlock::parse(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read, EnvironmentBlock::for_records(&records.next_boot().unwrap().after));
        editenv(&["create"]);
        assert_eq!(EnvironmentBlock::parse(&std::fs::read(&path).unwrap()), Ok(EnvironmentBlock::default()));
    }
}
