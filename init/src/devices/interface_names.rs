//! Names for network interfaces, by systemd's net_id scheme as of v257 (systemd.net-naming-scheme(7)) with its default policy: a name that
//! a program or the driver's hardware fixed stays; then on-board index, hot-plug slot, path. What has none of these keeps the kernel's.
//!
//! Of the scheme's buses PCI (also behind virtio), USB and Xen are known: what an x86 server has. MAC names (`enx..`) are no part of
//! systemd's default policy, and not of this one.

use std::fmt::Write as _;

/// The longest name that the kernel takes, in bytes.
const LONGEST: usize = 15;
/// On-board indexes above this are rubbish of the firmware.
const HIGHEST_INDEX: u32 = 65535;

/// A network interface, as sysfs shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name now.
    pub name: String,
    /// ARPHRD_*: 1 is Ethernet, 32 InfiniBand.
    pub kind: u32,
    /// NET_NAME_*: 1 enumerated by the kernel, 2 predictable, 3 by a program, 4 renamed by one.
    pub name_assigned: u32,
    /// The port of a card that has several on one function, from 0.
    pub port: u32,
    /// The name on the card's front, or of a representor.
    pub port_name: String,
    /// Where it is attached.
    pub place: Place,
}

/// Where an interface is attached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Place {
    /// Nowhere that gives a name, such as a VLAN or a tunnel.
    #[default]
    None,
    /// A PCI function, itself and then the PCI devices above it. Of a virtual function this is its physical one, with its own number.
    Pci(Vec<PciFunction>, Option<u32>),
    /// A USB interface (`1-2.3:1.0`) below a PCI host controller.
    Usb(Vec<PciFunction>, String),
    /// Xen's `vif-N`.
    Xen(u32),
}

/// A PCI function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PciFunction {
    /// `0000:00:03.0`.
    pub address: String,
    /// The firmware's number for an on-board device: ACPI's, else SMBIOS type 41's.
    pub index: Option<u32>,
    /// The number of the slot as ACPI's _SUN has it.
    pub slot_number: Option<u32>,
    /// Whether the device has several functions.
    pub multifunction: bool,
    /// Whether slot and function are one number (ARI).
    pub ari: bool,
    /// Whether it is a bridge.
    pub bridge: bool,
}

/// A PCI slot that devices can be plugged into: its number and the address of what is there, without function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its number: its name in /sys/bus/pci/slots, if that is one.
    pub number: u32,
    /// `0000:00:03`.
    pub address: String,
}

/// The name that an interface should have. `None`: the one that it has.
pub fn wanted_name(interface: &Interface, slots: &[Slot]) -> Option<String> {
    // Predictable by its driver, or given by a program.
    if matches!(interface.name_assigned, 2..=4) {
        return None;
    }
    let prefix = match interface.kind {
        1 => "en",
        32 => "ib",
        _ => return None,
    };
    let names = match &interface.place {
        Place::None => [None, None, None],
        Place::Xen(number) => [None, Some(format!("{prefix}X{number}")), None],
        Place::Pci(chain, virtual_function) => {
            let suffix = virtual_function.map_or_else(String::new, |number| format!("v{number}"));
            pci_names(prefix, chain, slots, &format!("{}{suffix}", port(interface)))
        }
        Place::Usb(chain, sysname) => {
            let [_, slot, path] = pci_names(prefix, chain, slots, "");
            let usb = usb(sysname);
            [None, slot, path].map(|name| Some(format!("{}{}", name?, usb.as_ref()?)))
        }
    };
    let name = names.into_iter().flatten().find(|name| name.len() <= LONGEST)?;
    (name != interface.name).then_some(name)
}

