//! The system use area of a record (SUSP, IEEE P1281), as far as Rock Ridge puts names and links there.

use super::super::{VolumeError, read_at, u32_at};
use super::BLOCK;
use std::io::{Read, Seek};

/// How many areas one record may have: a name has at most 255 bytes, a link a few thousand.
const AREAS: usize = 32;
/// The longest link.
const LINK: usize = 4096;

/// What Rock Ridge says of one record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Alternate {
    /// Its name (NM).
    pub(super) name: Option<String>,
    /// Where it leads, if it is a symbolic link (SL).
    pub(super) link: Option<String>,
}

/// How many bytes to skip in every area, by the SP entry that begins the root's first area. `None`: the volume has no SUSP.
pub(super) fn skip(area: &[u8]) -> Option<usize> {
    match area {
        [b'S', b'P', 7, 1, 0xbe, 0xef, skip, ..] => Some(usize::from(*skip)),
        _ => None,
    }
}

/// Reads an area and those that continue it.
pub(super) fn read(source: &mut (impl Read + Seek), first: Vec<u8>) -> Result<Alternate, VolumeError> {
    let mut found = Parts::default();
    let mut area = first;
    for _ in 0..AREAS {
        let Some((offset, length)) = found.take(&area) else { return Ok(found.finish()) };
        if length > BLOCK as usize {
            return Err(VolumeError::Damaged("a Rock Ridge area of more than a block"));
        }
        area = read_at(source, offset, length)?;
    }
    Err(VolumeError::Damaged("a Rock Ridge area without an end"))
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Parts {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    /// The last component of the link goes on in the next one.
    open: bool,
}

impl Parts {
    /// Takes what an area has; returns where it goes on.
    fn take(&mut self, area: &[u8]) -> Option<(u64, usize)> {
        let mut next = None;
        let mut rest = area;
        while let [first, second, length, _, ..] = *rest {
            let length = usize::from(length);
            let Some(entry) = rest.get(..length).filter(|_| length >= 4) else { break };
            match [first, second] {
                [b'N', b'M'] => self.name(entry.get(4..).unwrap_or_default()),
                [b'S', b'L'] => self.link(entry.get(5..).unwrap_or_default()),
                [b'C', b'E'] => next = continuation(entry),
                [b'S', b'T'] => break,
                _ => {}
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        next
    }

    /// Flags and a piece of the name; a name that stands for the folder itself or its parent has none.
    fn name(&mut self, content: &[u8]) {
        if let [0 | 1, piece @ ..] = content {
            self.name.get_or_insert_default().extend_from_slice(piece);
        }
    }

    /// Components: flags, length, text.
    fn link(&mut self, components: &[u8]) {
        let link = self.link.get_or_insert_default();
        let mut rest = components;
        while let [flags, length, after @ ..] = rest {
            let Some(text) = after.get(..usize::from(*length)) else { break };
            if !self.open && !link.is_empty() && !link.ends_with(b"/") {
                link.push(b'/');
            }
            match flags & 0x0e {
                2 => link.push(b'.'),
                4 => link.extend_from_slice(b".."),
                8 => link.push(b'/'),
                _ => link.extend_from_slice(text),
            }
            link.truncate(LINK);
            self.open = flags & 1 != 0;
            rest = after.get(usize::from(*length)..).unwrap_or_default();
        }
    }

    fn finish(self) -> Alternate {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Alternate { name: self.name.map(text), link: self.link.map(text) }
    }
}

/// Where a CE entry says that the area goes on: block, offset and length, each in both byte orders.
fn continuation(entry: &[u8]) -> Option<(u64, usize)> {
    let (block, offset, length) = (u32_at(entry, 4)?, u32_at(entry, 12)?, u32_at(entry, 20)?);
    Some((u64::from(block) * BLOCK + u64::from(offset), length as usize))
}
