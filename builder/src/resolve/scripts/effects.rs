//! What a maintainer script would do to a system, and which of it kmimage does in another way.
//!
//! Looked at: what runs when a package is installed (preinst, postinst, config) and what its triggers set off. prerm and postrm run when
//! a package goes, which in an image never happens. Removing files (`rm`) is no effect: what a package cleans up is not there.

use super::shell::{self, Command, Word};
use crate::compose::derive::alternatives::{Alternative, Link};
use crate::profile::ScriptKind;

/// Something that a script would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The line of the script, counted from 1.
    pub line: usize,
    /// Its name: the program (`dpkg-divert`), `write` for output into a file, `dpkg-trigger NAME` for a trigger, `indirect` for a program
    /// whose name only a run would tell, `program` for a script in another language than sh.
    pub name: String,
    /// The command as far as it can be read without running it.
    pub text: String,
    /// What of kmimage does it instead, or why nothing has to; `None`: the profile must answer.
    pub covered: Option<&'static str>,
}

/// Programs whose work is done otherwise. (Those with more to them are in `of_command`.)
const COVERED: &[(&str, &str)] = &[
    ("ldconfig", "derive step ld.so.cache"),
    ("update-ca-certificates", "derive step ca-certificates"),
    ("depmod", "derive step kernel-modules"),
    ("linux-update-symlinks", "an image has one kernel, in its boot image"),
    ("linux-run-hooks", "an image has one kernel, in its boot image"),
    ("update-initramfs", "kmimage composes the initramfs"),
    ("update-grub", "kmimage writes the boot loader's entries"),
    ("systemd-sysusers", "derive step users"),
    ("update-passwd", "derive step users"),
    ("systemctl", "services are init's"),
    ("deb-systemd-helper", "services are init's"),
    ("deb-systemd-invoke", "services are init's"),
    ("invoke-rc.d", "services are init's"),
    ("update-rc.d", "services are init's"),
    ("service", "services are init's"),
    ("add-shell", "an image has no login shells"),
    ("remove-shell", "an image has no login shells"),
    ("dpkg-maintscript-helper", "it acts on upgrades only"),
    ("restorecon", "an image has no SELinux labels"),
];

/// Programs with an effect that nothing covers. Looked for anywhere in a command, for they may be behind a wrapper.
const UNCOVERED: &[&str] = &[
    "adduser",
    "addgroup",
    "useradd",
    "groupadd",
    "usermod",
    "groupmod",
    "gpasswd",
    "chpasswd",
    "chsh",
    "setcap",
    "setfacl",
    "chattr",
    "systemd-tmpfiles",
    "systemd-hwdb",
    "systemd-machine-id-setup",
    "dbus-uuidgen",
    "pam-auth-update",
    "ssh-keygen",
    "locale-gen",
    "update-locale",
    "update-mime-database",
    "update-binfmts",
    "update-xmlcatalog",
    "update-catalog",
    "install-sgmlcatalog",
    "ucf",
    "ucfr",
    "semodule",
    "apparmor_parser",
    "modprobe",
    "sysctl",
    "mknod",
    "mkfifo",
    "debconf-set-selections",
    "make-ssl-cert",
    "py3compile",
    "pycompile",
    "dkms",
    "openssl",
];

/// Programs that change files; an effect only as the command itself (`install` and `cp` are words, too).
const FILES: &[&str] = &["mkdir", "ln", "cp", "mv", "install", "touch", "tee", "chown", "chgrp", "chmod", "truncate", "dd"];

/// Commands whose words are text, not programs.
const SPEAKING: &[&str] =
    &["echo", "printf", "command", "which", "type", "hash", "test", "[", "grep", "egrep", "fgrep", ":", "logger", "for", "case"];

/// Where a write needs no answer.
const COVERED_PATHS: &[(&str, &str)] = &[
    ("/dev/", "not in an image"),
    ("/tmp/", "not in an image"),
    ("/run/", "not in an image"),
    ("/var/run/", "not in an image"),
    ("/proc/", "not in an image"),
    ("/sys/", "not in an image"),
    ("/lib/modules/", "derive step kernel-modules"),
    ("/usr/lib/modules/", "derive step kernel-modules"),
    ("/etc/passwd", "derive step users"),
    ("/etc/group", "derive step users"),
    ("/etc/ca-certificates.conf", "derive step ca-certificates"),
    ("/etc/ssl/certs", "derive step ca-certificates"),
];

