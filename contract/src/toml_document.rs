//! Strict decoding of TOML documents, with errors that point: file, line, column, the line itself and a caret under what is wrong.
//!
//! Used by profiles, overlay.toml, kmimage.lock and machine configs. Types to decode say `#[serde(deny_unknown_fields)]`; an unknown key then names
//! the nearest known one. [`Located`] keeps where a value was written, so that later checks can point, too. No I/O, no panics:
//! any bytes may come in.

use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

/// A TOML text with the name that messages give it.
#[derive(Debug, Clone)]
pub struct Document {
    name: Arc<str>,
    text: Arc<str>,
    hidden: Arc<[Range<usize>]>,
}

/// What is wrong in a document, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentError {
    /// The document's name: a path.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, in one line.
    pub message: String,
    excerpt: String,
    indent: usize,
    carets: usize,
}

impl std::error::Error for DocumentError {}

/// Lines longer than this are shown in part.
const EXCERPT_CHARS: usize = 120;

impl Document {
    /// A document of `text`, called `name` in messages.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into(), hidden: Arc::default() }
    }

    /// The same, from bytes that must be UTF-8.
    pub fn from_bytes(name: impl Into<Arc<str>>, bytes: &[u8]) -> Result<Self, DocumentError> {
        Self::from_bytes_hiding(name, bytes, Vec::new())
    }

    /// The same document, but errors show stars in place of what lies in these ranges of bytes of its (lossy) text.
    pub fn from_bytes_hiding(name: impl Into<Arc<str>>, bytes: &[u8], hidden: Vec<Range<usize>>) -> Result<Self, DocumentError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { hidden: hidden.into(), ..Self::new(name, text) }),
            Err(error) => {
                let at = error.valid_up_to();
                let document = Self { hidden: hidden.into(), ..Self::new(name, String::from_utf8_lossy(bytes)) };
                // Up to the first bad byte the lossy text is the same.
                Err(document.error_at(at..at, "not UTF-8"))
            }
        }
    }

    /// The name that messages give it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Decodes the whole text.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DocumentError> {
        toml::from_str(&self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            self.error_at(span, explain(error.message()))
        })
    }

    /// An error at a range of bytes of this document. A range outside the text, or inside a character, is moved to fit.
    pub fn error_at(&self, span: Range<usize>, message: impl Into<String>) -> DocumentError {
        let text = &*self.text;
        let start = floor_char(text, span.start);
        let end = floor_char(text, span.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let before = text[line_start..start].chars().count();
        let wide = text[start..end.min(line_end)].trim_end().chars().count().max(1);

        // A long line is shown from a bit before the caret.
        let skipped = if before > EXCERPT_CHARS * 3 / 4 { before - EXCERPT_CHARS / 4 } else { 0 };
        let hidden = |at: usize| self.hidden.iter().any(|range| range.contains(&(line_start + at)));
        let shown = text[line_start..line_end].trim_end().char_indices().skip(skipped).take(EXCERPT_CHARS);
        DocumentError {
            file: self.name.to_string(),
            line: text[..line_start].matches('\n').count() + 1,
            column: before + 1,
            message: message.into(),
            excerpt: shown.map(|(at, c)| if hidden(at) { '*' } else { printable(c) }).collect(),
            indent: before - skipped,
            carets: wide.min(EXCERPT_CHARS.saturating_sub(before - skipped).max(1)),
        }
    }

    /// An error at a value of this document.
    pub fn error<T>(&self, at: &Located<T>, message: impl Into<String>) -> DocumentError {
        self.error_at(at.span(), message)
    }

    /// Where `span` begins, as `FILE:LINE`, for messages that mention a second place.
    pub fn place(&self, span: Range<usize>) -> String {
        let start = floor_char(&self.text, span.start);
        format!("{}:{}", self.name, self.text[..start].matches('\n').count() + 1)
    }
}

/// Decodes `text` strictly; `name` is the file that errors name.
pub fn decode<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, DocumentError> {
    Document::new(name, text).decode()
}

/// The member of `known` that is most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count().min(word.chars().count()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, excerpt, indent, carets } = self;
        let margin = " ".repeat(line.to_string().len());
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        writeln!(f, " {margin} |")?;
        writeln!(f, " {line} | {excerpt}")?;
        write!(f, " {margin} | {}{}", " ".repeat(*indent), "^".repeat(*carets))
    }
}

fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    }
}

fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// serde's and toml's words in ours. Unknown messages pass as they are (their first line).
fn explain(message: &str) -> String {
    if let Some((word, known)) = unknown(message, "unknown field `") {
        return unknown_word("key", word, &known);
    }
    if let Some((word, known)) = unknown(message, "unknown variant `") {
        return unknown_word("value", word, &known);
    }
    if let Some(key) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return format!("the key `{key}` is missing here");
    }
    if let Some(message) = wrong_type(message) {
        return message;
    }
    message.lines().next().unwrap_or_default().to_owned()
}

/// Says "invalid type: FOUND, expected WANTED" in TOML's words. A string is not repeated: the wrong place may hold a secret.
fn wrong_type(message: &str) -> Option<String> {
    // An enumeration that was given no string.
    if message.starts_with("wanted string or table") {
        return Some("a string is expected here".to_owned());
    }
    let rest = message.strip_prefix("invalid type: ")?;
    // What is wanted holds no comma; what was found may hold anything.
    let (found, wanted) = rest.rsplit_once(", expected ")?;
    let found = match found.split(' ').next() {
        Some("string") => "a string",
        Some("sequence") => "a list",
        Some("map") => "a table",
        Some("floating") => "a number with a point",
        Some("integer") => "a whole number",
        Some("boolean") => "true or false",
        _ => "something else",
    };
    let wanted = match wanted.lines().next().unwrap_or_default() {
        "i64" | "u64" => "a whole number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        wanted if wanted.starts_with("struct ") => "a table",
        wanted => wanted,
    };
    Some(format!("{wanted} is expected here, not {found}"))
}

