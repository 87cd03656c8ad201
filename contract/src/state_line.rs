//! State lines: what init says on the consoles, and what people, tests and `kmimage run` read there.
//!
//! ```text
//! line   = "kmimage: " state *( " " key "=" value )
//! state  = lower-case letters, digits and "-", beginning with a letter
//! key    = the same, and "_" and "."
//! value  = bare | quoted
//! bare   = 1*( printable ASCII except space, `"`, `\` and `=` )
//! quoted = `"` *( printable ASCII except `"` and `\` | `\"` | `\\` | `\u{` 1*6 hexadecimal digits `}` ) `"`
//! ```
//! Everything on a line is ASCII, so that a serial console of any age shows it whole. Keys keep their order.

use crate::disk_layout::Slot;
use crate::verity::RootHash;
use std::fmt;

/// What every state line begins with.
pub const PREFIX: &str = "kmimage: ";

/// A state line: a state and facts about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateLine {
    state: String,
    fields: Vec<(String, String)>,
}

/// Why a text is no state line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateLineError {
    /// It doesn't begin with [`PREFIX`].
    #[error("a state line begins with `kmimage: `")]
    Prefix,
    /// A state or key with other characters than the grammar has.
    #[error("`{0}` is not a state or key of a state line")]
    Name(String),
    /// A value that is not closed, empty without quotes, or has a malformed escape.
    #[error("the value of `{0}` is malformed")]
    Value(String),
    /// A key that occurs twice.
    #[error("`{0}` occurs twice")]
    Twice(String),
    /// A typed line lacks a key, or the key's value is not of its kind.
    #[error("`{0}` is missing or malformed")]
    Field(&'static str),
}

impl StateLine {
    /// A line without facts. States are the program's own words: a character that the grammar lacks becomes `-`.
    pub fn new(state: &str) -> Self {
        Self { state: name(state), fields: Vec::new() }
    }

    /// The line with one more fact; a key that is there already gets the new value.
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        let (key, value) = (name(key), value.to_string());
        match self.fields.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => self.fields.push((key, value)),
        }
        self
    }

    /// The state: the line's first word.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Reads a line that holds nothing but a state line; white space at its end (a serial console's CR) is ignored.
    pub fn parse(line: &str) -> Result<Self, StateLineError> {
        let text = line.trim_end_matches(['\r', '\n', ' ']).strip_prefix(PREFIX).ok_or(StateLineError::Prefix)?;
        let (state, mut rest) = text.split_once(' ').map_or((text, ""), |(state, rest)| (state, rest));
        check_name(state, false)?;
        let mut fields: Vec<(String, String)> = Vec::new();
        while !rest.is_empty() {
            let Some((key, value)) = rest.split_once('=') else { return Err(StateLineError::Name(rest.to_owned())) };
            check_name(key, true)?;
            if fields.iter().any(|(known, _)| known == key) {
                return Err(StateLineError::Twice(key.to_owned()));
            }
            let (value, next) = parse_value(value).ok_or_else(|| StateLineError::Value(key.to_owned()))?;
            fields.push((key.to_owned(), value));
            rest = match next.strip_prefix(' ') {
                Some("") | None if !next.is_empty() => return Err(StateLineError::Value(key.to_owned())),
                Some(next) => next,
                None => "",
            };
        }
        Ok(Self { state: state.to_owned(), fields })
    }

    /// The state line in a line of console output: behind a kernel's time stamp, a terminal's escape sequences, or a half-written
    /// line of somebody else. `None`: there is none.
    pub fn find(line: &str) -> Option<Self> {
        line.match_indices(PREFIX).find_map(|(at, _)| Self::parse(&line[at..]).ok())
    }
}

impl fmt::Display for StateLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.state)?;
        self.fields.iter().try_for_each(|(key, value)| write!(f, " {key}={}", Value(value)))
    }
}

/// The line that says that the machine does what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The image's role.
    pub role: String,
    /// The image's version.
    pub version: String,
    /// The slot that the root came from.
    pub slot: Slot,
    /// The root hash that device-mapper holds the root to.
    pub root_hash: RootHash,
    /// Where the machine config is from; `none` where there is none.
    pub config: String,
}

impl Ready {
    /// The state's word.
    pub const STATE: &'static str = "ready";

    /// As a state line.
    pub fn line(&self) -> StateLine {
        StateLine::new(Self::STATE)
            .with("role", &self.role)
            .with("version", &self.version)
            .with("slot", self.slot)
            .with("roothash", self.root_hash)
            .with("config", &self.config)
    }

    /// From a state line; `None`: a line of another state.
    pub fn from_line(line: &StateLine) -> Option<Result<Self, StateLineError>> {
        (line.state() == Self::STATE).then(|| {
            let text = |key: &'static str| line.get(key).ok_or(StateLineError::Field(key));
            Ok(Self {
                role: text("role")?.to_owned(),
                version: text("version")?.to_owned(),
                slot: text("slot")?.parse().map_err(|_| StateLineError::Field("slot"))?,
                root_hash: text("roothash")?.parse().map_err(|_| StateLineError::Field("roothash"))?,
                config: text("config")?.to_owned(),
            })
        })
    }
}

