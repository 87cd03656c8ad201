//! What depmod's tables say: which modules a name or an alias stands for, and what to load for one, in order. Pure, but that a table is
//! read when it is first needed.

use super::Rules;
use crate::facts::{aliases, read_text};
use kmimage_contract::modules::{is_named, name, parse_dep};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How deep soft dependencies may lead; real ones lead three deep.
const DEPTH: usize = 16;

/// What a name or an alias stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// These modules, by name.
    Modules(Vec<String>),
    /// Something that the kernel has built in.
    BuiltIn,
    /// Only modules that modprobe.d blacklists.
    Blacklisted,
    /// Nothing.
    Unknown,
}

/// One module to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Its file, relative to the modules' folder.
    pub path: String,
    /// Its parameters.
    pub parameters: String,
    /// Whether the module that was asked for does without it: it is there for a soft dependency.
    pub soft: bool,
    /// Whether modprobe.d forbids to load it.
    pub blocked: bool,
}

/// The tables of one kernel.
#[derive(Debug, Default)]
pub struct Tables {
    folder: PathBuf,
    rules: Rules,
    dep: OnceCell<String>,
    /// Where each module's line in modules.dep lies, by the module's name.
    lines: OnceCell<BTreeMap<String, Range<usize>>>,
    softdep: OnceCell<String>,
    alias: OnceCell<String>,
    builtin: OnceCell<String>,
    builtin_modinfo: OnceCell<String>,
}

impl Tables {
    /// The tables in a folder. One that can't be read is taken for empty: what it should have said is then unknown, by name.
    pub fn below(folder: &Path, rules: Rules) -> Self {
        Self { folder: folder.to_owned(), rules, ..Self::default() }
    }

    /// What to do for a name or alias, in modprobe's order: modprobe.d's aliases, modules, what is built in, modules' own aliases.
    pub fn find(&self, wanted: &str) -> Found {
        let by_rule: Vec<String> = self
            .rules
            .aliases
            .iter()
            .filter(|(pattern, _)| aliases::stands_for(pattern, wanted))
            .map(|(_, module)| module.clone())
            .collect();
        if !by_rule.is_empty() {
            return self.without_blacklisted(by_rule);
        }
        let module = name(wanted);
        if self.line(&module).is_some() {
            return Found::Modules(vec![module]);
        }
        if self.builtin().lines().any(|path| is_named(path, &module)) {
            return Found::BuiltIn;
        }
        let by_alias = self.aliased(wanted);
        if !by_alias.is_empty() {
            return self.without_blacklisted(by_alias);
        }
        let built_in = self.builtin_modinfo().split('\0').any(|entry| {
            let alias = entry.split_once('=').filter(|(key, _)| key.ends_with(".alias"));
            alias.is_some_and(|(_, pattern)| aliases::stands_for(pattern, wanted))
        });
        if built_in { Found::BuiltIn } else { Found::Unknown }
    }

    /// Which modules drive which devices: for each of these modaliases, in their order, the names of its modules. Blacklisted ones are
    /// left out. One pass over the table, however many devices there are.
    pub fn drivers(&self, modaliases: &[String]) -> Vec<Vec<String>> {
        let mut found = aliases::drivers(self.alias(), modaliases);
        for modules in &mut found {
            modules.retain(|module| !self.rules.blacklist.contains(module));
        }
        found
    }

    /// What to load for one module, by its own name, in order: soft dependencies and needs first. Empty: there is no such module.
    pub fn plan(&self, module: &str) -> Vec<Step> {
        let (mut steps, module) = (Vec::new(), name(module));
        self.add(&module, false, DEPTH, &mut BTreeSet::new(), &mut steps);
        // It may have come in by a soft dependency of what it needs.
        steps.iter_mut().filter(|step| step.name == module).for_each(|step| step.soft = false);
        steps
    }

    fn add(&self, module: &str, soft: bool, depth: usize, seen: &mut BTreeSet<String>, steps: &mut Vec<Step>) {
        let Some((path, needs)) = self.line(module).filter(|_| depth > 0) else { return };
        // depmod lists what is needed last first.
        for path in needs.into_iter().rev().chain(std::iter::once(path)) {
            let step = name(path);
            if !seen.insert(step.clone()) {
                continue;
            }
            let (before, after) = self.soft_dependencies(&step);
            let mut add_soft = |wanted: Vec<String>, steps: &mut Vec<Step>| {
                for module in wanted.iter().flat_map(|wanted| self.modules_of(wanted)) {
                    self.add(&module, true, depth - 1, seen, steps);
                }
            };
            add_soft(before, steps);
            steps.push(Step {
                path: path.to_owned(),
                parameters: self.rules.options.get(&step).cloned().unwrap_or_default(),
                soft,
                blocked: self.rules.blocked.contains(&step),
                name: step,
            });
            add_soft(after, steps);
        }
    }

