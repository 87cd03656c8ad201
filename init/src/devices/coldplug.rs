//! Loading the drivers of devices, those first that a machine waits for.

use crate::facts::aliases;
use crate::failure::chain;
use crate::modules::{Loader, ModuleError};
use kmimage_sys::kernel_log::{self, Level};
use std::collections::BTreeSet;

/// What of a machine is waited for, in this order; the order of loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Network interfaces: addresses take longest.
    Network,
    /// Disks, and what disks hang on.
    Storage,
    /// Everything else.
    Other,
}

/// How urgent a device is, by its modalias.
pub(super) fn urgency(modalias: &str) -> Urgency {
    let (bus, rest) = modalias.split_once(':').unwrap_or((modalias, ""));
    // A PCI device's class is behind `bc`, its subclass behind `sc`.
    let class = rest.rfind("bc").and_then(|at| rest.get(at + 2..at + 4));
    match (bus, class, rest) {
        ("pci", Some("02"), _) => Urgency::Network,
        ("virtio", _, id) if id.starts_with("d00000001v") => Urgency::Network,
        ("vmbus" | "xen" | "usb", ..) => Urgency::Storage,
        // Mass storage, and serial buses: USB and Fibre Channel.
        ("pci", Some("01" | "0c" | "0C"), _) | ("virtio" | "scsi" | "nvme", ..) => Urgency::Storage,
        // QEMU's own channel, which may bring a config.
        ("acpi", _, "QEMU0002:") => Urgency::Storage,
        // virtio's own PCI functions say `other` or what they are: whatever it is, nothing is behind them without their driver.
        ("pci", _, id) if id.starts_with("v00001AF4") => Urgency::Network,
        _ => Urgency::Other,
    }
}

/// Which devices have been looked at, and which of them wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Coldplug {
    seen: BTreeSet<String>,
    later: BTreeSet<String>,
}

impl Coldplug {
    /// Loads the drivers of what a machine waits for, round after round until no new device comes. After each part of a round `between`
    /// has its turn. Returns how many modules are new.
    pub(super) fn urgent(&mut self, mut between: impl FnMut()) -> usize {
        let mut loader = Loader::open();
        let mut count = 0;
        loop {
            let new = self.new_devices();
            let (urgent, later): (Vec<String>, Vec<String>) =
                new.into_iter().partition(|modalias| urgency(modalias) != Urgency::Other);
            self.later.extend(later);
            if urgent.is_empty() {
                return count;
            }
            for part in [Urgency::Network, Urgency::Storage] {
                let devices: Vec<String> = urgent.iter().filter(|modalias| urgency(modalias) == part).cloned().collect();
                if !devices.is_empty() {
                    count += load(&mut loader, &devices);
                    between();
                }
            }
        }
    }

    /// Loads all other drivers, and again those of what they bring.
    pub(super) fn rest(&mut self) -> usize {
        let mut loader = Loader::open();
        let mut count = 0;
        loop {
            let new = self.new_devices();
            self.later.extend(new);
            if self.later.is_empty() {
                return count;
            }
            let devices: Vec<String> = std::mem::take(&mut self.later).into_iter().collect();
            count += load(&mut loader, &devices);
        }
    }

    /// Loads the drivers of a device that came later. One like it that was there before has brought them already.
    pub(super) fn plug(&mut self, modalias: &str) -> usize {
        let is_new = self.seen.insert(modalias.to_owned());
        if is_new { load(&mut Loader::open(), &[modalias.to_owned()]) } else { 0 }
    }

    fn new_devices(&mut self) -> Vec<String> {
        let mut new: Vec<String> =
            aliases::read_devices().into_iter().filter(|modalias| self.seen.insert(modalias.clone())).collect();
        new.sort();
        new
    }
}

fn load(loader: &mut Loader, modaliases: &[String]) -> usize {
    let mut count = 0;
    for (modalias, modules) in modaliases.iter().zip(loader.tables().drivers(modaliases)) {
        for module in modules {
            match loader.load_one(&module, "") {
                Ok(new) => count += new,
                Err(error) => log(&error, modalias),
            }
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
        check("acpi:PNP0C0C:", Urgency::Other);
        check("acpi:QEMU0002:", Urgency::Storage);
        check("cpu:type:x86,ven0002fam000Fmod006B:feature:,0000,0001bc02", Urgency::Other);
        check("pci:v00008086d000025ABsv00001AF4sd00001100bc08sc80i00", Urgency::Other);
        check("pci:bc", Urgency::Other);
        check("", Urgency::Other);
    }
}
