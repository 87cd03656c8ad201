//! Which kernel modules the initramfs carries, in the order to load them: what the profile wants, and what that depends on.
//!
//! Dependencies are those of the tree's own `modules.dep` (a derive step made it); soft dependencies are ignored, since the
//! profile names what it wants loaded.

use super::initramfs::Module;
use crate::compose::content::Content;
use crate::compose::tree::{BadPath, Kind as EntryKind, Tree, TreePath};
use crate::failure::{Classified, Kind, io_kind};
use crate::profile::InitramfsModules;
use kmimage_contract::modules::{name as module_name, parse_dep};
use kmimage_contract::paths;
use kmimage_contract::toml_document::nearest;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// Why the modules of the initramfs can't be told.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// The profile wants a module that is not there.
    #[error("the initramfs wants the module {name}, which the root of kernel {release} has neither as a file nor built in")]
    Missing {
        /// Module name, with underscores.
        name: String,
        /// Kernel release.
        release: String,
        /// The module that is called most like it.
        nearest: Option<String>,
    },
    /// A directory with no module in it.
    #[error("the initramfs wants the modules below {directory}, but the root of kernel {release} keeps none there")]
    EmptyDirectory {
        /// Directory relative to the modules' directory.
        directory: String,
        /// Kernel release.
        release: String,
    },
    /// A module depends on a file that is not in the tree.
    #[error("{module} needs {dependency}, which is not in the image")]
    Dependency {
        /// Path of the module, relative.
        module: String,
        /// Path of what it needs, relative.
        dependency: String,
    },
    /// `modules.dep` or `modules.builtin` is missing or can't be read.
    #[error("can't read {path} of the image")]
    Read {
        /// Path in the image.
        path: String,
        /// What happened.
        source: io::Error,
    },
    /// A path of `modules.dep` is no path.
    #[error("{path} has a line with a bad path")]
    Path {
        /// Path in the image.
        path: String,
        /// What is wrong with it.
        source: BadPath,
    },
}

