//! How fast is a build? Cold (downloads in the store, every other cache empty) against the sum of its two unavoidable parts, taken in
//! the same run on as many threads: decoding every .deb and every kernel module that stays, and compressing the blocks. Then with
//! nothing changed, and with one overlay file changed; what the ISO adds to a cold build; and how much memory each takes.
//!
//! ```text
//! cargo xtask bench build [-- --profile bench --rounds 7]
//! ```

use crate::bench::{Bench, Run, machine, median, on_all_threads, option, rounds, seconds};
use kmimage::assemble::squashfs;
use kmimage::compose::deb::Deb;
use kmimage::compose::deb::tar::MemberKind;
use kmimage::compose::tree::{Tree, TreePath};
use kmimage::emit::sparse;
use std::fs::{self, File};
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};

/// The profile that is built: the one asked for, and an overlay whose file can be changed.
const PROFILE: &str = "measured";
const OUTPUT: &str = "out/measured";

pub(crate) fn main() {
    let bench = Bench::open();
    let base = option("--profile").unwrap_or_else(|| "bench".into());
    add_profile(&bench, &base);
    bench.prepare(PROFILE);
    let (rounds, jobs) = (rounds(), bench.jobs);

    let (mut cold, mut with_iso, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    let (mut same, mut changed, mut sha) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        // Alternate, so that neither always comes first.
        for step in if round % 2 == 0 { [0, 1, 2] } else { [2, 1, 0] } {
            if step == 0 {
                floors.push(Floor::measure(&bench));
                continue;
            }
            if step == 2 {
                bench.make_cold(OUTPUT);
                write_overlay(&bench, 0);
                with_iso.push(bench.build(PROFILE, OUTPUT, &["--format", "raw,qcow2,iso"]));
                continue;
            }
            bench.make_cold(OUTPUT);
            write_overlay(&bench, 0);
            cold.push(bench.build(PROFILE, OUTPUT, &[]));
            same.push(bench.build(PROFILE, OUTPUT, &[]));
            write_overlay(&bench, round + 1);
            changed.push(bench.build(PROFILE, OUTPUT, &[]));
            sha.push(seconds(|| hash_raw(&bench)));
        }
    }

    let wall = |runs: &[Run]| median(runs.iter().map(|run| run.wall));
    let peak = |runs: &[Run]| runs.iter().map(|run| run.peak).max().unwrap_or(0) as f64 / 1024.0;
    let floor = |part: fn(&Floor) -> f64| median(floors.iter().map(part));
    let (full, one_file, pass) = (wall(&cold), wall(&changed), median(sha.iter().copied()));
    let ratio = median(cold.iter().zip(&floors).map(|(run, floor)| run.wall / floor.sum()));
    println!("Profile `{base}`, {rounds} rounds, medians; {}.\n", machine(jobs));
    println!("| what | seconds | target |\n|---|---|---|");
    println!("| decoding every .deb | {:.2} | |", floor(|floor| floor.debs));
    println!("| decoding every kept module | {:.2} | |", floor(|floor| floor.modules));
    println!("| compressing the blocks | {:.2} | |", floor(|floor| floor.blocks));
    println!("| cold build | {full:.2} = {ratio:.2} x the sum of these | <= 1.25 x |");
    let iso = median(with_iso.iter().zip(&cold).map(|(iso, cold)| iso.wall / cold.wall));
    println!("| cold build with the ISO | {:.2} = {iso:.2} x without | <= 1.15 x |", wall(&with_iso));
    println!("| nothing changed | {:.2} | <= 1 |", wall(&same));
    println!("| one SHA-256 pass over the raw image | {pass:.2} | |");
    println!("| one overlay file changed | {one_file:.2} | <= {:.2} (10 % of cold, and the pass) |", full / 10.0 + pass);
    println!("\n| peak memory | MiB | target |\n|---|---|---|");
    for (name, runs) in [
        ("cold build", &cold),
        ("cold build with the ISO", &with_iso),
        ("nothing changed", &same),
        ("one overlay file changed", &changed),
    ] {
        println!("| {name} | {:.0} | <= 400 |", peak(runs));
    }
    println!("\n| stage | cold s | one file changed s |\n|---|---|---|");
    for (at, (stage, _)) in cold.first().map(|run| run.stages.clone()).unwrap_or_default().iter().enumerate() {
        let of = |runs: &[Run]| median(runs.iter().filter_map(|run| run.stages.get(at)).map(|(_, seconds)| *seconds));
        println!("| {} | {:.2} | {:.2} |", stage.replace(&*bench.folder.to_string_lossy(), "."), of(&cold), of(&changed));
    }
}

