//! The list of every path of the root: `.files.tsv`, one line a path, for people, `kmimage diff` and tests.
//!
//! Tab-separated, a head line with the columns' names, paths in the tree's order. `type` is a letter (`d` directory, `f` file, `l`
//! symbolic link, `c` and `b` devices, `p` named pipe); `mode` four octal digits; `owner` `uid:gid`; `size` bytes of a file;
//! `content` a file's SHA-256, a link's target or a device's `major:minor`; `attributes` extended attributes as `name=hex`, parted
//! by commas; `origin` who brought it (`package NAME VERSION`, `overlay NAME`, `derive STEP`, `image NAME layer N`,
//! `kmimage`). What a type does not have
//! is `-`. In paths and targets a backslash is `\\`, a control character or a byte that is not UTF-8 is `\xNN`.

use crate::compose::tree::{Kind, Tree};
use std::fmt::Write as _;

const HEAD: &str = "path\ttype\tmode\towner\tsize\tcontent\tattributes\torigin";

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Absolute path, escaped as in the file.
    pub path: String,
    /// The type's letter.
    pub kind: char,
    /// Permission bits.
    pub mode: u16,
    /// `uid:gid`.
    pub owner: String,
    /// Bytes of a file.
    pub size: Option<u64>,
    /// SHA-256, link target, device number, or `-`.
    pub content: String,
    /// Extended attributes, or `-`.
    pub attributes: String,
    /// Who brought it.
    pub origin: String,
}

/// Writes the list of a tree.
pub fn render(tree: &Tree) -> String {
    let mut text = format!("{HEAD}\n");
    for (path, entry) in tree.iter() {
        let (kind, size, content) = match &entry.kind {
            Kind::Directory => ('d', None, "-".to_owned()),
            Kind::File(content) => ('f', Some(content.len()), content.sha256().to_string()),
            Kind::Symlink(target) => ('l', None, escape(target)),
            Kind::CharDevice { major, minor } => ('c', None, format!("{major}:{minor}")),
            Kind::BlockDevice { major, minor } => ('b', None, format!("{major}:{minor}")),
            Kind::Fifo => ('p', None, "-".to_owned()),
        };
        let row = Row {
            path: escape(path.as_bytes()),
            kind,
            mode: entry.mode,
            owner: format!("{}:{}", entry.uid, entry.gid),
            size,
            content,
            attributes: attributes(entry.xattrs.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))),
            origin: entry.origin.to_string(),
        };
        row.write(&mut text);
    }
    text
}

impl Row {
    fn write(&self, text: &mut String) {
        let Row { path, kind, mode, owner, size, content, attributes, origin } = self;
        let size = size.map_or("-".to_owned(), |size| size.to_string());
        // Writing to a String can't fail.
        let _ = writeln!(text, "{path}\t{kind}\t{mode:04o}\t{owner}\t{size}\t{content}\t{attributes}\t{origin}");
    }

    fn parse(line: &str) -> Option<Self> {
        let columns: Vec<&str> = line.split('\t').collect();
        let [path, kind, mode, owner, size, content, attributes, origin] = columns.try_into().ok()?;
        let mut kinds = kind.chars();
        let (Some(kind), None) = (kinds.next(), kinds.next()) else { return None };
        let size = match size {
            "-" => None,
            number => Some(number.parse().ok()?),
        };
        Some(Self {
            path: path.to_owned(),
            kind,
            mode: u16::from_str_radix(mode, 8).ok()?,
            owner: owner.to_owned(),
            size,
            content: content.to_owned(),
            attributes: attributes.to_owned(),
            origin: origin.to_owned(),
        })
    }
}

/// A list that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the file list is not what kmimage writes")]
pub struct BadList {
    /// Counted from 1.
    pub line: usize,
}

