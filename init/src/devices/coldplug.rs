//! Loading the drivers of devices, those first that a machine waits for.

use super::empty_sata;
use crate::facts::aliases;
use crate::failure::chain;
use crate::modules::{Hands, Loader, ModuleError, Step};
use kmimage_sys::kernel_log::{self, Level};
use std::collections::BTreeSet;

/// What of a machine is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Network interfaces: addresses take longest.
    Network,
    /// Disks, what disks hang on, and what else must not come late.
    Storage,
    /// Everything else.
    Other,
}

/// How urgent a device is, by its modalias.
pub(super) fn urgency(modalias: &str) -> Urgency {
    let (bus, rest) = modalias.split_once(':').unwrap_or((modalias, ""));
    // A PCI device's class is behind `bc`, its subclass behind `sc`.
    let class = rest.rfind("bc").and_then(|at| rest.get(at + 2..)).unwrap_or_default();
    match (bus, class.get(..2), class.get(2..6)) {
        ("pci", Some("02"), _) => Urgency::Network,
        ("virtio", ..) if rest.starts_with("d00000001v") => Urgency::Network,
        ("vmbus" | "xen" | "usb", ..) => Urgency::Storage,
        // Mass storage; of the serial buses USB and Fibre Channel, not SMBus.
        ("pci", Some("01"), _) | ("pci", Some("0c" | "0C"), Some("sc03" | "sc04")) | ("virtio" | "scsi" | "nvme", ..) => {
            Urgency::Storage
        }
        // QEMU's own channel, which may bring a config; and the power button: a machine that is ready can be switched off.
        ("acpi", ..) if ["QEMU0002:", "PNP0C0C:", "LNXPWRBN:"].contains(&rest) => Urgency::Storage,
        // virtio's own PCI functions say `other` or what they are: whatever it is, nothing is behind them without their driver.
        ("pci", ..) if rest.starts_with("v00001AF4") => Urgency::Network,
        _ => Urgency::Other,
    }
}

/// Which devices have been looked at, and which of them wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Coldplug {
    loader: Option<Loader>,
    seen: BTreeSet<String>,
    later: BTreeSet<String>,
}

impl Coldplug {
    /// Loads the drivers of what a machine waits for, round after round until no new device comes. `between` has its turn whenever
    /// something may have come. Returns how many modules are new.
    ///
    /// A driver's start may wait long for hardware (SATA's for a link, on each port), so disks' drivers are loaded beside the others.
    pub(super) fn urgent(&mut self, mut between: impl FnMut()) -> usize {
        let mut count = 0;
        loop {
            let new = self.new_devices();
            let urgency = |modalias: &str| if empty_sata::is(modalias) { Urgency::Other } else { urgency(modalias) };
            let of = |wanted: Urgency| new.iter().filter(|modalias| urgency(modalias) == wanted).cloned().collect::<Vec<_>>();
            self.later.extend(of(Urgency::Other));
            let (network, storage) = (of(Urgency::Network), of(Urgency::Storage));
            if network.is_empty() && storage.is_empty() {
                return count;
            }
            let loader = self.loader();
            let (beside, own) = (plans(loader, &storage), plans(loader, &network));
            let mut hands = loader.hands().clone();
            std::thread::scope(|scope| {
                let work = || load(&mut hands, beside.clone());
                let thread = std::thread::Builder::new().spawn_scoped(scope, work);
                count += load(loader.hands(), own);
                between();
                // A panic aborts, so there is none to be told of.
                count += thread.ok().and_then(|thread| thread.join().ok()).unwrap_or(0);
            });
            loader.hands().learn(hands);
            // Those of a thread that could not be started; else there are none left.
            count += load(loader.hands(), beside);
            between();
        }
    }

    /// Loads all other drivers, and again those of what they bring.
    pub(super) fn rest(&mut self) -> usize {
        let mut count = 0;
        loop {
            let new = self.new_devices();
            self.later.extend(new);
            if self.later.is_empty() {
                return count;
            }
            let devices: Vec<String> = std::mem::take(&mut self.later).into_iter().collect();
            count += self.load(&devices);
        }
    }

    /// Loads the drivers of a device that came later. One like it that was there before has brought them already.
    pub(super) fn plug(&mut self, modalias: &str) -> usize {
        let is_new = self.seen.insert(modalias.to_owned());
        let count = if is_new { self.load(&[modalias.to_owned()]) } else { 0 };
        self.forget_tables();
        count
    }

    /// Lets go of the tables of modules; they are read again when the next device comes.
    pub(super) fn forget_tables(&mut self) {
        self.loader = None;
    }

    /// What loads modules by name.
    pub(super) fn loader(&mut self) -> &mut Loader {
        self.loader.get_or_insert_with(Loader::open)
    }

    fn load(&mut self, modaliases: &[String]) -> usize {
        let loader = self.loader();
        let plans = plans(loader, modaliases);
        load(loader.hands(), plans)
    }

    fn new_devices(&mut self) -> Vec<String> {
        let mut new: Vec<String> =
            aliases::read_devices().into_iter().filter(|modalias| self.seen.insert(modalias.clone())).collect();
        new.sort();
        new
    }
}

/// What to load for devices: each module's steps, with the device's modalias.
type Plans = Vec<(String, Vec<Step>)>;

fn plans(loader: &Loader, modaliases: &[String]) -> Plans {
    let drivers = modaliases.iter().zip(loader.tables().drivers(modaliases));
    let plans = drivers.flat_map(|(modalias, modules)| modules.into_iter().map(move |module| (modalias.clone(), module)));
    plans.map(|(modalias, module)| (modalias, loader.tables().plan(&module))).collect()
}

fn load(hands: &mut Hands, plans: Plans) -> usize {
    let mut count = 0;
    for (modalias, steps) in plans {
        match hands.load(steps) {
            Ok(new) => count += new,
            Err(error) => log(&error, &modalias),
        }
    }
    count
}

fn log(error: &ModuleError, modalias: &str) {
    if !error.is_not_needed() {
        kernel_log::write(Level::Warning, &format!("kmimage-init: driver of {modalias}: {}", chain(error)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_comes_first() {
        let check = |modalias: &str, expect: Urgency| assert_eq!(urgency(modalias), expect, "{modalias}");
        check("pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", Urgency::Network);
        check("pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00", Urgency::Network);
        check("pci:v00001AF4d00001005sv00001AF4sd00000004bc00scFFi00", Urgency::Network);
        check("virtio:d00000001v00001AF4", Urgency::Network);
        check("virtio:d00000002v00001AF4", Urgency::Storage);
        check("pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", Urgency::Storage);
        check("pci:v00001B36d0000000Dsv00001AF4sd00001100bc0Csc03i30", Urgency::Storage);
        check("scsi:t-0x00", Urgency::Storage);
        check("acpi:PNP0C0C:", Urgency::Storage);
        check("acpi:PNP0B00:", Urgency::Other);
        check("acpi:QEMU0002:", Urgency::Storage);
        check("cpu:type:x86,ven0002fam000Fmod006B:feature:,0000,0001bc02", Urgency::Other);
        check("pci:v00008086d000025ABsv00001AF4sd00001100bc08sc80i00", Urgency::Other);
        check("pci:v00008086d00002930sv00001AF4sd00001100bc0Csc05i00", Urgency::Other);
        check("pci:bc", Urgency::Other);
        check("", Urgency::Other);
    }
}
