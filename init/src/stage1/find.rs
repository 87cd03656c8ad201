//! Finding the root: by the root hash, on the disk that the boot loader came from.

use super::drivers::{Drivers, Reach};
use super::media::Media;
use super::{Stage1Error, waiting};
use crate::console::Consoles;
use crate::facts::block::{self, BlockDevice};
use kmimage_contract::RootHash;
use kmimage_contract::verity::partition_uuids;
use kmimage_sys::poll;
use kmimage_sys::uevent::{Received, UeventSocket};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long the root may take to appear: spinning disks behind a slow controller take half of it.
const PATIENCE: Duration = Duration::from_secs(60);
/// After how long a wait is worth a line on the console.
const QUIET: Duration = Duration::from_secs(5);
/// A look around without an announcement: none should be missed, but if one is, this is what it costs.
const ROUND: Duration = Duration::from_secs(1);

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The root.
    pub root_hash: RootHash,
    /// The ESP that the boot loader was started from, where something says so: its disk is the only one that counts.
    pub esp: Option<Uuid>,
}

/// The two partitions of a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The one with the file system.
    pub data: BlockDevice,
    /// The one with the hash tree, on the same disk.
    pub tree: BlockDevice,
}

/// What a look at the devices gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Search {
    /// The root, and no doubt about it.
    Found(Box<Root>),
    /// Something is not there yet.
    Missing(String),
    /// Two disks have it, and nothing says which one is meant.
    Doubled(String, String),
}

/// Looks for the root among the devices that are there.
///
/// Where the boot loader names its ESP, only disks that carry it count; that decides between a disk and its copy or the medium that
/// it was installed from. A root that two counting disks carry is nobody's: booting either could be the wrong one.
pub fn search(devices: &[BlockDevice], wanted: &Wanted) -> Search {
    let uuids = partition_uuids(&wanted.root_hash);
    let of = |uuid: Uuid| devices.iter().filter(move |device| device.uuid == Some(uuid));
    let disks = |uuid: Uuid| of(uuid).filter_map(|device| device.disk.as_deref()).collect::<BTreeSet<&str>>();
    let counting = wanted.esp.map(disks);
    if let (Some(esp), Some(true)) = (wanted.esp, counting.as_ref().map(BTreeSet::is_empty)) {
        return Search::Missing(format!("the boot loader's disk (ESP PARTUUID={esp})"));
    }
    let counts = |disk: &&str| counting.as_ref().is_none_or(|counting| counting.contains(disk));
    let with_data: BTreeSet<&str> = disks(uuids.root).into_iter().filter(counts).collect();
    let with_tree = disks(uuids.verity);
    let mut complete = with_data.intersection(&with_tree);
    match (complete.next(), complete.next()) {
        (Some(first), Some(second)) => Search::Doubled((*first).to_owned(), (*second).to_owned()),
        (Some(disk), None) => {
            let on_disk = |uuid: Uuid| of(uuid).find(|device| device.disk.as_deref() == Some(disk)).cloned();
            match (on_disk(uuids.root), on_disk(uuids.verity)) {
                (Some(data), Some(tree)) => Search::Found(Box::new(Root { data, tree })),
                _ => Search::Missing(format!("the root's partitions on {disk}")),
            }
        }
        (None, _) => {
            let place = wanted.esp.map_or_else(String::new, |esp| format!(" on the boot loader's disk (ESP PARTUUID={esp})"));
            let (what, uuid) = if with_data.is_empty() { ("root", uuids.root) } else { ("hash tree", uuids.verity) };
            Search::Missing(format!("the {what} partition PARTUUID={uuid}{place}"))
        }
    }
}

/// Waits until the root is there. A disk that answers at once is not kept waiting for others: process 1 looks again, when all drivers are
/// loaded, whether another disk has the root, too ([`search`]). Every announcement of the kernel is a reason to look; there is no other clock but the bound.
pub(super) fn wait(
    wanted: &Wanted,
    drivers: &mut Drivers,
    events: &UeventSocket,
    consoles: &mut Consoles,
) -> Result<Root, Stage1Error> {
    let begin = Instant::now();
    let mut said = String::new();
    let mut reach = Reach::Prompt;
    let mut media = Media::default();
    loop {
        drivers.look(reach);
        let devices = block::read()?;
        let missing = match search(&devices, wanted) {
            Search::Found(root) => return Ok(*root),
            Search::Doubled(first, second) => return Err(Stage1Error::Doubled { first, second }),
            Search::Missing(missing) => missing,
        };
        if media.map(&devices, &wanted.root_hash) {
            continue;
        }
        if reach == Reach::Prompt {
            reach = Reach::All;
            continue;
        }
        let waited = begin.elapsed();
        if waited >= PATIENCE {
            return Err(Stage1Error::Missing { missing, seconds: PATIENCE.as_secs() });
        }
        if waited >= QUIET && missing != said {
            consoles.say(&waiting(&missing));
            said = missing;
            drivers.load_rest();
        }
        poll::readable(&[events.as_fd()], Some(ROUND)).map_err(Stage1Error::Devices)?;
        drain(events).map_err(Stage1Error::Devices)?;
    }
}

