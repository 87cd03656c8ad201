//! An installation from a small medium in files: whole, cut off anywhere, and judged by the tools of others.

mod choosing;
mod disk;
mod medium;

use super::act::{Device, InstallError, Target, act};
use super::content::{Content, LOOKED_AT, MARK_AT, judge};
use super::esp::{EspFile, files};
use super::medium::{Medium, Place};
use super::plan::{Plan, plan};
use super::reset::wipe;
use super::verify::{BLOCK, Verifier, tree_size};
use crate::config::volume::Volume;
use disk::{Op, Recorder, Sparse};
use kmimage_contract::disk_layout::{DiskLayout, Role};
use kmimage_contract::gpt::{Copy, SectorSize, read};
use kmimage_contract::release::Release;
use kmimage_contract::verity::VerityParams;
use medium::Files;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::process::Command;
use uuid::Uuid;

const SLOT_SIZE: u64 = 2 << 20;
const CONFIG: &[u8] = b"version = 1\n[install]\n";

fn release() -> Release {
    Release { image_id: "kmimage-base".to_owned(), version: "1.2".to_owned(), role: "base".to_owned(), slot_size: SLOT_SIZE }
}

/// A disk's size: the least, and a bit that fits no partition.
fn size() -> u64 {
    DiskLayout::least_size(SLOT_SIZE).unwrap() + (5 << 20) + 512
}

fn fresh() -> impl FnMut() -> Result<Uuid, InstallError> {
    let mut next = 0xf5_0000_0000_0000_0000_0000_0000_0000;
    move || {
        next += 1;
        Ok(Uuid::from_u128(next))
    }
}

fn planned(medium: &Medium) -> (Vec<EspFile>, Plan) {
    let files = files(&mut medium.volume().unwrap(), &release(), medium.esp_uuid, Some(CONFIG.to_vec())).unwrap();
    let plan = plan(size(), SLOT_SIZE, medium, &files, fresh(), 1_700_000_000).unwrap();
    (files, plan)
}

fn install(target: &impl Target, medium: &Medium) -> Result<Vec<String>, InstallError> {
    let (files, plan) = planned(medium);
    let mut lines = Vec::new();
    let mut say = |line: kmimage_contract::state_line::StateLine| lines.push(line.to_string());
    act(target, medium, &mut medium.volume().unwrap(), &plan, &files, &mut say)?;
    Ok(lines)
}

/// What is wrong with a disk that a firmware would boot; empty: it boots.
fn faults(disk: &Sparse, medium: &Medium) -> String {
    let mut reader = disk.reader();
    let Ok(found) = read(&mut reader, disk.size, SectorSize::B512) else { return "no table".to_owned() };
    if found.copy != Copy::Primary || !DiskLayout::is_ours(&found.table) {
        return format!("{:?}", found.copy);
    }
    let (files, plan) = planned(medium);
    let esp = found.table.partition(plan.esp_uuid).unwrap();
    let (start, len) = (esp.first_lba * 512, (esp.last_lba + 1 - esp.first_lba) * 512);
    let mut volume = Volume::open(disk.window(start, len)).unwrap().unwrap();
    for file in files {
        let expected = file.text.unwrap_or_else(|| medium.volume().unwrap().read(&file.path, 1 << 30).unwrap().unwrap());
        if volume.read(&file.path, 1 << 30).ok().flatten() != Some(expected) {
            return format!("{} differs", file.path);
        }
    }
    let mut verifier = Verifier::new(&medium.params);
    verifier.add(&disk.bytes(plan.root.start, plan.root.len));
    let (hash, tree) = verifier.finish(&medium.params).unwrap();
    if hash != medium.root_hash || disk.bytes(plan.tree.start, plan.tree.len) != tree {
        return "the root differs".to_owned();
    }
    let core = medium.volume().unwrap().read("boot/grub/core.img", 1 << 20).unwrap().unwrap();
    if disk.bytes(plan.bios.start, core.len() as u64) != core {
        return "the core image differs".to_owned();
    }
    let clear = plan.zeros.iter().all(|place| disk.bytes(place.start, place.len).iter().all(|&byte| byte == 0));
    if clear { String::new() } else { "an old file system is left".to_owned() }
}

/// What the installer takes a disk for.
fn content(disk: &Sparse) -> Content {
    let table = read(&mut disk.reader(), disk.size, SectorSize::B512).ok().map(|found| found.table);
    judge(&disk.bytes(0, LOOKED_AT), &disk.bytes(disk.size - LOOKED_AT, LOOKED_AT), table.as_ref())
}

