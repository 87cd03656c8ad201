//! The first line of a script.

use super::{Problem, bytes_at};
use crate::compose::content::Content;
use serde::{Deserialize, Serialize};

/// How much of a `#!` line the kernel reads (BINPRM_BUF_SIZE).
const LINE_LIMIT: u64 = 256;

/// What a `#!` line asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shebang {
    /// The program that runs the script, as written (bytes that are no UTF-8 replaced; such a path resolves nowhere).
    pub interpreter: String,
    /// The rest of the line, without the white space around it: one argument for the kernel, whatever it holds.
    pub argument: Option<String>,
}

impl Shebang {
    /// The program that `/usr/bin/env NAME` (or `env -S NAME ...`) would look up in PATH; none for any other interpreter.
    pub fn env_program(&self) -> Option<&str> {
        if self.interpreter.rsplit('/').next() != Some("env") {
            return None;
        }
        let words = self.argument.as_deref()?.split_ascii_whitespace();
        words.into_iter().find(|word| !word.starts_with('-') && !word.contains('='))
    }
}

pub(super) fn read(content: &Content) -> Result<Shebang, Problem> {
    let bytes = bytes_at(content, 0, content.len().min(LINE_LIMIT), "the #! line")?;
    let line = bytes.split(|&byte| byte == b'\n' || byte == 0).next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.get(2..).unwrap_or_default()).into_owned();
    let line = line.trim_matches([' ', '\t', '\r']);
    let (interpreter, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if interpreter.is_empty() {
        return Err(Problem::Damaged("its #! line names no interpreter".into()));
    }
    let argument = Some(argument.trim_matches([' ', '\t'])).filter(|argument| !argument.is_empty());
    Ok(Shebang { interpreter: interpreter.to_owned(), argument: argument.map(str::to_owned) })
}