/// Takes all announcements that there are; whether there was any.
pub(super) fn drain(events: &UeventSocket) -> io::Result<bool> {
    let mut any = false;
    while let Received::Event(_) | Received::Lost = events.receive()? {
        any = true;
    }
    Ok(any)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_sys::device_mapper::DeviceNumber;

    const ESP: Uuid = Uuid::from_u128(0xe5);
    const OTHER_ESP: Uuid = Uuid::from_u128(0xe6);

    fn hash() -> RootHash {
        RootHash(std::array::from_fn(|index| index as u8))
    }

    fn partition(name: &str, disk: &str, uuid: Uuid) -> BlockDevice {
        BlockDevice {
            name: name.to_owned(),
            number: DeviceNumber { major: 8, minor: 0 },
            disk: Some(disk.to_owned()),
            uuid: Some(uuid),
            label: String::new(),
            sectors: 1,
        }
    }

    /// A disk as the builder makes it: ESP, root, hash tree.
    fn disk(name: &str, esp: Uuid) -> Vec<BlockDevice> {
        let uuids = partition_uuids(&hash());
        let whole = BlockDevice { disk: None, uuid: None, ..partition(name, "", Uuid::nil()) };
        let parts = [(1, esp), (3, uuids.root), (4, uuids.verity)];
        std::iter::once(whole).chain(parts.map(|(number, uuid)| partition(&format!("{name}{number}"), name, uuid))).collect()
    }

    fn check(devices: &[BlockDevice], esp: Option<Uuid>, expect: &str) {
        let text = match search(devices, &Wanted { root_hash: hash(), esp }) {
            Search::Found(root) => format!("{} {}", root.data.name, root.tree.name),
            Search::Missing(missing) => missing,
            Search::Doubled(first, second) => format!("doubled: {first} {second}"),
        };
        assert_eq!(text, expect);
    }

    #[test]
    fn one_disk_is_enough_with_or_without_a_loaders_word() {
        check(&disk("sda", ESP), None, "sda3 sda4");
        check(&disk("sda", ESP), Some(ESP), "sda3 sda4");
    }

    #[test]
    fn of_two_disks_the_loaders_counts() {
        let both = [disk("sda", ESP), disk("sdb", OTHER_ESP)].concat();
        check(&both, Some(ESP), "sda3 sda4");
        check(&both, Some(OTHER_ESP), "sdb3 sdb4");
        check(&both, None, "doubled: sda sdb");
    }

    #[test]
    fn a_copied_disk_is_nobodys() {
        check(&[disk("sda", ESP), disk("sdb", ESP)].concat(), Some(ESP), "doubled: sda sdb");
        let mut half = disk("sdb", ESP);
        half.truncate(2);
        check(&[disk("sda", ESP), half].concat(), Some(ESP), "sda3 sda4");
    }

    #[test]
    fn what_is_missing_is_named() {
        let uuids = partition_uuids(&hash());
        check(&[], None, "the root partition PARTUUID=00010203-0405-0607-0809-0a0b0c0d0e0f");
        check(&[], Some(ESP), "the boot loader's disk (ESP PARTUUID=00000000-0000-0000-0000-0000000000e5)");
        check(&disk("sda", OTHER_ESP), Some(ESP), "the boot loader's disk (ESP PARTUUID=00000000-0000-0000-0000-0000000000e5)");
        let rootless = [partition("sda1", "sda", ESP)];
        let place = "on the boot loader's disk (ESP PARTUUID=00000000-0000-0000-0000-0000000000e5)";
        check(&rootless, Some(ESP), &format!("the root partition PARTUUID={} {place}", uuids.root));
        let torn = [partition("sda3", "sda", uuids.root), partition("sdb4", "sdb", uuids.verity)];
        check(&torn, None, &format!("the hash tree partition PARTUUID={}", uuids.verity));
    }
}