/// Takes "unknown field `a`, expected one of `b`, `c`" apart.
fn unknown<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let rest = message.strip_prefix(prefix)?;
    if let Some(word) = rest.strip_suffix("`, there are no fields") {
        return Some((word, Vec::new()));
    }
    // The known ones are ours and hold no backtick; the unknown one may hold anything.
    let cut = rest.rfind("`, expected ")?;
    let known = rest.get(cut + 1..)?.split('`').skip(1).step_by(2).collect();
    Some((rest.get(..cut)?, known))
}

fn unknown_word(what: &str, word: &str, known: &[&str]) -> String {
    let word: String = word.chars().take(60).map(printable).collect();
    if let Some(nearest) = nearest(&word, known.iter().copied()) {
        return format!("unknown {what} `{word}`; did you mean `{nearest}`?");
    }
    match known {
        [] => format!("unknown {what} `{word}`; there is none here"),
        _ => format!("unknown {what} `{word}`; known here: {}", known.join(", ")),
    }
}

/// A value with the bytes of the document that wrote it. Compares, orders and serialises as the value alone.
#[derive(Clone)]
pub struct Located<T> {
    value: T,
    span: Range<usize>,
}

impl<T> Located<T> {
    /// Where it was written, in bytes.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Located<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Located<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}

impl<T: Ord> Ord for Located<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl<T: PartialOrd> PartialOrd for Located<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<T: Serialize> Serialize for Located<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { span: spanned.span(), value: spanned.into_inner() })
    }
}

#[cfg(feature = "schema")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    #[expect(dead_code, reason = "decoding is what is tested")]
    struct Room {
        name: Option<Located<String>>,
        slot_size: Option<i64>,
        kind: Option<Color>,
        #[serde(default)]
        doors: Vec<Door>,
        #[serde(default)]
        map: BTreeMap<Located<String>, Located<String>>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Color {
        DarkRed,
        Green,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "decoding is what is tested")]
    struct Door {
        width: i64,
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(decode::<Room>("room.toml", text).unwrap_err().to_string(), expected);
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        check(
            "name = \"a\"\nslot_size = 1\n",
            "room.toml:2:1: unknown key `slot_size`; did you mean `slot-size`?\n   |\n 2 | slot_size = 1\n   | ^^^^^^^^^",
        );
        check(
            "[[doors]]\nwidth = 1\n\n  colour = 2\n",
            "room.toml:4:3: unknown key `colour`; known here: width\n   |\n 4 |   colour = 2\n   |   ^^^^^^",
        );
        check(
            "kind = \"dark-rad\"",
            "room.toml:1:8: unknown value `dark-rad`; did you mean `dark-red`?\n   |\n 1 | kind = \"dark-rad\"\n   |        ^^^^^^^^^^",
        );
    }

    #[test]
    fn wrong_types_and_missing_keys_point() {
        check(
            "slot-size = \"x\"",
            "room.toml:1:13: a whole number is expected here, not a string\n   |\n 1 | slot-size = \"x\"\n   |             ^^^",
        );
        check("name = 'a'\n[[doors]]\n", "room.toml:2:1: the key `width` is missing here\n   |\n 2 | [[doors]]\n   | ^^^^^^^^^");
    }

    #[test]
    fn broken_toml_points() {
        check("name = \"a\"\nname = \"b\"\n", "room.toml:2:1: duplicate key\n   |\n 2 | name = \"b\"\n   | ^^^^");
        check(
            "name = ",
            "room.toml:1:8: string values must be quoted, expected literal string\n   |\n 1 | name =\n   |        ^",
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_are() {
        let error = Document::from_bytes("a", b"x = 1\ny = \"\xff\"\n").unwrap_err();
        assert_eq!(error.to_string(), "a:2:6: not UTF-8\n   |\n 2 | y = \"\u{fffd}\"\n   |      ^");
    }

    #[test]
    fn long_and_odd_lines_stay_short() {
        let text = format!("a = \"{}\tü\u{1}\" ", "é".repeat(500));
        let document = Document::new("a", text.clone());
        for at in 0..text.len() + 3 {
            let error = document.error_at(at..at + 7, "x").to_string();
            assert!(error.lines().all(|line| line.chars().count() < 140), "{error}");
        }
        let backwards = std::ops::Range { start: 9, end: 2 };
        assert_eq!(document.error_at(backwards, "x").line, 1);
    }

    #[test]
    fn values_know_their_place() {
        let document = Document::new("a.toml", "name = 'x'\n[map]\nk = 'v'\n");
        let room: Room = document.decode().unwrap();
        assert_eq!(document.place(room.name.unwrap().span()), "a.toml:1");
        let (key, value) = room.map.first_key_value().unwrap();
        assert_eq!((&**key, &**value, key.span(), value.span()), (&"k".to_owned(), &"v".to_owned(), 17..18, 21..24));
    }

    #[test]
    fn nearest_is_near() {
        assert_eq!(nearest("packges", ["packages", "boot"]), Some("packages"));
        assert_eq!(nearest("zzz", ["packages", "boot"]), None);
        assert_eq!(nearest("bas", ["base", "worker"]), Some("base"));
    }
}