/// A value with quotes and escapes where the grammar asks for them.
struct Value<'a>(&'a str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() && self.0.chars().all(is_bare) {
            return f.write_str(self.0);
        }
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                ' '..='~' => write!(f, "{c}")?,
                c => write!(f, "{}", c.escape_unicode())?,
            }
        }
        f.write_str("\"")
    }
}

fn is_bare(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '=')
}

fn is_name(c: char, key: bool) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || key && matches!(c, '_' | '.')
}

fn name(text: &str) -> String {
    let text: String = text.chars().map(|c| if is_name(c, true) { c } else { '-' }).collect();
    if text.starts_with(|c: char| c.is_ascii_lowercase()) { text } else { format!("x{text}") }
}

fn check_name(text: &str, key: bool) -> Result<(), StateLineError> {
    let good = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(|c| is_name(c, key));
    if good { Ok(()) } else { Err(StateLineError::Name(text.to_owned())) }
}

/// Reads a value from the beginning of a text; returns it and what follows.
fn parse_value(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let (value, next) = text.split_at(text.find(' ').unwrap_or(text.len()));
        return (!value.is_empty() && value.chars().all(is_bare)).then(|| (value.to_owned(), next));
    };
    let mut value = String::new();
    loop {
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return Some((value, rest)),
            '\\' => {
                if let Some(code) = rest.strip_prefix("u{") {
                    let (digits, next) = code.split_once('}')?;
                    let digits = (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
                    let code = u32::from_str_radix(code.split_once('}')?.0, 16).ok().filter(|_| digits)?;
                    value.push(char::from_u32(code)?);
                    rest = next;
                } else {
                    let escaped = rest.chars().next().filter(|c| matches!(c, '"' | '\\'))?;
                    value.push(escaped);
                    rest = &rest[1..];
                }
            }
            ' '..='~' => value.push(c),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_this_text() {
        let ready = Ready {
            role: "base".to_owned(),
            version: "0.1.0".to_owned(),
            slot: Slot::A,
            root_hash: RootHash([0xc0; 32]),
            config: "none".to_owned(),
        };
        let text = format!("kmimage: ready role=base version=0.1.0 slot=a roothash={} config=none", "c0".repeat(32));
        assert_eq!(ready.line().to_string(), text);
        let line = StateLine::parse(&format!("{text}\r\n")).unwrap();
        assert_eq!(Ready::from_line(&line), Some(Ok(ready)));
        assert_eq!(Ready::from_line(&StateLine::new("failed")), None);
        assert_eq!(Ready::from_line(&StateLine::new("ready").with("role", "x")), Some(Err(StateLineError::Field("version"))));
    }

    /// Every pair of characters that could meet in a value, and a few longer texts: render, then parse, is the identity.
    #[test]
    fn values_survive_the_round_trip() {
        let characters = ['a', ' ', '"', '\\', '=', '{', '}', 'u', '\n', '\r', '\0', '\x1b', '\x7f', 'ä', '\u{2028}', '🦀'];
        let mut values = vec![String::new(), "kmimage: ready".to_owned(), "\\u{41}".to_owned()];
        for first in characters {
            values.push(first.to_string());
            values.extend(characters.iter().map(|second| format!("{first}{second}")));
        }
        for value in values {
            let line = StateLine::new("failed").with("message", &value).with("step", "x");
            let text = line.to_string();
            assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{text}");
            assert_eq!(StateLine::parse(&text), Ok(line), "{text}");
        }
    }

    #[test]
    fn malformed_lines_are_refused() {
        let check = |text: &str, expect: &str| assert_eq!(StateLine::parse(text).unwrap_err().to_string(), expect, "{text}");
        check("ready", "a state line begins with `kmimage: `");
        check("kmimage: ", "a state line begins with `kmimage: `");
        check("kmimage:  a=b", "`` is not a state or key of a state line");
        check("kmimage: Ready", "`Ready` is not a state or key of a state line");
        check("kmimage: ready now", "`now` is not a state or key of a state line");
        check("kmimage: ready  a=b", "` a` is not a state or key of a state line");
        check("kmimage: ready a=", "the value of `a` is malformed");
        check("kmimage: ready a= b=c", "the value of `a` is malformed");
        check("kmimage: ready a=\"b", "the value of `a` is malformed");
        check("kmimage: ready a=\"b\"c", "the value of `a` is malformed");
        check("kmimage: ready a=\"\\n\"", "the value of `a` is malformed");
        check("kmimage: ready a=\"\\u{d800}\"", "the value of `a` is malformed");
        check("kmimage: ready a=\"\\u{+41}\"", "the value of `a` is malformed");
        check("kmimage: ready a=b=c", "the value of `a` is malformed");
        check("kmimage: ready a=ä", "the value of `a` is malformed");
        check("kmimage: ready a=b a=c", "`a` occurs twice");
    }

    #[test]
    fn lines_are_found_among_other_output() {
        let line = StateLine::new("ready").with("slot", "a");
        for text in ["kmimage: ready slot=a", "[    3.14] kmimage: ready slot=a\r", "\x1b[0mkmimage: kmimage: ready slot=a\n"] {
            assert_eq!(StateLine::find(text), Some(line.clone()), "{text}");
        }
        for text in ["", "kmimage:ready", "kmimage: READY", "[ 1.0] kmimage: rea[ 1.1] x"] {
            assert_eq!(StateLine::find(text), None, "{text}");
        }
    }
}
