//! The files in modprobe.d, and what the kernel command line says for modules (modprobe.d(5)).

use crate::facts::read_text;
use kmimage_contract::cmdline::Cmdline;
use kmimage_contract::modules::name;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where the files are; of two files of one name the first folder's counts.
const FOLDERS: [&str; 3] = ["/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d"];

/// What an administrator or a package says of modules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Patterns, each with the module that it stands for.
    pub aliases: Vec<(String, String)>,
    /// Parameters by module.
    pub options: BTreeMap<String, String>,
    /// Modules whose own aliases don't count.
    pub blacklist: BTreeSet<String>,
    /// Soft dependencies, as in `modules.softdep`: a module, and the words behind it.
    pub softdeps: Vec<(String, String)>,
    /// Modules that have an `install` command.
    pub blocked: BTreeSet<String>,
}

impl Rules {
    /// Reads the files and takes the command line's words along.
    pub fn read(cmdline: &Cmdline) -> Self {
        let mut files: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
        for folder in FOLDERS {
            for entry in std::fs::read_dir(Path::new(folder)).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "conf") {
                    files.entry(entry.file_name()).or_insert_with(|| entry.path());
                }
            }
        }
        let mut rules = Self::default();
        for path in files.values() {
            rules.add_text(&read_text(path).unwrap_or_default());
        }
        rules.add_cmdline(cmdline);
        rules
    }

    /// Adds what a file says. Lines that say nothing that is known here (`remove`, `weakdep`) are passed over, as modprobe does.
    pub fn add_text(&mut self, text: &str) {
        let text = text.replace("\\\n", " ");
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let Some((command, rest)) = line.split_once(char::is_whitespace) else { continue };
            let rest = rest.trim_start();
            let (first, more) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let more = more.trim();
            match command {
                "alias" if !more.is_empty() => self.aliases.push((first.to_owned(), name(more))),
                "options" if !more.is_empty() => self.add_options(first, more),
                "blacklist" => {
                    self.blacklist.insert(name(first));
                }
                "softdep" if !more.is_empty() => self.softdeps.push((name(first), more.to_owned())),
                "install" => {
                    self.blocked.insert(name(first));
                }
                _ => {}
            }
        }
    }

    /// Adds `module.parameter=value` and `modprobe.blacklist=a,b` of a command line. (The kernel itself reads the former for what is built
    /// in only; other words with a dot don't name a module, and nobody asks for them.)
    pub fn add_cmdline(&mut self, cmdline: &Cmdline) {
        for parameter in &cmdline.parameters {
            let Some((module, key)) = parameter.key().split_once('.') else { continue };
            match (module, key, parameter.get()) {
                ("modprobe", "blacklist", Some(list)) => self.blacklist.extend(list.split(',').map(name)),
                (_, _, Some(value)) if value.contains(char::is_whitespace) => {
                    self.add_options(module, &format!("{key}=\"{value}\""))
                }
                (_, _, Some(value)) => self.add_options(module, &format!("{key}={value}")),
                (_, _, None) => self.add_options(module, key),
            }
        }
    }

    fn add_options(&mut self, module: &str, options: &str) {
        let known = self.options.entry(name(module)).or_default();
        if !known.is_empty() {
            known.push(' ');
        }
        known.push_str(options);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_command_line_make_one_set_of_rules() {
        let mut rules = Rules::default();
        rules.add_text(
            "# a comment\nalias net-pf-10 ipv6\noptions kvm-intel nested=1\noptions kvm_intel \\\n  ept=1\nblacklist pc-spkr\n\
             softdep nf-x pre: nf_y post: nf_z\ninstall evil /bin/true\nremove x y\nalias short\noptions\n\nblacklist\n",
        );
        let cmdline =
            Cmdline::parse("quiet i6300esb.heartbeat=30 modprobe.blacklist=a-b,c dyndbg.x=\"two words\" console=ttyS0 x.y");
        rules.add_cmdline(&cmdline);
        let options = [("dyndbg", "x=\"two words\""), ("i6300esb", "heartbeat=30"), ("kvm_intel", "nested=1 ept=1"), ("x", "y")];
        let expect = Rules {
            aliases: vec![("net-pf-10".to_owned(), "ipv6".to_owned())],
            options: options.map(|(module, options)| (module.to_owned(), options.to_owned())).into(),
            blacklist: ["a_b", "c", "pc_spkr"].map(str::to_owned).into(),
            softdeps: vec![("nf_x".to_owned(), "pre: nf_y post: nf_z".to_owned())],
            blocked: ["evil".to_owned()].into(),
        };
        assert_eq!(rules, expect);
    }
}
