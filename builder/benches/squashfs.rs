//! How fast is the squashfs writer? Held, in alternating rounds, against the least that the same work can cost (the same blocks,
//! already in memory, compressed by as many threads) and against `mksquashfs` at the same level and block size.
//!
//! ```text
//! cargo bench --bench squashfs -- --directory DIR [--levels 1,9,15,19] [--block-sizes 262144] [--rounds 7] [--jobs N]
//!                                 [--temporary DIR] [--writer-only] [--cache]
//! ```
//!
//! DIR is a tree of files, packed into one file first, as the builder's store keeps packages. Prints Markdown: medians, and the
//! medians of the ratios within each round, which other load on the machine disturbs less. `--cache` adds a warm rebuild.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a program for developers: it prints, stops at the first error and runs mksquashfs"
)]

use kmimage::assemble::block_cache::BlockCache;
use kmimage::assemble::squashfs::{self, Options, Summary, Target};
use kmimage::compose::content::Content;
use kmimage::compose::tree::{Entry, Kind, Origin, Tree, TreePath};
use kmimage::hash::Sha256Digest;
use kmimage::report::silent;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

struct Arguments {
    directory: PathBuf,
    temporary: PathBuf,
    levels: Vec<i32>,
    block_sizes: Vec<u32>,
    rounds: usize,
    jobs: usize,
    writer_only: bool,
    cache: bool,
}

fn main() {
    let Some(arguments) = arguments() else {
        eprintln!("squashfs benchmark: skipped, it needs --directory DIR");
        return;
    };
    let work = tempfile::tempdir_in(&arguments.temporary).unwrap();
    let tree = tree_of(&arguments.directory, &work.path().join("pack"));
    let bytes: u64 = tree.iter().map(|(_, entry)| if let Kind::File(content) = &entry.kind { content.len() } else { 0 }).sum();
    println!(
        "{} paths, {:.1} MB of files; {} threads; {} rounds; zstd {}; {}\n",
        tree.len(),
        bytes as f64 / 1e6,
        arguments.jobs,
        arguments.rounds,
        zstd_safe::version_string(),
        if arguments.writer_only { String::new() } else { version_of("mksquashfs") },
    );
    println!(
        "| level | block | ceiling s (user) | writer s (user) | mksquashfs s (user) | writer/ceiling | mksquashfs/writer | MB | mksquashfs MB | warm s |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for &block_size in &arguments.block_sizes {
        let blocks = if arguments.writer_only { Vec::new() } else { squashfs::blocks_in_memory(&tree, block_size).unwrap() };
        for &level in &arguments.levels {
            row(&arguments, &tree, &blocks, level, block_size, work.path());
        }
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    if arguments.writer_only {
        println!("\npeak memory: {}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    }
}

fn row(arguments: &Arguments, tree: &Tree, blocks: &[Vec<u8>], level: i32, block_size: u32, work: &Path) {
    let mut rounds: Vec<[Time; 4]> = Vec::new();
    let (mut ours, mut theirs) = (0, 0);
    for round in 0..arguments.rounds {
        let mut times = [Time::default(); 4];
        // Alternate, so that neither always comes first.
        let order: [usize; 3] = if round % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] };
        for step in order {
            times[step] = match step {
                1 => timed(|| ours = write(tree, arguments.jobs, level, block_size, None, &work.join("ours")).len).0,
                _ if arguments.writer_only => continue,
                0 => timed(|| compress(blocks, arguments.jobs, level)).0,
                _ => {
                    let (time, size) = timed(|| mksquashfs(arguments, level, block_size, &work.join("theirs")));
                    theirs = size;
                    time
                }
            };
        }
        if arguments.cache {
            let directory = work.join(format!("cache-{level}-{block_size}"));
            if round == 0 {
                let cache = BlockCache::open(&directory).unwrap();
                write(tree, arguments.jobs, level, block_size, Some(&cache), &work.join("cold"));
            }
            times[3] = timed(|| {
                let cache = BlockCache::open(&directory).unwrap();
                let summary = write(tree, arguments.jobs, level, block_size, Some(&cache), &work.join("warm"));
                assert_eq!(summary.cache.misses, 0);
            })
            .0;
        }
        rounds.push(times);
    }
    let seconds = |which: usize| {
        format!(
            "{:.2} ({:.2})",
            median(rounds.iter().map(|times| times[which].wall)),
            median(rounds.iter().map(|times| times[which].user))
        )
    };
    let ratio = |above: usize, below: usize| median(rounds.iter().map(|times| times[above].wall / times[below].wall));
    println!(
        "| {level} | {}K | {} | {} | {} | {:.3} | {:.3} | {:.2} | {:.2} | {:.2} |",
        block_size / 1024,
        seconds(0),
        seconds(1),
        seconds(2),
        ratio(1, 0),
        ratio(2, 1),
        ours as f64 / 1e6,
        theirs as f64 / 1e6,
        median(rounds.iter().map(|times| times[3].wall)),
    );
}

fn write(tree: &Tree, jobs: usize, level: i32, block_size: u32, cache: Option<&BlockCache>, path: &Path) -> Summary {
    let _ = fs::remove_file(path);
    let file = File::create(path).unwrap();
    let options = Options { level, block_size, epoch: 0, jobs, salt: None };
    squashfs::write(tree, &options, cache, Target { file: &file, offset: 0, room: None }, &silent).unwrap()
}

/// The ceiling: nothing but zstd, from memory to memory.
fn compress(blocks: &[Vec<u8>], jobs: usize, level: i32) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let mut context = zstd_safe::CCtx::create();
                let mut out = Vec::with_capacity(zstd_safe::compress_bound(1 << 20));
                while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    out.clear();
                    context.compress(&mut out, block, level).unwrap();
                }
            });
        }
    });
}

