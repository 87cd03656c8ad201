//! The kernel command line: words as the kernel splits them, and the typed view that kmimage takes of them.
//!
//! Words are split as `next_arg` in the kernel's lib/cmdline.c does it: white space separates, a double quote anywhere switches
//! quoting, quotes around a value (or the whole word) are taken off, there is no escape character. What follows `--` belongs to
//! init and is kept apart. Keys that kmimage doesn't own are carried along and never judged.

use crate::disk_selector::DiskSelector;
use crate::verity::RootHash;
use std::fmt;
use uuid::Uuid;

/// The longest command line that an x86 kernel takes, in bytes, without its terminating zero (COMMAND_LINE_SIZE is 2048).
pub const MAX_LENGTH: usize = 2047;

/// One word of the command line: `key` or `key=value`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parameter {
    key: String,
    value: Option<String>,
}

impl Parameter {
    /// A word without `=`, such as `quiet`.
    pub fn flag(key: &str) -> Result<Self, CmdlineError> {
        Self::new(key, None)
    }

    /// A word with a value, which may be empty or contain spaces.
    pub fn value(key: &str, value: &str) -> Result<Self, CmdlineError> {
        Self::new(key, Some(value))
    }

    /// What stands before the `=`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What stands behind it, without quotes.
    pub fn get(&self) -> Option<&str> {
        self.value.as_deref()
    }

    fn new(key: &str, value: Option<&str>) -> Result<Self, CmdlineError> {
        let bad_key = key.is_empty() || key == "--" || key.contains(|c: char| is_space(c) || c.is_control() || "\"=".contains(c));
        let bad_value = value.is_some_and(|value| value.contains(|c: char| c == '"' || c.is_control()));
        if bad_key || bad_value {
            let word = value.map_or(key.to_owned(), |value| format!("{key}={value}"));
            return Err(CmdlineError::Unwritable(word));
        }
        Ok(Self { key: key.to_owned(), value: value.map(str::to_owned) })
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => f.write_str(&self.key),
            Some(value) if value.contains(is_space) => write!(f, "{}=\"{value}\"", self.key),
            Some(value) => write!(f, "{}={value}", self.key),
        }
    }
}

/// A command line as words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cmdline {
    /// What the kernel and kmimage read, in order.
    pub parameters: Vec<Parameter>,
    /// What follows `--`, split in the same way but otherwise as it is.
    pub init_arguments: Vec<Parameter>,
}

