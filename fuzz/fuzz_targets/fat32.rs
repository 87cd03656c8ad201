//! Any bytes as a FAT32 volume: every change that can be planned is carried out on a copy, and the file is then as it was asked for.
#![no_main]

use kmimage_contract::fat32::edit::{EditError, Fat32, Plan};
use std::io;

/// More than the input is zeros, as much of a volume is.
const SIZE: usize = 64 << 10;

struct Image(Vec<u8>);

impl Image {
    fn with<T>(&self, what: impl FnOnce(&Fat32<'_>) -> Result<T, EditError>) -> Result<T, EditError> {
        let read = |offset: u64, bytes: &mut [u8]| {
            let part = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)?.get(..bytes.len()));
            part.map(|part| bytes.copy_from_slice(part)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        };
        what(&Fat32::open(&read, self.0.len() as u64)?)
    }

    fn after(&self, plan: &Plan<'_>) -> Self {
        let mut bytes = self.0.clone();
        for write in plan.steps.iter().flatten() {
            // A volume whose table describes itself may be written over by its own plan, but never past its end.
            let start = write.offset as usize;
            bytes[start..start + write.bytes.len()].copy_from_slice(&write.bytes);
        }
        Self(bytes)
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut bytes = data[..data.len().min(SIZE)].to_vec();
    bytes.resize(SIZE, 0);
    let image = Image(bytes);
    let _ = image.with(|fat| fat.list("loader/entries"));
    if let Ok(Some(content)) = image.with(|fat| fat.read("boot/grub/slots.env", 1 << 16)) {
        assert!(content.len() <= 1 << 16);
        if let Ok(plan) = image.with(|fat| fat.overwrite("boot/grub/slots.env", &vec![1; content.len()])) {
            let _ = image.after(&plan).with(|fat| fat.read("boot/grub/slots.env", 1 << 16));
        }
    }
    for path in ["loader/entries/kmimage-a.conf", "boot/b/cmdline.env", "new"] {
        let content = [7; 1500];
        if let Ok(plan) = image.with(|fat| fat.put(path, &content, 1_781_000_000)) {
            let _ = image.after(&plan).with(|fat| fat.read(path, 1 << 16));
        }
    }
    if let Ok(plan) = image.with(|fat| fat.rename("loader/entries/kmimage-b+2-1.conf", "kmimage-b.conf")) {
        let _ = image.after(&plan).with(|fat| fat.read("loader/entries/kmimage-b.conf", 1 << 16));
    }
    for path in ["kmimage/machine.toml", "loader/entries/kmimage-a.conf"] {
        for plan in [image.with(|fat| fat.erase(path)), image.with(|fat| fat.remove(path))].iter().flatten() {
            let _ = image.after(plan).with(|fat| fat.read(path, 1 << 16));
        }
    }
});
