//! The program itself, in a world of its own: a temporary directory with its own home, store and working directory, a clean
//! environment, and output that can be compared word for word.

use super::repository::sha256;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

/// A kmimage and the directory that it runs in.
#[derive(Debug)]
pub struct Binary {
    program: PathBuf,
    directory: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

/// What a run left behind. In the texts the temporary directory is `<dir>`, and the port of a loopback server `<port>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Binary {
    /// `program` is `env!("CARGO_BIN_EXE_kmimage")`, which only a test of the binary knows.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let directory = tempfile::Builder::new().prefix("kmimage-test-").tempdir().unwrap();
        for name in ["work", "home", "tmp"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        Self { program: program.into(), directory, environment: BTreeMap::new() }
    }

    /// From now on, runs this program instead.
    pub fn program(&mut self, program: impl Into<PathBuf>) -> PathBuf {
        std::mem::replace(&mut self.program, program.into())
    }

    /// Sets an environment variable of the runs to come.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// A path below the working directory of the runs.
    pub fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join("work").join(below)
    }

    /// The store of the runs.
    pub fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// Writes a file below the working directory, with its folders.
    pub fn write(&self, below: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// Runs kmimage with these arguments.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: self.normalise(&output.stdout),
            stderr: self.normalise(&output.stderr),
        }
    }

    /// The command of [`Binary::run`], for tests that start it otherwise.
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let root = self.directory.path();
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(root.join("work"))
            .env_clear()
            .env("HOME", root.join("home"))
            .env("KMIMAGE_STORE", self.store())
            .env("TMPDIR", root.join("tmp"))
            .env("LC_ALL", "C.UTF-8")
            // The host's apt may have a proxy; a loopback server is not behind it.
            .env("no_proxy", "127.0.0.1")
            .envs(&self.environment);
        command
    }

    /// Runs kmimage, which must succeed.
    #[track_caller]
    pub fn succeed(&self, arguments: &[&str]) -> Outcome {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, 0, "kmimage {}\n{}", arguments.join(" "), outcome.stderr);
        outcome
    }

    /// Runs `kmimage build --quiet` over an earlier set, which must fail with this exit code and exactly these words, and leave the set
    /// and what is around it as it was.
    #[track_caller]
    pub fn refuses(&self, arguments: &[&str], code: i32, message: &str) {
        let earlier = EarlierSet::write(&self.path("earlier/set"));
        let all = [&["build", "--quiet", "--output", "earlier/set"], arguments].concat();
        let outcome = self.run(&all);
        assert_eq!(outcome.stderr.trim_end(), message.trim_end(), "kmimage {}", all.join(" "));
        assert_eq!((outcome.code, outcome.stdout.as_str()), (code, ""), "kmimage {}\n{}", all.join(" "), outcome.stderr);
        earlier.assert_untouched();
    }

    /// Output with what differs from run to run taken out, see [`Outcome`].
    pub fn normalise(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes).replace(&*self.directory.path().to_string_lossy(), "<dir>");
        let mut parts = text.split("127.0.0.1:");
        let mut normal = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            normal.push_str("127.0.0.1:<port>");
            normal.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
        normal
    }
}

/// An output folder with a set of an earlier build in it, and how it looked.
#[derive(Debug)]
pub struct EarlierSet {
    directory: PathBuf,
    before: Vec<String>,
}

impl EarlierSet {
    /// Writes a set that kmimage takes for its own: files with the SHA256SUMS that names them.
    pub fn write(directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        let files = [("kmimage-earlier-1-amd64.raw", "an earlier disk"), ("kmimage-earlier-1-amd64.json", "{}\n")];
        let sums: String = files.iter().map(|(name, text)| format!("{}  {name}\n", sha256(text.as_bytes()))).collect();
        for (name, text) in files.iter().chain([&("SHA256SUMS", sums.as_str())]) {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            let past = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
            fs::File::options().append(true).open(&path).unwrap().set_modified(past).unwrap();
        }
        Self { directory: directory.into(), before: look(directory) }
    }

    /// Nothing of the folder has changed, and nothing was left beside it.
    #[track_caller]
    pub fn assert_untouched(&self) {
        assert_eq!(look(&self.directory), self.before);
    }
}

/// A folder and its siblings as a list of all that a build could change.
pub fn look(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut row = |path: &Path| {
        let metadata = fs::symlink_metadata(path).unwrap();
        let what = if metadata.is_file() { sha256(&fs::read(path).unwrap()) } else { "not a file".into() };
        let (inode, mode, time) = (metadata.ino(), metadata.mode(), metadata.mtime());
        // A folder's own time changes when a temporary sibling or child comes and goes, which is nobody's business.
        let time = if metadata.is_file() { time } else { 0 };
        lines.push(format!("{} {inode} {mode:o} {time} {what}", path.display()));
    };
    for folder in [directory.parent().unwrap(), directory] {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().for_each(|path| row(path));
    }
    lines
}
