//! SATA controllers of QEMU with nothing on any port: every machine of its chipset q35 has one, mostly for nothing, and its driver with all
//! that it needs takes longer to load than everything else that a boot waits for.
//!
//! In QEMU a port's link is up from the start if a drive is on it, and nothing can be plugged in later. Other controllers may bring their
//! links up only when a driver asks for it; of those nothing is known here.

use kmimage_sys::pci;
use std::path::Path;

/// How QEMU's AHCI shows itself: Intel's ICH9, with QEMU's own subsystem.
const MODALIAS: &str = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01";
/// The memory region that AHCI's registers are in (AHCI 1.3.1, 2.1.11).
const REGION: &str = "resource5";
/// Which ports there are, a bit each (3.1.4).
const PORTS_IMPLEMENTED: usize = 0x0c;
/// The status of the first port's link (3.3.10), and how far the next port's is.
const LINK_STATUS: usize = 0x128;
const NEXT_PORT: usize = 0x80;
/// More has no page room for.
const PORTS: usize = 30;

/// Whether devices of this modalias are such controllers, all of them, with nothing on any port. In doubt they are not.
pub(super) fn is(modalias: &str) -> bool {
    modalias == MODALIAS && all_empty(Path::new("/sys/bus/pci/devices")) == Some(true)
}

fn all_empty(devices: &Path) -> Option<bool> {
    for device in std::fs::read_dir(devices).ok()? {
        let device = device.ok()?.path();
        if std::fs::read_to_string(device.join("modalias")).ok()?.trim_end() != MODALIAS {
            continue;
        }
        let offsets = std::iter::once(PORTS_IMPLEMENTED).chain((0..PORTS).map(|port| LINK_STATUS + port * NEXT_PORT));
        let registers = pci::read_registers(&device.join(REGION), offsets).ok()?;
        if !is_empty(&registers)? {
            return Some(false);
        }
    }
    Some(true)
}

/// By which ports there are, and the status of each one's link. None: the controller doesn't answer.
fn is_empty(registers: &[u32]) -> Option<bool> {
    let (&implemented, links) = registers.split_first()?;
    if implemented == 0 || implemented == u32::MAX {
        return None;
    }
    // The lowest four bits: whether something is there, and talks.
    let is_free = |(port, link): (usize, &u32)| implemented >> port & 1 == 0 || link & 0xf == 0;
    Some(implemented >> links.len() == 0 && links.iter().enumerate().all(is_free))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_with_a_link_is_not_empty() {
        let check = |registers: &[u32], expect: Option<bool>| assert_eq!(is_empty(registers), expect, "{registers:x?}");
        check(&[0x3f, 0, 0, 0, 0, 0, 0], Some(true));
        check(&[0x3f, 0, 0, 0x113, 0, 0, 0], Some(false));
        check(&[0x3f, 0, 0, 1, 0, 0, 0], Some(false));
        check(&[0x3b, 0, 0, 0x113, 0, 0, 0], Some(true));
        check(&[0x3f, 0x300, 0, 0, 0, 0, 0], Some(true));
        // A port that was not looked at.
        check(&[0x7f, 0, 0, 0, 0, 0, 0], Some(false));
        check(&[u32::MAX; 7], None);
        check(&[0; 7], None);
        check(&[], None);
    }

    #[test]
    fn other_controllers_are_not_looked_at() {
        assert!(!is("pci:v00008086d00002922sv00008086sd00001100bc01sc06i01"));
        assert_eq!(all_empty(Path::new("/nowhere")), None);
    }
}
