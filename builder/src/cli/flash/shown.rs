//! A device as text and JSON. Pure.

use super::terminal::size;
use crate::flash::facts::{Bus, Device, Machine};
use crate::flash::judge::{self, Identity};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// True for what a person would call a disk: hardware, and loop devices in use; not for partitions and CD drives.
pub(super) fn is_listed(device: &Device) -> bool {
    let is_disk = device.is_hardware && !device.name.starts_with("sr");
    device.partition.is_none() && (is_disk || device.backing_file.is_some())
}

/// Some lines: the device, then its partitions.
pub(super) fn text(machine: &Machine, device: &Device) -> String {
    let mut words = vec![device.path().display().to_string(), size(device.size), device.bus.name().to_owned()];
    words.extend(device.removable.then(|| "removable".to_owned()));
    words.extend(device.model.clone());
    words.extend(device.serial.as_ref().map(|serial| format!("serial {serial}")));
    words.extend(device.backing_file.as_ref().map(|file| file.display().to_string()));
    let mut text = format!("{}\n", words.join("  "));
    let partitions = machine.partitions(&device.name);
    let itself = (partitions.is_empty() && (device.file_system.is_some() || device.label.is_some())).then_some(device);
    for part in partitions.into_iter().map(|(_, part)| part).chain(itself) {
        let mut words = vec![format!("  {:<16}", part.path().display()), format!("{:>10}", size(part.size))];
        words.extend(part.partition_name.clone());
        words.extend(part.file_system.clone());
        words.extend(part.label.as_ref().map(|label| format!("\"{label}\"")));
        // Writing to a text doesn't fail.
        let _ = writeln!(text, "{}", words.join("  "));
    }
    text
}

/// The same for scripts.
pub(super) fn device(machine: &Machine, device: &Device) -> Value {
    let part = |(number, part): (u32, &Device)| {
        json!({
            "number": number,
            "path": part.path(),
            "size": part.size,
            "name": part.partition_name,
            "file-system": part.file_system,
            "label": part.label,
        })
    };
    let partitions: Vec<Value> = machine.partitions(&device.name).into_iter().map(part).collect();
    json!({
        "path": device.path(),
        "size": device.size,
        "sector-size": device.sector_size,
        "bus": device.bus,
        "removable": device.removable,
        "model": device.model,
        "serial": device.serial,
        "backing-file": device.backing_file.as_ref().filter(|_| device.bus == Bus::Loop),
        "confirm-by": Identity::of(device).to_string(),
        "partitions": partitions,
        "refused": judge::device(machine, device).err().map(|refusal| refusal.to_string()),
    })
}
