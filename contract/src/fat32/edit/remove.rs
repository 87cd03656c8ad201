//! Taking a file away, with what it held or without.

use super::draft::Draft;
use super::volume::Fat32;
use super::{EditError, Plan, Write};

/// Whether this content is that of a file whose erasing was cut off: what its first sector held is zeros.
pub fn begins_erased(content: &[u8]) -> bool {
    /// The smallest sector.
    const SECTOR: usize = 512;
    !content.is_empty() && content.iter().take(SECTOR).all(|byte| *byte == 0)
}

impl Fat32<'_> {
    /// Plans that a file is gone. What it held stays on the medium until its clusters are used again.
    pub fn remove(&self, path: &str) -> Result<Plan<'static>, EditError> {
        self.unlink(path, false)
    }

    /// Plans that a file is gone and its content is zeros. The zeros come first, of them those of the first sector: power that fails
    /// leaves no content without a name, and no name whose content lacks a part but one that [`begins_erased`].
    pub fn erase(&self, path: &str) -> Result<Plan<'static>, EditError> {
        self.unlink(path, true)
    }

    fn unlink(&self, path: &str, erase: bool) -> Result<Plan<'static>, EditError> {
        let (directory, node) = self.find(path)?.ok_or_else(|| EditError::Missing(path.to_owned()))?;
        if node.directory {
            return Err(EditError::Directory(path.to_owned()));
        }
        let chain = self.chain_of(&node)?;
        let mut draft = Draft::new(self);
        if erase {
            let zeros = |(offset, len): (u64, u64)| Write { offset, bytes: vec![0; len as usize].into() };
            let mut runs = self.runs(&chain);
            if let Some((offset, len)) = runs.first_mut() {
                let sector = self.geometry.sector;
                draft.write([zeros((*offset, sector))]);
                draft.flush();
                (*offset, *len) = (*offset + sector, len.saturating_sub(sector));
            }
            draft.write(runs.into_iter().filter(|(_, len)| *len > 0).map(zeros));
            draft.flush();
        }
        // The short name's sector first: the long name is nothing without it.
        for sector in directory.without(&node.places) {
            draft.write([sector]);
            draft.flush();
        }
        draft.free(&chain)?;
        draft.finish()
    }
}