/// The parts of a cold build that nothing can avoid, in seconds.
struct Floor {
    debs: f64,
    modules: f64,
    blocks: f64,
}

impl Floor {
    fn sum(&self) -> f64 {
        self.debs + self.modules + self.blocks
    }

    fn measure(bench: &Bench) -> Self {
        let (store, profile, locked, tree) = bench.tree(PROFILE);
        let mut packages: Vec<_> = locked.packages.iter().chain(&locked.boot).collect();
        packages.sort_by_key(|package| std::cmp::Reverse(package.size));
        // Opened, which verifies them, before the clock runs.
        let packages: Vec<File> = packages.iter().map(|package| store.blob(&package.sha256).unwrap().unwrap()).collect();
        let debs = seconds(|| decode_debs(&packages, bench.jobs));
        let modules = modules(&packages, &tree);
        let modules = seconds(|| on_all_threads(bench.jobs, &modules, |module| decode_module(module)));
        let blocks = squashfs::blocks_in_memory(&tree, profile.image.block_size).unwrap();
        let level = profile.image.compression_level;
        let blocks = seconds(|| on_all_threads(bench.jobs, &blocks, |block| compress(block, level)));
        Self { debs, modules, blocks }
    }
}

/// Every .deb's data, the largest first, to nowhere; one at a time may use all threads, as the build does it.
fn decode_debs(packages: &[File], jobs: usize) {
    let several = AtomicBool::new(true);
    on_all_threads(jobs, packages, |file| {
        let deb = Deb::open(file).unwrap();
        let alone = deb.data_len() >= 4 << 20 && several.swap(false, Ordering::AcqRel);
        let mut tar = deb.data(if alone { jobs as u32 } else { 1 }).unwrap();
        while let Some(member) = tar.next_member().unwrap() {
            if member.kind == MemberKind::File {
                tar.copy_data(|_| Ok::<_, kmimage::compose::deb::DebError>(())).unwrap();
            }
        }
        if alone {
            several.store(true, Ordering::Release);
        }
    });
}

/// The kernel modules of a tree, as their packages have them (packed by xz), in memory.
fn modules(packages: &[File], tree: &Tree) -> Vec<Vec<u8>> {
    let mut modules = Vec::new();
    for file in packages {
        let deb = Deb::open(file).unwrap();
        let mut tar = deb.data(1).unwrap();
        while let Some(member) = tar.next_member().unwrap() {
            let path = String::from_utf8_lossy(&member.path).trim_start_matches(['.', '/']).to_owned();
            let Some(plain) = path.strip_suffix(".xz").filter(|path| path.ends_with(".ko")) else { continue };
            let plain = TreePath::new(format!("/usr/{}", plain.trim_start_matches("usr/"))).unwrap();
            if member.kind == MemberKind::File && tree.get(&plain).is_some() {
                let mut bytes = Vec::new();
                tar.copy_data(|chunk| {
                    bytes.extend_from_slice(chunk);
                    Ok::<_, kmimage::compose::deb::DebError>(())
                })
                .unwrap();
                modules.push(bytes);
            }
        }
    }
    assert!(!modules.is_empty(), "no package has a packed module");
    modules
}

fn decode_module(packed: &[u8]) {
    let mut bytes = Vec::with_capacity(packed.len() * 5);
    liblzma::bufread::XzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
}

fn compress(block: &[u8], level: i32) {
    thread_local!(static CONTEXT: std::cell::RefCell<zstd_safe::CCtx<'static>> = std::cell::RefCell::new(zstd_safe::CCtx::create()));
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(block.len()));
    CONTEXT.with_borrow_mut(|context| context.compress(&mut out, block, level).unwrap());
}

fn hash_raw(bench: &Bench) {
    let mut files = fs::read_dir(bench.path(OUTPUT)).unwrap().map(|entry| entry.unwrap().path());
    let raw = files.find(|path| path.extension().is_some_and(|ending| ending == "raw")).unwrap();
    sparse::sha256(&File::open(raw).unwrap()).unwrap();
}

fn add_profile(bench: &Bench, base: &str) {
    let text = format!("description = \"{base}, and a file to change\"\nextends = \"{base}\"\noverlays = [\"{PROFILE}\"]\n");
    fs::write(bench.path("profiles/measured.toml"), text).unwrap();
    write_overlay(bench, 0);
}

fn write_overlay(bench: &Bench, number: usize) {
    let folder = bench.path("overlays/measured/rootfs/etc");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("measured"), format!("round {number:03}\n")).unwrap();
}