/// A disk that another system has filled: a valid GPT, and data wherever kmimage looks.
fn foreign() -> Sparse {
    let mut layout =
        DiskLayout::installed(SLOT_SIZE, &kmimage_contract::RootHash(std::array::from_fn(|at| at as u8)), size(), fresh())
            .unwrap();
    layout.partitions.retain(|partition| partition.role != Role::Bios);
    let encoded = layout.gpt(SectorSize::B512).encode().unwrap();
    let mut disk = Sparse::new(size());
    for place in [0, 1 << 20, 2 << 20, size() - (3 << 20)] {
        disk.write(&vec![0xee; 1 << 20], place);
    }
    for partition in &layout.partitions {
        disk.write(&vec![0xdd; 1 << 20], partition.offset);
        disk.write(&vec![0xdd; 1 << 20], partition.offset + partition.size - (1 << 20));
    }
    disk.write(&encoded.primary, 0);
    disk.write(&encoded.backup, encoded.backup_offset);
    disk
}

#[test]
fn a_disk_becomes_one_that_boots() {
    let medium = Files::new().medium();
    for before in [Sparse::new(size()), foreign()] {
        let recorder = Recorder::new(before);
        let lines = install(&recorder, &medium).unwrap();
        let disk = recorder.disk();
        assert_eq!(faults(&disk, &medium), "");
        assert_eq!(content(&disk), Content::Kmimage { installed_from: None });
        assert_eq!(disk.bytes(0, 3), [0xeb, 0x63, 0x90]);
        assert!(disk.bytes(MARK_AT, 512).iter().all(|&byte| byte == 0));
        assert_eq!(lines.first().map(String::as_str), Some("kmimage: install step=copy percent=0"));
        assert_eq!(lines.last().map(String::as_str), Some("kmimage: install step=verify percent=100"));
    }
}

/// Wherever power fails, and whatever of the unflushed writes has reached the disk: it boots, or the installer takes it again.
#[test]
fn power_may_fail_anywhere() {
    let medium = Files::new().medium();
    for (before, own) in [(Sparse::new(size()), Content::Empty), (foreign(), content(&foreign()))] {
        let recorder = Recorder::new(before.clone());
        install(&recorder, &medium).unwrap();
        let ops = recorder.ops();
        let flushes = ops.iter().filter(|op| matches!(op, Op::Flush)).count();
        assert_eq!(flushes, 9);
        let mut random = disk::Random(0x6b6d_696d);
        let (mut booting, mut again) = (0, 0);
        let last = ops.iter().rposition(|op| matches!(op, Op::Write { offset: 0, .. })).unwrap();
        for round in 0..105 {
            // Many of them where it is decided.
            let cut = if round % 3 == 0 { last - 4 + random.below(9) } else { random.below(ops.len() + 1) };
            let disk = disk::cut(&before, &ops, cut.min(ops.len()), &mut random);
            let bootable = disk.bytes(510, 2) == [0x55, 0xaa];
            let found = content(&disk);
            if bootable && found != own {
                assert_eq!(faults(&disk, &medium), "", "cut at {cut}");
                booting += 1;
            } else {
                let free = matches!(found, Content::Empty | Content::Unfinished);
                // Before the mark it is what it was, perhaps without its first sector.
                assert!(free || found == own || matches!(&found, Content::Foreign(_)) && cut <= 8, "cut at {cut}: {found:?}");
                if round % 15 == 0 {
                    let second = Recorder::new(disk);
                    install(&second, &medium).unwrap();
                    assert_eq!(faults(&second.disk(), &medium), "", "again after {cut}");
                }
                again += 1;
            }
        }
        assert!(booting > 10 && again > 10, "{booting} boot, {again} are taken again");
    }
}

