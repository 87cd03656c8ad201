//! Which disk is taken, and what is said of those that are not.

use super::super::Wish;
use super::super::choose::{Needs, choose, installed};
use super::super::content::Content;
use super::super::disks::Disk;
use kmimage_contract::cmdline::Purpose;
use kmimage_contract::disk_selector::DiskIdentity;
use kmimage_contract::machine_config::{AfterInstall, Install};
use uuid::Uuid;

const ESP: Uuid = Uuid::from_u128(0xe5);
const NEEDS: Needs<'static> = Needs { least_size: 2 << 30, medium: "sr0", esp: ESP };

fn disk(name: &str, serial: &str, gib: u64) -> Disk {
    let identity = DiskIdentity {
        ids: vec![format!("ata-QEMU_HARDDISK_{serial}")],
        serial: serial.to_owned(),
        model: "QEMU HARDDISK".to_owned(),
        size: gib << 30,
        ..DiskIdentity::default()
    };
    let name = name.to_owned();
    Disk { name, identity, sector_size: 512, removable: false, read_only: false, held: None, content: Content::Empty }
}

/// Who is chosen by `wish` (a selector, and after a space what may be wiped), or why nobody is.
#[track_caller]
fn check(disks: &[Disk], wish: &str, expect: &str) {
    let (selector, wipe) = wish.split_once(' ').unwrap_or((wish, ""));
    let disk = if selector.is_empty() { Default::default() } else { selector.parse().unwrap() };
    let wipe = (!wipe.is_empty()).then(|| wipe.to_owned());
    let wish = Wish { reset: false, disk, wipe, after: AfterInstall::Restart };
    let found = choose(disks, &wish, &NEEDS).map_or_else(|refusal| refusal.to_string(), |disk| disk.name.clone());
    assert!(found == expect || found.starts_with(expect) && expect.ends_with(')'), "{found}");
}

#[test]
fn one_disk_must_match() {
    let two = [disk("sda", "A", 20), disk("sdb", "B", 30)];
    check(&two[..1], "", "sda");
    check(&two, "serial:B", "sdb");
    check(&two, "id:ata-QEMU_HARDDISK_A,size:>=10GiB", "sda");
    check(&two, "size:>=25GiB", "sdb");
    check(
        &two,
        "",
        "several disks match (sda: 20480 MiB, model QEMU HARDDISK, serial A, holds nothing; \
         sdb: 30720 MiB, model QEMU HARDDISK, serial B, holds nothing)",
    );
    check(
        &two,
        "serial:C",
        "no disk is the one that is named (sda: another serial, 20480 MiB, model QEMU HARDDISK, serial A, holds nothing; \
         sdb: another serial, 30720 MiB, model QEMU HARDDISK, serial B, holds nothing)",
    );
    check(
        &two,
        "size:>=25GiB,serial:A",
        "no disk is the one that is named (sda: another size, 20480 MiB, model QEMU HARDDISK, serial A, holds nothing; sdb: another serial, 30720 MiB, model QEMU HARDDISK, serial B, holds nothing)",
    );
    check(&[], "", "there is no disk to install on; attach the disk, or correct `disk` in the machine config's [install]");
}

#[test]
fn the_medium_and_what_is_removable_are_not_taken_by_chance() {
    let mut stick = Disk { removable: true, ..disk("sdb", "STICK", 8) };
    check(&[disk("sda", "A", 20), stick.clone()], "", "sda");
    check(&[stick.clone()], "serial:STICK", "sdb");
    // A config that is attached as a disk is no choice either, unless somebody names it.
    check(&[disk("sda", "A", 20), disk("sdb", "CIDATA", 1)], "", "sda");
    stick.name = "sr0".to_owned();
    check(&[disk("sda", "A", 20), stick.clone()], "size:>=1GiB", "sda");
    check(
        &[stick],
        "serial:STICK",
        "no disk is the one that is named (sr0: it is the medium, 8192 MiB, model QEMU HARDDISK, serial STICK, holds nothing)",
    );
}

