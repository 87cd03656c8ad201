//! The kernel modules' indexes, as depmod writes them: modules.dep, modules.alias, modules.softdep, modules.devname.
//!
//! Only the text forms, which our init reads; the .bin indexes are libkmod's, and no libkmod is in an image. modules.order,
//! modules.builtin and modules.builtin.modinfo come with the kernel's package and stay. modules.symbols is for a person at a shell.
//!
//! Dependencies come from `depends` of each module's own .modinfo; a name that is neither a module of the tree nor built in is left out
//! here and reported by `check`. In modules.dep a module comes before those that it needs itself, so that loading from the end of a
//! line to its front always works.

use super::{DeriveError, path, put_unless_overlaid, text_at};
use crate::compose::content::Content;
use crate::compose::facts::{Fact, Facts, KernelModule, ModuleName};
use crate::compose::tree::{Entry, Origin, Tree, TreePath};
use kmimage_contract::paths;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

const STEP: Origin = Origin::Derive("kernel-modules");

struct Module<'a> {
    path: &'a TreePath,
    name: ModuleName,
    info: &'a KernelModule,
    /// Places in the list of modules, in the order of `depends`.
    needs: Vec<usize>,
}

/// Writes the indexes of every kernel that the tree holds modules of.
pub fn derive(tree: &mut Tree, facts: &Facts) -> Result<(), DeriveError> {
    let mut files = Vec::new();
    for release in facts.kernel_releases(tree) {
        let directory = path(&paths::modules(&release))?;
        let in_directory = |name: &str| path(&format!("{}/{name}", paths::modules(&release)));
        let order = text_at(tree, &in_directory("modules.order")?)?.unwrap_or_default();
        let modules = modules(tree, facts, &directory, &order)?;
        let sorted = load_order(&modules)?;
        files.push((in_directory("modules.dep")?, dependencies(&modules, &sorted)));
        files.push((in_directory("modules.alias")?, aliases(&modules)));
        files.push((in_directory("modules.softdep")?, soft_dependencies(&modules)));
        files.push((in_directory("modules.devname")?, device_names(&modules)));
    }
    for (path, text) in files {
        put_unless_overlaid(tree, path, Entry::file(Content::from_bytes(text.into_bytes()), 0o644, STEP));
    }
    Ok(())
}

/// The modules of one kernel: those that modules.order names first, in its order, the others by path.
fn modules<'a>(tree: &'a Tree, facts: &'a Facts, directory: &'a TreePath, order: &str) -> Result<Vec<Module<'a>>, DeriveError> {
    let ranks: HashMap<&str, usize> = order.lines().enumerate().map(|(at, line)| (line.trim(), at)).collect();
    let rank = |file: &str| {
        let unpacked = file.rfind(".ko").and_then(|at| file.get(..at + 3)).unwrap_or(file);
        ranks.get(unpacked).copied().unwrap_or(usize::MAX)
    };
    let mut modules = Vec::new();
    for (path, entry) in tree.under(directory) {
        let crate::compose::tree::Kind::File(content) = &entry.kind else { continue };
        let (Some(Fact::Module(info)), Some(name)) = (facts.of(path, content), ModuleName::of(path)) else { continue };
        modules.push((rank(&name.file), Module { path, name, info, needs: Vec::new() }));
    }
    modules.sort_by_key(|(rank, _)| *rank);
    let mut modules: Vec<Module<'a>> = modules.into_iter().map(|(_, module)| module).collect();

    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (at, module) in modules.iter().enumerate() {
        if let Some(first) = places.insert(module.name.name.clone(), at).and_then(|first| modules.get(first)) {
            return Err(DeriveError::TwoModules {
                name: module.name.name.clone(),
                first: first.path.clone(),
                second: module.path.clone(),
            });
        }
    }
    for module in &mut modules {
        module.needs = module.info.depends.iter().filter_map(|name| places.get(name).copied()).collect();
        let mut seen = std::collections::HashSet::new();
        module.needs.retain(|at| seen.insert(*at));
    }
    Ok(modules)
}

