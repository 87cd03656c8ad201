//! The machine config on the ESP: a stick or an installation brings it along, and it may hold secrets that whoever holds the disk can
//! read there. Once `state` keeps it, what it says is overwritten and the file is gone.
//!
//! What is erased is the very document that `state` has on a disk, and the rest of one whose erasing was cut off. Anything else stays:
//! a document that was refused or is outranked, one that is not kept (a machine that runs from a medium keeps nothing), and one that
//! the command line asks for by its name, at every boot. Overwritten is what the disk shows: cells that a flash disk has put aside are
//! beyond anybody's reach.

use super::{Esp, EspError};
use crate::config::store::Kept;
use kmimage_contract::fat32::edit::{EditError, begins_erased};
use kmimage_contract::machine_config::MAX_SIZE;
use kmimage_contract::paths::ESP_MACHINE_CONFIG;

/// What sources that are a file on a partition begin with.
const BY_NAME: &str = "partition:";

impl Esp {
    /// Erases the machine config that `state` keeps. False: there is nothing to erase.
    pub(super) fn erase_adopted(&self, kept: Option<&Kept>) -> Result<bool, EspError> {
        let content = self.with(&self.open(false)?, |volume| match volume.read(ESP_MACHINE_CONFIG, MAX_SIZE as u64) {
            // No config is that long.
            Err(EditError::TooLarge { .. } | EditError::Directory(_)) => Ok(None),
            content => content,
        })?;
        let erases =
            content.is_some_and(|content| begins_erased(&content) || kept.is_some_and(|kept| is_adopted(kept, &content)));
        if erases {
            self.change(&self.open(true)?, |volume| volume.erase(ESP_MACHINE_CONFIG))?;
        }
        Ok(erases)
    }
}

fn is_adopted(kept: &Kept, content: &[u8]) -> bool {
    kept.document == content && !kept.provenance.source.starts_with(BY_NAME)
}

#[cfg(test)]
mod tests {
    use super::super::testing::volume;
    use super::*;
    use crate::config::store::Provenance;
    use std::os::unix::fs::FileExt as _;

    const CONFIG: &[u8] = b"version = 1\n[cluster]\ntoken = \"abcdef.0123456789abcdef\"\n";

    fn kept(document: &[u8], source: &str) -> Kept {
        Kept { document: document.to_vec(), provenance: Provenance { source: source.to_owned(), sha256: String::new() } }
    }

    fn esp(config: &[u8]) -> (tempfile::TempDir, Esp) {
        volume(&[], None, &[("kmimage/installed-from", b"a medium\n"), (ESP_MACHINE_CONFIG, config)])
    }

    fn read(esp: &Esp) -> Option<Vec<u8>> {
        esp.with(&esp.open(false).unwrap(), |volume| volume.read(ESP_MACHINE_CONFIG, 1 << 20)).unwrap()
    }

    #[test]
    fn what_state_keeps_is_erased_and_nothing_is_left_of_it() {
        for (document, source) in [(CONFIG.to_vec(), "esp"), (CONFIG.repeat(200), "nocloud:/dev/sr0")] {
            let (_folder, esp) = esp(&document);
            assert!(esp.erase_adopted(Some(&kept(&document, source))).unwrap());
            assert_eq!(read(&esp), None);
            let volume = std::fs::read(&esp.path).unwrap();
            assert!(!volume.windows(12).any(|bytes| bytes == b"0123456789ab"));
            assert!(volume.windows(8).any(|bytes| bytes == b"a medium"));
            assert!(!esp.erase_adopted(Some(&kept(&document, source))).unwrap());
            assert!(std::fs::read(&esp.path).unwrap() == volume);
        }
    }

    #[test]
    fn whatever_else_lies_there_stays() {
        let (_folder, esp) = esp(CONFIG);
        let before = std::fs::read(&esp.path).unwrap();
        for kept in [None, Some(kept(b"version = 1\n", "esp")), Some(kept(CONFIG, "partition:0:/kmimage/machine.toml"))] {
            assert!(!esp.erase_adopted(kept.as_ref()).unwrap());
        }
        assert!(std::fs::read(&esp.path).unwrap() == before);
        let long = vec![b'#'; MAX_SIZE + 1];
        let (_folder, esp) = self::esp(&long);
        assert!(!esp.erase_adopted(Some(&kept(&long, "esp"))).unwrap());
    }

    /// Whatever part of an erasing a power cut leaves: the next boot ends it.
    #[test]
    fn an_erasing_that_was_cut_off_is_ended() {
        let document = CONFIG.repeat(200);
        let (_folder, esp) = esp(&document);
        let writes: Vec<_> = {
            let file = esp.open(false).unwrap();
            let plan = esp.with(&file, |volume| volume.erase(ESP_MACHINE_CONFIG)).unwrap();
            plan.steps.into_iter().flatten().collect()
        };
        let factory = std::fs::read(&esp.path).unwrap();
        for cut in 0..=writes.len() {
            std::fs::write(&esp.path, &factory).unwrap();
            let file = esp.open(true).unwrap();
            writes[..cut].iter().for_each(|write| file.write_all_at(&write.bytes, write.offset).unwrap());
            let left = read(&esp);
            // What the config's sources make of it: the whole document or none.
            assert!(left.as_ref().is_none_or(|left| if cut == 0 { *left == document } else { begins_erased(left) }), "{cut}");
            assert_eq!(esp.erase_adopted(Some(&kept(&document, "esp"))).unwrap(), left.is_some());
            assert_eq!(read(&esp), None);
            assert!(!std::fs::read(&esp.path).unwrap().windows(12).any(|bytes| bytes == b"0123456789ab"), "{cut}");
        }
    }
}