/// An installation over what another one left is cut off, too, and so is a reset: each is found again, or done.
#[test]
fn power_may_fail_again_and_in_a_reset() {
    let medium = Files::new().medium();
    let (_, plan) = planned(&medium);
    let whole = Recorder::new(Sparse::new(size()));
    install(&whole, &medium).unwrap();
    let (ops, whole) = (whole.ops(), whole.disk());
    let last = ops.iter().rposition(|op| matches!(op, Op::Write { offset: 0, .. })).unwrap();
    let mut random = disk::Random(0x7265_7365);
    // All but the first sector is there.
    let unfinished = disk::cut(&Sparse::new(size()), &ops, last, &mut random);
    assert_eq!(content(&unfinished), Content::Unfinished);
    let again = Recorder::new(unfinished.clone());
    install(&again, &medium).unwrap();
    let again = again.ops();
    let marked = again.iter().position(|op| matches!(op, Op::Write { offset: MARK_AT, .. })).unwrap();
    for round in 0..60 {
        let disk = disk::cut(&unfinished, &again, round % (marked + 2), &mut random);
        assert_eq!(content(&disk), Content::Unfinished, "round {round}");
    }

    let places: Vec<Place> = plan.zeros.iter().copied().chain([plan.bios, plan.root]).collect();
    let reset = Recorder::new(whole.clone());
    wipe(&reset, size(), &places).unwrap();
    assert_eq!(content(&reset.disk()), Content::Empty);
    let ops = reset.ops();
    let mut seen = [0; 3];
    for round in 0..120 {
        let disk = disk::cut(&whole, &ops, round % (ops.len() + 1), &mut random);
        match content(&disk) {
            Content::Kmimage { installed_from: None } => seen[0] += 1,
            Content::Unfinished => seen[1] += 1,
            Content::Empty => seen[2] += 1,
            other => panic!("round {round}: {other:?}"),
        }
    }
    assert!(seen.iter().all(|&count| count > 0), "{seen:?}");
}

/// A mark that another system has left where it was does not make its disk nobody's.
#[test]
fn a_mark_beside_something_else_means_nothing() {
    let medium = Files::new().medium();
    let recorder = Recorder::new(Sparse::new(size()));
    install(&recorder, &medium).unwrap();
    let ops = recorder.ops();
    let last = ops.iter().rposition(|op| matches!(op, Op::Write { offset: 0, .. })).unwrap();
    let mut random = disk::Random(0x6d61_726b);
    for before in [ops.iter().position(|op| matches!(op, Op::Write { offset: MARK_AT, .. })).unwrap() + 2, last] {
        let mut cut = disk::cut(&Sparse::new(size()), &ops, before, &mut random);
        assert_eq!(content(&cut), Content::Unfinished);
        // Where RAID, LVM and others write.
        for place in [512, 4096, 17_408, MARK_AT - 512, MARK_AT + 4096, size() - LOOKED_AT, size() - 40 * 512] {
            let kept = cut.bytes(place, 512);
            cut.write(&[0xfc; 512], place);
            assert!(matches!(content(&cut), Content::Foreign(_)), "at {place}: {:?}", content(&cut));
            cut.write(&kept, place);
        }
    }
}

/// A disk that loses a bit, or a write, of what it was given never becomes bootable.
#[test]
fn what_is_not_on_the_disk_is_noticed() {
    let medium = Files::new().medium();
    let (_, plan) = planned(&medium);
    for (place, expected) in [
        (plan.root.start + 5 * BLOCK as u64, "the root"),
        (plan.tree.start + BLOCK as u64, "the hash tree"),
        (plan.bios.start, "GRUB's core image"),
        (plan.esp + 512, "the ESP"),
        (plan.zeros[0].start + 99, "an empty partition"),
    ] {
        let recorder = Recorder::new(Sparse::new(size())).flipping(place);
        let error = install(&recorder, &medium).unwrap_err();
        assert_eq!(error.to_string(), format!("the disk does not hold what was written to it: {expected} differs"));
        assert_eq!(content(&recorder.disk()), Content::Unfinished);
    }
    let full = Recorder::new(Sparse::new(size())).failing_from(plan.root.start);
    assert_eq!(install(&full, &medium).unwrap_err().to_string(), "writing the disk");
    assert_eq!(content(&full.disk()), Content::Unfinished);
}

#[test]
fn a_medium_that_lacks_something_is_refused_by_name() {
    let medium = Files::without("boot/grub/core.img").medium();
    let error = files(&mut medium.volume().unwrap(), &release(), medium.esp_uuid, None).unwrap_err();
    assert_eq!(error.to_string(), "the medium's ESP has no boot/grub/core.img");
    let medium = Files::new().medium();
    let (files, _) = planned(&medium);
    let error = plan(size(), 1 << 20, &medium, &files, fresh(), 0).unwrap_err();
    assert_eq!(error.to_string(), "the root is larger than a slot");
    let error = plan(64 << 20, SLOT_SIZE, &medium, &files, fresh(), 0).unwrap_err();
    assert!(error.to_string().starts_with("the disk has 67108864 bytes, "), "{error}");
}

