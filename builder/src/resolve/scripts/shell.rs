//! A shell script's simple commands, with the lines they are in: enough of POSIX sh to see which programs a maintainer script would
//! start and where it would write. Nothing is evaluated, and conditions do not count: what might run is there.
//!
//! Variables and command substitutions leave gaps in words ([`Word::literal`] is then false); the commands inside substitutions are
//! listed, too. Any text gives some answer; no input is refused.

/// A simple command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Command {
    /// The line of its first word, counted from 1.
    pub(super) line: usize,
    /// Its words, quotes taken off.
    pub(super) words: Vec<Word>,
    /// What its output goes to (`> file`, `>> file`).
    pub(super) writes: Vec<Word>,
}

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Word {
    /// Its text, less what variables and substitutions would put there.
    pub(super) text: String,
    /// True if nothing is left out.
    pub(super) literal: bool,
}

/// Deeper nesting of substitutions is not looked into: no real script has it, and recursion must end.
const DEEPEST: usize = 16;

/// The commands of a script, in the order of the text.
pub(super) fn commands(script: &str) -> Vec<Command> {
    let mut lexer = Lexer { text: script.as_bytes(), at: 0, line: 1, commands: Vec::new(), here: Vec::new() };
    // A stray `)` ends the reading of a frame: go on behind it.
    while lexer.at < lexer.text.len() {
        lexer.frame(0);
    }
    lexer.commands.sort_by_key(|command| command.line);
    lexer.commands
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    commands: Vec<Command>,
    /// Delimiters of here-documents that begin after this line; true: leading tabs are taken off.
    here: Vec<(String, bool)>,
}

/// What the next word is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Word,
    Write,
    Read,
    Here { tabs: bool },
}