fn mksquashfs(arguments: &Arguments, level: i32, block_size: u32, path: &Path) -> u64 {
    let output = Command::new("mksquashfs")
        .args([&arguments.directory, path])
        .args(["-comp", "zstd", "-Xcompression-level", &level.to_string(), "-b", &block_size.to_string()])
        .args(["-processors", &arguments.jobs.to_string(), "-noappend", "-no-progress", "-quiet", "-all-root", "-no-xattrs"])
        .output()
        .unwrap_or_else(|error| panic!("mksquashfs is needed (squashfs-tools): {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::metadata(path).unwrap().len()
}

#[derive(Clone, Copy, Default)]
struct Time {
    wall: f64,
    user: f64,
}

fn timed<T>(work: impl FnOnce() -> T) -> (Time, T) {
    let (start, user) = (Instant::now(), user_seconds());
    let value = work();
    (Time { wall: start.elapsed().as_secs_f64(), user: user_seconds() - user }, value)
}

/// Processor time in user mode of this process and its finished children, in seconds.
fn user_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().collect();
    let ticks: u64 = [11, 13].iter().map(|&field| fields[field].parse::<u64>().unwrap()).sum();
    ticks as f64 / 100.0
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn version_of(program: &str) -> String {
    let output = Command::new(program).arg("-version").output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
}

/// A directory as a tree whose contents lie in one pack file.
fn tree_of(directory: &Path, pack_path: &Path) -> Tree {
    let mut pack = BufWriter::new(File::create(pack_path).unwrap());
    let reader = Arc::new(File::open(pack_path).unwrap());
    let mut tree = Tree::new();
    let mut offset = 0;
    let mut pending = vec![directory.to_path_buf()];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let inside = TreePath::new(path.strip_prefix(directory).unwrap().as_os_str().as_bytes()).unwrap();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = (metadata.mode() & 0o7777) as u16;
            let kind = if metadata.is_dir() {
                pending.push(path);
                Kind::Directory
            } else if metadata.is_symlink() {
                Kind::Symlink(fs::read_link(&path).unwrap().as_os_str().as_bytes().into())
            } else if metadata.is_file() {
                let bytes = fs::read(&path).unwrap();
                pack.write_all(&bytes).unwrap();
                let at = offset;
                offset += bytes.len() as u64;
                Kind::File(Content::from_range(Arc::clone(&reader), at, bytes.len() as u64, Sha256Digest::of(&bytes)))
            } else {
                continue;
            };
            tree.insert(inside, Entry::new(kind, mode, Origin::Kmimage));
        }
    }
    pack.flush().unwrap();
    tree
}

fn arguments() -> Option<Arguments> {
    let mut arguments = Arguments {
        directory: PathBuf::new(),
        temporary: std::env::temp_dir(),
        levels: vec![1, 9, 15, 19],
        block_sizes: vec![262_144],
        rounds: 7,
        jobs: std::thread::available_parallelism().map_or(2, usize::from),
        writer_only: false,
        cache: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
        match word.as_str() {
            "--directory" => arguments.directory = value().into(),
            "--temporary" => arguments.temporary = value().into(),
            "--levels" => arguments.levels = value().split(',').map(|level| level.parse().unwrap()).collect(),
            "--block-sizes" => arguments.block_sizes = value().split(',').map(|size| size.parse().unwrap()).collect(),
            "--rounds" => arguments.rounds = value().parse().unwrap(),
            "--jobs" => arguments.jobs = value().parse().unwrap(),
            "--writer-only" => arguments.writer_only = true,
            "--cache" => arguments.cache = true,
            // What `cargo bench` and `cargo test --benches` add.
            "--bench" | "--test" => {}
            other => panic!("unknown argument {other}"),
        }
    }
    (arguments.directory != PathBuf::new()).then_some(arguments)
}
