//! Small ELF files as contents of a tree.

pub(crate) use crate::support::elf::{ElfSpec, module};

use crate::compose::content::Content;

impl ElfSpec<'_> {
    pub(crate) fn content(&self) -> Content {
        Content::from_bytes(self.bytes())
    }
}
