//! Where an image's files are: a directory, or a tar that is read where it lies. Nothing is unpacked.

use super::blob::Blob;
use super::error::Fault;
use crate::compose::deb::DebError;
use crate::compose::deb::tar::{MemberKind, TarReader};
use fs_err as fs;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// Files by name.
#[derive(Debug)]
pub enum Place {
    /// A directory.
    Directory(PathBuf),
    /// A tar.
    Archive(Archive),
}

/// What is in a tar.
#[derive(Debug)]
pub struct Archive {
    blob: Blob,
    members: BTreeMap<String, Member>,
}

#[derive(Debug)]
enum Member {
    /// Where its data lies in the tar.
    File { offset: u64, len: u64 },
    /// `docker save` links a layer that an image has twice.
    Symlink(String),
}

impl Place {
    /// Opens a directory or an archive.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let metadata = fs::metadata(path).map_err(|source| match source.kind() {
            ErrorKind::NotFound => Fault::NoSource,
            _ => Fault::Read(source),
        })?;
        if metadata.is_dir() {
            return Ok(Place::Directory(path.to_owned()));
        }
        let file = fs::File::open(path).map_err(Fault::Read)?.into_file();
        Ok(Place::Archive(Archive::new(Blob::from_file(file).map_err(Fault::Read)?)?))
    }

    /// A file of the place by its path; none if there is none. A path that leads out of the place leads nowhere.
    pub fn get(&self, name: &str) -> Result<Option<Blob>, Fault> {
        let Some(name) = normal(name.as_bytes()) else { return Ok(None) };
        match self {
            Place::Archive(archive) => Ok(archive.get(&name)),
            Place::Directory(directory) => match fs::File::open(directory.join(name)) {
                Ok(file) => Blob::from_file(file.into_file()).map(Some).map_err(Fault::Read),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Fault::Read(error)),
            },
        }
    }
}

impl Archive {
    /// Notes where everything lies.
    pub fn new(blob: Blob) -> Result<Self, Fault> {
        let mut magic = [0; 4];
        let n = blob.reader().read(&mut magic).unwrap_or_default();
        if matches!(magic.get(..n), Some([0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd] | [b'B', b'Z', b'h', _] | [0xfd, b'7', ..]))
        {
            return Err(Fault::Compressed);
        }
        let mut tar = TarReader::new(blob.reader(), "the archive", u64::MAX);
        let mut members = BTreeMap::new();
        while let Some(member) = tar.next_member()? {
            let name = normal(&member.path);
            match (name, &member.kind) {
                (Some(name), MemberKind::File) => {
                    members.insert(name, Member::File { offset: tar.position(), len: member.size });
                }
                (Some(name), MemberKind::Symlink(target)) => {
                    let beside = name.rsplit_once('/').map_or("", |(directory, _)| directory);
                    if let Some(target) = normal(&[beside.as_bytes(), b"/", target].concat()) {
                        members.insert(name, Member::Symlink(target));
                    }
                }
                _ => {}
            }
            tar.copy_data(|_| Ok::<_, DebError>(()))?;
        }
        Ok(Self { blob, members })
    }

    fn get(&self, name: &str) -> Option<Blob> {
        let mut member = self.members.get(name)?;
        if let Member::Symlink(target) = member {
            member = self.members.get(target)?;
        }
        match member {
            Member::File { offset, len } => Some(self.blob.part(*offset, *len)),
            Member::Symlink(_) => None,
        }
    }
}

/// A path inside the archive without `.` and `..`; none if it leads out, or is no text (nothing is looked for by such a name).
fn normal(path: &[u8]) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in std::str::from_utf8(path).ok()?.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
