//! Programs that an image must not have, known by their bytes: a shell under another name is still a shell.
//!
//! The table names byte strings that the program's own source puts into its constants and that survive stripping, static linking and
//! renaming. Every row was held against the programs that Debian ships (its own hit, no other package's miss); a program that hides
//! its constants is not what this is for: `check` also knows programs by package and by name.

use crate::compose::content::Content;
use crate::hash::Sha256Digest;
use memchr::memmem::Finder;
use std::io;

/// What a known program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FamilyKind {
    /// Runs command lines.
    Shell,
    /// Runs programs in a language of its own.
    Interpreter,
    /// Installs software.
    PackageManager,
}

/// One known program: how it is told by bytes, by package, by file name.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// What a message calls it.
    pub name: &'static str,
    /// What it is.
    pub kind: FamilyKind,
    /// Byte strings that all occur in it; empty: not known by its bytes.
    pub marks: &'static [&'static str],
    /// Packages whose programs it is, wherever they lie: a `*` stands for a version.
    pub packages: &'static [&'static str],
    /// Names of its executables: a `*` stands for a version.
    pub names: &'static [&'static str],
}

use FamilyKind::{Interpreter, PackageManager, Shell};

const fn row(
    name: &'static str,
    kind: FamilyKind,
    marks: &'static [&'static str],
    packages: &'static [&'static str],
    names: &'static [&'static str],
) -> Family {
    Family { name, kind, marks, packages, names }
}

/// The table. The marks: a version line, or variables that only this program knows.
const FAMILIES: &[Family] = &[
    row("dash", Shell, &["OPTIND=1\0", "PS4=+ \0"], &["dash"], &["sh", "dash", "ash"]),
    row("bash", Shell, &["GNU bash, version "], &["bash", "bash-static"], &["bash", "rbash"]),
    row("busybox", Shell, &["BusyBox v"], &["busybox", "busybox-static"], &["busybox"]),
    row("toybox", Shell, &["Toybox %s multicall"], &["toybox"], &["toybox"]),
    row("zsh", Shell, &["ZSH_VERSION", "ZSH_SUBSHELL\0"], &["zsh", "zsh-static"], &["zsh*", "rzsh"]),
    row("ksh", Shell, &["KSH_VERSION", "TMOUT"], &["ksh*", "mksh"], &["ksh*", "mksh*", "lksh", "rksh*"]),
    row("yash", Shell, &["YASH_LOADPATH"], &["yash"], &["yash"]),
    row("fish", Shell, &["__fish_print_help fish"], &["fish"], &["fish"]),
    row("tcsh", Shell, &["tcsh %d.%.2d.%.2d"], &["tcsh", "csh"], &["tcsh", "csh"]),
    row(
        "python",
        Interpreter,
        &["PYTHONHOME", "PYTHONPATH", "__import__"],
        &["python3*", "libpython3*", "pypy3*"],
        &["python*", "pypy*"],
    ),
    row("perl", Interpreter, &["PERL5LIB", "PERL5OPT"], &["perl*", "libperl5*"], &["perl", "perl5*"]),
    row("lua", Interpreter, &["LUA_INIT", "LUA_PATH"], &["lua5*", "luajit"], &["lua", "lua5*", "luac*", "luajit*"]),
    row("ruby", Interpreter, &["RUBYOPT", "RUBYLIB"], &["ruby*", "libruby*"], &["ruby*", "irb*"]),
    row("node", Interpreter, &["NODE_OPTIONS", "node:internal"], &["nodejs", "libnode*"], &["node", "nodejs"]),
    row("tcl", Interpreter, &["TCL_LIBRARY", "tcl_platform"], &["tcl8*", "tcl9*", "libtcl*"], &["tclsh*", "wish*", "expect"]),
    row("php", Interpreter, &["PHP_INI_SCAN_DIR"], &["php*-cli", "php*-cgi"], &["php*"]),
    row("gawk", Interpreter, &["GNU Awk "], &["gawk"], &["gawk*"]),
    row("mawk", Interpreter, &["MAWK_LONG_OPTIONS"], &["mawk"], &["mawk"]),
    row("awk", Interpreter, &["out of memory in awksprintf"], &["original-awk"], &["awk", "nawk", "original-awk"]),
    row("guile", Interpreter, &[], &["guile-*"], &["guile*"]),
    row(
        "apt",
        PackageManager,
        &[],
        &["apt", "apt-utils", "aptitude", "libapt-pkg*"],
        &["apt", "apt-get", "apt-cache", "aptitude"],
    ),
    row("dpkg", PackageManager, &["DPKG_ADMINDIR"], &["dpkg"], &["dpkg", "dpkg-deb", "dpkg-query", "update-alternatives"]),
    row("rpm", PackageManager, &[], &["rpm", "dnf*", "yum", "zypper"], &["rpm", "dnf*", "yum", "zypper", "microdnf"]),
    row("apk", PackageManager, &[], &["apk-tools"], &["apk"]),
    row("pip", PackageManager, &[], &["python3-pip", "pipx"], &["pip", "pip3*", "pipx"]),
];

/// The known programs.
pub fn families() -> &'static [Family] {
    FAMILIES
}

/// Changes with every mark: what was searched before is then searched again.
pub(super) fn table_digest() -> Sha256Digest {
    let mut text = String::new();
    for family in FAMILIES {
        text.push_str(family.name);
        for mark in family.marks {
            text.push('\n');
            text.push_str(mark);
        }
        text.push_str("\n\n");
    }
    Sha256Digest::of(text.as_bytes())
}

/// How much is searched at a time: small enough to stay in a core's cache while every mark is tried.
const PIECE: u64 = 256 * 1024;

/// The families all of whose marks occur in the given parts (offset, length) of a file; parts beyond its end are cut off.
pub(super) fn search(content: &Content, parts: &[(u64, u64)]) -> io::Result<Vec<String>> {
    let mut wanted: Vec<(&Family, Vec<Finder<'static>>)> = FAMILIES
        .iter()
        .filter(|family| !family.marks.is_empty())
        .map(|family| (family, family.marks.iter().map(|mark| Finder::new(mark.as_bytes())).collect()))
        .collect();
    // A mark may lie across two pieces: each piece begins with the last bytes of the one before.
    let overlap = FAMILIES.iter().flat_map(|family| family.marks).map(|mark| mark.len()).max().unwrap_or(1) as u64 - 1;
    let mut buffer = vec![0; (PIECE + overlap) as usize];
    for &(offset, len) in parts {
        let end = offset.saturating_add(len).min(content.len());
        let mut at = offset;
        while at < end {
            let piece = buffer.get_mut(..(end - at).min(PIECE + overlap) as usize).unwrap_or_default();
            content.read_exact_at(piece, at)?;
            for (_, finders) in &mut wanted {
                finders.retain(|finder| finder.find(piece).is_none());
            }
            at += PIECE;
        }
    }
    Ok(wanted.into_iter().filter(|(_, finders)| finders.is_empty()).map(|(family, _)| family.name.to_owned()).collect())
}