    fn modules_of(&self, wanted: &str) -> Vec<String> {
        match self.find(wanted) {
            Found::Modules(modules) => modules,
            Found::BuiltIn | Found::Blacklisted | Found::Unknown => Vec::new(),
        }
    }

    /// What a module would like to be loaded before it and after it. Words without `pre:` or `post:` say nothing, as with kmod.
    fn soft_dependencies(&self, module: &str) -> (Vec<String>, Vec<String>) {
        let lines = self.softdep().lines().filter_map(|line| line.strip_prefix("softdep ")?.split_once(' '));
        let lines = lines.chain(self.rules.softdeps.iter().map(|(module, words)| (module.as_str(), words.as_str())));
        let (mut before, mut after, mut ignored) = (Vec::new(), Vec::new(), Vec::new());
        for (_, words) in lines.filter(|(of, _)| is_named(of, module)) {
            let mut list = &mut ignored;
            for word in words.split_ascii_whitespace() {
                match word {
                    "pre:" => list = &mut before,
                    "post:" => list = &mut after,
                    word => list.push(word.to_owned()),
                }
            }
        }
        (before, after)
    }

    fn aliased(&self, wanted: &str) -> Vec<String> {
        let mut modules = Vec::new();
        for (pattern, module) in aliases::patterns(self.alias()) {
            if aliases::stands_for(pattern, wanted) {
                let module = name(module);
                if !modules.contains(&module) {
                    modules.push(module);
                }
            }
        }
        modules
    }

    fn without_blacklisted(&self, mut modules: Vec<String>) -> Found {
        modules.retain(|module| !self.rules.blacklist.contains(module));
        if modules.is_empty() { Found::Blacklisted } else { Found::Modules(modules) }
    }

    /// A module's line in modules.dep: its path, and what it needs.
    fn line(&self, module: &str) -> Option<(&str, Vec<&str>)> {
        let dep = self.dep();
        let lines = self.lines.get_or_init(|| lines_by_name(dep));
        parse_dep(dep.get(lines.get(module)?.clone())?).next()
    }

    fn dep(&self) -> &str {
        self.text(&self.dep, "modules.dep")
    }

    fn softdep(&self) -> &str {
        self.text(&self.softdep, "modules.softdep")
    }

    fn alias(&self) -> &str {
        self.text(&self.alias, "modules.alias")
    }

    fn builtin(&self) -> &str {
        self.text(&self.builtin, "modules.builtin")
    }

    fn builtin_modinfo(&self) -> &str {
        self.text(&self.builtin_modinfo, "modules.builtin.modinfo")
    }

    fn text<'a>(&self, cell: &'a OnceCell<String>, file: &str) -> &'a str {
        cell.get_or_init(|| read_text(&self.folder.join(file)).unwrap_or_default())
    }
}

