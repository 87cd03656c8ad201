//! Power cuts of an installation: a record of everything that the installer wrote is cut anywhere, and after every cut either the
//! installer runs again, or the disk boots.
//!
//! Each cut is judged from outside by the functions that the installer chooses by, and by comparing a disk that would boot with the
//! finished one, which the tools of others have judged. Some are booted for real, with the medium still in. Beside the target there are
//! two disks that a wrong choice could take: one with another system's GPT, and an empty one that is larger than the target, both large
//! enough to be installed on; their SHA-256 stays as it is. The target is named by its serial number: its size, which fits the larger one,
//! too, would be refused as ambiguous, and all three have the same model.
//!
//! `KMIMAGE_SEED`, `KMIMAGE_CUTS` and `KMIMAGE_CUT_BOOTS` set the seed, which is printed, and how many cuts are judged and booted
//! (`KMIMAGE_SOAK=1`: 1000 and 20).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

mod finished;
mod scene;
mod verdict;

use kmimage_init::install::Content;
use kmimage_qemu_tests::count::{self, CUT_BOOTS, CUTS};
use kmimage_qemu_tests::cut_disk::CutDisk;
use kmimage_qemu_tests::replay::{Chance, Entry, Record};
use scene::{MIB, Scene, TARGET, config, empty, foreign};
use std::collections::BTreeMap;
use std::fs::File;
use verdict::{Judge, Verdict};

/// The request that writes the finished disk's first sector.
fn first_sector(record: &Record) -> usize {
    record.entries.iter().rposition(|entry| entry.data.is_some() && entry.offset == 0).unwrap()
}

/// Cuts anywhere, and many of them where it is decided: at the end, from the last write of what is on the partitions, and at the begin, to
/// the first one.
fn place(record: &Record, count: u32, chance: &mut Chance) -> usize {
    let last = record.entries.len();
    let written = record.last_flush(record.last_flush(first_sector(record)));
    let begin = copies_begin(record) + 1;
    match count % 4 {
        0 => chance.below(last as u64 + 1) as usize,
        1 => chance.below(begin as u64 + 1) as usize,
        _ => written + chance.below((last - written) as u64 + 1) as usize,
    }
}

/// The first request that writes what comes to stay: behind the room of the table.
fn copies_begin(record: &Record) -> usize {
    let stays = |entry: &Entry| entry.data.is_some() && (MIB..TARGET - MIB).contains(&entry.offset);
    record.entries.iter().position(stays).unwrap()
}

/// Judges this many cuts; how often each verdict came. Fails at the first bad one.
fn judge_cuts(judge: &Judge<'_>, before: &File, record: &Record, seed: u64, cuts: u32) -> BTreeMap<String, u32> {
    let (mut chance, mut verdicts) = (Chance::new(seed), BTreeMap::new());
    for count in 0..cuts {
        let at = place(record, count, &mut chance);
        let disk = CutDisk::cut(before, record, at, &mut chance);
        match judge.verdict(&disk) {
            Ok(verdict) => *verdicts.entry(format!("{verdict:?}")).or_insert(0) += 1,
            Err(why) => panic!("seed {seed}, cut {count} before request {at} of {}: {why}", record.entries.len()),
        }
    }
    verdicts
}

/// The same judge finds what would be wrong with an installer that keeps no order: how many of 100 cuts are bad if the first sector is
/// written too early, and without any flush.
fn bad_cuts_of_a_wrong_order(judge: &Judge<'_>, before: &File, record: &Record, seed: u64) -> [usize; 2] {
    let mut early = record.entries.clone();
    let sector = early.remove(first_sector(record));
    early.insert(copies_begin(record), sector);
    let unflushed = record.entries.iter().map(|entry| Entry { flush: false, ..entry.clone() }).collect();
    [early, unflushed].map(|entries| {
        let (other, mut chance) = (record.with_entries(entries), Chance::new(seed));
        let bad = (0..100).filter(|count| {
            let at = place(record, *count, &mut chance);
            judge.verdict(&CutDisk::cut(before, &other, at, &mut chance)).is_err()
        });
        bad.count()
    })
}

