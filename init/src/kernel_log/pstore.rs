//! What a kernel left behind when it crashed (pstore): moved to `state`, because the firmware's room for it is small.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Where the kernel shows the records.
pub(super) const FOLDER: &str = "/sys/fs/pstore";
/// How many records are kept, the newest ones.
const KEPT: usize = 32;
/// How much of a record is kept, in bytes.
const SIZE: u64 = 64 << 10;

/// Moves every record; returns how many there were. A record is erased only when the medium has its copy.
pub(super) fn collect(from: &Path, to: &Path) -> io::Result<usize> {
    let mut records = files(from)?;
    if records.is_empty() {
        return Ok(0);
    }
    fs::create_dir_all(to)?;
    // The kernel numbers them in the order of the crash's text.
    records.sort();
    let mut next = files(to)?.iter().filter_map(|path| number(path)).max().map_or(0, |last| last.saturating_add(1));
    for record in &records {
        let mut text = Vec::new();
        File::open(record)?.take(SIZE).read_to_end(&mut text)?;
        let name = record.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut copy = File::create(to.join(format!("{next:06}-{name}")))?;
        copy.write_all(&text)?;
        copy.sync_all()?;
        fs::remove_file(record)?;
        next = next.saturating_add(1);
    }
    let mut kept = files(to)?;
    kept.sort();
    for old in kept.iter().take(kept.len().saturating_sub(KEPT)) {
        fs::remove_file(old)?;
    }
    Ok(records.len())
}

/// The files in a folder; a folder that is not there has none.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(entries) => entries
            .map(|entry| Ok(entry?.path()))
            .filter(|path| path.as_ref().is_ok_and(|path| path.is_file()) || path.is_err())
            .collect(),
    }
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_move_once_and_the_newest_stay() {
        let root = std::env::temp_dir().join(format!("kmimage-pstore-{}", std::process::id()));
        let (from, to) = (root.join("from"), root.join("to"));
        fs::create_dir_all(&from).unwrap();
        assert_eq!(collect(&root.join("nowhere"), &to).unwrap(), 0);
        assert_eq!(collect(&from, &to).unwrap(), 0);
        for round in 0..3 {
            for part in 0..15 {
                fs::write(from.join(format!("dmesg-efi-{part:02}")), format!("crash {round}")).unwrap();
            }
            assert_eq!(collect(&from, &to).unwrap(), 15);
            assert!(files(&from).unwrap().is_empty());
        }
        let kept = files(&to).unwrap();
        assert_eq!(kept.len(), KEPT);
        assert_eq!(fs::read_to_string(to.join("000044-dmesg-efi-14")).unwrap(), "crash 2");
        assert!(!to.join("000012-dmesg-efi-12").exists());
        fs::remove_dir_all(&root).unwrap();
    }
}
