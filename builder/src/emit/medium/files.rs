//! What a medium's ESP holds: a disk's loader and image, and entries for the menu in the place of the slot's.

use super::menu::{self, Choice};
use crate::emit::esp::boot_files::EspFile;
use kmimage_contract::boot_records::{grub, uefi};
use kmimage_contract::paths;

/// The files of the ESP, from those of a disk (`disk`), sorted by path; with a machine config if there is one.
pub fn of_disk(disk: &[EspFile], role: &str, image_version: &str, efi: &str, config: Option<&[u8]>) -> Vec<EspFile> {
    let text = |path: String, text: String| EspFile { path, bytes: text.into_bytes().into() };
    let mut files: Vec<EspFile> = disk.iter().filter(|file| !is_replaced(&file.path)).cloned().collect();
    files.push(text(LOADER_CONF.to_owned(), menu::loader_conf()));
    files.push(text(relative(grub::CONFIGURATION), GRUB_CFG.to_owned()));
    files.push(text(GRUB_MENU.to_owned(), menu::grub_menu(role, image_version)));
    files.extend(Choice::MENU.map(|choice| {
        let path = format!("{}/{}", uefi::DIRECTORY, menu::entry_name(choice));
        text(path, menu::entry(choice, role, image_version, efi))
    }));
    files.extend(config.map(|config| EspFile { path: paths::ESP_MACHINE_CONFIG.to_owned(), bytes: config.into() }));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// The core image is a disk's and sources its configuration, which shows no menu; what is there only leads on.
const GRUB_CFG: &str = "configfile $prefix/menu.cfg\n";
const GRUB_MENU: &str = "boot/grub/menu.cfg";
const LOADER_CONF: &str = "loader/loader.conf";

fn relative(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

fn is_replaced(path: &str) -> bool {
    path == LOADER_CONF
        || path == relative(grub::CONFIGURATION)
        || path.strip_prefix(uefi::DIRECTORY).is_some_and(|name| name.starts_with('/'))
}

/// Whether ISO 9660 shows a file of the ESP, too: what is large and never changes.
pub(super) fn is_shown(path: &str) -> bool {
    (path.starts_with("EFI/") || path.starts_with("boot/")) && ![".env", ".cfg"].iter().any(|ending| path.ends_with(ending))
}
