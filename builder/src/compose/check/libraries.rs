//! ELF files: each program finds its dynamic loader and, as ld.so would search, every library that it and they need.
//!
//! Searched as ld.so(8) does for a program started by root with an empty environment: RPATH of the file and of those that loaded it
//! (where a file has no RUNPATH), RUNPATH of the file, /etc/ld.so.cache, /lib and /usr/lib with their multiarch directories. A library
//! that the program has loaded already is found by its name, from wherever it came. Libraries that no program needs (plugins) are
//! searched as if each were a program. dlopen is invisible here.

use super::{CheckError, FIRMWARE, Findings};
use crate::compose::derive::{library_cache, library_defaults};
use crate::compose::facts::{Elf, ElfKind, Fact, Facts, MACHINE_X86_64};
use crate::compose::tree::{Kind, Tree, TreePath};
use crate::profile::Rule;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(super) fn check(tree: &Tree, facts: &Facts, found: &mut Findings<'_>) -> Result<(), CheckError> {
    let loader = Loader { tree, facts, cache: library_cache(tree)?, defaults: library_defaults() };
    let mut programs = Vec::new();
    let mut libraries = Vec::new();
    for (path, fact) in facts.over(tree).filter(|(path, _)| !path.as_bytes().starts_with(FIRMWARE.as_bytes())) {
        let can_run = tree.get(path).is_some_and(|entry| entry.mode & 0o111 != 0);
        match fact {
            Fact::Elf(elf) if elf.class == 64 && elf.machine == MACHINE_X86_64 => match elf.kind {
                ElfKind::Executable => programs.push((path, elf)),
                ElfKind::SharedLibrary => libraries.push((path, elf)),
                ElfKind::Relocatable | ElfKind::Other => {}
            },
            Fact::Elf(elf) if elf.kind == ElfKind::Executable && can_run => {
                let what = format!("is a program for another machine ({} bits, ELF machine {})", elf.class, elf.machine);
                found.add(Rule::MissingInterpreter, path, what);
            }
            Fact::Damaged(why) if can_run => found.add_firm(path, format!("can't be run: {why}")),
            _ => {}
        }
    }
    let mut reached = BTreeSet::new();
    for (path, elf) in programs {
        if let Some(interpreter) = &elf.interpreter
            && (!interpreter.starts_with('/') || tree.follow_to_file(&TreePath::root(), interpreter.as_bytes()).is_none())
        {
            let what = format!("needs the program interpreter {interpreter}, which is not in the image");
            found.add(Rule::MissingInterpreter, path, what);
        }
        loader.load(path, elf, &mut reached, found);
    }
    for (path, elf) in libraries {
        if !reached.contains(path) {
            loader.load(path, elf, &mut reached, found);
        }
    }
    Ok(())
}

/// What ld.so knows before it searches.
struct Loader<'a> {
    tree: &'a Tree,
    facts: &'a Facts,
    cache: BTreeMap<Vec<u8>, Vec<u8>>,
    defaults: Vec<TreePath>,
}

/// A loaded file, and the RPATHs that it hands down to what it loads.
struct Loaded<'a> {
    path: TreePath,
    elf: &'a Elf,
    inherited: Vec<String>,
}

impl<'a> Loader<'a> {
    /// Loads a program and, breadth first as ld.so does, everything that it needs.
    fn load(&self, path: &TreePath, elf: &'a Elf, reached: &mut BTreeSet<TreePath>, found: &mut Findings<'_>) {
        let mut names: BTreeSet<String> = elf.soname.iter().cloned().collect();
        let mut queue = VecDeque::from([Loaded { path: path.clone(), elf, inherited: Vec::new() }]);
        while let Some(object) = queue.pop_front() {
            reached.insert(object.path.clone());
            let handed_down = object.handed_down();
            for needed in &object.elf.needed {
                if names.contains(needed) {
                    continue;
                }
                match self.search(needed, &object) {
                    Some((path, elf)) => {
                        names.extend(elf.soname.iter().cloned());
                        names.insert(needed.clone());
                        queue.push_back(Loaded { path, elf, inherited: handed_down.clone() });
                    }
                    None => {
                        let what = format!("needs the shared library {needed}, which is not in the image");
                        found.add(Rule::MissingLibrary, &object.path, what);
                    }
                }
            }
        }
    }

    fn search(&self, needed: &str, object: &Loaded<'_>) -> Option<(TreePath, &'a Elf)> {
        if needed.contains('/') {
            return self.library(expand(needed, &object.path).as_bytes());
        }
        let own = object.elf.runpath.as_deref().map(|runpath| expand_list(runpath, &object.path));
        let directories = own.unwrap_or_else(|| object.handed_down());
        let beside = directories.iter().filter(|directory| directory.starts_with('/'));
        beside
            .map(|directory| format!("{directory}/{needed}"))
            .find_map(|path| self.library(path.as_bytes()))
            .or_else(|| self.library(self.cache.get(needed.as_bytes())?))
            .or_else(|| self.defaults.iter().find_map(|directory| self.library(directory.join(needed).ok()?.as_bytes())))
    }

    /// The library at a path; a file that ld.so would skip counts as none.
    fn library(&self, path: &[u8]) -> Option<(TreePath, &'a Elf)> {
        if !path.starts_with(b"/") {
            return None;
        }
        let path = self.tree.follow_to_file(&TreePath::root(), path)?;
        let Kind::File(content) = &self.tree.get(&path)?.kind else { return None };
        match self.facts.of(&path, content)? {
            Fact::Elf(elf) if elf.class == 64 && elf.machine == MACHINE_X86_64 && elf.dynamic => Some((path, elf)),
            _ => None,
        }
    }
}

impl Loaded<'_> {
    /// The RPATHs that count for this file and what it loads: its own, then those of its loaders. A RUNPATH makes RPATH void.
    fn handed_down(&self) -> Vec<String> {
        let mut directories = match (&self.elf.runpath, &self.elf.rpath) {
            (None, Some(rpath)) => expand_list(rpath, &self.path),
            _ => Vec::new(),
        };
        directories.extend(self.inherited.iter().cloned());
        directories
    }
}

fn expand_list(list: &str, file: &TreePath) -> Vec<String> {
    list.split(':').map(|directory| expand(directory, file)).collect()
}

/// Dynamic string tokens, as ld.so(8) has them on Debian's amd64.
fn expand(text: &str, file: &TreePath) -> String {
    let origin = file.parent().unwrap_or_else(TreePath::root).to_string();
    let mut text = text.to_owned();
    for (token, value) in [("ORIGIN", origin.as_str()), ("LIB", "lib/x86_64-linux-gnu"), ("PLATFORM", "x86_64")] {
        text = text.replace(&format!("${{{token}}}"), value).replace(&format!("${token}"), value);
    }
    text
}
