//! The two programs of the verified root that know ext4 better than anyone: `mke2fs` and `e2fsck`. Each ends in bounded time.

use kmimage_contract::ledger;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Where both are.
const FOLDER: &str = "/usr/sbin";
/// How long making may take: it writes a few MiB, whatever the size.
const MAKING: Duration = Duration::from_secs(120);
/// How long a check may take: a large disk that was damaged is read whole.
const CHECKING: Duration = Duration::from_secs(900);
/// How often it is looked whether a program has ended.
const ROUND: Duration = Duration::from_millis(1);
/// How much of what a program said is worth telling.
const SAID: usize = 600;

/// Why a program of e2fsprogs did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum ToolError {
    /// It could not be started or watched.
    #[error("running {}", program.display())]
    Run {
        /// Its file.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It did not end in time and was ended.
    #[error("{} did not end in {} s", program.display(), limit.as_secs())]
    Slow {
        /// Its file.
        program: PathBuf,
        /// How long it had.
        limit: Duration,
    },
    /// It failed.
    #[error("{program}: {meaning}{}{said}", if said.is_empty() { "" } else { ": " })]
    Failed {
        /// Its name.
        program: &'static str,
        /// What its exit status means.
        meaning: String,
        /// The last that it said, on one line.
        said: String,
    },
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// Nothing was wrong (a journal may have been replayed).
    Sound,
    /// Something was, and is mended.
    Mended,
}

/// What a file system is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape<'a> {
    /// Its label.
    pub label: &'a str,
    /// Its UUID.
    pub uuid: Uuid,
    /// The size of its blocks in bytes.
    pub block: u64,
    /// Its size in bytes; the partition may be larger.
    pub size: u64,
}

/// The size of a block in bytes: the page's, whatever the partition's size.
pub(super) const BLOCK: u64 = 4096;
/// The size of a block in bytes of a file system of a few MiB: with larger ones it would be a single group of blocks, and have no second
/// superblock.
pub(super) const SMALL_BLOCK: u64 = 1024;

impl Shape<'_> {
    /// The largest size that leaves room for the ledger, if that is in the same partition.
    pub(super) fn size_in(partition: u64, with_ledger: bool) -> u64 {
        let size = if with_ledger { partition.saturating_sub(ledger::ROOM) } else { partition };
        size / BLOCK * BLOCK
    }
}

/// Makes an ext4; whatever was there is gone. Its last write may still be in memory.
pub(super) fn make(device: &Path, shape: &Shape<'_>, scratch: &Path) -> Result<(), ToolError> {
    let uuid = shape.uuid.to_string();
    let (block, blocks) = (shape.block.to_string(), (shape.size / shape.block).to_string());
    // No questions (-F -F): the plan has decided. Discarding first can take minutes and wins nothing on an empty disk.
    let options = ["-q", "-F", "-F", "-t", "ext4", "-b", &block, "-m", "1", "-L", shape.label, "-U", &uuid];
    let lazy = ["-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"];
    let mut command = command("mke2fs");
    command.args(options).args(lazy).arg(device).arg(blocks);
    let (status, said) = run(command, MAKING, scratch)?;
    if !status.success() {
        return Err(ToolError::Failed { program: "mke2fs", meaning: status.to_string(), said });
    }
    announce(device);
    Ok(())
}

/// Has the kernel tell everybody that there is something else on a device: `devices` makes its links in /dev/disk anew. Best effort:
/// nothing that this init does waits for them.
fn announce(device: &Path) {
    if let Some(name) = device.file_name() {
        let _ = std::fs::write(Path::new("/sys/class/block").join(name).join("uevent"), "change");
    }
}

/// Replays the journal and mends what can be mended without asking. `thorough` looks at everything, whatever the superblock says.
pub(super) fn check(device: &Path, thorough: bool, scratch: &Path) -> Result<(Checked, String), ToolError> {
    let mut command = command("e2fsck");
    command.arg("-p").args(thorough.then_some("-f")).arg(device);
    let (status, said) = run(command, CHECKING, scratch)?;
    match verdict(status.code()) {
        Ok(checked) => Ok((checked, said)),
        Err(meaning) => Err(ToolError::Failed { program: "e2fsck", meaning, said }),
    }
}