/// Where the line of each module lies in a modules.dep.
fn lines_by_name(dep: &str) -> BTreeMap<String, Range<usize>> {
    let mut begin = 0;
    let lines = dep.split_inclusive('\n').filter_map(|line| {
        let place = begin..begin + line.len();
        begin = place.end;
        Some((name(line.split_once(':')?.0.trim()), place))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/crypto/crc32c_generic.ko.xz:\nkernel/fs/jbd2.ko.xz:\n\
                       kernel/fs/ext4.ko.xz: kernel/fs/jbd2.ko.xz kernel/fs/mb-cache.ko.xz\nkernel/fs/mb-cache.ko.xz:\n\
                       kernel/a.ko.xz:\nkernel/b.ko.xz:\nkernel/net/xt-x.ko.xz:\nkernel/evil.ko.xz:\nkernel/ipmi.ko.xz:\nkernel/ipmi_dev.ko.xz: kernel/ipmi.ko.xz\n";
    const ALIAS: &str = "# Aliases\nalias fs-ext4 ext4\nalias fs-ext3 ext4\nalias crypto-crc32c crc32c_generic\nalias pci:v00008086d* a\n\
                         alias pci:v*bc02* b\nalias ipt-x xt_x\nalias net-pf-5 evil\nalias x-any-[a-c] a\n";
    const SOFTDEP: &str = "softdep ext4 pre: crypto-crc32c post: nothing-like-it\nsoftdep a gcm\nsoftdep ipmi post: ipmi_dev\n\
                           softdep xt_x pre: xt_x b\n";

    fn tables(rules: &str) -> Tables {
        let mut parsed = Rules::default();
        parsed.add_text(rules);
        let cell = |text: &str| OnceCell::from(text.to_owned());
        Tables {
            folder: PathBuf::new(),
            rules: parsed,
            dep: cell(DEP),
            lines: OnceCell::new(),
            softdep: cell(SOFTDEP),
            alias: cell(ALIAS),
            builtin: cell("kernel/fs/fuse.ko\nkernel/drivers/char/hw-random.ko\n"),
            builtin_modinfo: cell("fuse.alias=fs-fuseblk\0fuse.license=GPL\0fuse.alias=char-major-10-229\0"),
        }
    }

    #[test]
    fn names_and_aliases_stand_for_modules() {
        let modules = |names: &[&str]| Found::Modules(names.iter().map(|&name| name.to_owned()).collect());
        let check = |wanted: &str, expect: Found| assert_eq!(tables("").find(wanted), expect, "{wanted}");
        check("ext4", modules(&["ext4"]));
        check("mb_cache", modules(&["mb_cache"]));
        check("mb-cache", modules(&["mb_cache"]));
        check("fs-ext3", modules(&["ext4"]));
        check("fs_ext3", modules(&["ext4"]));
        check("ipt_x", modules(&["xt_x"]));
        check("x_any-b", modules(&["a"]));
        check("x-any-d", Found::Unknown);
        check("pci:v00008086d00001234bc02sc00", modules(&["a", "b"]));
        check("fuse", Found::BuiltIn);
        check("hw_random", Found::BuiltIn);
        check("fs-fuseblk", Found::BuiltIn);
        check("char-major-10-229", Found::BuiltIn);
        check("GPL", Found::Unknown);
        check("", Found::Unknown);
        check("*", Found::Unknown);
    }

    #[test]
    fn rules_come_first() {
        let modules = |names: &[&str]| Found::Modules(names.iter().map(|&name| name.to_owned()).collect());
        let check = |rules: &str, wanted: &str, expect: Found| assert_eq!(tables(rules).find(wanted), expect, "{rules} {wanted}");
        check("alias my-* ext4", "my-disk", modules(&["ext4"]));
        check("alias fs-ext4 jbd2", "fs-ext4", modules(&["jbd2"]));
        check("blacklist evil", "net-pf-5", Found::Blacklisted);
        // A blacklist is about aliases: by its name a module can be had.
        check("blacklist evil", "evil", modules(&["evil"]));
        check("blacklist a", "pci:v00008086d00001234bc02sc00", modules(&["b"]));
        assert_eq!(tables("blacklist a").drivers(&["pci:v00008086d00001234bc02sc00".to_owned()]), [["b"]]);
    }

    #[test]
    fn what_is_needed_or_wished_for_comes_first() {
        let check = |rules: &str, module: &str, expect: &[&str]| {
            let show = |step: &Step| {
                let marks = [(step.soft, "~"), (step.blocked, "!")].into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark);
                let marks: String = marks.collect();
                format!("{marks}{} {}", step.name, step.parameters).trim_end().to_owned()
            };
            assert_eq!(tables(rules).plan(module).iter().map(show).collect::<Vec<_>>(), expect, "{module}");
        };
        check("", "ext4", &["mb_cache", "jbd2", "~crc32c_generic", "ext4"]);
        check("", "a", &["a"]);
        check("", "ipmi", &["ipmi", "~ipmi_dev"]);
        check("", "ipmi_dev", &["ipmi", "ipmi_dev"]);
        check("", "xt-x", &["~b", "xt_x"]);
        check("", "gone", &[]);
        check(
            "options jbd2 x=1 y\ninstall ext4 /bin/false\nsoftdep jbd2 pre: a",
            "ext4",
            &["mb_cache", "~a", "jbd2 x=1 y", "~crc32c_generic", "!ext4"],
        );
    }

    #[test]
    fn soft_dependencies_in_a_circle_end() {
        let rules = "softdep a pre: b\nsoftdep b pre: a";
        assert_eq!(tables(rules).plan("a").iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    }
}
