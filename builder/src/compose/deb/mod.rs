//! Reading a Debian package (`deb(5)`, format 2): its control files and scripts, and its data as a stream of tar members.
//!
//! Foreign bytes throughout: nothing here panics on them, and everything is bounded. Nothing is extracted to disk here and no
//! script is run; `compose::unpack` keeps the data, `resolve` hashes the scripts.

pub mod ar;
pub mod compression;
pub mod control;
mod error;
pub mod tar;

pub use compression::Compression;
pub use control::Control;
pub use error::DebError;

use ar::ArMember;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;
use tar::TarReader;

/// What a package's data, or an image's layer, may unpack to, at most: 256 MiB, or 200 times its compressed size, or 16 GiB, in this order.
/// Real packages are compressed 3 to 10 times; a decompression bomb is over a thousand times.
pub(crate) fn unpacked_limit(compressed: u64) -> u64 {
    compressed.saturating_mul(200).clamp(256 << 20, 16 << 30)
}

/// Where the three parts of a package lie in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    control: (ArMember, Compression),
    data: (ArMember, Compression),
}

impl Layout {
    /// Finds `debian-binary`, `control.tar` and `data.tar` among the archive's members, in this order (`deb(5)`).
    pub fn of(members: &[ArMember], version: &[u8]) -> Result<Self, DebError> {
        let mut members = members.iter();
        match members.next() {
            Some(first) if first.name == "debian-binary" => {}
            _ => return Err(DebError::NotADeb),
        }
        // "2.0\n"; a higher minor number stays readable, says deb(5).
        let version = version.split(|&byte| byte == b'\n').next().unwrap_or_default();
        if !version.starts_with(b"2.") {
            return Err(DebError::Version(String::from_utf8_lossy(version).into_owned()));
        }
        // Members whose name begins with an underscore may stand before data.tar and are to be ignored.
        let mut part = |stem: &'static str| loop {
            let Some(member) = members.next() else { return Err(DebError::Missing(stem)) };
            match Compression::of_member(&member.name, stem) {
                Some(compression) => return Ok((member.clone(), compression?)),
                None if member.name.starts_with('_') => {}
                None => return Err(DebError::Unexpected { member: member.name.clone(), wanted: stem }),
            }
        };
        let layout = Self { control: part("control.tar")?, data: part("data.tar")? };
        match members.find(|member| !member.name.starts_with('_')) {
            Some(extra) => Err(DebError::Unexpected { member: extra.name.clone(), wanted: "the end" }),
            None => Ok(layout),
        }
    }
}

/// An open package.
#[derive(Debug)]
pub struct Deb<'a> {
    file: &'a File,
    layout: Layout,
}

impl<'a> Deb<'a> {
    /// Reads the outer archive of a .deb file. The file's own position is neither used nor moved.
    pub fn open(file: &'a File) -> Result<Self, DebError> {
        let len = file.metadata().map_err(DebError::Read)?.len();
        let members = ar::members(len, |offset, buffer| file.read_exact_at(buffer, offset))?;
        let mut version = vec![0; members.first().map_or(0, |member| member.len.min(16)) as usize];
        if let Some(member) = members.first() {
            file.read_exact_at(&mut version, member.offset).map_err(DebError::Read)?;
        }
        Ok(Self { file, layout: Layout::of(&members, &version)? })
    }

    /// The control files and maintainer scripts.
    pub fn control(&self) -> Result<Control, DebError> {
        let (member, compression) = &self.layout.control;
        control::read(self.range(member), *compression)
    }

    /// Size of the compressed data, in bytes: what decoding it costs goes with this.
    pub fn data_len(&self) -> u64 {
        self.layout.data.0.len
    }

    /// The data as tar members, in the package's order; an .xz of several blocks is decoded by up to `threads` threads.
    pub fn data(&self, threads: u32) -> Result<TarReader<Box<dyn Read + 'a>>, DebError> {
        let (member, compression) = &self.layout.data;
        let decoder =
            compression.decoder(self.range(member), threads).map_err(|source| DebError::Decode { part: "data.tar", source })?;
        Ok(TarReader::new(decoder, "data.tar", unpacked_limit(member.len)))
    }

    fn range(&self, member: &ArMember) -> impl BufRead + use<'a> {
        io::BufReader::with_capacity(128 * 1024, FileRange { file: self.file, at: member.offset, left: member.len })
    }
}

/// A range of a file, read by position, so that threads can share the file.
struct FileRange<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for FileRange<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let n = self.file.read_at(&mut buffer[..want], self.at)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
