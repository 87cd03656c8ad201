//! The units' logs, followed: what is behind the end that was seen last, through rotation.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How much of a file that is new to us is read: its end.
const FROM_END: u64 = 64 << 10;
/// How much is read at once, so that a flood in one file doesn't hold up the others.
const AT_ONCE: u64 = 256 << 10;

/// Where we are in each file, by unit.
#[derive(Debug, Default)]
pub(super) struct Files {
    known: BTreeMap<String, Position>,
}

#[derive(Debug)]
struct Position {
    /// The file, still open when it has been renamed.
    file: File,
    number: u64,
    /// The begin of a line whose end has not come yet.
    part: Vec<u8>,
}

impl Files {
    /// Reads what is new in a folder: units and lines. Whether there may be more at once.
    pub(super) fn read(&mut self, folder: &Path) -> io::Result<(Vec<(String, String)>, bool)> {
        let mut lines = Vec::new();
        let mut more = false;
        for entry in std::fs::read_dir(folder)?.flatten() {
            let name = entry.file_name();
            let Some(unit) = name.to_str().and_then(|name| name.strip_suffix(".log")) else { continue };
            // A file may be gone again.
            if let Ok(rest) = self.read_unit(unit, &entry.path(), &mut lines) {
                more |= rest;
            }
        }
        Ok((lines, more))
    }

    fn read_unit(&mut self, unit: &str, path: &PathBuf, lines: &mut Vec<(String, String)>) -> io::Result<bool> {
        let number = std::fs::metadata(path)?.ino();
        let mut more = false;
        if let Some(position) = self.known.get_mut(unit) {
            more |= position.read(unit, lines)?;
            if position.number == number || more {
                return Ok(more);
            }
        }
        // New, or rotated: the old one has been read to its end.
        let rotated = self.known.contains_key(unit);
        let mut file = File::open(path)?;
        let facts = file.metadata()?;
        let mut position_is_mid_line = false;
        if !rotated && facts.len() > FROM_END {
            file.seek(SeekFrom::Start(facts.len() - FROM_END))?;
            position_is_mid_line = true;
        }
        let mut position = Position { file, number: facts.ino(), part: Vec::new() };
        let before = lines.len();
        more |= position.read(unit, lines)?;
        if position_is_mid_line && lines.len() > before {
            lines.remove(before);
        }
        self.known.insert(unit.to_owned(), position);
        Ok(more)
    }
}

impl Position {
    /// Reads complete lines; whether there is more.
    fn read(&mut self, unit: &str, lines: &mut Vec<(String, String)>) -> io::Result<bool> {
        let read = (&mut self.file).take(AT_ONCE).read_to_end(&mut self.part)?;
        let end = self.part.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let rest = self.part.split_off(end);
        let complete = std::mem::replace(&mut self.part, rest);
        for line in complete.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            lines.push((unit.to_owned(), String::from_utf8_lossy(line).into_owned()));
        }
        // A line without an end grows no further than this.
        if self.part.len() as u64 > FROM_END {
            self.part.clear();
        }
        Ok(read as u64 == AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn append(folder: &Path, name: &str, text: &str) {
        let mut file = File::options().append(true).create(true).open(folder.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn read(files: &mut Files, folder: &Path) -> Vec<String> {
        let (lines, _) = files.read(folder).unwrap();
        lines.into_iter().map(|(unit, line)| format!("{unit}: {line}")).collect()
    }

    #[test]
    fn lines_are_read_once_through_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, mut files) = (folder.path(), Files::default());
        append(folder, "a.log", "one\ntwo\nhal");
        append(folder, "a.log.1", "old\n");
        assert_eq!(read(&mut files, folder), ["a: one", "a: two"]);
        append(folder, "a.log", "f\n");
        assert_eq!(read(&mut files, folder), ["a: half"]);
        assert_eq!(read(&mut files, folder), [""; 0]);
        append(folder, "a.log", "last\n");
        std::fs::rename(folder.join("a.log"), folder.join("a.log.1")).unwrap();
        append(folder, "a.log", "first\n");
        append(folder, "b.log", "other\n");
        let mut lines = read(&mut files, folder);
        lines.sort_unstable();
        assert_eq!(lines, ["a: first", "a: last", "b: other"]);
    }

    #[test]
    fn of_a_long_file_the_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        append(folder.path(), "a.log", &"0123456789abcde\n".repeat(10_000));
        let lines = read(&mut Files::default(), folder.path());
        assert_eq!(lines.len(), 64 * 1024 / 16 - 1);
        assert!(lines.iter().all(|line| line == "a: 0123456789abcde"));
    }
}
