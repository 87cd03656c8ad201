//! The power button, wherever there is one: ACPI's own, a keyboard's, a management controller's.

use kmimage_sys::input::{InputDevice, KEY_POWER};
use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

/// All input devices that have a power key.
#[derive(Debug, Default)]
pub(super) struct PowerKeys {
    devices: BTreeMap<PathBuf, InputDevice>,
}

impl PowerKeys {
    /// Opens devices with a power key that have come since the last look.
    pub(super) fn look(&mut self) {
        let Ok(entries) = std::fs::read_dir(Path::new("/dev/input")) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_event = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("event"));
            if !is_event || self.devices.contains_key(&path) {
                continue;
            }
            // A device that can't be asked has no key for us.
            if let Ok(device) = InputDevice::open(&path)
                && device.has_key(KEY_POWER).unwrap_or(false)
            {
                self.devices.insert(path, device);
            }
        }
    }

    /// What to wait for.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.devices.values().map(|device| device.as_fd())
    }

    /// Whether a power key was pressed since the last call. Devices that have gone are let go.
    pub(super) fn pressed(&mut self) -> bool {
        let mut pressed = false;
        self.devices.retain(|_, device| match device.was_pressed(KEY_POWER) {
            Ok(now) => {
                pressed |= now;
                true
            }
            Err(_) => false,
        });
        pressed
    }
}
