//! The ar container of a Debian package: where each member lies. Pure over a function that reads bytes at an offset.
//!
//! The common format of `deb(5)` only: short names, decimal fields, no symbol table. A name table of System V or a BSD long
//! name is refused as what it is: no package builder writes one.

use super::DebError;
use std::io;

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER_LEN: u64 = 60;
/// `deb(5)` has three members; a few more (their names begin with `_`) are allowed there.
const MEMBERS_MAX: usize = 16;

/// One member of the archive: a name and the range of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArMember {
    /// Name as written, without padding and without the slash that GNU ar adds.
    pub name: String,
    /// Where its bytes begin in the archive.
    pub offset: u64,
    /// How many bytes it has.
    pub len: u64,
}

/// Lists the members of an archive of `len` bytes. `read_at(offset, buffer)` fills the buffer.
pub fn members(len: u64, mut read_at: impl FnMut(u64, &mut [u8]) -> io::Result<()>) -> Result<Vec<ArMember>, DebError> {
    let mut magic = [0; MAGIC.len()];
    if len < magic.len() as u64 {
        return Err(DebError::NotAr);
    }
    read_at(0, &mut magic).map_err(DebError::Read)?;
    if magic != *MAGIC {
        return Err(DebError::NotAr);
    }
    let mut members = Vec::new();
    let mut at = magic.len() as u64;
    while at < len {
        if len - at < HEADER_LEN {
            return Err(DebError::ArHeader { offset: at, fault: "it is cut short" });
        }
        let mut header = [0; HEADER_LEN as usize];
        read_at(at, &mut header).map_err(DebError::Read)?;
        let (name, size) = header_fields(&header).map_err(|fault| DebError::ArHeader { offset: at, fault })?;
        at += HEADER_LEN;
        if size > len - at {
            return Err(DebError::ArTruncated { member: name, missing: size - (len - at) });
        }
        members.push(ArMember { name, offset: at, len: size });
        if members.len() > MEMBERS_MAX {
            return Err(DebError::ArHeader { offset: at, fault: "there are more members than a package has" });
        }
        // Members begin on even offsets; the pad byte of the last one may be absent.
        at += size + size % 2;
    }
    Ok(members)
}

/// As [`members`], over bytes in memory (tests, fuzzing).
pub fn members_of_bytes(archive: &[u8]) -> Result<Vec<ArMember>, DebError> {
    members(archive.len() as u64, |offset, buffer| {
        let range = usize::try_from(offset).ok().and_then(|from| archive.get(from..)?.get(..buffer.len()));
        buffer.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    })
}

/// Name (16 bytes), then date, owner, group, mode (32 bytes, of no meaning to a package), size (10 decimal digits), "`\n".
fn header_fields(header: &[u8; HEADER_LEN as usize]) -> Result<(String, u64), &'static str> {
    let (name, rest) = header.split_at(16);
    let (_, rest) = rest.split_at(32);
    let (size, end) = rest.split_at(10);
    if end != b"`\n" {
        return Err("its end mark is missing");
    }
    let name = trim_spaces(name);
    let name = match name {
        b"/" | b"//" => return Err("it is a symbol or name table, which a package does not have"),
        [b'#', b'1', b'/', ..] => return Err("it has a long name, which a package does not have"),
        _ => name.strip_suffix(b"/").unwrap_or(name),
    };
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'/') {
        return Err("its name is not a plain file name");
    }
    let digits = trim_spaces(size);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err("its size is not a decimal number");
    }
    let size = digits.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Ok((String::from_utf8_lossy(name).into_owned(), size))
}

fn trim_spaces(field: &[u8]) -> &[u8] {
    let end = field.iter().rposition(|&byte| byte != b' ').map_or(0, |at| at + 1);
    &field[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, size: &str) -> Vec<u8> {
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100644).into_bytes()
    }

    fn archive(parts: &[&[u8]]) -> Vec<u8> {
        [MAGIC.as_slice()].into_iter().chain(parts.iter().copied()).collect::<Vec<_>>().concat()
    }

    #[test]
    fn members_lie_on_even_offsets() {
        let bytes = archive(&[&header("debian-binary", "4"), b"2.0\n", &header("odd/", "1"), b"x\n", &header("last", "1"), b"y"]);
        let found = members_of_bytes(&bytes).unwrap();
        let names: Vec<(&str, u64, u64)> = found.iter().map(|m| (m.name.as_str(), m.offset, m.len)).collect();
        assert_eq!(names, [("debian-binary", 68, 4), ("odd", 132, 1), ("last", 194, 1)]);
    }

    #[test]
    fn malformed_archives_are_refused_by_name() {
        let many: Vec<Vec<u8>> = (0..17).map(|_| header("a", "0")).collect();
        let many: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
        let cases: &[(&str, Vec<u8>, &str)] = &[
            ("empty", vec![], "not a Debian package: it does not begin with `!<arch>`"),
            ("a zip", b"PK\x03\x04....".to_vec(), "not a Debian package: it does not begin with `!<arch>`"),
            ("cut header", archive(&[b"debian-bin"]), "the archive header at byte 8 is malformed: it is cut short"),
            ("no end mark", archive(&[&[b' '; 60]]), "the archive header at byte 8 is malformed: its end mark is missing"),
            (
                "size of letters",
                archive(&[&header("a", "12x")]),
                "the archive header at byte 8 is malformed: its size is not a decimal number",
            ),
            (
                "negative size",
                archive(&[&header("a", "-1")]),
                "the archive header at byte 8 is malformed: its size is not a decimal number",
            ),
            (
                "a path",
                archive(&[&header("../x", "0")]),
                "the archive header at byte 8 is malformed: its name is not a plain file name",
            ),
            (
                "a name table",
                archive(&[&header("//", "0")]),
                "the archive header at byte 8 is malformed: it is a symbol or name table, which a package does not have",
            ),
            (
                "a BSD long name",
                archive(&[&header("#1/20", "20")]),
                "the archive header at byte 8 is malformed: it has a long name, which a package does not have",
            ),
            (
                "size past the end",
                archive(&[&header("data.tar", "100"), b"abc"]),
                "the file ends 97 bytes before the end of data.tar",
            ),
            (
                "endless members",
                archive(&many),
                "the archive header at byte 1028 is malformed: there are more members than a package has",
            ),
        ];
        for (name, bytes, expected) in cases {
            assert_eq!(members_of_bytes(bytes).unwrap_err().to_string(), *expected, "{name}");
        }
    }
}