#[test]
fn what_is_on_a_disk_is_told() {
    let check = |at: usize, what: &[u8], expect: &str| {
        let mut begin = vec![0; LOOKED_AT as usize];
        begin[at..at + what.len()].copy_from_slice(what);
        assert_eq!(judge(&begin, &vec![0; 512], None), Content::Foreign(expect.to_owned()));
    };
    check(1080, &[0x53, 0xef], "an ext file system");
    check(0x8001, b"CD001", "an ISO 9660 file system");
    check(510, &[0x55, 0xaa], "a boot sector");
    check(99, b"x", "data that kmimage has not made");
    check(MARK_AT as usize, b"kmimage: an installation?", "data that kmimage has not made");
    let mut mbr = vec![0; LOOKED_AT as usize];
    (mbr[450], mbr[510], mbr[511]) = (0x83, 0x55, 0xaa);
    assert_eq!(judge(&mbr, &[], None), Content::Foreign("an MBR partition table".to_owned()));
    assert_eq!(judge(&vec![0; LOOKED_AT as usize], &[1], None), Content::Foreign("data that kmimage has not made".to_owned()));
    assert_eq!(judge(&vec![0; LOOKED_AT as usize], &[0; 512], None), Content::Empty);
    assert_eq!(content(&foreign()), Content::Foreign("a GPT with 7 partitions: esp, root-a, root-a-verity, _empty".to_owned()));
}

#[expect(clippy::disallowed_methods, reason = "foreign tools judge our bytes")]
fn judged(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

#[test]
fn tools_judge_an_installed_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    std::fs::File::create(&path).unwrap().set_len(size()).unwrap();
    let medium = Files::new().medium();
    install(&Device::open(&path).unwrap(), &medium).unwrap();
    let (disk, (_, plan)) = (path.to_str().unwrap(), planned(&medium));
    assert!(judged("sgdisk", &["-v", disk]).contains("No problems found"));
    assert!(judged("sgdisk", &["-p", disk]).contains("root-a-verity"));
    let esp = format!("{disk}@@{}", plan.esp);
    assert_eq!(judged("mtype", &["-i", &esp, "::/kmimage/machine.toml"]).as_bytes(), CONFIG);
    assert!(judged("mtype", &["-i", &esp, "::/kmimage/installed-from"]).starts_with(&medium.esp_uuid.to_string()));
    assert!(judged("mtype", &["-i", &esp, "::/loader/loader.conf"]).starts_with("timeout 0\n"));
    // fsck.fat wants a file of its own.
    let alone = folder.path().join("esp");
    let mut whole = std::fs::File::open(&path).unwrap();
    whole.seek(SeekFrom::Start(plan.esp)).unwrap();
    let mut bytes = Vec::new();
    whole.take(64 << 20).read_to_end(&mut bytes).unwrap();
    std::fs::write(&alone, bytes).unwrap();
    std::fs::OpenOptions::new().write(true).open(&alone).unwrap().set_len(512 << 20).unwrap();
    judged("fsck.fat", &["-n", alone.to_str().unwrap()]);
}

/// The tree that is made anew is the one that veritysetup makes.
#[test]
fn tools_veritysetup_makes_the_same_tree() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for blocks in [1, 2, 128, 129, 300, 16_400] {
        let data: Vec<u8> = (0..blocks * BLOCK).map(|at| (at / 7 + at / BLOCK) as u8).collect();
        std::fs::write(path("data"), &data).unwrap();
        let params = VerityParams {
            uuid: Uuid::from_u128(7),
            data_block_size: 4096,
            hash_block_size: 4096,
            data_blocks: blocks as u64,
            salt: vec![0xab; 32],
        };
        let (salt, uuid) = (format!("--salt={}", "ab".repeat(32)), format!("--uuid={}", params.uuid));
        let said = judged("veritysetup", &["format", &salt, &uuid, &path("data"), &path("tree")]);
        let mut verifier = Verifier::new(&params);
        data.chunks(3 * BLOCK).for_each(|piece| verifier.add(piece));
        let (hash, tree) = verifier.finish(&params).unwrap();
        assert!(said.contains(&hash.to_string()), "{blocks} blocks: {said}");
        assert_eq!(tree.len() as u64, tree_size(blocks as u64));
        assert_eq!(std::fs::read(path("tree")).unwrap(), tree, "{blocks} blocks");
        std::fs::remove_file(path("tree")).unwrap();
    }
}
