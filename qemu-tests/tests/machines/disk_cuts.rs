//! Power cuts of the first boot: a record of everything that it wrote is cut anywhere, and every cut ends in a working machine.
//!
//! Each cut is judged by e2fsck and by a model of our own: from the moment that a file system could hold data (the first write into it
//! behind its `made` in the ledger) nothing plans to make it again. Some are booted for real. The seed is printed; `KMIMAGE_SEED`
//! sets it, `KMIMAGE_CUTS` and `KMIMAGE_CUT_BOOTS` set how many cuts are judged and booted (`KMIMAGE_SOAK=1`: 1000 and 20).

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where it fails")]

use kmimage_contract::disk_layout::Role;
use kmimage_contract::gpt::{self, SectorSize};
use kmimage_contract::ledger::{COPY, Ledger, PLACES, Phase, ROOM};
use kmimage_init::storage::{Content, Facts, Step, What, plan};
use kmimage_qemu_tests::count::{self, CUT_BOOTS, CUTS};
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::image::{self, artefact};
use kmimage_qemu_tests::replay::{Chance, Record};
use rustix::fs::SeekFrom;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const UUID: &str = "11111111-1111-4111-8111-111111111111";
const MIB: u64 = 1 << 20;
/// The size of the disk: larger than the image, so that the first boot grows var.
const DISK: u64 = 2 << 30;

/// Where a partition is on the disk, in bytes.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    size: u64,
}

/// A disk after a cut.
struct Disk {
    path: PathBuf,
    file: File,
}

impl Disk {
    /// With nothing but the image's partition table: nothing else is read by what is judged here, and nothing else written.
    fn with_table(path: &Path, table: &[u8]) -> Self {
        let _ = std::fs::remove_file(path);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap();
        file.set_len(DISK).unwrap();
        file.write_all_at(table, 0).unwrap();
        Self { path: path.to_owned(), file }
    }

    fn read(&self, offset: u64, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    /// The table that the kernel would find; its partitions `state` and `var`.
    fn places(&self) -> BTreeMap<&'static str, Place> {
        let found = gpt::read(&mut &self.file, DISK, SectorSize::B512).unwrap();
        assert_eq!(found.copy, gpt::Copy::Primary, "the kernel reads no backup");
        let place = |role: Role| {
            let entry = found
                .table
                .partitions
                .iter()
                .find(|entry| entry.type_guid == role.type_guid() && entry.name == role.name())
                .unwrap();
            (role.name(), Place { offset: entry.first_lba * 512, size: (entry.last_lba + 1 - entry.first_lba) * 512 })
        };
        BTreeMap::from([place(Role::State), place(Role::Var)])
    }

    fn ledger(&self, state: Place) -> Option<Ledger> {
        Ledger::newest(&PLACES.map(|place| self.read(state.offset + state.size - ROOM + place, COPY as u64)))
    }

    fn facts(&self) -> Facts {
        let places = self.places();
        let content = |name: &str| {
            let place = places[name];
            Some(Content::of(&self.read(place.offset, MIB), &self.read(place.offset + place.size - MIB, MIB)))
        };
        Facts { ledger: self.ledger(places["state"]), state: content("state"), var: content("var") }
    }

    /// A partition as a file of its own, holes left out: e2fsck does not find it again inside a disk once it has replayed the journal.
    fn carve(&self, place: Place) -> PathBuf {
        let path = self.path.with_extension("part");
        let _ = std::fs::remove_file(&path);
        let part = File::create(&path).unwrap();
        part.set_len(place.size).unwrap();
        let (mut at, end) = (place.offset, place.offset + place.size);
        while let Ok(data) = rustix::fs::seek(&self.file, SeekFrom::Data(at)) {
            let hole = rustix::fs::seek(&self.file, SeekFrom::Hole(data)).unwrap().min(end);
            if data >= end {
                break;
            }
            part.write_all_at(&self.read(data, hole - data), data - place.offset).unwrap();
            at = hole;
        }
        path
    }

    /// Replays the journal; then nothing may be wrong. Returns the file system as it is then.
    fn judge(&self, place: Place) -> Result<PathBuf, String> {
        let part = self.carve(place);
        let mended = program("e2fsck").arg("-p").arg(&part).output().unwrap();
        let judged = program("e2fsck").arg("-fn").arg(&part).output().unwrap();
        match (mended.status.code(), judged.status.code()) {
            (Some(0 | 1), Some(0)) => Ok(part),
            _ => Err(format!("{mended:?}\n{judged:?}")),
        }
    }
}

