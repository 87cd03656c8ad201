//! Strict decoding of TOML documents, with errors that point: file, line, column, the line itself and a caret under what is wrong.
//!
//! Used by profiles, overlay.toml, kmimage.lock and machine configs. Types to decode say `#[serde(deny_unknown_fields)]`; an unknown key then names
//! the nearest known one. [`Located`] keeps where a value was written, so that later checks can point, too. No I/O, no panics:
//! any bytes may come in.

mod explain;
mod located;
#[cfg(test)]
mod tests;

pub use explain::nearest;
pub use located::Located;

use explain::explain;
use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::Range;
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