/// Triggers that set off something covered.
const COVERED_TRIGGERS: &[(&str, &str)] = &[
    ("ldconfig", "derive step ld.so.cache"),
    ("update-ca-certificates", "derive step ca-certificates"),
    ("update-ca-certificates-fresh", "derive step ca-certificates"),
    ("update-initramfs", "kmimage composes the initramfs"),
    ("libc-upgrade", "services are init's"),
    ("libc-major-upgrade", "services are init's"),
];

/// The effects of a script, in the order of its lines.
pub fn effects(script: ScriptKind, bytes: &[u8]) -> Vec<Effect> {
    let text = String::from_utf8_lossy(bytes);
    match script {
        ScriptKind::Prerm | ScriptKind::Postrm => Vec::new(),
        ScriptKind::Triggers => text.lines().enumerate().filter_map(|(at, line)| trigger(at + 1, line)).collect(),
        ScriptKind::Preinst | ScriptKind::Postinst | ScriptKind::Config => match other_language(&text) {
            Some(program) => vec![Effect { line: 1, name: "program".to_owned(), text: program, covered: None }],
            None => shell::commands(&text).iter().flat_map(of_command).collect(),
        },
    }
}

/// The `update-alternatives --install` calls of a script that can be read without running it.
pub(super) fn alternatives(bytes: &[u8]) -> Vec<Alternative> {
    let text = String::from_utf8_lossy(bytes);
    if other_language(&text).is_some() {
        return Vec::new();
    }
    shell::commands(&text).iter().filter_map(|command| alternative(program_words(command))).collect()
}

/// The first line, if it names anything but a POSIX shell. An ELF program has no line, but an effect all the same.
fn other_language(text: &str) -> Option<String> {
    let first = text.lines().next().unwrap_or_default();
    let interpreter = first.strip_prefix("#!").map(str::trim).unwrap_or_default();
    let program = interpreter.split_ascii_whitespace().next().unwrap_or_default();
    let is_shell = ["sh", "bash", "dash"].contains(&base_name(program));
    (!is_shell).then(|| first.chars().filter(|c| !c.is_control()).take(60).collect())
}

fn trigger(line: usize, text: &str) -> Option<Effect> {
    let mut words = text.split_ascii_whitespace();
    let (directive, name) = (words.next()?, words.next()?);
    // `interest` makes dpkg call the package's own postinst, which is looked at anyway.
    directive.starts_with("activate").then(|| dpkg_trigger(line, name, text.trim()))
}

fn dpkg_trigger(line: usize, name: &str, text: &str) -> Effect {
    let covered = COVERED_TRIGGERS.iter().find(|(known, _)| *known == name).map(|(_, how)| *how);
    Effect { line, name: format!("dpkg-trigger {name}"), text: text.to_owned(), covered }
}

/// The words of a command from the program on: without keywords, assignments, `exec` and the like.
fn program_words(command: &Command) -> &[Word] {
    let mut words = command.words.as_slice();
    while let Some((first, rest)) = words.split_first() {
        let keyword = matches!(
            first.text.as_str(),
            "if" | "then"
                | "elif"
                | "else"
                | "fi"
                | "do"
                | "done"
                | "while"
                | "until"
                | "!"
                | "{"
                | "}"
                | "exec"
                | "nice"
                | "env"
        );
        let assigned = first
            .text
            .split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
        // `command ldconfig` runs it, `command -v ldconfig` does not.
        let command = first.text == "command" && rest.first().is_some_and(|word| !word.text.starts_with('-'));
        if !(keyword || assigned || command) {
            break;
        }
        words = rest;
    }
    words
}

fn of_command(command: &Command) -> Vec<Effect> {
    let words = program_words(command);
    let spoken = shown(&command.words);
    let effect = |name: &str, covered| Effect { line: command.line, name: name.to_owned(), text: spoken.clone(), covered };
    let mut effects = Vec::new();
    if let Some(first) = words.first() {
        let program = base_name(&first.text);
        if program.is_empty() && !first.literal || program == "eval" {
            effects.push(effect("indirect", None));
        } else if FILES.contains(&program) && words.len() > 1 {
            // (Alone it is the word of a `case` pattern: dpkg calls scripts with `install`.)
            effects.push(effect(program, covered_targets(program, &words[1..])));
        } else if !SPEAKING.contains(&program) {
            effects.extend(
                words
                    .iter()
                    .enumerate()
                    .filter_map(|(at, word)| of_word(command.line, words, at, base_name(&word.text), &spoken))
                    .take(1),
            );
        }
    }
    for target in &command.writes {
        if !(target.literal && target.text == "/dev/null") {
            effects.push(Effect {
                text: format!("{spoken} > {}", shown(std::slice::from_ref(target))),
                ..effect("write", covered_path(&target.text))
            });
        }
    }
    effects
}

