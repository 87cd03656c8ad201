//! The applet `log-files`: writes the units' logs to /var/log, a file for each, bounded.
//!
//! It reads lines `UNIT TEXT` from its standard input, so that process 1 never waits for a disk. A file that has reached its bound
//! becomes `NAME.log.1`, that one `.2`, and so on; the last goes. What can't be written is lost, and said once on standard error.

use crate::timestamp::rfc3339;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where logs lie.
const FOLDER: &str = "/var/log";
/// How large a file grows, and how many of them there are of one unit.
const SIZE: u64 = 1 << 20;
const FILES: u32 = 4;

/// Runs until its input is closed.
pub(crate) fn run(_: &[String]) -> ExitCode {
    let mut files = LogFiles::new(Path::new(FOLDER), SIZE);
    let mut input = io::stdin().lock();
    let (mut line, mut failed) = (Vec::new(), false);
    loop {
        line.clear();
        match input.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return ExitCode::SUCCESS,
            Ok(_) => {
                let result = files.write(&String::from_utf8_lossy(&line), &stamp());
                if let Err(error) = &result
                    && !failed
                {
                    let _ = writeln!(io::stderr(), "writing logs to {FOLDER}: {error}");
                }
                failed = result.is_err();
            }
        }
    }
}

/// The time of a line.
#[expect(clippy::disallowed_methods, reason = "logs tell when something happened")]
fn stamp() -> String {
    rfc3339(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default())
}

/// All files that are written to.
#[derive(Debug)]
struct LogFiles {
    folder: PathBuf,
    size: u64,
    open: BTreeMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
}

impl LogFiles {
    fn new(folder: &Path, size: u64) -> Self {
        Self { folder: folder.to_owned(), size, open: BTreeMap::new() }
    }

    /// Writes a record `UNIT TEXT`. One that has no unit, or one that is no name, is passed over.
    fn write(&mut self, record: &str, stamp: &str) -> io::Result<()> {
        let Some((unit, text)) = record.trim_end_matches('\n').split_once(' ') else { return Ok(()) };
        if !unit.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') || unit.is_empty() {
            return Ok(());
        }
        let line = format!("{stamp} {text}\n");
        let length = line.len() as u64;
        if self.open.get(unit).is_some_and(|open| open.size + length > self.size) {
            self.open.remove(unit);
            rotate(&self.folder.join(format!("{unit}.log")));
        }
        if !self.open.contains_key(unit) {
            self.open.insert(unit.to_owned(), open(&self.folder, unit)?);
        }
        let Some(open) = self.open.get_mut(unit) else { return Ok(()) };
        // A file that can't be written to may be another the next time.
        if let Err(error) = open.file.write_all(line.as_bytes()) {
            self.open.remove(unit);
            return Err(error);
        }
        open.size += length;
        Ok(())
    }
}

/// Opens a unit's file to go on writing, as its owner's alone: logs may hold what is nobody's business.
fn open(folder: &Path, unit: &str) -> io::Result<Open> {
    fs::create_dir_all(folder)?;
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(format!("{unit}.log")))?;
    let size = file.metadata()?.len();
    Ok(Open { file, size })
}

/// Moves a file and its older ones up by one. What is not there is not moved.
fn rotate(path: &Path) {
    let numbered = |number: u32| match number {
        0 => path.to_owned(),
        number => PathBuf::from(format!("{}.{number}", path.display())),
    };
    for number in (0..FILES - 1).rev() {
        let _ = fs::rename(numbered(number), numbered(number + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_bounded_and_the_latest_lines_stay() {
        let folder = std::env::temp_dir().join(format!("kmimage-log-files-{}", std::process::id()));
        let mut files = LogFiles::new(&folder, 1000);
        for number in 0..1000 {
            files.write(&format!("flood line {number}\n"), "T").unwrap();
        }
        files.write("calm one\n", "T").unwrap();
        for bad in ["", "\n", "../etc/passwd x\n", " x\n", "word\n"] {
            files.write(bad, "T").unwrap();
        }
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["calm.log", "flood.log", "flood.log.1", "flood.log.2", "flood.log.3"]);
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read("calm.log"), "T one\n");
        // Read from the oldest on: no line is missing between the first that is kept and the last.
        let all: String = ["flood.log.3", "flood.log.2", "flood.log.1", "flood.log"].map(read).concat();
        let numbers: Vec<u32> = all.lines().map(|line| line.strip_prefix("T line ").unwrap().parse().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
        assert_eq!(numbers.last(), Some(&999));
        assert!(names.iter().all(|name| fs::metadata(folder.join(name)).unwrap().len() <= 1000));

        // A later run goes on where this one ended.
        LogFiles::new(&folder, 1000).write("calm two\n", "T").unwrap();
        assert_eq!(read("calm.log"), "T one\nT two\n");
        fs::remove_dir_all(&folder).unwrap();
    }
}