/// The command being read within a frame.
struct Open {
    command: Command,
    bytes: Vec<u8>,
    literal: bool,
    in_word: bool,
    role: Role,
    /// `case`s that are open, whose patterns end in `)`.
    cases: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek(0)?;
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        Some(byte)
    }

    /// Commands up to the `)` that ends the frame (already opened), or the end of the text.
    fn frame(&mut self, depth: usize) {
        let fresh = || Command::default();
        let mut open = Open { command: fresh(), bytes: Vec::new(), literal: true, in_word: false, role: Role::Word, cases: 0 };
        let mut parentheses = 0usize;
        while let Some(byte) = self.next() {
            match byte {
                b'\\' => match self.next() {
                    Some(b'\n') | None => {}
                    Some(byte) => self.push(&mut open, byte),
                },
                b'\'' => {
                    self.begin(&mut open);
                    while let Some(byte) = self.next().filter(|byte| *byte != b'\'') {
                        open.bytes.push(byte);
                    }
                }
                b'"' => self.double_quoted(&mut open, depth),
                b'$' => self.expansion(&mut open, depth),
                b'`' => self.backticks(&mut open, depth),
                b'#' if !open.in_word => {
                    while self.peek(0).is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                b' ' | b'\t' | b'\r' => self.end_word(&mut open),
                b'\n' => {
                    self.end_command(&mut open);
                    self.skip_here_documents();
                }
                b';' | b'&' | b'|' => self.end_command(&mut open),
                b'(' => {
                    self.end_command(&mut open);
                    parentheses += 1;
                }
                b')' if parentheses > 0 => {
                    self.end_command(&mut open);
                    parentheses -= 1;
                }
                b')' if open.cases > 0 => {
                    // The pattern of a case.
                    open.command = fresh();
                    (open.bytes, open.in_word, open.role) = (Vec::new(), false, Role::Word);
                }
                b')' => break,
                b'>' => self.output(&mut open),
                b'<' => self.input(&mut open),
                byte => self.push(&mut open, byte),
            }
        }
        self.end_command(&mut open);
    }

    fn begin(&self, open: &mut Open) {
        if open.command.words.is_empty() && open.command.writes.is_empty() && !open.in_word {
            open.command.line = self.line;
        }
        open.in_word = true;
    }

    fn push(&self, open: &mut Open, byte: u8) {
        self.begin(open);
        open.bytes.push(byte);
    }

    fn end_word(&mut self, open: &mut Open) {
        if !std::mem::take(&mut open.in_word) {
            return;
        }
        let text = String::from_utf8_lossy(&std::mem::take(&mut open.bytes)).into_owned();
        let word = Word { text, literal: std::mem::replace(&mut open.literal, true) };
        match std::mem::replace(&mut open.role, Role::Word) {
            Role::Word => {
                if open.command.words.is_empty() {
                    match word.text.as_str() {
                        "case" => open.cases += 1,
                        "esac" => open.cases = open.cases.saturating_sub(1),
                        _ => {}
                    }
                }
                open.command.words.push(word);
            }
            Role::Write => open.command.writes.push(word),
            Role::Read => {}
            Role::Here { tabs } => self.here.push((word.text, tabs)),
        }
    }

    fn end_command(&mut self, open: &mut Open) {
        self.end_word(open);
        open.role = Role::Word;
        let command = std::mem::take(&mut open.command);
        if !command.words.is_empty() || !command.writes.is_empty() {
            self.commands.push(command);
        }
    }

    fn double_quoted(&mut self, open: &mut Open, depth: usize) {
        self.begin(open);
        while let Some(byte) = self.next() {
            match byte {
                b'"' => return,
                b'\\' => match self.next() {
                    Some(byte @ (b'"' | b'\\' | b'$' | b'`')) => open.bytes.push(byte),
                    Some(b'\n') | None => {}
                    Some(byte) => open.bytes.extend([b'\\', byte]),
                },
                b'$' => self.expansion(open, depth),
                b'`' => self.backticks(open, depth),
                byte => open.bytes.push(byte),
            }
        }
    }

    /// After a `$`.
    fn expansion(&mut self, open: &mut Open, depth: usize) {
        self.begin(open);
        match (self.peek(0), self.peek(1)) {
            (Some(b'('), Some(b'(')) => {
                open.literal = false;
                let mut parentheses = 0i32;
                while let Some(byte) = self.next() {
                    parentheses += i32::from(byte == b'(') - i32::from(byte == b')');
                    if parentheses == 0 {
                        break;
                    }
                }
            }
            (Some(b'('), _) if depth < DEEPEST => {
                open.literal = false;
                self.at += 1;
                self.frame(depth + 1);
            }
            (Some(b'{'), _) => {
                open.literal = false;
                let mut braces = 0i32;
                while let Some(byte) = self.next() {
                    braces += i32::from(byte == b'{') - i32::from(byte == b'}');
                    if braces == 0 {
                        break;
                    }
                }
            }
            (Some(byte), _) if byte.is_ascii_alphanumeric() || b"_@*#?-$!".contains(&byte) => {
                open.literal = false;
                self.at += 1;
                if byte.is_ascii_alphabetic() || byte == b'_' {
                    while self.peek(0).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                        self.at += 1;
                    }
                }
            }
            _ => open.bytes.push(b'$'),
        }
    }

    /// After a backtick: the commands up to the next one.
    fn backticks(&mut self, open: &mut Open, depth: usize) {
        self.begin(open);
        open.literal = false;
        let line = self.line;
        let mut text = Vec::new();
        while let Some(byte) = self.next().filter(|byte| *byte != b'`') {
            match byte {
                // An escaped backtick opens or closes one level further in.
                b'\\' if self.peek(0) == Some(b'`') => text.extend(self.next()),
                b'\\' => text.extend([Some(byte), self.next()].into_iter().flatten()),
                byte => text.push(byte),
            }
        }
        if depth < DEEPEST {
            let mut inner = Lexer { text: &text, at: 0, line, commands: Vec::new(), here: Vec::new() };
            while inner.at < inner.text.len() {
                inner.frame(depth + 1);
            }
            self.commands.append(&mut inner.commands);
        }
    }

    /// After a `>`.
    fn output(&mut self, open: &mut Open) {
        self.descriptor(open);
        match self.peek(0) {
            Some(b'&') => {
                self.at += 1;
                open.role = Role::Read;
            }
            Some(b'>' | b'|') => {
                self.at += 1;
                open.role = Role::Write;
            }
            _ => open.role = Role::Write,
        }
    }

    /// After a `<`.
    fn input(&mut self, open: &mut Open) {
        self.descriptor(open);
        open.role = Role::Read;
        match self.peek(0) {
            Some(b'<') => {
                self.at += 1;
                let tabs = self.peek(0) == Some(b'-');
                self.at += usize::from(tabs);
                open.role = Role::Here { tabs };
            }
            Some(b'&' | b'>') => self.at += 1,
            _ => {}
        }
    }

    /// Digits right before `>` or `<` are a file descriptor, no word.
    fn descriptor(&mut self, open: &mut Open) {
        if open.in_word && open.literal && open.bytes.iter().all(u8::is_ascii_digit) {
            open.bytes.clear();
            open.in_word = false;
        }
        self.end_word(open);
    }

    fn skip_here_documents(&mut self) {
        for (end, tabs) in std::mem::take(&mut self.here) {
            while self.at < self.text.len() {
                let rest = &self.text[self.at..];
                let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                let line = &rest[..length];
                let line = if tabs { line.trim_ascii_start() } else { line };
                let is_end = line == end.as_bytes();
                self.at = (self.at + length + 1).min(self.text.len());
                self.line += 1;
                if is_end {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `line: word word >target`, a gap shown as `~` behind the word.
    fn show(script: &str) -> Vec<String> {
        let word = |word: &Word| format!("{}{}", word.text, if word.literal { "" } else { "~" });
        let command = |command: &Command| {
            let words = command.words.iter().map(word).chain(command.writes.iter().map(|target| format!(">{}", word(target))));
            format!("{}: {}", command.line, words.collect::<Vec<_>>().join(" "))
        };
        commands(script).iter().map(command).collect()
    }

    #[test]
    fn commands_are_found() {
        for (script, expect) in [
            ("", &[][..]),
            ("#!/bin/sh\nset -e # why\nldconfig\n", &["2: set -e", "3: ldconfig"]),
            ("a b;c&&d||e|f&g\n", &["1: a b", "1: c", "1: d", "1: e", "1: f", "1: g"]),
            ("a \\\n  b\\\n  c\nd", &["1: a b c", "4: d"]),
            ("a 'b c' \"d $e f\" g\\ h", &["1: a b c d  f~ g h"]),
            ("x=$(stat -c %a \"$(pwd)\") y", &["1: pwd", "1: stat -c %a ~", "1: x=~ y"]),
            ("x=`a \\`b\\`` c", &["1: b", "1: a ~", "1: x=~ c"]),
            ("echo $((1+2)) ${x:-$(a)} $1$2", &["1: echo ~ ~ ~"]),
            ("a >/etc/x 2>&1 </dev/null >>\"$y/z\"", &["1: a >/etc/x >/z~"]),
            ("cat <<EOF >x\nchown a b\nEOF\nd", &["1: cat >x", "4: d"]),
            ("cat <<-'E F'\n\tchown\n\tE F\nd", &["1: cat", "4: d"]),
            (
                "case \"$1\" in\n ldconfig) a;;\n b|c)\n d\n;;\nesac\ne",
                &["1: case ~ in", "2: a", "3: b", "4: d", "6: esac", "7: e"],
            ),
            ("case $1 in (a) b;; esac", &["1: case ~ in", "1: a", "1: b", "1: esac"]),
            ("(a; b) | c", &["1: a", "1: b", "1: c"]),
            ("f () {\n chown x\n}\n", &["1: f", "1: {", "2: chown x", "3: }"]),
            (") a", &["1: a"]),
            ("a \"b", &["1: a b"]),
            ("a $", &["1: a $"]),
            ("a `b", &["1: b", "1: a ~"]),
            ("$x y", &["1: ~ y"]),
        ] {
            let found = show(script);
            assert_eq!(found, expect, "{script:?}");
        }
    }

    #[test]
    fn any_text_ends() {
        for script in ["$(", "((((", "`", "\"$(\"$(\"", "<<", "<<a", "case", "\\", "'", "${", "$((", ">", "2>", "&>", "\u{0}ä"] {
            commands(script);
        }
        commands(&"$(".repeat(100_000));
        commands(&"`\"".repeat(10_000));
    }
}