/// The effect of a program that may be behind a wrapper; `at` is its place among the words.
fn of_word(line: usize, words: &[Word], at: usize, program: &str, spoken: &str) -> Option<Effect> {
    let arguments = &words[at + 1..];
    let has = |options: &[&str]| arguments.iter().any(|word| options.contains(&word.text.as_str()));
    let effect = |covered| Some(Effect { line, name: program.to_owned(), text: spoken.to_owned(), covered });
    match program {
        "dpkg-divert" if has(&["--list", "--listpackage", "--truename", "--remove", "--help", "--version"]) => None,
        "dpkg-statoverride" if !has(&["--add"]) => None,
        "dpkg-divert" | "dpkg-statoverride" => effect(None),
        "update-alternatives" if alternative(&words[at..]).is_some() => effect(Some("derive step alternatives")),
        "update-alternatives" if has(&["--install", "--set", "--set-selections", "--config"]) => effect(None),
        "update-alternatives" => None,
        "dpkg-trigger" if has(&["--check-supported"]) => None,
        "dpkg-trigger" => {
            let name = arguments.iter().find(|word| !word.text.starts_with('-')).map_or("", |word| word.text.as_str());
            Some(dpkg_trigger(line, name, spoken))
        }
        _ => match COVERED.iter().find(|(known, _)| *known == program) {
            // As an argument a covered name is some other program's business (`db_get service`).
            Some((_, how)) if at == 0 => effect(Some(how)),
            Some(_) => None,
            None if UNCOVERED.contains(&program) => effect(None),
            None => None,
        },
    }
}

/// `update-alternatives [OPTION]... --install LINK NAME PATH PRIORITY [--slave LINK NAME PATH]...`, if no word depends on a run.
fn alternative(words: &[Word]) -> Option<Alternative> {
    let (program, arguments) = words.split_first()?;
    let start = arguments.iter().position(|word| word.text == "--install")?;
    let arguments = arguments.get(start + 1..)?;
    if base_name(&program.text) != "update-alternatives" || !arguments.iter().all(|word| word.literal) {
        return None;
    }
    let link = |words: &[Word]| match words {
        [link, name, path, ..] => Some(Link { link: link.text.clone(), name: name.text.clone(), path: path.text.clone() }),
        _ => None,
    };
    let (head, mut rest) = arguments.split_at_checked(4)?;
    let (master, priority) = (link(head)?, head.last()?.text.parse().ok()?);
    let mut slaves = Vec::new();
    while let Some((option, slave)) = rest.split_first() {
        if option.text != "--slave" {
            return None;
        }
        slaves.push(link(slave)?);
        rest = slave.get(3..)?;
    }
    Some(Alternative { master, priority, slaves })
}

/// Why a file command needs no answer: all that it changes is in covered places.
fn covered_targets(program: &str, arguments: &[Word]) -> Option<&'static str> {
    let paths: Vec<_> = arguments.iter().filter(|word| !word.text.starts_with('-')).collect();
    let targets = match program {
        "cp" | "mv" | "ln" | "install" => paths.last().map(std::slice::from_ref).unwrap_or_default(),
        "chown" | "chgrp" | "chmod" => paths.get(1..).unwrap_or_default(),
        _ => &paths,
    };
    let mut reasons = targets.iter().map(|word| covered_path(&word.text));
    let first = reasons.next()??;
    reasons.all(|reason| reason.is_some()).then_some(first)
}

fn covered_path(path: &str) -> Option<&'static str> {
    let clean = !path.split('/').any(|part| part == "..");
    COVERED_PATHS.iter().find(|(prefix, _)| clean && path.starts_with(prefix)).map(|(_, how)| *how)
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The words on one line of moderate length; `...` where a run would tell.
fn shown(words: &[Word]) -> String {
    let words = words.iter().map(|word| if word.literal { word.text.clone() } else { format!("...{}", word.text) });
    let text: String = words.collect::<Vec<_>>().join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > 100 { text.chars().take(97).chain("...".chars()).collect() } else { text }
}