#[test]
fn vm_every_power_cut_of_an_installation_ends_in_another_run_or_in_a_disk_that_boots() {
    let (seed, cuts, boots) = (count::seed(), count::times_of(CUTS, 200, 1000), count::times_of(CUT_BOOTS, 2, 20));
    let scene = Scene::new();
    let path = scene.file("before.raw");
    let before = empty(&path, TARGET);
    let (record, config) = scene.install(&path, "");
    let judge = scene.judge(&before, &record, &config);
    scene.judge_finished(&judge, &path, &config);

    let verdicts = judge_cuts(&judge, &before, &record, seed, cuts);
    println!("{cuts} cuts of {} requests: {verdicts:?}", record.entries.len());
    for verdict in [Verdict::Again(Content::Empty), Verdict::Again(Content::Unfinished)] {
        assert!(verdicts.contains_key(&format!("{verdict:?}")), "the cuts miss a case: {verdicts:?}");
    }
    for clean in [false, true] {
        assert!(verdicts.contains_key(&format!("{:?}", Verdict::Boots { clean })), "the cuts miss a case: {verdicts:?}");
    }
    let bad = bad_cuts_of_a_wrong_order(&judge, &before, &record, seed);
    println!("the first sector too early, no flushes: {bad:?} of 100 cuts are bad");
    assert!(bad.iter().all(|bad| *bad > 5), "a wrong order is not found: {bad:?} of 100");

    // Whether it installs again is what was judged before. Both happen on both firmwares.
    let mut chance = Chance::new(seed);
    let (config, last) = (scene.seed("again.iso", &self::config("")), record.entries.len());
    let whole = scene.file("target.raw");
    for count in 0..boots {
        let (bios, late) = (count % 2 == 1, (count + count / 2) % 2 == 1);
        let from = if late { first_sector(&record) + 1 } else { 0 };
        let at = from + chance.below((last - from) as u64 + 1) as usize;
        let disk = CutDisk::cut(&before, &record, at, &mut chance);
        let verdict = judge.verdict(&disk).unwrap();
        println!("boot {count}: cut before request {at} of {last}, BIOS: {bios}: {verdict:?}");
        disk.write_over(&empty(&whole, TARGET));
        scene.boot(&whole, &config, bios, !matches!(verdict, Verdict::Boots { .. }));
        scene.assert_decoys(&format!("seed {seed}, boot {count}"));
    }
}

#[test]
fn vm_every_power_cut_of_an_installation_over_another_system_ends_so_too() {
    let (seed, cuts) = (count::seed(), count::times_of(CUTS, 200, 1000));
    let scene = Scene::new();
    let path = scene.file("before.raw");
    foreign(&path);
    let before = File::open(&path).unwrap();
    let (record, config) = scene.install(&path, "wipe = \"TARGET\"\n");
    let judge = scene.judge(&before, &record, &config);
    scene.judge_finished(&judge, &path, &config);
    assert_eq!(judge.verdict(&judge.before), Ok(Verdict::Untouched));

    let verdicts = judge_cuts(&judge, &before, &record, seed, cuts);
    println!("{cuts} cuts of {} requests: {verdicts:?}", record.entries.len());
    for verdict in [Verdict::Untouched, Verdict::Again(Content::Unfinished), Verdict::Boots { clean: true }] {
        assert!(verdicts.contains_key(&format!("{verdict:?}")), "the cuts miss a case: {verdicts:?}");
    }
    let bad = bad_cuts_of_a_wrong_order(&judge, &before, &record, seed);
    println!("the first sector too early, no flushes: {bad:?} of 100 cuts are bad");
    assert!(bad.iter().all(|bad| *bad > 5), "a wrong order is not found: {bad:?} of 100");
}
