//! Which kernel modules there are and what each needs, by `modules.dep`; and the initramfs' own list.

use kmimage_contract::modules::{name, parse_dep};
use std::collections::BTreeMap;

/// What each module needs, by name.
#[derive(Debug, Default)]
pub struct Dependencies<'a> {
    /// A module's own path and the paths of what it needs, as `modules.dep` has them.
    modules: BTreeMap<String, (&'a str, Vec<&'a str>)>,
}

impl<'a> Dependencies<'a> {
    /// Reads a `modules.dep`.
    pub fn parse(modules_dep: &'a str) -> Self {
        Self { modules: parse_dep(modules_dep).map(|(path, needs)| (name(path), (path, needs))).collect() }
    }

    /// The modules to load for one, in order, itself last, as paths relative to the modules' folder. `None`: there is no such module
    /// (it may be built into the kernel).
    pub fn load_order(&self, wanted: &str) -> Option<Vec<&'a str>> {
        let (path, needs) = self.modules.get(&name(wanted))?;
        // depmod lists what is needed last first.
        Some(needs.iter().rev().chain(std::iter::once(path)).copied().collect())
    }
}

/// The paths in the initramfs' list of modules, in the order to load them.
pub fn parse_list(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/drivers/acpi/button.ko.xz:\n\
                       kernel/drivers/md/dm-verity.ko.xz: kernel/lib/reed_solomon/reed_solomon.ko.xz kernel/drivers/md/dm-bufio.ko.xz \
                       kernel/drivers/md/dm-mod.ko.xz\n\
                       kernel/plain.ko: kernel/drivers/acpi/button.ko.xz\n";

    #[test]
    fn what_is_needed_comes_first() {
        let check = |name: &str, expect: Option<&[&str]>| {
            assert_eq!(Dependencies::parse(DEP).load_order(name).as_deref(), expect, "{name}");
        };
        check("button", Some(&["kernel/drivers/acpi/button.ko.xz"]));
        let verity = [
            "kernel/drivers/md/dm-mod.ko.xz",
            "kernel/drivers/md/dm-bufio.ko.xz",
            "kernel/lib/reed_solomon/reed_solomon.ko.xz",
            "kernel/drivers/md/dm-verity.ko.xz",
        ];
        check("dm_verity", Some(&verity));
        check("dm-verity", Some(&verity));
        check("plain", Some(&["kernel/drivers/acpi/button.ko.xz", "kernel/plain.ko"]));
        check("verity", None);
        check("", None);
    }

    #[test]
    fn the_list_is_lines() {
        assert_eq!(parse_list("# disks\n/a.ko.xz\n\n  /b.ko\r\n").collect::<Vec<_>>(), ["/a.ko.xz", "/b.ko"]);
    }
}
