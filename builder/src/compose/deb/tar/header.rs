//! One tar header block and what may stand before it. Pure.

use super::Member;
use std::collections::BTreeMap;

/// Everything in a tar is a multiple of this.
pub(super) const BLOCK: usize = 512;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file; its data follows.
    File,
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
    /// A hard link to an earlier member, by that member's path.
    HardLink(Vec<u8>),
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

/// A header that describes the next one.
pub(super) enum Extension {
    LongName,
    LongLink,
    Pax,
    PaxGlobal,
}

/// A parsed block.
pub(super) struct Header {
    pub(super) extension: Option<Extension>,
    pub(super) size: u64,
    kind: MemberKind,
    path: Vec<u8>,
    mode: u16,
    uid: u32,
    gid: u32,
}

impl Header {
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Self, String> {
        let field = |from: usize, len: usize| &block[from..from + len];
        let sum: u64 =
            block.iter().enumerate().map(|(at, &byte)| u64::from(if (148..156).contains(&at) { b' ' } else { byte })).sum();
        if number(field(148, 8)) != Some(sum) {
            return Err("a header with a wrong checksum".to_string());
        }
        let numeric =
            |from, len, name: &str| number(field(from, len)).ok_or_else(|| format!("a header whose {name} is not a number"));
        let small = |from, len, name: &str| {
            u32::try_from(numeric(from, len, name)?).map_err(|_| format!("a header whose {name} is out of range"))
        };
        let posix = field(257, 6) == b"ustar\0";
        let name = until_nul(field(0, 100));
        let prefix = if posix { until_nul(field(345, 155)) } else { b"" };
        let path = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
        let link = until_nul(field(157, 100)).to_vec();
        let extension = match block[156] {
            b'L' => Some(Extension::LongName),
            b'K' => Some(Extension::LongLink),
            b'x' => Some(Extension::Pax),
            b'g' => Some(Extension::PaxGlobal),
            _ => None,
        };
        let kind = match block[156] {
            // Before POSIX a directory was a file whose name ends in a slash.
            b'\0' | b'0' if path.ends_with(b"/") => MemberKind::Directory,
            b'\0' | b'0' | b'7' => MemberKind::File,
            b'1' => MemberKind::HardLink(link),
            b'2' => MemberKind::Symlink(link),
            b'3' => MemberKind::CharDevice,
            b'4' => MemberKind::BlockDevice,
            b'5' => MemberKind::Directory,
            b'6' => MemberKind::Fifo,
            _ if extension.is_some() => MemberKind::File,
            b'S' => return Err("a sparse file, which is not supported".to_string()),
            other => return Err(format!("a member of the unknown type {:?}", other as char)),
        };
        let mode = numeric(100, 8, "mode")?;
        Ok(Self {
            extension,
            size: numeric(124, 12, "size")?,
            kind,
            path,
            // Some writers put the file type above the permission bits.
            mode: (mode & 0o7777) as u16,
            uid: small(108, 8, "owner")?,
            gid: small(116, 8, "group")?,
        })
    }

    /// Puts header and extensions together; PAX outranks GNU, GNU outranks the header.
    pub(super) fn member(self, pax: Pax, long_name: Option<Vec<u8>>, long_link: Option<Vec<u8>>) -> Result<Member, String> {
        let path = pax.path.or(long_name).unwrap_or(self.path);
        if path.is_empty() {
            return Err("a member without a name".to_string());
        }
        let link = pax.link.or(long_link);
        let kind = match (self.kind, link) {
            (MemberKind::Symlink(_), Some(link)) => MemberKind::Symlink(link),
            (MemberKind::HardLink(_), Some(link)) => MemberKind::HardLink(link),
            (kind, _) => kind,
        };
        if matches!(&kind, MemberKind::Symlink(link) | MemberKind::HardLink(link) if link.is_empty()) {
            return Err("a link without a target".to_string());
        }
        let size = pax.size.unwrap_or(self.size);
        if size != 0 && kind != MemberKind::File {
            return Err("a member with data that is not a regular file".to_string());
        }
        Ok(Member {
            path,
            kind,
            mode: self.mode,
            uid: pax.uid.unwrap_or(self.uid),
            gid: pax.gid.unwrap_or(self.gid),
            size,
            xattrs: pax.xattrs,
        })
    }
}

