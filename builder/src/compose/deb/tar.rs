//! Tar as a stream of members: ustar, the GNU extensions that `dpkg-deb` writes (long names, base-256 numbers) and PAX
//! headers (`path`, `linkpath`, `size`, `uid`, `gid`, `SCHILY.xattr.*`).
//!
//! Not the `tar` crate: it cuts PAX records at newlines, and a file capability is binary. Sparse files, volume labels, continued
//! volumes and PAX records that would change what a member is are refused. Times, user and group names and device numbers are
//! not reported: an image has none of them from packages.

mod header;

use super::DebError;
pub use header::MemberKind;
use header::{BLOCK, Extension, Header, Pax};
use std::collections::BTreeMap;
use std::io::Read;

/// Long names and PAX headers are held in memory.
const EXTENSION_MAX: u64 = 1 << 20;
/// More members than any package has; bounds the index's memory.
const MEMBERS_MAX: u32 = 1_000_000;

/// One member's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Path as written ("./usr/bin/x").
    pub path: Vec<u8>,
    /// Type.
    pub kind: MemberKind,
    /// Permission bits, 07777 at most.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Length of the data that follows, in bytes; 0 for all but regular files.
    pub size: u64,
    /// Extended attributes from PAX headers, raw values by full name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Reads members one after another from a decoded tar.
pub struct TarReader<R> {
    source: R,
    part: &'static str,
    /// Bytes taken from the source.
    at: u64,
    limit: u64,
    /// Data of the current member not yet read, and the padding behind it.
    left: u64,
    padding: u64,
    current: Vec<u8>,
    count: u32,
    buffer: Vec<u8>,
}

impl<R: Read> TarReader<R> {
    /// `part` is the tar's name in messages; more than `limit` decoded bytes are an error.
    pub fn new(source: R, part: &'static str, limit: u64) -> Self {
        let buffer = vec![0; 128 * 1024];
        Self { source, part, at: 0, limit, left: 0, padding: 0, current: Vec::new(), count: 0, buffer }
    }

    /// The next member; data of the one before that was not read is passed over. None after the end mark, behind which
    /// everything must be zero.
    pub fn next_member(&mut self) -> Result<Option<Member>, DebError> {
        self.copy_data(|_| Ok::<_, DebError>(()))?;
        let mut pax = Pax::default();
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let offset = self.at;
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            if block == [0; BLOCK] {
                if !pax.is_empty() || long_name.is_some() || long_link.is_some() {
                    return Err(self.fault(offset, "an extension header without its member"));
                }
                self.expect_zeros()?;
                return Ok(None);
            }
            self.count += 1;
            if self.count > MEMBERS_MAX {
                return Err(self.fault(offset, format!("it has more than {MEMBERS_MAX} members")));
            }
            let header = Header::parse(&block).map_err(|fault| self.fault(offset, fault))?;
            match header.extension {
                Some(extension) => {
                    let value = self.extension(offset, header.size)?;
                    let twice = match extension {
                        Extension::LongName => long_name.replace(header::c_string(value)).is_some(),
                        Extension::LongLink => long_link.replace(header::c_string(value)).is_some(),
                        Extension::Pax => {
                            !std::mem::replace(&mut pax, Pax::parse(&value).map_err(|f| self.fault(offset, f))?).is_empty()
                        }
                        Extension::PaxGlobal => {
                            Pax::parse_global(&value).map_err(|fault| self.fault(offset, fault))?;
                            false
                        }
                    };
                    if twice {
                        return Err(self.fault(offset, "two extension headers of one kind for one member"));
                    }
                }
                None => {
                    let member = header.member(pax, long_name, long_link).map_err(|fault| self.fault(offset, fault))?;
                    self.current.clone_from(&member.path);
                    self.left = member.size;
                    self.padding = padding(member.size);
                    return Ok(Some(member));
                }
            }
        }
    }

    /// How many bytes of the tar were read: right after a member was returned, where its data begins.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Hands the current member's data on, chunk by chunk, until `sink` fails or all is read.
    pub fn copy_data<E: From<DebError>>(&mut self, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while self.left > 0 {
            let want = self.buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let mut buffer = std::mem::take(&mut self.buffer);
            let result = self.read(&mut buffer[..want]);
            self.buffer = buffer;
            let n = result?;
            if n == 0 {
                return Err(DebError::Member {
                    part: self.part,
                    member: String::from_utf8_lossy(&self.current).into_owned(),
                    fault: format!("its data ends {} bytes early", self.left),
                }
                .into());
            }
            self.left -= n as u64;
            sink(&self.buffer[..n])?;
        }
        let padding = std::mem::take(&mut self.padding) as usize;
        let mut block = [0; BLOCK];
        Ok(self.fill(&mut block[..padding])?)
    }

    fn extension(&mut self, offset: u64, size: u64) -> Result<Vec<u8>, DebError> {
        if size > EXTENSION_MAX {
            return Err(self.fault(offset, format!("an extension header of {size} bytes")));
        }
        let mut value = vec![0; (size + padding(size)) as usize];
        self.fill(&mut value)?;
        value.truncate(size as usize);
        Ok(value)
    }

    fn expect_zeros(&mut self) -> Result<(), DebError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let offset = self.at;
            match self.read(&mut buffer)? {
                0 => return Ok(()),
                n if buffer[..n].iter().any(|&byte| byte != 0) => {
                    return Err(self.fault(offset, "there are bytes after its end mark"));
                }
                _ => {}
            }
        }
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), DebError> {
        while !buffer.is_empty() {
            match self.read(buffer)? {
                0 => return Err(self.fault(self.at, "it ends early")),
                n => buffer = &mut buffer[n..],
            }
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DebError> {
        loop {
            match self.source.read(buffer) {
                Ok(n) => {
                    self.at += n as u64;
                    if self.at > self.limit {
                        return Err(DebError::TooLarge { part: self.part, limit: self.limit });
                    }
                    return Ok(n);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(DebError::Decode { part: self.part, source }),
            }
        }
    }

    fn fault(&self, offset: u64, fault: impl Into<String>) -> DebError {
        DebError::Tar { part: self.part, offset, fault: fault.into() }
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// Reads a whole tar in memory: every member, with its data (tests, fuzzing).
pub fn members_of_bytes(tar: &[u8]) -> Result<Vec<(Member, Vec<u8>)>, DebError> {
    let mut reader = TarReader::new(tar, "tar", u64::MAX);
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        let mut data = Vec::new();
        reader.copy_data(|chunk| {
            data.extend_from_slice(chunk);
            Ok::<_, DebError>(())
        })?;
        members.push((member, data));
    }
    Ok(members)
}
