//! The files of an overlay, out of a folder or out of kmimage itself: names and bytes.

use super::OverlayError;
use crate::compose::content::Content;
use crate::hash::Sha256Digest;
use crate::profile::{EmbeddedFile, OverlayManifest};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::sync::Arc;

const MANIFEST: &str = "overlay.toml";
const ROOT: &str = "rootfs";
/// Up to here a file is taken into memory, and so cannot change while the image is made.
const MEMORY_MAX: u64 = 4 << 20;

pub(super) type Files = (OverlayManifest, BTreeMap<String, Content>);

pub(super) fn embedded(name: &str, files: &[EmbeddedFile]) -> Result<Files, OverlayError> {
    let mut manifest = OverlayManifest::default();
    let mut contents = BTreeMap::new();
    for file in files {
        match file.path.strip_prefix(ROOT) {
            Some(path) => {
                contents.insert(path.to_string(), Content::from_bytes(file.bytes));
            }
            None if file.path == MANIFEST => {
                manifest = OverlayManifest::parse(&format!("embedded:overlays/{name}/{MANIFEST}"), file.bytes)?;
            }
            None => {}
        }
    }
    Ok((manifest, contents))
}

pub(super) fn directory(name: &str, folder: &Path) -> Result<Files, OverlayError> {
    let file = folder.join(MANIFEST);
    let manifest = match fs_err::read(&file) {
        Ok(bytes) => OverlayManifest::parse(&file.display().to_string(), &bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => OverlayManifest::default(),
        Err(source) => return Err(OverlayError::Read { path: file, source }),
    };
    let mut files = BTreeMap::new();
    let root = folder.join(ROOT);
    match fs_err::symlink_metadata(&root) {
        Ok(_) => walk(name, &root, "", &mut files)?,
        // An overlay may consist of links and directories alone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(OverlayError::Read { path: root, source }),
    }
    Ok((manifest, files))
}

/// `at` is the directory's path in the image, without a trailing slash.
fn walk(name: &str, folder: &Path, at: &str, files: &mut BTreeMap<String, Content>) -> Result<(), OverlayError> {
    let read = |source| OverlayError::Read { path: folder.to_path_buf(), source };
    let mut empty = true;
    for entry in fs_err::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        empty = false;
        let host = entry.path();
        let read = |source| OverlayError::Read { path: host.clone(), source };
        let fault = |fault: &str| OverlayError::Fault {
            overlay: name.to_string(),
            path: format!("{at}/{}", entry.file_name().to_string_lossy()),
            fault: fault.to_string(),
        };
        let Some(path) = entry.file_name().to_str().map(|file| format!("{at}/{file}")) else {
            return Err(fault("its name is not UTF-8"));
        };
        let kind = entry.file_type().map_err(read)?;
        if kind.is_dir() {
            walk(name, &host, &path, files)?;
        } else if kind.is_symlink() {
            let target = fs_err::read_link(&host).map_err(read)?.display().to_string();
            return Err(OverlayError::Link { overlay: name.to_string(), path, target });
        } else if kind.is_file() {
            files.insert(path, content(&host).map_err(read)?);
        } else {
            return Err(fault("neither a file nor a directory"));
        }
    }
    match empty && !at.is_empty() {
        true => Err(OverlayError::EmptyDirectory { overlay: name.to_string(), path: at.to_string() }),
        false => Ok(()),
    }
}

/// Writes whatever is read from it.
struct Tee<'a> {
    from: File,
    to: &'a mut File,
    len: u64,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.to.write_all(&buffer[..n])?;
        self.len += n as u64;
        Ok(n)
    }
}

fn content(path: &Path) -> io::Result<Content> {
    let mut file: File = fs_err::File::open(path)?.into_file();
    let len = file.metadata()?.len();
    if len <= MEMORY_MAX {
        let mut bytes = Vec::with_capacity(len as usize);
        (&mut file).take(MEMORY_MAX + 1).read_to_end(&mut bytes)?;
        return Ok(Content::from_bytes(bytes));
    }
    // A copy that no other program knows: what was hashed is what will be packed.
    let mut copy = tempfile::tempfile()?;
    let mut tee = Tee { from: file, to: &mut copy, len: 0 };
    let sha256 = Sha256Digest::of_reader(&mut tee)?;
    let len = tee.len;
    Ok(Content::from_range(Arc::new(copy), 0, len, sha256))
}