/// A file of a file system; empty, where there is none.
fn file_of(part: &Path, name: &str) -> String {
    let output = program("debugfs").args(["-R", &format!("cat {name}")]).arg(part).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The record of a first boot that ran to `ready` and was powered off.
fn first_boot(image: &Path, folder: &Path) -> Record {
    let (disk, record) = (copy(image, &folder.join("first.raw")), folder.join("record"));
    File::create(&record).unwrap();
    let mut vm = Guest::test().recorded(&disk, &record).uuid(UUID).user_network().start();
    vm.ready();
    vm.power_off();
    vm.assert_no_crash();
    drop(vm);
    std::fs::remove_file(&disk).unwrap();
    Record::read(&record)
}

fn copy(image: &Path, to: &Path) -> PathBuf {
    run(program("cp").arg("--sparse=always").arg(image).arg(to));
    OpenOptions::new().write(true).open(to).unwrap().set_len(DISK).unwrap();
    to.to_owned()
}

/// For each file system: the request with which it may begin to hold data.
fn data_begins(record: &Record, table: &[u8], folder: &Path) -> BTreeMap<&'static str, usize> {
    let disk = Disk::with_table(&folder.join("model"), table);
    let mut begins = BTreeMap::new();
    let mut made: Vec<&str> = Vec::new();
    for (number, entry) in record.entries.iter().enumerate() {
        if entry.data.is_none() {
            continue;
        }
        disk.file.write_all_at(&record.data(entry), entry.offset).unwrap();
        let places = disk.places();
        for name in ["state", "var"] {
            let place = places[name];
            // The room of the ledger is in no file system.
            let end = place.offset + place.size - if name == "state" { ROOM } else { 0 };
            if made.contains(&name) && (place.offset..end).contains(&entry.offset) {
                begins.entry(name).or_insert(number + 1);
            }
            let noted = disk.ledger(places["state"]).and_then(|ledger| ledger.entry(name).map(|entry| entry.phase));
            if noted == Some(Phase::Made) && !made.contains(&name) {
                made.push(name);
            }
        }
    }
    assert_eq!(begins.len(), 2, "both file systems are written to: {begins:?}");
    begins
}

#[test]
fn vm_every_power_cut_of_the_first_boot_ends_in_a_working_machine() {
    let (seed, cuts, boots) = (count::seed(), count::times_of(CUTS, 100, 1000), count::times_of(CUT_BOOTS, 2, 20));
    let folder = tempfile::tempdir().unwrap();
    let image = artefact(image::test(), ".raw");
    let mut table = vec![0; MIB as usize];
    File::open(&image).unwrap().read_exact_at(&mut table, 0).unwrap();
    let record = first_boot(&image, folder.path());
    let last = record.entries.len();

    // What the boot wrote lies where the model looks, and is what the machine is in the end.
    let whole = Disk::with_table(&folder.path().join("whole"), &table);
    record.replay_all(&whole.file, last);
    let (begin, places) = (whole.places()["state"].offset, whole.places());
    assert!(places["var"].size > 512 * MIB, "var has not grown: {places:?}");
    for entry in record.entries.iter().filter(|entry| entry.data.is_some()) {
        assert!(
            entry.offset >= begin || entry.offset + entry.length <= MIB,
            "a write outside of state, var and the table: {entry:?}"
        );
    }
    let machine_id = file_of(&whole.carve(places["state"]), "machine-id");
    assert_eq!(machine_id.len(), 33, "{machine_id}");
    let begins = data_begins(&record, &table, folder.path());

    let mut chance = Chance::new(seed);
    let (mut made_anew, mut mended, mut known_ids) = ([0_u32; 2], 0_u32, 0_u32);
    for count in 0..cuts {
        // A third of the cuts is before the first data, where the file systems are made.
        let until = if count % 3 == 0 { begins.values().max().unwrap() + 1 } else { last + 1 };
        let at = chance.below(until as u64) as usize;
        let disk = Disk::with_table(&folder.path().join("cut"), &table);
        record.replay(&disk.file, at, &mut chance);
        let (facts, places) = (disk.facts(), disk.places());
        let steps = plan(&facts);
        for (index, what) in [What::State, What::Var].into_iter().enumerate() {
            let name = what.name();
            let why = format!("seed {seed}, cut {count} before request {at} of {last}, {name}: {steps:?} by {facts:?}");
            assert!(!steps.iter().any(|step| matches!(step, Step::Refuse(refused, _) if *refused == what)), "refused: {why}");
            if steps.contains(&Step::Make(what)) {
                made_anew[index] += 1;
                assert!(at < begins[name], "made again, though it may hold data: {why}");
                continue;
            }
            if steps.contains(&Step::Check(what)) {
                mended += 1;
            }
            let part = disk.judge(places[name]).unwrap_or_else(|error| panic!("{why}\n{error}"));
            if what == What::State {
                let found = file_of(&part, "machine-id");
                assert!(found.is_empty() || found == machine_id, "seed {seed}, cut {count}: machine-id `{found}`");
                known_ids += u32::from(!found.is_empty());
            }
        }
    }
    println!(
        "{cuts} cuts of {last} requests: made anew {made_anew:?}, checked {mended}, with machine-id {known_ids}; data begins at {begins:?}"
    );
    assert!(
        made_anew.iter().all(|count| *count > 0) && mended > 0 && known_ids > 0,
        "the cuts miss a case: {made_anew:?} {mended}"
    );

    for count in 0..boots {
        let until = if count % 2 == 0 { begins.values().max().unwrap() + 1 } else { last + 1 };
        let at = chance.below(until as u64) as usize;
        println!("boot {count}: cut before request {at}");
        let path = copy(&image, &folder.path().join("boot.raw"));
        record.replay(&OpenOptions::new().write(true).open(&path).unwrap(), at, &mut chance);
        let mut vm = Guest::test().disk_file(&path).uuid(UUID).user_network().start();
        vm.ready();
        assert_eq!(vm.probe().read("/run/kmimage/state/machine-id").len(), 33);
        assert!(vm.probe().space("/var").total > 512 * MIB);
        vm.power_off();
        vm.assert_no_crash();
        drop(vm);
        let file = File::open(&path).unwrap();
        let disk = Disk { path, file };
        for (name, place) in disk.places() {
            disk.judge(place).unwrap_or_else(|error| panic!("seed {seed}, boot {count}, {name}: {error}"));
        }
    }
}