/// What e2fsck's exit status says (e2fsck(8)): a sum of conditions.
fn verdict(code: Option<i32>) -> Result<Checked, String> {
    const MEANINGS: [(i32, &str); 5] = [
        (4, "damage that it does not mend without asking"),
        (8, "an operation failed"),
        (16, "it was called wrongly"),
        (32, "it was cancelled"),
        (128, "a shared library is missing"),
    ];
    let Some(code) = code else { return Err("it was ended by a signal".to_owned()) };
    match code {
        0 => Ok(Checked::Sound),
        // 2 asks for a restart after mending a root that is mounted; ours is not.
        1..=3 => Ok(Checked::Mended),
        code => {
            let known = MEANINGS.iter().filter(|(bit, _)| code & bit != 0).map(|(_, meaning)| *meaning);
            Err(format!("exit status {code}: {}", known.collect::<Vec<_>>().join(", ")))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the place where storage starts its two tools, files of the verified root")]
fn command(name: &str) -> Command {
    let mut command = Command::new(Path::new(FOLDER).join(name));
    command.env_clear().env("LC_ALL", "C").current_dir("/").stdin(Stdio::null());
    command
}

/// Runs a program to its end, or to the limit; returns how it ended and the last that it said. `scratch` is a file for its words.
fn run(mut command: Command, limit: Duration, scratch: &Path) -> Result<(ExitStatus, String), ToolError> {
    let program = PathBuf::from(command.get_program());
    let fail = |source| ToolError::Run { program: program.clone(), source };
    let output = File::create(scratch).map_err(fail)?;
    let errors = output.try_clone().map_err(fail)?;
    let mut child = command.stdout(output).stderr(errors).spawn().map_err(fail)?;
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(fail)? {
            break status;
        }
        if Instant::now() >= end {
            // One that a dead disk holds can't be ended; it is not waited for.
            let _ = child.kill();
            return Err(ToolError::Slow { program, limit });
        }
        std::thread::sleep(ROUND);
    };
    let said = std::fs::read(scratch).unwrap_or_default();
    let _ = std::fs::remove_file(scratch);
    Ok((status, one_line(&String::from_utf8_lossy(&said))))
}

/// The end of what was said, lines joined, no longer than worth telling.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let from = line.char_indices().rev().nth(SAID - 1).map_or(0, |(at, _)| at);
    line.get(from..).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_status_has_a_meaning() {
        assert_eq!(verdict(Some(0)), Ok(Checked::Sound));
        for code in 1..=3 {
            assert_eq!(verdict(Some(code)), Ok(Checked::Mended));
        }
        let check = |code: i32, expect: &str| assert_eq!(verdict(Some(code)), Err(expect.to_owned()));
        check(4, "exit status 4: damage that it does not mend without asking");
        check(12, "exit status 12: damage that it does not mend without asking, an operation failed");
        check(32, "exit status 32: it was cancelled");
        check(64, "exit status 64: ");
        assert_eq!(verdict(None), Err("it was ended by a signal".to_owned()));
    }

    #[test]
    fn words_are_cut_to_their_end() {
        assert_eq!(one_line(" a\n\tb \n"), "a b");
        let long = format!("{}ende", "ä".repeat(2 * SAID));
        assert_eq!((one_line(&long).chars().count(), one_line(&long).ends_with("äende")), (SAID, true));
        assert_eq!(one_line(""), "");
    }

    #[test]
    fn tools_a_program_that_hangs_is_ended() {
        let scratch = std::env::temp_dir().join(format!("kmimage-hang-{}", std::process::id()));
        let mut sleep = command("../bin/sleep");
        sleep.arg("60");
        let error = run(sleep, Duration::from_millis(30), &scratch).unwrap_err();
        assert_eq!(error.to_string(), "/usr/sbin/../bin/sleep did not end in 0 s");
        let missing = run(command("no-such-tool"), Duration::from_secs(1), &scratch).unwrap_err();
        assert_eq!(missing.to_string(), "running /usr/sbin/no-such-tool");
        std::fs::remove_file(scratch).unwrap();
    }
}
