//! Kernel modules fit the kernel whose directory they lie in, and find the modules they need.

use super::{CheckError, Findings};
use crate::compose::derive::text_at;
use crate::compose::facts::{Fact, Facts, ModuleName};
use crate::compose::tree::{Tree, TreePath};
use kmimage_contract::{modules, paths};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(tree: &Tree, facts: &Facts, found: &mut Findings<'_>) -> Result<(), CheckError> {
    let mut modules = Vec::new();
    for (path, fact) in facts.over(tree) {
        match (fact, ModuleName::of(path)) {
            (Fact::Module(module), Some(name)) => modules.push((path, name, module)),
            (Fact::Module(_), None) => {
                found.add_firm(path, "is a kernel module outside /usr/lib/modules/RELEASE: nothing loads it".to_owned());
            }
            (Fact::Damaged(why), Some(_)) => found.add_firm(path, format!("is no kernel module: {why}")),
            _ => {}
        }
    }
    let mut present: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, name, _) in &modules {
        present.entry(&name.release).or_default().insert(&name.name);
    }
    let mut built_in = BTreeMap::new();
    for release in present.keys() {
        built_in.insert(*release, built_in_modules(tree, release)?);
    }
    for (path, name, module) in &modules {
        if module.release() != name.release {
            let what = format!("is built for kernel \"{}\", but lies with the modules of {}", module.release(), name.release);
            found.add_firm(path, what);
        }
        for need in &module.depends {
            let there = present.get(name.release.as_str()).is_some_and(|names| names.contains(need.as_str()))
                || built_in.get(name.release.as_str()).is_some_and(|names| names.contains(need));
            if !there {
                let what = format!("needs the kernel module {need}, which is neither in the image nor built in");
                found.add_firm(path, what);
            }
        }
    }
    Ok(())
}

/// The names in modules.builtin, which comes with the kernel's package.
fn built_in_modules(tree: &Tree, release: &str) -> Result<BTreeSet<String>, CheckError> {
    let list = TreePath::new(format!("{}/modules.builtin", paths::modules(release)))?;
    let text = text_at(tree, &list)?.unwrap_or_default();
    Ok(text.lines().map(|line| modules::name(line.trim())).collect())
}