/// For each module its rank in a topological order: a module's rank is lower than those of what it needs. The walk is depmod's, so
/// that its order of equals is, too, where `depends` names them in the order in which depmod finds their symbols.
fn load_order(modules: &[Module<'_>]) -> Result<Vec<usize>, DeriveError> {
    let mut users = vec![0usize; modules.len()];
    for &need in modules.iter().flat_map(|module| &module.needs) {
        if let Some(users) = users.get_mut(need) {
            *users += 1;
        }
    }
    let mut roots: Vec<usize> = (0..modules.len()).filter(|&at| users.get(at) == Some(&0)).collect();
    let mut ranks = vec![usize::MAX; modules.len()];
    let mut next = 0;
    while let Some(at) = roots.pop() {
        if let Some(rank) = ranks.get_mut(at) {
            *rank = next;
            next += 1;
        }
        for &need in modules.get(at).map(|module| &module.needs[..]).unwrap_or_default() {
            let Some(users) = users.get_mut(need) else { continue };
            *users -= 1;
            if *users == 0 {
                roots.push(need);
            }
        }
    }
    if next < modules.len() {
        let circle = modules.iter().zip(&ranks).filter(|(_, rank)| **rank == usize::MAX);
        let names: Vec<&str> = circle.map(|(module, _)| module.name.name.as_str()).collect();
        return Err(DeriveError::ModuleCircle(names.join(", ")));
    }
    Ok(ranks)
}

fn dependencies(modules: &[Module<'_>], ranks: &[usize]) -> String {
    let mut text = String::new();
    for (at, module) in modules.iter().enumerate() {
        let mut all = Vec::new();
        let mut pending = vec![at];
        let mut seen = std::collections::BTreeSet::new();
        while let Some(at) = pending.pop() {
            for &need in modules.get(at).map(|module| &module.needs[..]).unwrap_or_default() {
                if seen.insert(need) {
                    all.push(need);
                    pending.push(need);
                }
            }
        }
        all.sort_by_key(|&need| ranks.get(need));
        text.push_str(&module.name.file);
        text.push(':');
        for need in all.into_iter().filter_map(|need| modules.get(need)) {
            text.push(' ');
            text.push_str(&need.name.file);
        }
        text.push('\n');
    }
    text
}

fn aliases(modules: &[Module<'_>]) -> String {
    let mut text = String::from("# Aliases extracted from modules themselves.\n");
    for module in modules {
        for alias in &module.info.aliases {
            // Writing to a String can't fail.
            let _ = writeln!(text, "alias {alias} {}", module.name.name);
        }
    }
    text
}

fn soft_dependencies(modules: &[Module<'_>]) -> String {
    let mut text = String::from("# Soft dependencies extracted from modules themselves.\n");
    for module in modules {
        for softdep in &module.info.softdeps {
            let _ = writeln!(text, "softdep {} {softdep}", module.name.name);
        }
    }
    text
}

/// Device nodes whose opening loads the module: `devname:NAME` with `char-major-MAJOR-MINOR` (or `block-...`) among its aliases.
fn device_names(modules: &[Module<'_>]) -> String {
    let mut text = String::new();
    for module in modules {
        let mut name = None;
        let mut device = None;
        for alias in &module.info.aliases {
            if let Some(node) = alias.strip_prefix("devname:") {
                name = Some(node);
            } else if let Some(number) = alias.strip_prefix("char-major-") {
                device = numbers(number).map(|(major, minor)| ('c', major, minor)).or(device);
            } else if let Some(number) = alias.strip_prefix("block-major-") {
                device = numbers(number).map(|(major, minor)| ('b', major, minor)).or(device);
            }
            if let (Some(name), Some((kind, major, minor))) = (name, device) {
                if text.is_empty() {
                    text.push_str("# Device nodes to trigger on-demand module loading.\n");
                }
                let _ = writeln!(text, "{} {name} {kind}{major}:{minor}", module.name.name);
                break;
            }
        }
    }
    text
}

fn numbers(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('-')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