/// What a PAX extended header changes.
#[derive(Default)]
pub(super) struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    any: bool,
}

impl Pax {
    pub(super) fn is_empty(&self) -> bool {
        !self.any
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut pax = Self { any: true, ..Self::default() };
        for record in Records(bytes) {
            let (key, value) = record?;
            let decimal = || {
                let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                text.and_then(|text| text.parse::<u64>().ok())
                    .ok_or_else(|| format!("a PAX record whose {} is not a number", String::from_utf8_lossy(key)))
            };
            let small = || {
                u32::try_from(decimal()?)
                    .map_err(|_| format!("a PAX record whose {} is out of range", String::from_utf8_lossy(key)))
            };
            match key {
                b"path" => pax.path = Some(value.to_vec()),
                b"linkpath" => pax.link = Some(value.to_vec()),
                b"size" => pax.size = Some(decimal()?),
                b"uid" => pax.uid = Some(small()?),
                b"gid" => pax.gid = Some(small()?),
                // Of no bearing on an image; charset is that of uname and gname.
                b"mtime" | b"atime" | b"ctime" | b"LIBARCHIVE.creationtime" | b"uname" | b"gname" | b"comment" | b"charset" => {}
                _ => match key.strip_prefix(b"SCHILY.xattr.") {
                    Some(name) if !name.is_empty() => {
                        pax.xattrs.insert(name.to_vec(), value.to_vec());
                    }
                    _ => return Err(format!("the PAX record {:?}, which is not supported", String::from_utf8_lossy(key))),
                },
            }
        }
        Ok(pax)
    }

    /// A global header may only comment (git writes one): anything else would change every member behind it.
    pub(super) fn parse_global(bytes: &[u8]) -> Result<(), String> {
        for record in Records(bytes) {
            let (key, _) = record?;
            if key != b"comment" {
                return Err(format!("the global PAX record {:?}, which is not supported", String::from_utf8_lossy(key)));
            }
        }
        Ok(())
    }
}

/// "LENGTH KEY=VALUE\n", the length in decimal and counting everything; the value may hold any byte.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = split_record(self.0);
        self.0 = record.map_or(&[], |(_, rest)| rest);
        Some(record.map(|(pair, _)| pair).ok_or_else(|| "a malformed PAX record".to_string()))
    }
}

type Record<'a> = ((&'a [u8], &'a [u8]), &'a [u8]);

fn split_record(bytes: &[u8]) -> Option<Record<'_>> {
    let space = bytes.iter().take(20).position(|&byte| byte == b' ')?;
    let len: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let body = bytes.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|&byte| byte == b'=')?;
    Some(((&body[..equals], &body[equals + 1..]), bytes.get(len..)?))
}

/// The bytes before the first NUL.
pub(super) fn c_string(mut bytes: Vec<u8>) -> Vec<u8> {
    let len = until_nul(&bytes).len();
    bytes.truncate(len);
    bytes
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len())]
}

/// Octal with spaces and NULs around it (empty: 0), or GNU's base-256 where the first bit is set. None: neither, or negative.
fn number(field: &[u8]) -> Option<u64> {
    if let [first @ 0x80..=0xff, rest @ ..] = field {
        if *first != 0x80 {
            return None;
        }
        return rest.iter().try_fold(0u64, |sum, &byte| Some(sum.checked_mul(256)? + u64::from(byte)));
    }
    let digits = until_nul(field).trim_ascii();
    digits.iter().try_fold(0u64, |sum, &byte| match byte {
        b'0'..=b'7' => Some(sum.checked_mul(8)? + u64::from(byte - b'0')),
        _ => None,
    })
}
