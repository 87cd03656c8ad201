//! No shell, no interpreter, no package manager: known by their bytes, by the package that brings them, by name.
//!
//! In this order, and one finding per file: bytes do not lie under another name; a package's programs are what they are wherever a
//! profile moved them; a name is what other programs would run. The table is `facts::families`.

use super::Findings;
use crate::compose::facts::{ElfKind, Fact, Facts, Family, FamilyKind, families};
use crate::compose::tree::{Entry, Kind, Origin, Tree, TreePath};
use crate::profile::Rule;
use std::collections::BTreeMap;

pub(super) fn check(tree: &Tree, facts: &Facts, found: &mut Findings<'_>) {
    let mut known: BTreeMap<&TreePath, FamilyKind> = BTreeMap::new();
    for (path, fact) in facts.over(tree) {
        let Some(entry) = tree.get(path) else { continue };
        if let Some((family, what)) = judge(path, entry, fact) {
            known.insert(path, family.kind);
            found.add(rule(family.kind), path, what);
        }
    }
    // A link by the name of one: to a file that is none by the rules above.
    for (path, entry) in tree.iter() {
        let Kind::Symlink(_) = entry.kind else { continue };
        let Some(family) = by_name(path.name()) else { continue };
        let Some(target) = tree.resolve(path) else { continue };
        let is_program = tree.get(&target).is_some_and(|entry| matches!(entry.kind, Kind::File(_)) && entry.mode & 0o111 != 0);
        if is_program && known.get(&target) != Some(&family.kind) {
            let what = format!("is a link by the name of {} to {target}", article(family));
            found.add(rule(family.kind), path, what);
        }
    }
}

fn judge(path: &TreePath, entry: &Entry, fact: &Fact) -> Option<(&'static Family, String)> {
    if let Fact::Elf(elf) = fact
        && let Some(family) = elf.known_programs.iter().find_map(|name| families().iter().find(|family| family.name == *name))
    {
        return Some((family, format!("is {}, by its bytes", article(family))));
    }
    let is_program = match fact {
        Fact::Elf(elf) => elf.kind == ElfKind::Executable,
        Fact::Script(_) => true,
        Fact::Module(_) | Fact::Damaged(_) => false,
    };
    if !is_program || entry.mode & 0o111 == 0 {
        return None;
    }
    if let Origin::Package { name: package, .. } = &entry.origin
        && let Some(family) = families().iter().find(|family| matches(family.packages, package))
    {
        return Some((family, format!("is a program of the package {package}: {}", article(family))));
    }
    let family = by_name(path.name())?;
    Some((family, format!("is {}, by its name", article(family))))
}

fn by_name(name: &[u8]) -> Option<&'static Family> {
    let name = std::str::from_utf8(name).ok()?;
    families().iter().find(|family| matches(family.names, name))
}

/// A `*` stands for a version or nothing: `python*` is python and python3.13, not pythonista.
fn matches(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.split_once('*') {
        Some((beginning, end)) => {
            let middle = name.strip_prefix(beginning).and_then(|rest| rest.strip_suffix(end));
            middle.is_some_and(|middle| !middle.starts_with(|c: char| c.is_ascii_alphabetic()))
        }
        None => name == *pattern,
    })
}

fn article(family: &Family) -> String {
    match family.kind {
        FamilyKind::Shell => format!("a shell ({})", family.name),
        FamilyKind::Interpreter => format!("an interpreter ({})", family.name),
        FamilyKind::PackageManager => format!("a package manager ({})", family.name),
    }
}

fn rule(kind: FamilyKind) -> Rule {
    match kind {
        FamilyKind::Shell => Rule::Shell,
        FamilyKind::Interpreter => Rule::Interpreter,
        FamilyKind::PackageManager => Rule::PackageManager,
    }
}