impl Classified for ModulesError {
    fn kind(&self) -> Kind {
        match self {
            ModulesError::Missing { .. } | ModulesError::EmptyDirectory { .. } => Kind::Profile,
            ModulesError::Dependency { .. } => Kind::Policy,
            ModulesError::Read { source, .. } => io_kind(source),
            ModulesError::Path { .. } => Kind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        if let ModulesError::Missing { nearest: Some(nearest), .. } = self {
            hints.push(format!("Did you mean `{nearest}`?"));
        }
        if let ModulesError::Missing { .. } | ModulesError::EmptyDirectory { .. } | ModulesError::Dependency { .. } = self {
            hints.push(
                "Perhaps [kernel.modules] drops it: name it under `keep` there, or take it out of [kernel.initramfs].".to_owned(),
            );
        }
        hints
    }
}

/// The wanted modules and all that they depend on, each once, a module after those it needs; and last the tables by which init loads
/// drivers only for devices that are there: `modules.dep` and `modules.alias`, as far as they are about these modules.
pub fn in_load_order(tree: &Tree, release: &str, wanted: &InitramfsModules) -> Result<Vec<Module>, ModulesError> {
    let directory = paths::modules(release);
    let dependencies_text = read(tree, &format!("{directory}/modules.dep"))?;
    let dependencies = parse_dep(&dependencies_text).collect();
    let order = order(&dependencies, release, wanted, &|| {
        let builtin = read(tree, &format!("{directory}/modules.builtin"))?;
        Ok(builtin.lines().map(|line| module_name(line.trim())).collect())
    })?;
    let in_order: BTreeSet<&str> = order.iter().copied().collect();
    let mut modules = Vec::with_capacity(order.len() + 2);
    for path in order {
        let dep = || format!("{directory}/modules.dep");
        let absolute = format!("{directory}/{path}");
        let path = TreePath::new(&absolute).map_err(|source| ModulesError::Path { path: dep(), source })?;
        let gone = || ModulesError::Read { path: absolute.clone(), source: io::ErrorKind::NotFound.into() };
        match tree.get(&path).map(|entry| &entry.kind) {
            Some(EntryKind::File(content)) => modules.push(Module { content: content.clone(), path }),
            _ => return Err(gone()),
        }
    }
    let aliases = read(tree, &format!("{directory}/modules.alias"))?;
    let tables =
        [("modules.dep", dependencies_of(&dependencies_text, &in_order)), ("modules.alias", aliases_of(&aliases, &in_order))];
    for (name, text) in tables {
        let path = format!("{directory}/{name}");
        let path = TreePath::new(&path).map_err(|source| ModulesError::Path { path: path.clone(), source })?;
        modules.push(Module { content: Content::from_bytes(text.into_bytes()), path });
    }
    Ok(modules)
}

/// The lines of a `modules.dep` about these modules.
fn dependencies_of(text: &str, modules: &BTreeSet<&str>) -> String {
    let about = |line: &&str| parse_dep(line).any(|(path, _)| modules.contains(path));
    text.lines().filter(about).map(|line| format!("{line}\n")).collect()
}

/// The lines of a `modules.alias` about these modules.
fn aliases_of(text: &str, modules: &BTreeSet<&str>) -> String {
    let names: BTreeSet<String> = modules.iter().map(|path| module_name(path)).collect();
    let about = |line: &&str| {
        let alias = line.strip_prefix("alias ").and_then(|alias| alias.rsplit_once(' '));
        alias.is_some_and(|(_, module)| names.contains(&module_name(module)))
    };
    text.lines().filter(about).map(|line| format!("{line}\n")).collect()
}

fn read(tree: &Tree, path: &str) -> Result<String, ModulesError> {
    let error = |source| ModulesError::Read { path: path.to_owned(), source };
    let at = TreePath::new(path).map_err(|source| ModulesError::Path { path: path.to_owned(), source })?;
    match tree.get(&at).map(|entry| &entry.kind) {
        // A real kernel's are below 1 MiB; a bound keeps a wrong file from filling the memory.
        Some(EntryKind::File(content)) if content.len() <= 64 << 20 => {
            let bytes = content.to_vec().map_err(error)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        Some(_) => Err(error(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file of at most 64 MiB"))),
        None => Err(error(io::ErrorKind::NotFound.into())),
    }
}

fn order<'a>(
    dependencies: &BTreeMap<&'a str, Vec<&'a str>>,
    release: &str,
    wanted: &InitramfsModules,
    builtin: &dyn Fn() -> Result<BTreeSet<String>, ModulesError>,
) -> Result<Vec<&'a str>, ModulesError> {
    let names: BTreeSet<String> = dependencies.keys().map(|path| module_name(path)).collect();
    let mut missing = wanted.modules.iter().filter(|name| !names.contains(*name)).peekable();
    if missing.peek().is_some() {
        let builtin = builtin()?;
        if let Some(name) = missing.find(|name| !builtin.contains(*name)) {
            let nearest = nearest(name, names.union(&builtin).map(String::as_str)).map(str::to_owned);
            return Err(ModulesError::Missing { name: name.clone(), release: release.to_owned(), nearest });
        }
    }
    for directory in &wanted.directories {
        if !dependencies.keys().any(|path| path.strip_prefix(directory.as_str()).is_some_and(|rest| rest.starts_with('/'))) {
            return Err(ModulesError::EmptyDirectory { directory: directory.clone(), release: release.to_owned() });
        }
    }
    let mut done = BTreeSet::new();
    let mut order = Vec::new();
    for path in dependencies.keys().copied().filter(|path| wanted.wants(path)) {
        // Depth first without recursion; a module is pushed again, as `true`, once what it needs is in the order.
        let mut pending = vec![(path, false)];
        while let Some((path, ready)) = pending.pop() {
            if ready {
                order.push(path);
            } else if done.insert(path) {
                pending.push((path, true));
                for need in dependencies.get(path).into_iter().flatten() {
                    if !dependencies.contains_key(need) {
                        return Err(ModulesError::Dependency { module: path.to_owned(), dependency: (*need).to_owned() });
                    }
                    pending.push((need, false));
                }
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::tree::{Entry, Origin};

    const DEP: &str = "\
kernel/drivers/md/dm-mod.ko.xz:
kernel/drivers/md/dm-bufio.ko.xz: kernel/drivers/md/dm-mod.ko.xz
kernel/drivers/md/dm-verity.ko.xz: kernel/lib/reed_solomon.ko.xz kernel/drivers/md/dm-bufio.ko.xz kernel/drivers/md/dm-mod.ko.xz
kernel/lib/reed_solomon.ko.xz:
kernel/sound/snd.ko.xz:
kernel/fs/broken.ko.xz: kernel/fs/gone.ko.xz
";

    fn wanted(modules: &[&str], directories: &[&str]) -> InitramfsModules {
        InitramfsModules {
            modules: modules.iter().map(|&name| name.to_owned()).collect(),
            directories: directories.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn tree() -> Tree {
        let mut tree = Tree::new();
        let mut put = |path: &str, text: &str| {
            let path = TreePath::new(format!("/usr/lib/modules/6/{path}")).unwrap();
            tree.insert(path, Entry::file(Content::from_bytes(text.as_bytes()), 0o644, Origin::Kmimage));
        };
        put("modules.dep", DEP);
        put("modules.alias", "# Aliases\nalias dm-verity dm_verity\nalias fs-broken broken\nalias pci:v0* dm-mod\n");
        put("modules.builtin", "kernel/block/virtio-x.ko\n");
        for (path, _) in parse_dep(DEP) {
            put(path, path);
        }
        tree
    }

    fn check(modules: &[&str], directories: &[&str], expect: Result<&str, &str>) {
        let result = in_load_order(&tree(), "6", &wanted(modules, directories));
        let result = result.map_err(|error| error.to_string()).map(|modules| {
            let paths: Vec<String> =
                modules.iter().take(modules.len() - 2).map(|module| module_name(&module.path.to_string())).collect();
            paths.join(" ")
        });
        assert_eq!(result.as_deref().map_err(String::as_str), expect);
    }

    #[test]
    fn a_module_comes_after_those_it_needs() {
        check(&["dm_verity"], &[], Ok("dm_mod dm_bufio reed_solomon dm_verity"));
        check(&["dm_verity", "snd"], &[], Ok("dm_mod dm_bufio reed_solomon dm_verity snd"));
        check(&[], &["kernel/drivers/md"], Ok("dm_mod dm_bufio reed_solomon dm_verity"));
        check(&["virtio_x"], &["kernel/sound"], Ok("snd"));
    }

    #[test]
    fn the_tables_are_of_these_modules_only() {
        let modules = in_load_order(&tree(), "6", &wanted(&["dm_verity"], &[])).unwrap();
        let texts = modules[modules.len() - 2..].iter().map(|table| {
            let text = String::from_utf8(table.content.to_vec().unwrap()).unwrap();
            format!("{}\n{text}", table.path)
        });
        let expect = "\
/usr/lib/modules/6/modules.dep
kernel/drivers/md/dm-mod.ko.xz:
kernel/drivers/md/dm-bufio.ko.xz: kernel/drivers/md/dm-mod.ko.xz
kernel/drivers/md/dm-verity.ko.xz: kernel/lib/reed_solomon.ko.xz kernel/drivers/md/dm-bufio.ko.xz kernel/drivers/md/dm-mod.ko.xz
kernel/lib/reed_solomon.ko.xz:
/usr/lib/modules/6/modules.alias
alias dm-verity dm_verity
alias pci:v0* dm-mod
";
        assert_eq!(texts.collect::<String>(), expect);
    }

    #[test]
    fn what_is_not_there_is_named() {
        check(
            &["nvme"],
            &[],
            Err("the initramfs wants the module nvme, which the root of kernel 6 has neither as a file nor built in"),
        );
        check(
            &[],
            &["kernel/drivers/ata"],
            Err("the initramfs wants the modules below kernel/drivers/ata, but the root of kernel 6 keeps none there"),
        );
        check(&["broken"], &[], Err("kernel/fs/broken.ko.xz needs kernel/fs/gone.ko.xz, which is not in the image"));
        let error = in_load_order(&Tree::new(), "6", &wanted(&[], &[])).unwrap_err();
        assert_eq!(error.to_string(), "can't read /usr/lib/modules/6/modules.dep of the image");
    }
}
