//! Which kernel modules there are and what each needs, by `modules.dep`; and the initramfs' own list.

/// The modules to load for one, in order, itself last, as paths relative to the modules' folder. `None`: there is no such module
/// (it may be built into the kernel). `-` and `_` are the same in a module's name.
pub fn load_order(modules_dep: &str, name: &str) -> Option<Vec<String>> {
    let wanted = name.replace('-', "_");
    modules_dep.lines().find_map(|line| {
        let (path, needs) = line.split_once(':')?;
        if module_name(path) != wanted {
            return None;
        }
        // depmod lists what is needed last first.
        let needs = needs.split_ascii_whitespace().rev();
        Some(needs.chain(std::iter::once(path)).map(str::to_owned).collect())
    })
}

/// The paths in the initramfs' list of modules, in the order to load them.
pub fn parse_list(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A module's name, from its path.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split_once(".ko").map_or(file, |(name, _)| name).replace('-', "_")
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
            let order = load_order(DEP, name);
            assert_eq!(
                order.as_deref(),
                expect.map(|paths| paths.iter().map(ToString::to_string).collect::<Vec<_>>()).as_deref()
            );
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
