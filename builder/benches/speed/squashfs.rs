//! How fast is the squashfs writer? Held, in alternating rounds, against the least that the same work can cost (the same blocks,
//! already in memory, compressed by as many threads) and against `mksquashfs` at the same level and block size.
//!
//! ```text
//! cargo xtask bench squashfs [-- --profile bench --levels 9,15,19 --block-sizes 262144 --rounds 7 --writer-only]
//! ```
//!
//! Packed is a profile's finished tree, read from the builder's store as a build reads it; mksquashfs reads the same tree from files.
//! Prints Markdown: medians, and the medians of the ratios within each round, which other load on the machine disturbs less.
//! `--writer-only` leaves the peers out: sizes and times for choosing a level.

use crate::bench::{Bench, machine, median, numbers, on_all_threads, option, rounds, version_of};
use kmimage::assemble::squashfs::{self, Options, Target};
use kmimage::compose::tree::{Kind, Tree};
use kmimage::report::silent;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

struct Arguments {
    rounds: usize,
    jobs: usize,
    writer_only: bool,
}

pub(crate) fn main() {
    let bench = Bench::open();
    let profile = option("--profile").unwrap_or_else(|| "bench".into());
    let arguments = Arguments {
        rounds: rounds(),
        jobs: bench.jobs,
        writer_only: std::env::args().any(|argument| argument == "--writer-only"),
    };
    bench.prepare(&profile);
    let (_, _, _, tree) = bench.tree(&profile);
    let work = tempfile::tempdir_in(&bench.folder).unwrap();
    if !arguments.writer_only {
        lay_out(&tree, &work.path().join("tree"));
    }
    println!(
        "Profile `{profile}`: {} paths, {} of files; {} rounds, medians; {}; {}.\n",
        tree.len(),
        crate::bench::mb(
            tree.iter().map(|(_, entry)| if let Kind::File(content) = &entry.kind { content.len() } else { 0 }).sum()
        ),
        arguments.rounds,
        machine(arguments.jobs),
        if arguments.writer_only {
            "alone".into()
        } else {
            version_of("mksquashfs", "-version").expect("mksquashfs is installed (squashfs-tools)")
        },
    );
    println!(
        "| level | block | ceiling s (user) | writer s (user) | mksquashfs s (user) | writer/ceiling | mksquashfs/writer | MB | mksquashfs MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for block_size in numbers("--block-sizes", "262144") {
        let blocks = if arguments.writer_only { Vec::new() } else { squashfs::blocks_in_memory(&tree, block_size).unwrap() };
        for level in numbers("--levels", "9,15,19") {
            row(&arguments, &tree, &blocks, level as i32, block_size, work.path());
        }
    }
}

fn row(arguments: &Arguments, tree: &Tree, blocks: &[Vec<u8>], level: i32, block_size: u32, work: &Path) {
    let mut rounds: Vec<[Time; 3]> = Vec::new();
    let (mut ours, mut theirs) = (0, 0);
    for round in 0..arguments.rounds {
        let mut times = [Time::default(); 3];
        // Alternate, so that neither always comes first.
        let order: [usize; 3] = if round % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] };
        for step in order {
            // Outside the clock: what giving an earlier image's memory back costs is nobody's work here.
            for name in ["ours", "theirs"] {
                let _ = fs::remove_file(work.join(name));
            }
            times[step] = match step {
                1 => timed(|| ours = write(tree, arguments.jobs, level, block_size, &work.join("ours"))).0,
                _ if arguments.writer_only => continue,
                0 => timed(|| compress(blocks, arguments.jobs, level)).0,
                _ => {
                    let (time, size) = timed(|| mksquashfs(arguments.jobs, level, block_size, work));
                    theirs = size;
                    time
                }
            };
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
        "| {level} | {}K | {} | {} | {} | {:.3} | {:.3} | {:.2} | {:.2} |",
        block_size / 1024,
        seconds(0),
        seconds(1),
        seconds(2),
        ratio(1, 0),
        ratio(2, 1),
        ours as f64 / 1e6,
        theirs as f64 / 1e6,
    );
}

fn write(tree: &Tree, jobs: usize, level: i32, block_size: u32, path: &Path) -> u64 {
    let file = File::create(path).unwrap();
    let options = Options { level, block_size, epoch: 0, jobs, salt: None };
    squashfs::write(tree, &options, None, Target { file: &file, offset: 0, room: None, replaces: None }, &silent).unwrap().len
}

/// The ceiling: nothing but zstd, from memory to memory.
fn compress(blocks: &[Vec<u8>], jobs: usize, level: i32) {
    thread_local!(static CONTEXT: std::cell::RefCell<zstd_safe::CCtx<'static>> = std::cell::RefCell::new(zstd_safe::CCtx::create()));
    on_all_threads(jobs, blocks, |block| {
        let mut out = Vec::with_capacity(zstd_safe::compress_bound(block.len()));
        CONTEXT.with_borrow_mut(|context| context.compress(&mut out, block, level).unwrap());
    });
}

fn mksquashfs(jobs: usize, level: i32, block_size: u32, work: &Path) -> u64 {
    let output = Command::new("mksquashfs")
        .args([work.join("tree"), work.join("theirs")])
        .args(["-comp", "zstd", "-Xcompression-level", &level.to_string(), "-b", &block_size.to_string()])
        .args(["-processors", &jobs.to_string(), "-noappend", "-no-progress", "-quiet", "-all-root", "-no-xattrs"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::metadata(work.join("theirs")).unwrap().len()
}

/// The tree as files, for mksquashfs: directories, regular files, hard and symbolic links.
fn lay_out(tree: &Tree, folder: &Path) {
    let mut links = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let relative = path.as_bytes().strip_prefix(b"/").unwrap();
        let place = folder.join(Path::new(std::ffi::OsStr::from_bytes(relative)));
        match &entry.kind {
            Kind::Directory => fs::create_dir_all(place).unwrap(),
            Kind::Symlink(target) => symlink(std::ffi::OsStr::from_bytes(target), place).unwrap(),
            Kind::File(content) => {
                if let Some(first) = entry.link.and_then(|link| links.get(&link)) {
                    fs::hard_link(first, place).unwrap();
                    continue;
                }
                fs::write(&place, content.to_vec().unwrap()).unwrap();
                fs::set_permissions(&place, fs::Permissions::from_mode(u32::from(entry.mode & 0o777) | 0o400)).unwrap();
                entry.link.map(|link| links.insert(link, place));
            }
            Kind::CharDevice { .. } | Kind::BlockDevice { .. } | Kind::Fifo => {}
        }
    }
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
