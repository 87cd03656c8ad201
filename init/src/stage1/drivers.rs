//! Loading the initramfs' modules: what stage 1 itself needs, drivers when there is a device for them, and those first whose devices
//! answer at once.
//!
//! The list says what there is; `modules.dep` and `modules.alias` beside the modules say what each needs and drives. Without these
//! two everything is loaded, in the list's order: slower, and as good.

use crate::facts::modules::{Dependencies, parse_list};
use crate::facts::{self, aliases};
use kmimage_contract::{modules, paths};
use kmimage_sys::kernel_log::{self, Level};
use kmimage_sys::module;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What stage 1 asks the kernel for itself.
const OWN: [&str; 3] = ["dm_verity", "squashfs", "efivarfs"];

/// Which devices are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those that say at once whether they have a disk: what virtual machines have, and NVMe.
    Prompt,
    /// All: behind SATA, SAS and USB a link is waited for, on each port.
    All,
}

impl Reach {
    fn has(self, modalias: &str) -> bool {
        let (bus, rest) = modalias.split_once(':').unwrap_or((modalias, ""));
        let prompt = match bus {
            "virtio" | "scsi" | "nvme" | "xen" | "vmbus" => true,
            // virtio's own functions, and NVMe's class.
            "pci" => rest.starts_with("v00001AF4") || rest.contains("bc01sc08"),
            _ => false,
        };
        self == Self::All || prompt
    }
}

/// The modules of the initramfs.
#[derive(Debug, Default)]
pub(super) struct Drivers {
    catalogue: Catalogue,
    /// Paths that were loaded, or failed to.
    tried: BTreeSet<String>,
    /// Devices that were looked at.
    seen: BTreeSet<String>,
}

impl Drivers {
    /// Reads what there is and loads what stage 1 itself needs; before it what the processor has for hashing, which everything that comes
    /// later takes: each module is hashed for its signature, and each block of the root.
    pub(super) fn open() -> Result<Self, facts::FactError> {
        let list = facts::read_text(Path::new(paths::INITRAMFS_MODULES))?;
        let folder = paths::modules(&module::kernel_release());
        let text = |name: &str| facts::read_text(&Path::new(&folder).join(name)).unwrap_or_default();
        let catalogue = Catalogue::new(&folder, &list, &text("modules.dep"), &text("modules.alias"));
        let mut drivers = Self { catalogue, ..Self::default() };
        let processor = aliases::read_processor().map(|modalias| drivers.catalogue.for_device(&modalias));
        for path in processor.unwrap_or_default().into_iter().chain(drivers.catalogue.own()) {
            drivers.load(&path);
        }
        Ok(drivers)
    }

    /// Loads the drivers of devices that have come since the last look, and of those that these bring, until nothing new comes. Behind
    /// the drivers of all devices, what no device asks for.
    pub(super) fn look(&mut self, reach: Reach) {
        loop {
            let devices = aliases::read_devices();
            let new: Vec<String> =
                devices.into_iter().filter(|device| reach.has(device) && !self.seen.contains(device)).collect();
            let wanted: Vec<String> = new.iter().flat_map(|device| self.catalogue.for_device(device)).collect();
            self.seen.extend(new);
            if wanted.into_iter().filter(|path| self.load(path)).count() == 0 {
                break;
            }
        }
        if reach == Reach::All {
            for path in self.catalogue.unasked() {
                self.load(&path);
            }
        }
    }

    /// Loads all that is left: for a machine whose disk hangs on something that has no modalias.
    pub(super) fn load_rest(&mut self) {
        for path in self.catalogue.all() {
            self.load(&path);
        }
    }

    /// Loads a module, unless it was tried. A failure is for the log: if it mattered, the wait for the root will say what is missing.
    fn load(&mut self, path: &str) -> bool {
        if self.tried.contains(path) {
            return false;
        }
        if let Err(error) = module::load(Path::new(path)) {
            kernel_log::write(Level::Warning, &format!("kmimage-init: loading {path}: {error}"));
        }
        self.tried.insert(path.to_owned())
    }
}

/// What modules there are, what they need and what they drive.
#[derive(Debug, Default)]
struct Catalogue {
    modules: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The module's own path, and before it those of what it needs.
    load: Vec<String>,
    /// Patterns of the devices that it drives.
    patterns: Vec<String>,
    /// Whether another module needs it.
    needed: bool,
}