#[test]
fn what_a_disk_holds_is_kept_unless_it_is_named() {
    let holding = |content: Content| [Disk { content, ..disk("sda", "A", 20) }];
    let other = holding(Content::Foreign("an ext file system".to_owned()));
    check(&other, "serial:A", "the disk can't be taken (sda: it holds an ext file system)");
    check(&other, "serial:A B", "the disk can't be taken (sda: it holds an ext file system)");
    check(&other, "serial:A A", "sda");
    check(&other, " ata-QEMU_HARDDISK_A", "sda");
    check(&holding(Content::Unfinished), "", "sda");
    // Nobody can have meant to lose what nobody can see.
    let unreadable = holding(Content::Unreadable("Input/output error".to_owned()));
    check(&unreadable, "serial:A A", "the disk can't be taken (sda: it can't be read (Input/output error))");
    let damaged = holding(Content::Damaged("its ESP can't be read".to_owned()));
    check(
        &damaged,
        "serial:A A",
        "the disk can't be taken (sda: it holds an installation of kmimage, but its ESP can't be read)",
    );
    let ours = |installed_from| holding(Content::Kmimage { installed_from });
    check(&ours(None), "", "the disk can't be taken (sda: it holds an installation of kmimage)");
    check(&ours(Some(Uuid::nil())), "serial:A A", "sda");
    // Its own finished work is not wiped by a config that still says so.
    check(&ours(Some(ESP)), "serial:A A", "the disk can't be taken (sda: it has the finished installation of this medium)");
}

#[test]
fn what_can_not_be_written_is_refused_whatever_is_wished() {
    let good = disk("sda", "A", 20);
    let refused = |disk: Disk, expect: &str| check(&[disk], "serial:A A", &format!("the disk can't be taken (sda: {expect})"));
    refused(Disk { read_only: true, ..good.clone() }, "it takes no writes");
    refused(Disk { held: Some("sda1 is mounted".to_owned()), ..good.clone() }, "it is in use: sda1 is mounted");
    refused(Disk { sector_size: 4096, ..good.clone() }, "its sectors have 4096 bytes, and only disks with 512 are served");
    refused(disk("sda", "A", 1), "it has 1024 MiB, 2048 MiB are needed");
}

#[test]
fn one_installation_is_reset_and_no_more() {
    let ours = |name: &str| Disk { content: Content::Kmimage { installed_from: None }, ..disk(name, "A", 20) };
    let check = |disks: &[Disk], expect: &str| {
        let found = installed(disks, &NEEDS).map_or_else(|refusal| refusal.cause.to_owned(), |disk| disk.name.clone());
        assert_eq!(found, expect);
    };
    check(&[ours("sda"), disk("sdb", "B", 20)], "sda");
    check(&[Disk { content: Content::Damaged(String::new()), ..ours("sda") }], "sda");
    check(&[Disk { content: Content::Unfinished, ..ours("sda") }], "sda");
    check(&[ours("sda"), ours("sdb")], "several disks have an installation");
    check(&[disk("sdb", "B", 20), ours("sr0")], "no disk has an installation");
    check(&[Disk { held: Some("sda3 is part of dm-0".to_owned()), ..ours("sda") }], "the disk is in use");
    check(&[Disk { read_only: true, ..ours("sda") }], "the disk takes no writes");
}

#[test]
fn the_command_line_says_more_than_the_config() {
    let config = Install { disk: "serial:A".parse().unwrap(), wipe: Some("A".to_owned()), after: AfterInstall::PowerOff };
    let wish = |purpose: &Purpose, config: Option<&Install>| {
        let wish = Wish::of(purpose, config)?;
        Some(format!("{} {} {} {:?}", wish.reset, wish.disk, wish.wipe.unwrap_or_default(), wish.after))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(wish(&Purpose::Usual, None), None);
    assert_eq!(wish(&Purpose::Usual, Some(&config)), some("false serial:A A PowerOff"));
    assert_eq!(wish(&Purpose::Live, Some(&config)), None);
    assert_eq!(wish(&Purpose::Install(None), None), some("false   Restart"));
    assert_eq!(wish(&Purpose::Install(None), Some(&config)), some("false serial:A A PowerOff"));
    let selector = Purpose::Install(Some("serial:B".parse().unwrap()));
    assert_eq!(wish(&selector, Some(&config)), some("false serial:B A PowerOff"));
    assert_eq!(wish(&Purpose::Reset, Some(&config)), some("true   Restart"));
    let json = serde_json::to_string(&Wish::of(&selector, Some(&config))).unwrap();
    assert_eq!(serde_json::from_str::<Option<Wish>>(&json).unwrap(), Wish::of(&selector, Some(&config)));
}