/// Why a command line can't be written or doesn't say what kmimage needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmdlineError {
    /// The kernel's grammar has no way to write it.
    #[error("`{0}` can't be written on a kernel command line (quotes, control characters or a malformed key)")]
    Unwritable(String),
    /// More than the kernel takes.
    #[error("the kernel command line has {0} bytes, the kernel takes {MAX_LENGTH}")]
    TooLong(usize),
    /// Nothing says which root to boot.
    #[error("the kernel command line has no `roothash=`")]
    NoRootHash,
    /// A value of a key that kmimage owns is malformed.
    #[error("`{key}={value}` on the kernel command line: {expected} is expected")]
    Malformed {
        /// The key.
        key: &'static str,
        /// The value as found.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
    /// A key that may occur once occurs with two values.
    #[error("the kernel command line has two values for `{0}=`")]
    Contradiction(&'static str),
}

impl Cmdline {
    /// Splits a command line. Every text is one: what can't be made sense of is found later, by key.
    pub fn parse(text: &str) -> Self {
        let mut cmdline = Self::default();
        let mut rest = text.trim_start_matches(is_space);
        let mut for_init = false;
        while !rest.is_empty() {
            let (word, next) = split_word(rest);
            rest = next.trim_start_matches(is_space);
            let parameter = parse_word(word);
            if !for_init && parameter.key == "--" && parameter.value.is_none() {
                for_init = true;
            } else if for_init {
                cmdline.init_arguments.push(parameter);
            } else {
                cmdline.parameters.push(parameter);
            }
        }
        cmdline
    }

    /// The command line as one text, checked against the kernel's limit.
    pub fn render(&self) -> Result<String, CmdlineError> {
        let mut words: Vec<String> = self.parameters.iter().map(Parameter::to_string).collect();
        if !self.init_arguments.is_empty() {
            words.push("--".to_owned());
            words.extend(self.init_arguments.iter().map(Parameter::to_string));
        }
        let text = words.join(" ");
        if text.len() > MAX_LENGTH {
            return Err(CmdlineError::TooLong(text.len()));
        }
        // The kernel's quoting has no escapes.
        if Self::parse(&text) == *self { Ok(text) } else { Err(CmdlineError::Unwritable(text)) }
    }

    /// All values of a key, in order; words without `=` have none.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.parameters.iter().filter(move |parameter| parameter.key == key).filter_map(Parameter::get)
    }

    /// What kmimage reads from the command line.
    pub fn boot_parameters(&self) -> Result<BootParameters, CmdlineError> {
        let root_hash = self.single("roothash")?.ok_or(CmdlineError::NoRootHash)?;
        let root_hash = parse_value("roothash", root_hash, "a root hash of 64 hexadecimal digits")?;
        let esp = self.single("kmimage.esp")?.map(|value| parse_value("kmimage.esp", value, "a partition UUID")).transpose()?;
        let known = ["kmimage.esp", "kmimage.config", INSTALL, "kmimage.live", "kmimage.reset"];
        let unknown = self.parameters.iter().map(Parameter::key);
        let unknown = unknown.filter(|key| key.starts_with("kmimage.") && !known.contains(key)).map(str::to_owned).collect();
        let config = self.single("kmimage.config")?.map(str::to_owned);
        Ok(BootParameters { root_hash, esp, config, purpose: self.purpose()?, unknown })
    }

    /// What the machine was started for. Of several words the one counts that a person must have added.
    fn purpose(&self) -> Result<Purpose, CmdlineError> {
        let has = |key: &str| self.parameters.iter().any(|parameter| parameter.key == key);
        let selector = self.single(INSTALL)?;
        let selector = selector.map(|text| parse_value(INSTALL, text, "conditions of a disk such as serial:S1,size:>=100GiB"));
        let selector = selector.transpose()?;
        Ok(match () {
            () if has("kmimage.live") => Purpose::Live,
            () if has("kmimage.reset") => Purpose::Reset,
            () if has(INSTALL) => Purpose::Install(selector),
            () => Purpose::Usual,
        })
    }

    /// The devices that `console=` names, in /dev, without their options, each once, in order. `null` is none.
    pub fn consoles(&self) -> Vec<String> {
        let mut consoles: Vec<String> = Vec::new();
        for value in self.values("console") {
            let device = value.split(',').next().unwrap_or_default();
            if !device.is_empty() && device != "null" && !device.contains('/') && !consoles.iter().any(|known| known == device) {
                consoles.push(device.to_owned());
            }
        }
        consoles
    }

    /// The one value of a key; the same value twice is one.
    fn single(&self, key: &'static str) -> Result<Option<&str>, CmdlineError> {
        let mut values = self.values(key);
        let first = values.next();
        if values.any(|other| Some(other) != first) { Err(CmdlineError::Contradiction(key)) } else { Ok(first) }
    }
}

/// `kmimage.install`, alone or with a selector.
const INSTALL: &str = "kmimage.install";

/// What the machine was started for. Anything but [`Purpose::Usual`] means something on an install medium only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Purpose {
    /// No word about it: a medium that has been installed hands over to its installation, else it does what the config says.
    #[default]
    Usual,
    /// `kmimage.live`: from the medium, whatever is installed; nothing is installed.
    Live,
    /// `kmimage.install`: install, on the disk of this selector (`kmimage.install=SELECTOR`), else on the config's.
    Install(Option<DiskSelector>),
    /// `kmimage.reset`: the installation on this machine's disk is to be wiped.
    Reset,
}

