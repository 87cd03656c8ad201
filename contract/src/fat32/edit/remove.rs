//! Taking a file away, with what it held or without.

use super::draft::Draft;
use super::volume::Fat32;
use super::{EditError, Plan, Write};

impl Fat32<'_> {
    /// Plans that a file is gone. What it held stays on the medium until its clusters are used again.
    pub fn remove(&self, path: &str) -> Result<Plan<'static>, EditError> {
        self.unlink(path, false)
    }

    /// Plans that a file is gone and its content is zeros. The zeros come first: power that fails leaves no content without a name,
    /// but perhaps a name whose content is zeros in part. Who must not read such a file renames it before.
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
            draft.write(self.runs(&chain).into_iter().map(zeros));
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
