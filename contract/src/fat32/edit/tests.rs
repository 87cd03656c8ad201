use super::*;
use crate::fat32::layout::{self, Data, FileAt, Volume};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

const EPOCH: i64 = 1_781_000_000;
const NAMES: [&str; 3] = ["kmimage-a.conf", "kmimage-b+3.conf", "kmimage-b+2-1.conf"];

/// A volume in a file, so that tools of others can judge it.
struct Disk {
    directory: tempfile::TempDir,
    path: PathBuf,
    file: File,
    size: u64,
}

impl Disk {
    fn empty(size: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("esp");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(size).unwrap();
        Self { directory, path, file, size }
    }

    /// As `layout` makes it.
    fn ours(size: u64, files: &[(&str, &[u8])]) -> Self {
        let disk = Self::empty(size);
        let volume = Volume { size, disk_offset: 0, serial: 1, label: "ESP", epoch: EPOCH };
        let list: Vec<FileAt<'_>> = files.iter().map(|(path, bytes)| FileAt { path, len: bytes.len() as u64 }).collect();
        for extent in layout::lay_out(&volume, &list).unwrap() {
            let bytes = match extent.data {
                Data::Bytes(bytes) => bytes,
                Data::File(index) => files[index].1.to_vec(),
            };
            disk.file.write_all_at(&bytes, extent.offset).unwrap();
        }
        disk
    }

    /// As mkfs.fat makes it.
    fn foreign(size: u64, arguments: &[&str]) -> Self {
        let disk = Self::empty(size);
        tool("/usr/sbin/mkfs.fat", &[&["-F", "32"], arguments, &[disk.text()]].concat(), 0);
        disk
    }

    fn text(&self) -> &str {
        self.path.to_str().unwrap()
    }

    fn with<T>(&self, what: impl FnOnce(&Fat32<'_>) -> T) -> T {
        let read = |offset: u64, bytes: &mut [u8]| self.file.read_exact_at(bytes, offset);
        what(&Fat32::open(&read, self.size).unwrap())
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.with(|fat| fat.read(path, 1 << 30).unwrap())
    }

    fn apply(&self, plan: &Plan<'_>) {
        plan.carry_out(|offset, bytes| self.file.write_all_at(bytes, offset), || Ok(())).unwrap();
    }

    fn list(&self, path: &str) -> Vec<String> {
        let mut names: Vec<String> =
            self.with(|fat| fat.list(path).unwrap()).unwrap().into_iter().map(|listed| listed.name).collect();
        names.sort();
        names
    }

    /// The checker has nothing to say.
    fn check(&self) {
        let text = tool("/usr/sbin/fsck.fat", &["-n", self.text()], 0);
        assert!(!text.contains("differ") && !text.contains("wrong") && !text.contains("eclaim"), "{text}");
    }

    /// A power cut after these writes: the volume's copy, checked and mended by others, and what they said.
    fn cut<'w>(&self, writes: impl IntoIterator<Item = &'w Write<'w>>) -> (Self, String) {
        let copy = Self::empty(self.size);
        tool("cp", &["--sparse=always", self.text(), copy.text()], 0);
        writes.into_iter().for_each(|write| copy.file.write_all_at(&write.bytes, write.offset).unwrap());
        let text = tool("/usr/sbin/fsck.fat", &["-a", copy.text()], 1);
        copy.check();
        (copy, text)
    }

    fn mtools(&self, program: &str, arguments: &[&str]) {
        tool(program, &[&["-i", self.text()], arguments].concat(), 0);
    }

    fn mcopy(&self, path: &str, bytes: &[u8]) {
        let from = self.directory.path().join("from");
        std::fs::write(&from, bytes).unwrap();
        self.mtools("mcopy", &["-o", from.to_str().unwrap(), &format!("::{path}")]);
    }
}

