//! The machine whose installation is cut off: the medium, the target, two disks that are nobody's business, a config.

use super::finished;
use super::verdict::{Judge, Verdict, plain};
use kmimage::run::machine::{Chipset, DiskBus};
use kmimage_contract::RootHash;
use kmimage_contract::disk_layout::{DiskLayout, Role, medium};
use kmimage_contract::disk_selector::DiskIdentity;
use kmimage_contract::machine_config;
use kmimage_contract::state_line::Ready;
use kmimage_init::install::{Content, Disk, Needs};
use kmimage_qemu_tests::cut_disk::CutDisk;
use kmimage_qemu_tests::disk::partitions;
use kmimage_qemu_tests::foreign::{program, run};
use kmimage_qemu_tests::guest::Guest;
use kmimage_qemu_tests::image::{artefact, kmimage, test};
use kmimage_qemu_tests::output::Mark;
use kmimage_qemu_tests::replay::{Chance, Record};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An installation takes half a minute under software emulation on an idle host.
const INSTALLATION: Duration = Duration::from_secs(600);
pub(super) const MIB: u64 = 1 << 20;
/// The sizes of the target and of the larger disk.
pub(super) const TARGET: u64 = 1536 * MIB;
const LARGER: u64 = 2048 * MIB;

pub(super) fn config(words: &str) -> String {
    format!("version = 1\n\n[machine]\nhostname = \"installed\"\n\n[install]\ndisk = {{ serial = \"TARGET\" }}\n{words}")
}

pub(super) fn empty(path: &Path, size: u64) -> File {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).unwrap();
    file.set_len(size).unwrap();
    file
}

/// Another system's disk: a GPT with two partitions, and data in both of them, at the disk's begin, and wherever kmimage's parts come to lie.
pub(super) fn foreign(path: &Path) {
    let file = empty(path, TARGET);
    let mut chance = Chance::new(TARGET);
    let data: Vec<u8> = (0..MIB).map(|_| chance.below(256) as u8).collect();
    for at in (0..TARGET / MIB).filter(|at| *at < 4 || at % 64 < 2 || at + 4 > TARGET / MIB) {
        file.write_all_at(&data, at * MIB).unwrap();
    }
    run(program("sgdisk").args(["--new=1:0:+500M", "--change-name=1:books", "--new=2:0:0", "--change-name=2:letters"]).arg(path));
}