/// What tells the ports of one function apart.
fn port(interface: &Interface) -> String {
    // `pf0vf3`: the representor of a virtual function.
    let representor = interface.port_name.strip_prefix("pf").and_then(|rest| {
        let (function, number) = rest.split_once("vf")?;
        function.parse::<u32>().ok()?;
        number.parse::<u32>().ok()
    });
    match (representor, interface.port_name.as_str(), interface.port) {
        (Some(number), ..) => format!("r{number}"),
        (None, "", 0) => String::new(),
        (None, "", port) => format!("d{port}"),
        (None, name, _) => format!("n{name}"),
    }
}

/// On-board, slot and path name.
fn pci_names(prefix: &str, chain: &[PciFunction], slots: &[Slot], end: &str) -> [Option<String>; 3] {
    let Some(own) = chain.first() else { return [None, None, None] };
    let onboard = own.index.filter(|&index| index <= HIGHEST_INDEX).map(|index| format!("{prefix}o{index}{end}"));
    let Some([domain, bus, device, mut function]) = parse_address(&own.address) else { return [onboard, None, None] };
    if own.ari {
        function += device * 8;
    }
    let domain = if domain > 0 { format!("P{domain}") } else { String::new() };
    let function = if function > 0 || own.multifunction { format!("f{function}") } else { String::new() };
    let path = format!("{prefix}{domain}p{bus}s{device}{function}{end}");
    let slot = hotplug_slot(chain, slots).map(|slot| format!("{prefix}{domain}s{slot}{function}{end}"));
    [onboard, slot, Some(path)]
}

/// The number of the hot-plug slot that a device, or what it hangs on, is in.
fn hotplug_slot(chain: &[PciFunction], slots: &[Slot]) -> Option<u32> {
    let own = chain.first()?;
    let number = |function: &PciFunction| {
        let by_address = || slots.iter().find(|slot| function.address.starts_with(&slot.address)).map(|slot| slot.number);
        function.slot_number.filter(|&number| number > 0).or_else(by_address)
    };
    let (function, slot) = chain.iter().find_map(|function| Some((function, number(function)?)))?;
    // What is behind a bridge shares its slot with others; only the functions of one device are told apart by their numbers.
    (!function.bridge || own.multifunction).then_some(slot)
}

/// Domain, bus, device, function.
fn parse_address(address: &str) -> Option<[u32; 4]> {
    let (rest, function) = address.split_once('.')?;
    let mut parts = rest.split(':').map(|part| u32::from_str_radix(part, 16).ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??, u32::from_str_radix(function, 16).ok()?];
    parts.next().is_none().then_some(numbers)
}