impl Catalogue {
    fn new(folder: &str, list: &str, modules_dep: &str, modules_alias: &str) -> Self {
        let mut patterns: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (pattern, module) in aliases::device_patterns(modules_alias) {
            patterns.entry(modules::name(module)).or_default().push(pattern.to_owned());
        }
        let mut dependencies = Dependencies::parse(modules_dep);
        // One table without the other would leave drivers unasked or without what they need.
        if modules_dep.is_empty() || patterns.is_empty() {
            (patterns, dependencies) = Default::default();
        }
        let mut entries = Vec::new();
        for path in parse_list(list) {
            let needs = dependencies.load_order(path).map(|order| order.iter().map(|path| format!("{folder}/{path}")).collect());
            let patterns = patterns.remove(&modules::name(path)).unwrap_or_default();
            entries.push(Entry { load: needs.unwrap_or_else(|| vec![path.to_owned()]), patterns, needed: false });
        }
        let needs = entries.iter().filter_map(|entry| entry.load.split_last());
        let needed: BTreeSet<String> = needs.flat_map(|(_, needs)| needs.iter().cloned()).collect();
        for entry in &mut entries {
            entry.needed = entry.load.last().is_some_and(|path| needed.contains(path));
        }
        Self { modules: entries }
    }

    /// What stage 1 itself needs. Without tables everything: it can't be told what that needs.
    fn own(&self) -> Vec<String> {
        if self.modules.iter().all(|entry| entry.patterns.is_empty()) {
            return self.all();
        }
        let is_own = |entry: &&Entry| entry.load.last().is_some_and(|path| OWN.contains(&modules::name(path).as_str()));
        self.modules.iter().filter(is_own).flat_map(|entry| entry.load.iter().cloned()).collect()
    }

    /// What no device asks for, and no other module will.
    fn unasked(&self) -> Vec<String> {
        let unasked = |entry: &&Entry| entry.patterns.is_empty() && !entry.needed;
        self.modules.iter().filter(unasked).flat_map(|entry| entry.load.iter().cloned()).collect()
    }

    /// Everything, in order.
    fn all(&self) -> Vec<String> {
        self.modules.iter().flat_map(|entry| entry.load.iter().cloned()).collect()
    }

    /// What to load for a device with this modalias.
    fn for_device(&self, modalias: &str) -> Vec<String> {
        let drives = |entry: &&Entry| entry.patterns.iter().any(|pattern| aliases::matches(pattern, modalias));
        self.modules.iter().filter(drives).flat_map(|entry| entry.load.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str =
        "/m/sha.ko\n/m/dm-mod.ko\n/m/dm-verity.ko\n/m/loop.ko\n/m/squashfs.ko\n/m/scsi_mod.ko\n/m/sd_mod.ko\n/m/virtio_blk.ko\n";
    const DEP: &str = "sha.ko:\ndm-mod.ko:\ndm-verity.ko: dm-mod.ko\nloop.ko:\nsquashfs.ko:\nscsi_mod.ko:\nsd_mod.ko: scsi_mod.ko\nvirtio_blk.ko:\n";
    const ALIAS: &str = "alias cpu:type:x86,*:feature:*0089* sha\nalias fs-squashfs squashfs\nalias scsi:t-0x00* sd_mod\nalias virtio:d00000002v* virtio_blk\n";

    #[test]
    fn drivers_wait_for_their_devices() {
        let catalogue = Catalogue::new("/m", LIST, DEP, ALIAS);
        assert_eq!(catalogue.own(), ["/m/dm-mod.ko", "/m/dm-verity.ko", "/m/squashfs.ko"]);
        assert_eq!(catalogue.unasked(), ["/m/dm-mod.ko", "/m/dm-verity.ko", "/m/loop.ko", "/m/squashfs.ko"]);
        assert_eq!(catalogue.for_device("scsi:t-0x00"), ["/m/scsi_mod.ko", "/m/sd_mod.ko"]);
        assert_eq!(catalogue.for_device("virtio:d00000002v00001AF4"), ["/m/virtio_blk.ko"]);
        assert_eq!(catalogue.for_device("cpu:type:x86,ven0002fam000Fmod006B:feature:,0000,0089,013D"), ["/m/sha.ko"]);
        assert!(catalogue.for_device("pci:v00008086").is_empty());
    }

    #[test]
    fn without_the_tables_everything_is_loaded_in_order() {
        for (dep, alias) in [("", ""), (DEP, ""), ("", ALIAS)] {
            let catalogue = Catalogue::new("/m", LIST, dep, alias);
            assert_eq!(catalogue.own(), parse_list(LIST).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_answers_at_once_comes_first() {
        let check = |modalias: &str, prompt: bool| {
            assert_eq!(Reach::Prompt.has(modalias), prompt, "{modalias}");
            assert!(Reach::All.has(modalias), "{modalias}");
        };
        check("virtio:d00000002v00001AF4", true);
        check("pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", true);
        check("pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02", true);
        check("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", false);
        check("usb:v0627p0001d0000dc00dsc00dp00ic08isc06ip50in00", false);
        check("", false);
    }
}