/// The command line, as far as kmimage reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootParameters {
    /// `roothash=`: which root to boot, and so where it lies.
    pub root_hash: RootHash,
    /// `kmimage.esp=`: the UUID of the ESP that this boot came from; outranks what the firmware says.
    pub esp: Option<Uuid>,
    /// `kmimage.config=`: reserved for the machine config's source, not served yet.
    pub config: Option<String>,
    /// `kmimage.live`, `kmimage.install`, `kmimage.reset`: what the machine was started for.
    pub purpose: Purpose,
    /// Keys that begin with `kmimage.` and mean nothing to this release; to be named on the console.
    pub unknown: Vec<String>,
}

fn parse_value<T: std::str::FromStr>(key: &'static str, value: &str, expected: &'static str) -> Result<T, CmdlineError> {
    value.parse().map_err(|_| CmdlineError::Malformed { key, value: value.to_owned(), expected })
}

/// White space of the kernel's `isspace`, as far as it is ASCII.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

/// The first word of a text that doesn't begin with white space, quotes and all, and what follows it.
fn split_word(text: &str) -> (&str, &str) {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if is_space(c) && !quoted => return text.split_at(at),
            _ => {}
        }
    }
    (text, "")
}

/// Takes a word apart: the kernel removes the quotes around a whole word and around a value, no others.
fn parse_word(word: &str) -> Parameter {
    let (word, whole) = match word.strip_prefix('"') {
        Some(rest) => (rest, true),
        None => (word, false),
    };
    // The first byte is never taken for the separator (the kernel's `equals` is 0 for "none").
    let equals = word.bytes().enumerate().skip(1).find(|&(_, byte)| byte == b'=').map(|(at, _)| at);
    let (key, value) = match equals {
        Some(at) => (&word[..at], Some(&word[at + 1..])),
        None => (word, None),
    };
    let value = value.map(|value| match value.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"').unwrap_or(inner),
        None if whole => value.strip_suffix('"').unwrap_or(value),
        None => value,
    });
    let key = if value.is_none() && whole { key.strip_suffix('"').unwrap_or(key) } else { key };
    Parameter { key: key.to_owned(), value: value.map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "4a1c2b3d4e5f60718293a4b5c6d7e8f900112233445566778899aabbccddeeff";

    fn words(parameters: &[Parameter]) -> Vec<(&str, Option<&str>)> {
        parameters.iter().map(|parameter| (parameter.key(), parameter.get())).collect()
    }

    #[test]
    fn words_are_split_as_the_kernel_does() {
        let check = |text: &str, expect: &[(&str, Option<&str>)]| {
            assert_eq!(words(&Cmdline::parse(text).parameters), expect, "{text}");
        };
        check("", &[]);
        check("  \t\n", &[]);
        check("quiet  ro\tx=1\n", &[("quiet", None), ("ro", None), ("x", Some("1"))]);
        check("a= b==c d=e=f", &[("a", Some("")), ("b", Some("=c")), ("d", Some("e=f"))]);
        check("a=\"b c\" d", &[("a", Some("b c")), ("d", None)]);
        check("\"a=b c\" d", &[("a", Some("b c")), ("d", None)]);
        check("\"a b\"", &[("a b", None)]);
        check("a=b\" \"c", &[("a", Some("b\" \"c"))]);
        check("a=\"unfinished business", &[("a", Some("unfinished business"))]);
        check("=a", &[("=a", None)]);
        check("\"", &[("", None)]);
        check("ä=ö", &[("ä", Some("ö"))]);
    }

    #[test]
    fn what_follows_two_dashes_is_inits() {
        let cmdline = Cmdline::parse("console=ttyS0 -- roothash=x single");
        assert_eq!(words(&cmdline.parameters), [("console", Some("ttyS0"))]);
        assert_eq!(words(&cmdline.init_arguments), [("roothash", Some("x")), ("single", None)]);
        assert_eq!(cmdline.render().unwrap(), "console=ttyS0 -- roothash=x single");
    }

    #[test]
    fn rendered_parameters_parse_back() {
        let parameters = vec![
            Parameter::flag("quiet").unwrap(),
            Parameter::value("console", "ttyS0,115200n8").unwrap(),
            Parameter::value("empty", "").unwrap(),
            Parameter::value("title", "two words").unwrap(),
            Parameter::value("equation", "a=b").unwrap(),
        ];
        let cmdline = Cmdline { parameters, init_arguments: vec![] };
        let text = cmdline.render().unwrap();
        assert_eq!(text, "quiet console=ttyS0,115200n8 empty= title=\"two words\" equation=a=b");
        assert_eq!(Cmdline::parse(&text), cmdline);
    }

    #[test]
    fn what_the_grammar_lacks_is_not_written() {
        for (key, value) in
            [("", "x"), ("a b", "x"), ("a=b", "x"), ("a\"", "x"), ("a", "say \"x\""), ("a", "line\nline"), ("--", "x")]
        {
            assert!(Parameter::value(key, value).is_err(), "{key}={value}");
        }
        assert_eq!(
            Parameter::value("a", "\"").unwrap_err().to_string(),
            "`a=\"` can't be written on a kernel command line (quotes, control characters or a malformed key)"
        );
        let cmdline = Cmdline { parameters: vec![Parameter::value("a", &"x".repeat(2048)).unwrap()], init_arguments: vec![] };
        assert_eq!(cmdline.render().unwrap_err().to_string(), "the kernel command line has 2050 bytes, the kernel takes 2047");
    }

    #[test]
    fn the_typed_view_reads_kmimages_keys() {
        let text = format!(
            "BOOT_IMAGE=/x roothash={HASH} console=tty0 console=ttyS0,115200 console=tty0 console=null panic=10 \
             kmimage.esp=C12A7328-F81F-11D2-BA4B-00A0C93EC93B kmimage.config=http://x kmimage.shell=1"
        );
        let cmdline = Cmdline::parse(&text);
        assert_eq!(cmdline.consoles(), ["tty0", "ttyS0"]);
        let boot = cmdline.boot_parameters().unwrap();
        assert_eq!(
            boot,
            BootParameters {
                root_hash: HASH.parse().unwrap(),
                esp: Some(uuid::uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")),
                config: Some("http://x".to_owned()),
                purpose: Purpose::Usual,
                unknown: vec!["kmimage.shell".to_owned()],
            }
        );
    }

    #[test]
    fn a_purpose_is_one_word() {
        let check = |words: &str, expect: Purpose| {
            let boot = Cmdline::parse(&format!("roothash={HASH} {words}")).boot_parameters().unwrap();
            assert_eq!((boot.purpose, boot.unknown), (expect, Vec::<String>::new()), "{words}");
        };
        let disk: DiskSelector = "model:QEMU HARDDISK,size:>=100GiB".parse().unwrap();
        check("quiet", Purpose::Usual);
        check("kmimage.live", Purpose::Live);
        check("kmimage.reset", Purpose::Reset);
        check("kmimage.install", Purpose::Install(None));
        check("\"kmimage.install=model:QEMU HARDDISK,size:>=100GiB\"", Purpose::Install(Some(disk.clone())));
        // What the image was built with, and then what a menu adds.
        check("kmimage.install=\"model:QEMU HARDDISK,size:>=100GiB\" kmimage.install", Purpose::Install(Some(disk)));
        check("kmimage.install kmimage.live", Purpose::Live);
        check("kmimage.install kmimage.reset", Purpose::Reset);
        check("-- kmimage.reset", Purpose::Usual);
    }

    #[test]
    fn faults_are_named() {
        let check = |text: &str, expect: &str| {
            assert_eq!(Cmdline::parse(text).boot_parameters().unwrap_err().to_string(), expect);
        };
        check("console=ttyS0", "the kernel command line has no `roothash=`");
        check("roothash", "the kernel command line has no `roothash=`");
        check("-- roothash=00", "the kernel command line has no `roothash=`");
        check("roothash=00", "`roothash=00` on the kernel command line: a root hash of 64 hexadecimal digits is expected");
        check("roothash=00 roothash=01", "the kernel command line has two values for `roothash=`");
        check(
            &format!("roothash={HASH} kmimage.install=/dev/sda"),
            "`kmimage.install=/dev/sda` on the kernel command line: conditions of a disk such as serial:S1,size:>=100GiB is expected",
        );
        check(
            &format!("roothash={HASH} kmimage.esp=sda1"),
            "`kmimage.esp=sda1` on the kernel command line: a partition UUID is expected",
        );
    }
}