/// `1-2.3:1.0` is `u2u3`; configurations and interfaces but the first are named.
fn usb(sysname: &str) -> Option<String> {
    let (_, rest) = sysname.split_once('-')?;
    let (ports, rest) = rest.split_once(':')?;
    let (configuration, interface) = rest.split_once('.')?;
    let mut name = String::new();
    for port in ports.split('.') {
        let _ = write!(name, "u{}", port.parse::<u32>().ok()?);
    }
    for (letter, text, usual) in [('c', configuration, 1), ('i', interface, 0)] {
        let number: u32 = text.parse().ok()?;
        if number != usual {
            let _ = write!(name, "{letter}{number}");
        }
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(address: &str) -> PciFunction {
        PciFunction { address: address.to_owned(), ..PciFunction::default() }
    }

    fn ethernet(place: Place) -> Interface {
        Interface { name: "eth0".to_owned(), kind: 1, name_assigned: 1, place, ..Interface::default() }
    }

    fn pci(address: &str) -> Interface {
        ethernet(Place::Pci(vec![function(address)], None))
    }

    #[track_caller]
    fn check(interface: &Interface, slots: &[(u32, &str)], expect: &str) {
        let slots: Vec<Slot> = slots.iter().map(|&(number, address)| Slot { number, address: address.to_owned() }).collect();
        assert_eq!(wanted_name(interface, &slots).as_deref().unwrap_or(""), expect);
    }

    #[test]
    fn machines_have_the_names_that_systemd_gives() {
        // Proxmox, i440fx: every slot of the root bus takes hot-plugged devices.
        check(&pci("0000:00:12.0"), &[(3, "0000:00:03"), (18, "0000:00:12")], "ens18");
        // QEMU, q35: the root complex takes none.
        check(&pci("0000:00:02.0"), &[], "enp0s2");
        // Proxmox, q35: behind a bridge.
        check(&pci("0000:06:12.0"), &[], "enp6s18");
        let mut onboard = pci("0000:02:00.0");
        if let Place::Pci(chain, _) = &mut onboard.place {
            chain[0].index = Some(1);
        }
        check(&onboard, &[(4, "0000:02:00")], "eno1");
        if let Place::Pci(chain, _) = &mut onboard.place {
            // What VMware reports.
            chain[0].index = Some(16_777_215);
        }
        check(&onboard, &[(4, "0000:02:00")], "ens4");
        check(&pci("0001:c3:1f.7"), &[], "enP1p195s31f7");
    }

    #[test]
    fn functions_and_ports_are_told_apart() {
        let mut first = pci("0000:41:00.0");
        if let Place::Pci(chain, _) = &mut first.place {
            chain[0].multifunction = true;
        }
        check(&first, &[], "enp65s0f0");
        check(&Interface { port_name: "p0".to_owned(), ..first.clone() }, &[], "enp65s0f0np0");
        check(&Interface { port_name: "pf0vf12".to_owned(), ..first.clone() }, &[], "enp65s0f0r12");
        check(&Interface { port: 1, ..first.clone() }, &[], "enp65s0f0d1");
        if let Place::Pci(_, virtual_function) = &mut first.place {
            *virtual_function = Some(7);
        }
        check(&first, &[], "enp65s0f0v7");
        let mut ari = pci("0000:03:01.2");
        if let Place::Pci(chain, _) = &mut ari.place {
            chain[0].ari = true;
        }
        check(&ari, &[], "enp3s1f10");
    }

    #[test]
    fn slots_of_bridges_and_of_firmware() {
        let bridge = PciFunction { bridge: true, ..function("0000:00:1c.0") };
        let mut behind = ethernet(Place::Pci(vec![function("0000:05:00.0"), bridge.clone()], None));
        check(&behind, &[(9, "0000:00:1c")], "enp5s0");
        if let Place::Pci(chain, _) = &mut behind.place {
            chain[0].multifunction = true;
        }
        check(&behind, &[(9, "0000:00:1c")], "ens9f0");
        let numbered = PciFunction { slot_number: Some(192), ..function("0000:0b:00.0") };
        check(&ethernet(Place::Pci(vec![numbered, bridge], None)), &[(9, "0000:0b:00")], "ens192");
    }

    #[test]
    fn usb_and_xen_have_names_of_their_own() {
        let usb = |sysname: &str| ethernet(Place::Usb(vec![function("0000:00:14.0")], sysname.to_owned()));
        check(&usb("1-2.3:1.0"), &[], "enp0s20u2u3");
        check(&usb("1-2:2.1"), &[], "enp0s20u2c2i1");
        check(&usb("1-2"), &[], "");
        check(&ethernet(Place::Xen(0)), &[], "enX0");
    }

    #[test]
    fn what_has_a_name_or_none_is_left_alone() {
        let mut renamed = pci("0000:00:03.0");
        renamed.name_assigned = 4;
        check(&renamed, &[], "");
        check(&Interface { name: "enp0s3".to_owned(), ..pci("0000:00:03.0") }, &[], "");
        check(&ethernet(Place::None), &[], "");
        check(&Interface { kind: 772, ..pci("0000:00:03.0") }, &[], "");
        check(&pci("03.0"), &[], "");
        // Too long for the kernel: the next in line.
        let long = Interface { port_name: "port-of-a-switch".to_owned(), ..pci("0000:00:03.0") };
        check(&long, &[], "");
        check(&Interface { kind: 32, ..pci("0000:00:03.0") }, &[], "ibp0s3");
    }
}