/// Reads a list.
pub fn parse(text: &str) -> Result<Vec<Row>, BadList> {
    let mut lines = text.lines().zip(1..);
    if lines.next().map(|(line, _)| line) != Some(HEAD) {
        return Err(BadList { line: 1 });
    }
    lines.map(|(line, number)| Row::parse(line).ok_or(BadList { line: number })).collect()
}

/// Extended attributes in the list's form.
pub fn attributes<'a>(attributes: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> String {
    let rows = attributes.map(|(name, value)| {
        let value: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}={value}", escape(name).replace(',', "\\x2c"))
    });
    let text = rows.collect::<Vec<_>>().join(",");
    if text.is_empty() { "-".to_owned() } else { text }
}

/// A path or a target in the list's form.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let hex = |text: &mut String, bytes: &[u8]| bytes.iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if c.is_control() => hex(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => text.push(c),
            }
        }
        hex(&mut text, chunk.invalid());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::content::Content;
    use crate::compose::tree::{Entry, Origin, TreePath};

    #[test]
    fn every_type_has_its_line() {
        let mut tree = Tree::new();
        let mut put = |path: &[u8], entry: Entry| tree.insert(TreePath::new(path).unwrap(), entry);
        let package = Origin::Package { name: "iputils-ping".into(), version: "3:20240905-3".into() };
        let mut ping = Entry::file(Content::from_bytes(&b"elf"[..]), 0o755, package);
        ping.xattrs.insert(b"security.capability".to_vec(), vec![1, 0, 0xff]);
        put(b"/usr/bin/ping", ping);
        put(b"/bin", Entry::symlink("usr/bin", Origin::Kmimage));
        put(b"/etc/a\tb\\\xff\xc5\x91", Entry::file(Content::from_bytes(&b""[..]), 0o640, Origin::Overlay("site".into())));
        put(b"/dev/null", Entry::new(Kind::CharDevice { major: 1, minor: 3 }, 0o666, Origin::Derive("devices")));
        put(b"/run/pipe", Entry::new(Kind::Fifo, 0o600, Origin::Kmimage));
        let text = render(&tree);
        assert_eq!(
            text.replace('\t', " | "),
            r"path | type | mode | owner | size | content | attributes | origin
/ | d | 0755 | 0:0 | - | - | - | kmimage
/bin | l | 0777 | 0:0 | - | usr/bin | - | kmimage
/dev | d | 0755 | 0:0 | - | - | - | derive devices
/dev/null | c | 0666 | 0:0 | - | 1:3 | - | derive devices
/etc | d | 0755 | 0:0 | - | - | - | overlay site
/etc/a\x09b\\\xffő | f | 0640 | 0:0 | 0 | e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 | - | overlay site
/run | d | 0755 | 0:0 | - | - | - | kmimage
/run/pipe | p | 0600 | 0:0 | - | - | - | kmimage
/usr | d | 0755 | 0:0 | - | - | - | package iputils-ping 3:20240905-3
/usr/bin | d | 0755 | 0:0 | - | - | - | package iputils-ping 3:20240905-3
/usr/bin/ping | f | 0755 | 0:0 | 3 | 780d84b20d7ae7e6292919399348bdbf96025270136198083fc8a4da398b5ca9 | security.capability=0100ff | package iputils-ping 3:20240905-3
"
        );
        let rows = parse(&text).unwrap();
        let mut again = format!("{HEAD}\n");
        rows.iter().for_each(|row| row.write(&mut again));
        assert_eq!(again, text);
    }

    #[test]
    fn another_text_is_refused() {
        let check = |text: &str, expect: &str| assert_eq!(parse(text).unwrap_err().to_string(), expect);
        check("", "line 1 of the file list is not what kmimage writes");
        check(&format!("{HEAD}\n/\td\n"), "line 2 of the file list is not what kmimage writes");
        check(&format!("{HEAD}\n/\td\t0999\t0:0\t-\t-\t-\tx\n"), "line 2 of the file list is not what kmimage writes");
    }
}
