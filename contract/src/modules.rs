//! Kernel modules: what a module is called by its file, and what it needs, by depmod's `modules.dep`.

/// A module's name, from its path (`kernel/net/a-b.ko.xz`) or as it is given (`a-b`): without directories, without `.ko` and what
/// follows; `-` and `_` are the same in names, here always `_`.
pub fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split_once(".ko").map_or(file, |(name, _)| name).replace('-', "_")
}

/// Whether a path is that of the module of this name ([`name`]); as comparing the names, without making one.
pub fn is_named(path: &str, module: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split_once(".ko").map_or(file, |(stem, _)| stem);
    stem.len() == module.len() && stem.bytes().map(|byte| if byte == b'-' { b'_' } else { byte }).eq(module.bytes())
}

/// The lines of a `modules.dep`: a module's path and the paths of all that it needs, relative to the modules' folder, as written.
/// depmod writes what is needed in the reverse of the order to load it. Lines that are none are passed over.
pub fn parse_dep(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(path, needs)| (path.trim(), needs.split_ascii_whitespace().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_without_folders_and_suffixes() {
        for (path, expect) in [
            ("kernel/net/a-b.ko.xz", "a_b"),
            ("/usr/lib/modules/6/kernel/a_b.ko", "a_b"),
            ("dm-verity", "dm_verity"),
            ("9p.ko.zst", "9p"),
            (".ko", ""),
            ("folder/", ""),
            ("", ""),
        ] {
            assert_eq!(name(path), expect, "{path}");
            assert!(is_named(path, expect) && !is_named(path, "another"), "{path}");
        }
    }

    #[test]
    fn a_table_has_what_each_module_needs() {
        let text = "a.ko:\nb/b.ko.xz: c.ko  a.ko\r\n\nno module\n : \n";
        let expect = [("a.ko", vec![]), ("b/b.ko.xz", vec!["c.ko", "a.ko"]), ("", vec![])];
        assert_eq!(parse_dep(text).collect::<Vec<_>>(), expect);
    }
}
