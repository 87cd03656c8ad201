//! Reading network interfaces out of sysfs, and giving them their names.

use super::interface_names::{Interface, PciFunction, Place, Slot, wanted_name};
use crate::facts::read_text;
use kmimage_sys::link;
use std::io;
use std::path::{Path, PathBuf};

const CLASS: &str = "/sys/class/net";

/// An interface that got its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// The name that it has now.
    pub(super) name: String,
    /// Its hardware address.
    pub(super) address: String,
}

/// Gives the interface of this name the one that it should have.
///
/// Where another interface has that name, it keeps its own: the kernel refuses.
pub(super) fn name(current: &str) -> io::Result<Named> {
    let folder = Path::new(CLASS).join(current);
    let address = text(&folder.join("address"));
    let mut name = current.to_owned();
    if let Some(wanted) = read(current).and_then(|interface| wanted_name(&interface, &slots())) {
        link::rename(current, &wanted)?;
        name = wanted;
    }
    Ok(Named { name, address })
}

/// The interface as it is, where naming is not wanted.
pub(super) fn unnamed(current: &str) -> io::Result<Named> {
    Ok(Named { name: current.to_owned(), address: text(&Path::new(CLASS).join(current).join("address")) })
}

/// The interfaces that hang on a device: not loopback, VLANs, bridges, tunnels.
pub(super) fn physical() -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(CLASS)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("device").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn read(name: &str) -> Option<Interface> {
    let folder = Path::new(CLASS).join(name);
    // Gone already, or nothing behind it.
    let device = std::fs::canonicalize(folder.join("device")).ok()?;
    let number = |attribute: &str| number(&folder.join(attribute)).unwrap_or(0);
    Some(Interface {
        name: name.to_owned(),
        kind: number("type"),
        name_assigned: number("name_assign_type"),
        port: number("dev_port"),
        port_name: text(&folder.join("phys_port_name")),
        place: place(&device),
    })
}

fn place(device: &Path) -> Place {
    // virtio is no bus of its own: the PCI function behind it counts.
    let behind = if subsystem(device) == "virtio" { device.parent().unwrap_or(device) } else { device };
    let sysname = |path: &Path| path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    match subsystem(behind).as_str() {
        "pci" => match physical_function(behind) {
            Some((function, number)) => Place::Pci(chain(&function), Some(number)),
            None => Place::Pci(chain(behind), None),
        },
        "usb" => match behind.ancestors().find(|path| subsystem(path) == "pci") {
            Some(host) => Place::Usb(chain(host), sysname(behind)),
            None => Place::None,
        },
        "xen" => sysname(behind).strip_prefix("vif-").and_then(|number| number.parse().ok()).map_or(Place::None, Place::Xen),
        _ => Place::None,
    }
}

/// Of a virtual function (SR-IOV): the physical one, and the virtual one's number.
fn physical_function(device: &Path) -> Option<(PathBuf, u32)> {
    let physical = std::fs::canonicalize(device.join("physfn")).ok()?;
    std::fs::read_dir(&physical).ok()?.flatten().find_map(|entry| {
        let number = entry.file_name().to_str()?.strip_prefix("virtfn")?.parse().ok()?;
        let is_it = std::fs::canonicalize(entry.path()).is_ok_and(|path| path == device);
        is_it.then(|| (physical.clone(), number))
    })
}

fn chain(device: &Path) -> Vec<PciFunction> {
    device
        .ancestors()
        .take_while(|path| path.starts_with("/sys/devices"))
        .filter(|path| subsystem(path) == "pci")
        .map(pci_function)
        .collect()
}

fn pci_function(device: &Path) -> PciFunction {
    let class = text(&device.join("class"));
    // The header's type is the configuration space's byte 14, several functions its highest bit.
    let header = std::fs::File::open(device.join("config")).and_then(|mut file| {
        let mut head = [0; 15];
        io::Read::read_exact(&mut file, &mut head).map(|()| head[14])
    });
    PciFunction {
        address: device.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        index: number(&device.join("acpi_index")).or_else(|| number(&device.join("index"))),
        slot_number: number(&device.join("firmware_node/sun")),
        multifunction: header.is_ok_and(|kind| kind & 0x80 != 0),
        ari: number(&device.join("ari_enabled")) == Some(1),
        bridge: class.strip_prefix("0x").is_some_and(|class| class.starts_with("0604")),
    }
}

fn slots() -> Vec<Slot> {
    let entries = std::fs::read_dir(Path::new("/sys/bus/pci/slots")).into_iter().flatten().flatten();
    let slot = |entry: std::fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok().filter(|&number| number > 0)?;
        Some(Slot { number, address: Some(text(&entry.path().join("address"))).filter(|address| !address.is_empty())? })
    };
    entries.filter_map(slot).collect()
}

fn subsystem(device: &Path) -> String {
    let link = std::fs::read_link(device.join("subsystem")).ok();
    link.and_then(|link| Some(link.file_name()?.to_str()?.to_owned())).unwrap_or_default()
}

fn text(path: &Path) -> String {
    read_text(path).map_or_else(|_| String::new(), |text| text.trim().to_owned())
}

fn number(path: &Path) -> Option<u32> {
    text(path).parse().ok()
}