fn tool(program: &str, arguments: &[&str], most: i32) -> String {
    #[expect(clippy::disallowed_methods, reason = "a foreign tool judges our bytes")]
    let output = Command::new(program)
        .args(arguments)
        .env("MTOOLS_SKIP_CHECK", "1")
        .output()
        .unwrap_or_else(|error| panic!("{program} must be installed (dosfstools, mtools): {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| code <= most), "{program} {arguments:?}: {text}");
    text
}

fn esp() -> Disk {
    let uki: Vec<u8> = (0..300_001u32).map(|at| (at * 7) as u8).collect();
    Disk::ours(
        34 << 20,
        &[
            ("EFI/BOOT/BOOTX64.EFI", &uki[..70_000]),
            ("EFI/kmimage/a.efi", &uki),
            ("boot/grub/slots.env", &[b'#'; 1024]),
            ("loader/entries/kmimage-a.conf", b"entry a"),
            ("loader/entries/kmimage-b+3.conf", b"entry b"),
        ],
    )
}

/// Carries a plan out with a power cut after every single write, forwards and backwards in each step: the checker mends it without
/// a loss, `path` has the old or the new content, and all other files are as they were.
fn survives_cuts(disk: &Disk, plan: &Plan<'_>, others: &[&str], is_fine: impl Fn(&Disk) -> bool) {
    let before: Vec<Option<Vec<u8>>> = others.iter().map(|path| disk.read(path)).collect();
    for step in &plan.steps {
        for count in 1..=step.len() {
            let mut cuts = vec![step.iter().take(count).collect::<Vec<_>>()];
            // Of the whole step there is but one state.
            cuts.extend((count < step.len()).then(|| step.iter().rev().take(count).collect()));
            for writes in cuts {
                let (after, text) = disk.cut(writes);
                for word in ["shares", "runcat", "Bad", "bad", "start", "FSCK", "invalid"] {
                    assert!(!text.contains(word), "{text}");
                }
                let now: Vec<Option<Vec<u8>>> = others.iter().map(|path| after.read(path)).collect();
                assert!(now == before, "another file changed");
                assert!(is_fine(&after), "{:?}", after.list("loader/entries"));
            }
        }
        step.iter().for_each(|write| disk.file.write_all_at(&write.bytes, write.offset).unwrap());
    }
    disk.check();
}

#[test]
fn tools_a_file_appears_or_changes_whole_whenever_power_fails() {
    let disk = esp();
    let others = ["EFI/kmimage/a.efi", "EFI/BOOT/BOOTX64.EFI", "loader/entries/kmimage-a.conf"];
    let large: Vec<u8> = (0..5000u32).map(|at| (at / 3) as u8).collect();
    // A new file in a new directory, a new file beside others, and another content.
    for (path, content) in [
        ("/boot/b/cmdline.env", &large[..1024]),
        ("loader/entries/kmimage-b+2-1.conf", b"entry of another slot"),
        ("boot/b/cmdline.env", &large),
        ("boot/b/cmdline.env", b""),
    ] {
        let old = disk.read(path);
        let plan = disk.with(|fat| fat.put(path, content, EPOCH).unwrap());
        survives_cuts(&disk, &plan, &others, |after| {
            let now = after.read(path);
            now == old || now.as_deref() == Some(content)
        });
        assert_eq!(disk.read(path).as_deref(), Some(content));
    }
    let out = disk.directory.path().join("out");
    disk.mtools("mcopy", &["-n", "::boot/b/cmdline.env", out.to_str().unwrap()]);
    assert_eq!(std::fs::read(out).unwrap(), b"");
}

#[test]
fn tools_a_rename_is_one_sector_and_both_names_never_are_there() {
    let disk = esp();
    let plan = disk.with(|fat| fat.rename("loader/entries/KMIMAGE-B+3.CONF", "kmimage-b.conf").unwrap());
    assert_eq!(plan.steps.len(), 1);
    assert_eq!((plan.steps[0].len(), plan.steps[0][0].bytes.len()), (1, 512));
    survives_cuts(&disk, &plan, &["EFI/kmimage/a.efi", "loader/entries/kmimage-a.conf"], |after| {
        let names = after.list("loader/entries");
        names == ["kmimage-a.conf", "kmimage-b+3.conf"] || names == ["kmimage-a.conf", "kmimage-b.conf"]
    });
    assert_eq!(disk.read("loader/entries/kmimage-b.conf").unwrap(), b"entry b");
    // Longer names, a short one, another case.
    for (from, to) in
        [("kmimage-b.conf", "a name that needs four records.conf"), ("a name that needs four records.conf", "B.TXT")]
    {
        disk.apply(&disk.with(|fat| fat.rename(&format!("loader/entries/{from}"), to).unwrap()));
        disk.check();
        assert_eq!(disk.read(&format!("loader/entries/{to}")).unwrap(), b"entry b");
    }
    disk.apply(&disk.with(|fat| fat.rename("loader/entries/B.TXT", "b.txt").unwrap()));
    assert_eq!(disk.list("loader/entries"), ["b.txt", "kmimage-a.conf"]);
    disk.apply(&disk.with(|fat| fat.rename("loader", "Loader").unwrap()));
    assert_eq!(disk.read("loader/entries/b.txt").unwrap(), b"entry b");
    disk.check();
}

#[test]
fn tools_records_over_two_sectors_are_renamed_and_removed_without_a_loss() {
    let disk = Disk::foreign(40 << 20, &["-n", "ESP"]);
    disk.mtools("mmd", &["::loader", "::loader/entries"]);
    for number in 0..6 {
        disk.mcopy(&format!("loader/entries/kmimage-{number}+2-1.conf"), &[number + 1; 700]);
    }
    // Two dots and four names of three records: the fifth lies in two sectors.
    let path = "loader/entries/kmimage-4+2-1.conf";
    let plan = disk.with(|fat| fat.rename(path, "kmimage-4.conf").unwrap());
    assert!(plan.steps.len() > 1);
    let others = ["loader/entries/kmimage-3+2-1.conf", "loader/entries/kmimage-5+2-1.conf"];
    survives_cuts(&disk, &plan, &others, |after| {
        let content = |path| after.read(path) == Some(vec![5; 700]);
        content(path) || content("loader/entries/kmimage-4.conf")
    });
    assert_eq!(disk.read(path), None);
    disk.mtools("mcopy", &["-n", "::loader/entries/kmimage-4.conf", disk.directory.path().join("out").to_str().unwrap()]);
    assert_eq!(std::fs::read(disk.directory.path().join("out")).unwrap(), [5; 700]);

    disk.mtools("mdel", &["::loader/entries/kmimage-4.conf"]);
    disk.mcopy("loader/entries/kmimage-6+2-1.conf", &[7; 3]);
    let plan = disk.with(|fat| fat.remove("loader/entries/kmimage-6+2-1.conf").unwrap());
    survives_cuts(&disk, &plan, &others, |_| true);
    assert_eq!(disk.read("loader/entries/kmimage-6+2-1.conf"), None);
}

#[test]
fn tools_an_erased_file_leaves_nothing_behind() {
    let disk = esp();
    let secret = b"join-token: abcdef.0123456789abcdef".repeat(100);
    disk.apply(&disk.with(|fat| fat.put("kmimage/machine.toml", &secret, EPOCH).unwrap()));
    let holds = |disk: &Disk| std::fs::read(&disk.path).unwrap().windows(16).any(|window| window == &secret[..16]);
    assert!(holds(&disk));
    let plan = disk.with(|fat| fat.erase("kmimage/machine.toml").unwrap());
    // The rest in one step, in whatever order: after the first sector.
    assert_eq!(plan.steps[0].iter().map(|write| write.bytes.len()).collect::<Vec<_>>(), [512]);
    survives_cuts(&disk, &plan, &["EFI/kmimage/a.efi"], |after| match after.read("kmimage/machine.toml") {
        Some(content) => content == secret || begins_erased(&content),
        None => !holds(after),
    });
    assert!(!holds(&disk));
    assert!(disk.list("kmimage").is_empty());
    // Files that end in their first sector, and one in pieces.
    for len in [0, 1, 512, 513] {
        disk.apply(&disk.with(|fat| fat.put("kmimage/machine.toml", &secret[..len], EPOCH).unwrap()));
        disk.apply(&disk.with(|fat| fat.erase("kmimage/machine.toml").unwrap()));
        assert!(!holds(&disk) && disk.list("kmimage").is_empty(), "{len}");
    }
    let disk = Disk::foreign(34 << 20, &["-s", "1"]);
    let put = |path: &str, bytes: &[u8]| disk.apply(&disk.with(|fat| fat.put(path, bytes, EPOCH).unwrap()));
    (0..8).for_each(|number| put(&number.to_string(), &[b'x'; 512]));
    let EditError::Full { free, .. } = disk.with(|fat| fat.put("all", vec![0; 40 << 20], EPOCH).unwrap_err()) else { panic!() };
    put("all", &vec![b'x'; free as usize]);
    ["1", "3", "5", "6"].iter().for_each(|name| disk.mtools("mdel", &[&format!("::{name}")]));
    put("machine.toml", &secret[..2000]);
    let plan = disk.with(|fat| fat.erase("machine.toml").unwrap());
    assert!(plan.steps[1].len() > 1, "it is in one piece");
    disk.apply(&plan);
    assert!(!holds(&disk));
    assert_eq!(disk.list(""), ["0", "2", "4", "7", "all"]);
    disk.check();
}

#[test]
fn a_file_is_written_over_in_the_sectors_that_differ() {
    let disk = esp();
    let mut content = disk.read("boot/grub/slots.env").unwrap();
    assert!(disk.with(|fat| fat.overwrite("boot/grub/slots.env", &content).unwrap()).steps.is_empty());
    content[30] = b'x';
    let plan = disk.with(|fat| fat.overwrite("boot/grub/slots.env", &content).unwrap());
    assert_eq!(plan.steps.iter().map(Vec::len).collect::<Vec<_>>(), [1]);
    assert_eq!(plan.steps[0][0].bytes.len(), 512);
    disk.apply(&plan);
    assert_eq!(disk.read("boot/grub/slots.env").unwrap(), content);
    let error = disk.with(|fat| fat.overwrite("boot/grub/slots.env", b"x").unwrap_err()).to_string();
    assert_eq!(error, "boot/grub/slots.env has 1024 bytes; 1 can't be written in their place");
}

#[test]
fn tools_volumes_of_others_are_edited() {
    let geometries: [(u64, &[&str]); 5] = [
        (40 << 20, &["-f", "1"]),
        (300 << 20, &["-S", "4096", "-s", "1"]),
        (64 << 20, &["-s", "1", "-R", "4"]),
        (36 << 20, &["-s", "1", "-f", "2"]),
        (600 << 20, &["-s", "16", "-h", "2048"]),
    ];
    for (size, arguments) in geometries {
        let disk = Disk::foreign(size, arguments);
        disk.mtools("mmd", &["::loader", "::loader/entries"]);
        disk.mcopy("loader/entries/kmimage-a+3.conf", b"theirs");
        for name in NAMES {
            disk.apply(&disk.with(|fat| fat.put(&format!("Loader/ENTRIES/{name}"), name.as_bytes(), EPOCH).unwrap()));
        }
        disk.mtools("mren", &["::loader/entries/kmimage-b+3.conf", "kmimage-b+1-2.conf"]);
        disk.apply(&disk.with(|fat| fat.remove("loader/entries/kmimage-b+2-1.conf").unwrap()));
        disk.apply(&disk.with(|fat| fat.rename("loader/entries/kmimage-b+1-2.conf", "kmimage-b.conf").unwrap()));
        assert_eq!(disk.list("loader/entries"), ["kmimage-a+3.conf", "kmimage-a.conf", "kmimage-b.conf"], "{arguments:?}");
        assert_eq!(disk.read("loader/entries/kmimage-a+3.conf").unwrap(), b"theirs");
        assert_eq!(disk.read("loader/entries/kmimage-b.conf").unwrap(), NAMES[1].as_bytes());
        disk.check();
    }
}

/// Hundreds of changes that a map does as well; after every step each file is as before the change or as after it.
#[test]
fn tools_a_long_history_ends_as_a_map_says_and_is_clean() {
    let disk = Disk::ours(34 << 20, &[("first", b"1")]);
    let mut model: BTreeMap<String, Vec<u8>> = BTreeMap::from([("first".to_owned(), b"1".to_vec())]);
    let mut seed = 1u32;
    let mut random = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % below
    };
    for round in 0..400u32 {
        let directory = ["", "d/", "d/e/f/", "EFI/Some Directory/"][random(4) as usize];
        let known: Vec<String> = model.keys().cloned().collect();
        let mut after = model.clone();
        let read = |offset: u64, bytes: &mut [u8]| disk.file.read_exact_at(bytes, offset);
        let fat = Fat32::open(&read, disk.size).unwrap();
        let content = vec![round as u8; random(3000) as usize];
        let plan = match random(5) {
            0 | 1 => {
                let path = format!("{directory}{} {round}.conf", "x".repeat(random(60) as usize + 1));
                let plan = fat.put(&path, &content, EPOCH).unwrap();
                after.insert(path, content.clone());
                plan
            }
            2 if !known.is_empty() => {
                let path = &known[random(known.len() as u32) as usize];
                after.insert(path.clone(), content.clone());
                fat.put(path, &content, EPOCH).unwrap()
            }
            3 if !known.is_empty() => {
                let path = &known[random(known.len() as u32) as usize];
                let name = format!("{}-{round}", "y".repeat(random(40) as usize + 1));
                let to = path.rsplit_once('/').map_or(name.clone(), |(above, _)| format!("{above}/{name}"));
                let content = after.remove(path).unwrap();
                after.insert(to, content);
                fat.rename(path, &name).unwrap()
            }
            _ if !known.is_empty() => {
                let path = &known[random(known.len() as u32) as usize];
                after.remove(path);
                fat.erase(path).unwrap()
            }
            _ => continue,
        };
        for (count, step) in plan.steps.iter().enumerate() {
            step.iter().for_each(|write| disk.file.write_all_at(&write.bytes, write.offset).unwrap());
            for (path, old) in model.iter().filter(|(path, old)| after.get(*path) == Some(old)) {
                assert_eq!(disk.read(path).as_ref(), Some(old), "{path} after step {count} of round {round}");
            }
        }
        model = after;
        for (path, content) in &model {
            assert_eq!(disk.read(path).as_ref(), Some(content), "{path} after round {round}");
        }
    }
    assert!(model.len() > 50, "{}", model.len());
    disk.check();
    let text = tool("mdir", &["-i", disk.text(), "-/", "-b"], 0);
    assert_eq!(text.lines().filter(|line| !line.ends_with('/')).count(), model.len());
}

#[test]
fn what_cannot_be_done_is_refused() {
    let disk = esp();
    let check = |result: Result<Plan<'_>, EditError>, expect: &str| assert_eq!(result.unwrap_err().to_string(), expect);
    disk.with(|fat| {
        check(fat.remove("no/such"), "no/such is not on the volume");
        check(fat.remove("EFI"), "EFI is a directory");
        check(fat.rename("EFI/kmimage/b.efi", "x"), "EFI/kmimage/b.efi is not on the volume");
        check(fat.rename("loader/entries/kmimage-a.conf", "KMIMAGE-b+3.conf"), "KMIMAGE-b+3.conf is on the volume already");
        check(
            fat.rename("EFI/kmimage/a.efi", "a/b"),
            "a/b can't be on a FAT32 volume: it has a character that FAT does not allow",
        );
        check(fat.put("EFI", b"", 0), "EFI is a directory");
        check(fat.put("EFI/kmimage/a.efi/x", b"", 0), "EFI/kmimage/a.efi/x is not a directory");
        check(fat.put("a//b", b"", 0), "a//b can't be on a FAT32 volume: it has an empty, `.` or `..` component");
        let long = "x".repeat(170);
        check(
            fat.put(&long, b"", 0),
            &format!("{long} can't be on a FAT32 volume: a name that is written has at most 169 UTF-16 units"),
        );
        check(fat.put("large", vec![0; 34 << 20], 0), "the volume has no room: 35651584 bytes are needed, 34697728 are free");
        let error = fat.read("EFI/kmimage/a.efi", 300_000).unwrap_err();
        assert_eq!(error.to_string(), "EFI/kmimage/a.efi has 300001 bytes, more than the 300000 that are read of it");
        assert_eq!(fat.list("nowhere").unwrap(), None);
    });
}

#[test]
fn damage_is_an_error_never_a_panic() {
    let disk = esp();
    let mut image = vec![0; 2 << 20];
    disk.file.read_exact_at(&mut image, 0).unwrap();
    let data = disk.with(|fat| fat.geometry.data as usize);
    for at in (0..96).chain(data..data + 1024) {
        for value in [0, 1, 2, 0x0f, 0x41, 0x80, 0xe5, 0xff] {
            let old = std::mem::replace(&mut image[at], value);
            everything(&image, disk.size);
            image[at] = old;
        }
    }
}

/// Every call on a volume of any bytes; what can be planned is carried out on a copy.
fn everything(image: &[u8], size: u64) {
    let read = |offset: u64, bytes: &mut [u8]| {
        let part = usize::try_from(offset).ok().and_then(|offset| image.get(offset..)?.get(..bytes.len()));
        part.map(|part| bytes.copy_from_slice(part)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    let Ok(fat) = Fat32::open(&read, size) else { return };
    let _ = fat.list("loader/entries");
    let _ = fat.read("EFI/kmimage/a.efi", 1 << 20);
    let _ = fat.put("boot/b/cmdline.env", b"x", 0);
    let _ = fat.put("boot/grub/slots.env", b"x", 0);
    let _ = fat.overwrite("boot/grub/slots.env", &[0; 1024]);
    let _ = fat.rename("loader/entries/kmimage-b+3.conf", "kmimage-b.conf");
    let _ = fat.erase("loader/entries/kmimage-a.conf");
}