/// What the machine has beside its target: medium, further disks, config.
pub(super) struct Scene {
    folder: tempfile::TempDir,
    image: PathBuf,
    iso: PathBuf,
    root_hash: RootHash,
    /// Path, serial number and SHA-256 of each disk that is nobody's business.
    decoys: [(PathBuf, &'static str, String); 2],
}

impl Scene {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [image, iso] = [".raw", ".iso"].map(|ending| artefact(test(), ending));
        let [books, larger] = ["books.raw", "larger.raw"].map(|name| folder.path().join(name));
        foreign(&books);
        empty(&larger, LARGER);
        let decoys = [(books, "BOOKS"), (larger, "LARGER")].map(|(path, serial)| {
            let digest = sha256(&path);
            (path, serial, digest)
        });
        let root_hash = root_hash(&iso);
        Self { folder, image, iso, root_hash, decoys }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A NoCloud seed with this machine config.
    pub(super) fn seed(&self, name: &str, config: &str) -> PathBuf {
        let (document, seed) = (self.file("node.toml"), self.file(name));
        fs_err::write(&document, config).unwrap();
        run(kmimage().args(["config", "seed"]).arg(&document).arg("-o").arg(&seed));
        seed
    }

    /// A machine with the medium, this seed, and the disks that are to stay as they are.
    fn guest<'a>(&self, seed: &Path) -> Guest<'a> {
        let guest = Guest::from_cd(&self.iso).cdrom(seed).disk_serial("TARGET").memory(1024).user_network();
        self.decoys.iter().fold(guest, |guest, (path, serial, _)| guest.data_disk(path, serial))
    }

    pub(super) fn assert_decoys(&self, when: &str) {
        for (path, serial, digest) in &self.decoys {
            assert_eq!(sha256(path), *digest, "the disk {serial} has changed: {when}");
        }
    }

    /// The record of an installation on a disk that is like `before`, and the config that it was made by.
    pub(super) fn install(&self, before: &Path, words: &str) -> (Record, String) {
        let config = config(&format!("after = \"power-off\"\n{words}"));
        let (seed, disk, record) = (self.seed("install.iso", &config), self.file("target.raw"), self.file("record"));
        run(program("cp").arg("--sparse=always").arg(before).arg(&disk));
        File::create(&record).unwrap();
        let mut vm = self.guest(&seed).recorded(&disk, &record).start();
        let installed = vm.state_after(Mark::default(), "installed", INSTALLATION, |_| true);
        assert_eq!(installed.get("serial"), Some("TARGET"), "{installed}");
        assert!(vm.wait_for_exit(INSTALLATION).success());
        vm.assert_no_crash();
        self.assert_decoys("by an installation");
        (Record::read(&record), config)
    }

    pub(super) fn judge<'a>(&self, before: &'a File, record: &'a Record, config: &str) -> Judge<'a> {
        let last = record.entries.iter().rfind(|entry| entry.data.is_some()).unwrap();
        let slot = partitions(&self.image).into_iter().find(|partition| partition.name == "root-a").unwrap().len;
        let others = self.decoys.iter().map(|(path, serial, _)| {
            let (file, size) = (File::open(path).unwrap(), fs_err::metadata(path).unwrap().len());
            let identity = DiskIdentity { serial: (*serial).to_owned(), size, ..DiskIdentity::default() };
            Disk { identity, content: Content::on(&file, size, 512), ..plain(serial) }
        });
        Judge {
            before: CutDisk::cut(before, record, 0, &mut Chance::new(0)),
            finished: CutDisk::whole(before, record),
            mark: last.offset..last.offset + last.length,
            target: DiskIdentity { serial: "TARGET".to_owned(), size: TARGET, ..DiskIdentity::default() },
            others: others.collect(),
            install: machine_config::parse("config", config.as_bytes(), None).unwrap().install.unwrap(),
            needs: Needs {
                least_size: DiskLayout::least_size(slot).unwrap(),
                medium: "sr0",
                esp: medium::esp_uuid(&self.root_hash),
            },
        }
    }

    /// The machine's own disk is what the record says, and has nothing wrong with it.
    pub(super) fn judge_finished(&self, judge: &Judge<'_>, before: &Path, config: &str) {
        let (disk, replayed) = (self.file("target.raw"), self.file("replayed.raw"));
        run(program("cp").arg("--sparse=always").arg(before).arg(&replayed));
        judge.finished.write_over(&OpenOptions::new().write(true).open(&replayed).unwrap());
        run(program("cmp").arg(&disk).arg(&replayed));
        fs_err::remove_file(replayed).unwrap();
        finished::judge(&disk, &self.image, &self.root_hash, config);
        assert_eq!(judge.verdict(&judge.finished), Ok(Verdict::Boots { clean: true }));
    }

    /// Boots a machine with this disk, the medium still in, until it runs from the disk.
    pub(super) fn boot(&self, disk: &Path, seed: &Path, bios: bool, installs: bool) {
        let guest = self.guest(seed).raw_disk(disk).with_probe();
        let mut vm = if bios { guest.bios().on(Chipset::Pc, DiskBus::Virtio) } else { guest }.start();
        let mut started = Mark::default();
        if installs {
            let installed = vm.state_after(started, "installed", INSTALLATION, |_| true);
            assert_eq!(installed.get("serial"), Some("TARGET"), "{installed}");
            started = vm.mark();
        }
        vm.state_after(started, Ready::STATE, INSTALLATION, |_| true);
        let console = vm.console();
        assert_eq!(console.contains("kmimage: install disk="), installs, "{console}");
        let mut probe = vm.probe();
        assert_eq!(probe.read("/etc/hostname"), "installed\n");
        let var = partitions(&self.image).into_iter().find(|partition| partition.name == Role::Var.name()).unwrap();
        assert!(probe.space("/var").total > var.len, "var has not grown");
        drop(probe);
        vm.power_off();
        vm.assert_no_crash();
    }
}

fn sha256(path: &Path) -> String {
    run(program("sha256sum").arg("--binary").arg(path)).split(' ').next().unwrap().to_owned()
}

/// The UUIDs of a root's two partitions are its root hash.
fn root_hash(medium: &Path) -> RootHash {
    let found = partitions(medium);
    let uuid = |name: &str| found.iter().find(|partition| partition.name == name).unwrap().uuid.replace('-', "");
    format!("{}{}", uuid("root-a"), uuid("root-a-verity")).parse().unwrap()
}
