//! What the benchmarks share: a store of their own, the release binary as a child with its peak memory, medians, Markdown.

use kmimage::compose::tree::Tree;
use kmimage::fetch::{Host, Options, apt_conf};
use kmimage::pipeline::{self, Format, Locked, Request};
use kmimage::profile::{Library, Profile};
use kmimage::report::silent;
use kmimage::store::Store;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A folder for benchmarks, kept between runs so that packages are downloaded once: a work folder with the repository's profiles, a
/// lock, a store.
pub(crate) struct Bench {
    pub(crate) folder: PathBuf,
    pub(crate) jobs: usize,
}

/// What a child did.
pub(crate) struct Run {
    pub(crate) wall: f64,
    /// Its high-water mark of resident memory, in KiB, as last seen (every 5 ms).
    pub(crate) peak: u64,
    /// Seconds of each stage that it named.
    pub(crate) stages: Vec<(String, f64)>,
}

impl Bench {
    /// Opens the folder, `target/bench` or what KMIMAGE_BENCH names, with the profiles as they are now and `bench.toml`.
    pub(crate) fn open() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
        let folder = std::env::var_os("KMIMAGE_BENCH").map_or_else(|| root.join("target/bench"), PathBuf::from);
        for name in ["profiles", "overlays"] {
            let _ = fs::remove_dir_all(folder.join(name));
            copy_folder(&root.join(name), &folder.join(name));
        }
        fs::write(folder.join("profiles/bench.toml"), include_str!("bench.toml")).unwrap();
        Self { folder, jobs: std::thread::available_parallelism().map_or(2, usize::from) }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Locks a profile and downloads what it needs, if that is not done yet; neither is ever timed.
    pub(crate) fn prepare(&self, profile: &str) {
        run(&mut self.kmimage("lock", &["--profile", profile]));
        let mut build = self.kmimage("build", &["--profile", profile, "--format", "raw", "--output"]);
        run(build.arg(self.path("prepared").join(profile)));
    }

    /// The kmimage that cargo built, with this folder's lock and store.
    pub(crate) fn kmimage(&self, task: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kmimage"));
        command
            .current_dir(&self.folder)
            .args([task, "--store"])
            .arg(self.store())
            .args(arguments)
            .env_remove("SOURCE_DATE_EPOCH");
        command
    }

    /// `kmimage build` from lock and store alone, into the folder `output`.
    pub(crate) fn build(&self, profile: &str, output: &str, more: &[&str]) -> Run {
        let mut command = self.kmimage("build", &["--profile", profile, "--locked", "--offline", "--output"]);
        run(command.arg(self.path(output)).args(more))
    }

    /// Forgets everything that was derived from downloads, and an output folder.
    pub(crate) fn make_cold(&self, output: &str) {
        for name in ["cached", "packs", "blocks"] {
            let _ = fs::remove_dir_all(self.store().join(name));
        }
        let _ = fs::remove_dir_all(self.path(output));
    }

    /// A profile's packages and finished tree, in this process. What is unpacked for it stays in the store.
    pub(crate) fn tree(&self, profile: &str) -> (Store, Profile, Locked, Tree) {
        let library = Library::new(&self.folder);
        let formats = BTreeSet::from([Format::Raw]);
        let (sources, apt) = apt_conf::read(Path::new("/"));
        let fetch = Options {
            offline: true,
            host: Host { sources, apt, environment: Default::default() },
            ..Options::new(jiff::Timestamp::UNIX_EPOCH)
        };
        let store = Store::open(self.store()).unwrap();
        let (lock, output) = (self.path("kmimage.lock"), self.path("none"));
        let request = Request {
            library: &library,
            profile,
            output: &output,
            formats: &formats,
            lock: &lock,
            locked: true,
            image_version: None,
            level: None,
            epoch: None,
            jobs: self.jobs,
            fetch: &fetch,
            builder: "",
            init: None,
            config: None,
        };
        let made = pipeline::tree(&request, &store, &silent);
        let (profile, locked, tree) = made.unwrap_or_else(|failure| panic!("{}", failure.chain().join(": ")));
        (store, profile, locked, tree)
    }
}

/// Runs a kmimage to its end, timed; stops the benchmark if it fails.
pub(crate) fn run(command: &mut Command) -> Run {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (status_file, stderr) = (format!("/proc/{}/status", child.id()), child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let (mut marks, mut text) = (Vec::new(), String::new());
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(stage) = line.strip_prefix("==> ") {
                marks.push((stage.to_owned(), start.elapsed().as_secs_f64()));
            }
            text.push_str(&line);
            text.push('\n');
        }
        (marks, text)
    });
    let mut peak = 0;
    let status = loop {
        // The mark only rises, and a finished child has none: the last one seen counts.
        let text = fs::read_to_string(&status_file).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak = peak.max(mark.unwrap_or(0));
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let wall = start.elapsed().as_secs_f64();
    let (marks, text) = reader.join().unwrap();
    assert!(status.success(), "{command:?}: {status}\n{text}");
    let ends = marks.iter().skip(1).map(|(_, at)| *at).chain([wall]);
    let stages = marks.iter().zip(ends).map(|((stage, at), end)| (stage.clone(), end - at)).collect();
    Run { wall, peak, stages }
}

/// Runs `work` on `jobs` threads, each given the items that are left, one after another.
pub(crate) fn on_all_threads<T: Sync>(jobs: usize, items: &[T], work: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

/// Seconds that `work` takes.
pub(crate) fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// The middle one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// The value after `--NAME` on the command line.
pub(crate) fn option(name: &str) -> Option<String> {
    let mut words = std::env::args().skip(1);
    words.find(|word| word == name)?;
    words.next()
}

/// `--rounds`, seven by default.
pub(crate) fn rounds() -> usize {
    rounds_or(7)
}

/// `--rounds`.
pub(crate) fn rounds_or(default: usize) -> usize {
    option("--rounds").map_or(default, |text| text.parse().unwrap())
}

/// A list of numbers after `--NAME`.
pub(crate) fn numbers(name: &str, default: &str) -> Vec<u32> {
    option(name).unwrap_or_else(|| default.into()).split(',').map(|number| number.parse().unwrap()).collect()
}

/// What the numbers were taken on, without a name.
pub(crate) fn machine(jobs: usize) -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field =
        |name: &str| text.lines().find(|line| line.starts_with(name))?.split_once(": ").map(|(_, value)| value.trim().to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!(
        "{jobs} cores of {}, Linux {}, kmimage {}, zstd {}",
        field("model name").unwrap_or_default(),
        kernel.trim().split('-').next().unwrap_or_default(),
        env!("CARGO_PKG_VERSION"),
        zstd_safe::version_string()
    )
}

/// The first line that a program says of itself; `None` if it is not installed.
pub(crate) fn version_of(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// A number of bytes in MB.
pub(crate) fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}
