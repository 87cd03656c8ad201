//! The curves that a profile's compression level and block size are chosen from: size, seconds to write, and how fast the kernel reads
//! the result back (whole files in order; 4 KiB at random places), its bytes being in memory already.
//!
//! ```text
//! cargo xtask bench levels [-- --profile base --levels 1,3,6,9,12,15,18,19,22 --block-sizes 131072,262144,524288,1048576]
//! ```
//!
//! Reading needs root, for it mounts the image from a loop device; without it these columns are empty.

use crate::bench::{Bench, machine, mb, numbers, option, rounds_or, seconds};
use kmimage::assemble::squashfs::{self, Options, Target};
use kmimage::compose::tree::{Kind, Tree};
use kmimage::report::silent;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn main() {
    let bench = Bench::open();
    let profile = option("--profile").unwrap_or_else(|| "base".into());
    bench.prepare(&profile);
    let (_, _, _, tree) = bench.tree(&profile);
    let work = tempfile::tempdir_in(&bench.folder).unwrap();
    let (image, mount) = (work.path().join("image"), work.path().join("mount"));
    fs::create_dir(&mount).unwrap();
    let files = files(&tree, &mount);
    let bytes: u64 = files.iter().map(|(_, len)| len).sum();
    let rounds = rounds_or(1);
    println!("Profile `{profile}`: {} paths, {} of files; best of {rounds}; {}.\n", tree.len(), mb(bytes), machine(bench.jobs));
    println!("| level | block | size | write s | read in order MB/s | read 4 KiB at random µs |\n|---|---|---|---|---|---|");
    for level in numbers("--levels", "1,3,6,9,12,15,18,19,22") {
        for block_size in numbers("--block-sizes", "131072,262144,524288,1048576") {
            let options = Options { level: level as i32, block_size, epoch: 0, jobs: bench.jobs, salt: None };
            let mut best = [f64::MAX; 3];
            let mut len = 0;
            for _ in 0..rounds {
                let wrote = seconds(|| {
                    let file = File::create(&image).unwrap();
                    let target = Target { file: &file, offset: 0, room: None, replaces: None };
                    len = squashfs::write(&tree, &options, None, target, &silent).unwrap().len;
                });
                let (in_order, random) =
                    if rustix::process::geteuid().is_root() { read(&image, &mount, &files) } else { (0.0, 0.0) };
                for (best, now) in best.iter_mut().zip([wrote, in_order, random]) {
                    *best = best.min(now);
                }
            }
            let [wrote, in_order, random] = best;
            let speed = if in_order > 0.0 { format!("{:.0}", bytes as f64 / 1e6 / in_order) } else { String::new() };
            let random = if random > 0.0 { format!("{:.0}", random * 1e6) } else { String::new() };
            println!("| {level} | {}K | {} | {wrote:.2} | {speed} | {random} |", block_size / 1024, mb(len));
        }
    }
}

/// The regular files of a tree as they will be below the mount.
fn files(tree: &Tree, mount: &Path) -> Vec<(PathBuf, u64)> {
    let files = tree.iter().filter_map(|(path, entry)| match &entry.kind {
        Kind::File(content) => Some((path, content.len())),
        _ => None,
    });
    files.map(|(path, len)| (mount.join(OsStr::from_bytes(path.as_bytes().strip_prefix(b"/").unwrap())), len)).collect()
}

/// Seconds to read all files, and seconds per read of 4 KiB, each from a fresh mount.
fn read(image: &Path, mount: &Path, files: &[(PathBuf, u64)]) -> (f64, f64) {
    let in_order = mounted(image, mount, || {
        let mut buffer = vec![0; 256 * 1024];
        for (path, _) in files {
            let mut file = File::open(path).unwrap();
            while file.read(&mut buffer).unwrap() > 0 {}
        }
    });
    const READS: u64 = 2000;
    let large: Vec<&(PathBuf, u64)> = files.iter().filter(|(_, len)| *len >= 8192).collect();
    let random = mounted(image, mount, || {
        let mut buffer = [0; 4096];
        // A fixed sequence (Knuth's MMIX), so that every image is asked the same.
        let mut number = 1u64;
        let mut next = |below: u64| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) % below
        };
        for _ in 0..READS {
            let (path, len) = large[next(large.len() as u64) as usize];
            let file = File::open(path).unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
            file.read_exact_at(&mut buffer, next(len / 4096) * 4096).unwrap();
        }
    });
    (in_order, random / READS as f64)
}

fn mounted(image: &Path, mount: &Path, work: impl FnOnce()) -> f64 {
    let run = |command: &mut Command| assert!(command.status().unwrap().success(), "{command:?}");
    run(Command::new("mount").args(["-t", "squashfs", "-o", "loop,ro"]).args([image, mount]));
    let time = seconds(work);
    run(Command::new("umount").arg(mount));
    time
}
