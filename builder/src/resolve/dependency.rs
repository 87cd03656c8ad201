//! Relation fields: `Depends: libc6 (>= 2.34), debconf (>= 0.5) | debconf-2.0, python3:any` (Debian Policy 7.1; architecture and
//! build-profile lists as in deb-src-control(5)).
//!
//! Only the grammar; who meets a relation is `closure`'s business.

use crate::version::{Version, VersionError};
use std::cmp::Ordering;
use std::fmt;

/// One comma-separated part of a relation field: any of its terms will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    /// The part as written, blanks around it taken off.
    pub text: &'a str,
    /// The alternatives, in the order written; at least one.
    pub terms: Vec<Term<'a>>,
}

/// One alternative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term<'a> {
    /// The package's (or virtual package's) name.
    pub name: &'a str,
    /// What follows a colon: `any`, `native` or an architecture.
    pub qualifier: Option<&'a str>,
    /// The version wanted.
    pub version: Option<(Operator, Version<'a>)>,
    /// The words between `[` and `]`; empty if there are none.
    pub architectures: Vec<&'a str>,
    /// The words between `<` and `>`, a list for each pair; all words of one list must hold, and one list must.
    pub profiles: Vec<Vec<&'a str>>,
}

/// How a version compares to the one wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=` (and the obsolete `<`)
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=` (and the obsolete `>`)
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Operator {
    /// True if `found OPERATOR wanted` holds.
    pub fn holds(self, found: &Version<'_>, wanted: &Version<'_>) -> bool {
        let order = found.cmp(wanted);
        match self {
            Operator::Earlier => order == Ordering::Less,
            Operator::EarlierOrEqual => order != Ordering::Greater,
            Operator::Equal => order == Ordering::Equal,
            Operator::LaterOrEqual => order != Ordering::Less,
            Operator::Later => order == Ordering::Greater,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operator::Earlier => "<<",
            Operator::EarlierOrEqual => "<=",
            Operator::Equal => "=",
            Operator::LaterOrEqual => ">=",
            Operator::Later => ">>",
        })
    }
}

impl Term<'_> {
    /// True if the term's architecture list (if any) covers `architecture` and its build profiles (if any) hold with none active.
    pub fn applies(&self, architecture: &str) -> bool {
        let covers = |word: &str| {
            word == "any" || word == architecture || word.strip_prefix("linux-") == Some("any") || {
                word.strip_prefix("any-").is_some_and(|cpu| cpu == architecture)
            }
        };
        let architecture_fits = match self.architectures.first() {
            None => true,
            Some(first) if first.starts_with('!') => {
                !self.architectures.iter().any(|word| word.strip_prefix('!').is_some_and(covers))
            }
            Some(_) => self.architectures.iter().any(|word| covers(word)),
        };
        let profiles_fit =
            self.profiles.is_empty() || self.profiles.iter().any(|list| list.iter().all(|word| word.starts_with('!')));
        architecture_fits && profiles_fit
    }
}

/// Why a relation field cannot be read; `part` is the comma-separated part at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}`: {fault}")]
pub struct RelationError {
    /// The part at fault, as written.
    pub part: String,
    /// What is wrong with it.
    pub fault: RelationFault,
}

/// What can be wrong with a part of a relation field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelationFault {
    /// No name where one belongs.
    #[error("a package name belongs here (letters, digits, `+ - . _`)")]
    NoName,
    /// `(` without operator, version or `)`.
    #[error("a version is written `(>= 1.0)`, with one of << <= = >= >>")]
    BadVersionPart,
    /// The version itself.
    #[error("{0}")]
    BadVersion(VersionError),
    /// `[` without `]`, or `<` without `>`.
    #[error("`{0}` is not closed")]
    NotClosed(char),
    /// Something after the term's end.
    #[error("`{0}` does not belong there")]
    Trailing(String),
}

/// Reads a relation field. Empty parts (a comma too many) are skipped, as dpkg does.
pub fn parse(field: &str) -> Result<Vec<Group<'_>>, RelationError> {
    field
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let terms = part.split('|').map(term).collect::<Result<_, _>>();
            let terms = terms.map_err(|fault| RelationError { part: part.chars().take(120).collect(), fault })?;
            Ok(Group { text: part, terms })
        })
        .collect()
}

/// `name[:qualifier] [(operator version)] [[architectures]] [<profiles>]...`
fn term(text: &str) -> Result<Term<'_>, RelationFault> {
    let text = text.trim();
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c))).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    if name.is_empty() {
        return Err(RelationFault::NoName);
    }
    let mut term = Term { name, qualifier: None, version: None, architectures: Vec::new(), profiles: Vec::new() };
    if let Some(after) = rest.strip_prefix(':') {
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(after.len());
        term.qualifier = Some(&after[..end]).filter(|qualifier| !qualifier.is_empty());
        if term.qualifier.is_none() {
            return Err(RelationFault::Trailing(short(rest)));
        }
        rest = &after[end..];
    }
    rest = rest.trim_start();
    if let Some(after) = rest.strip_prefix('(') {
        let (inside, after) = after.split_once(')').ok_or(RelationFault::NotClosed('('))?;
        term.version = Some(version(inside)?);
        rest = after.trim_start();
    }
    if let Some(after) = rest.strip_prefix('[') {
        let (inside, after) = after.split_once(']').ok_or(RelationFault::NotClosed('['))?;
        term.architectures = inside.split_ascii_whitespace().collect();
        rest = after.trim_start();
    }
    while let Some(after) = rest.strip_prefix('<') {
        let (inside, after) = after.split_once('>').ok_or(RelationFault::NotClosed('<'))?;
        term.profiles.push(inside.split_ascii_whitespace().collect());
        rest = after.trim_start();
    }
    if rest.is_empty() { Ok(term) } else { Err(RelationFault::Trailing(short(rest))) }
}

fn version(inside: &str) -> Result<(Operator, Version<'_>), RelationFault> {
    let inside = inside.trim();
    let (operator, version) = [
        ("<<", Operator::Earlier),
        ("<=", Operator::EarlierOrEqual),
        (">=", Operator::LaterOrEqual),
        (">>", Operator::Later),
        ("=", Operator::Equal),
        ("<", Operator::EarlierOrEqual),
        (">", Operator::LaterOrEqual),
    ]
    .into_iter()
    .find_map(|(sign, operator)| Some((operator, inside.strip_prefix(sign)?.trim())))
    .ok_or(RelationFault::BadVersionPart)?;
    Ok((operator, Version::parse(version).map_err(RelationFault::BadVersion)?))
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of a field, each term spelled out.
    fn read(field: &str) -> String {
        let groups = match parse(field) {
            Ok(groups) => groups,
            Err(error) => return format!("error: {error}"),
        };
        let spell = |term: &Term<'_>| {
            let mut text = term.name.to_owned();
            if let Some(qualifier) = term.qualifier {
                text += &format!(" qualifier {qualifier}");
            }
            if let Some((operator, version)) = &term.version {
                text += &format!(" {operator} {version}");
            }
            if !term.architectures.is_empty() {
                text += &format!(" on {}", term.architectures.join(" "));
            }
            for list in &term.profiles {
                text += &format!(" if {}", list.join(" "));
            }
            text
        };
        let lines = groups.iter().map(|group| group.terms.iter().map(spell).collect::<Vec<_>>().join(" or "));
        lines.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn fields_are_read() {
        for (field, expect) in [
            ("", ""),
            ("libc6", "libc6"),
            ("libc6 (>= 2.34), libgcc-s1 (>= 3.0)", "libc6 >= 2.34; libgcc-s1 >= 3.0"),
            ("debconf (>= 0.5) | debconf-2.0", "debconf >= 0.5 or debconf-2.0"),
            ("a(=1),b (<<1:2-3~)|c,", "a = 1; b << 1:2-3~ or c"),
            ("perl:any (>= 5), gcc-12:amd64", "perl qualifier any >= 5; gcc-12 qualifier amd64"),
            ("old (< 1), older (> 2)", "old <= 1; older >= 2"),
            ("a (= 1) [amd64 !i386] <!nocheck> <cross x>", "a = 1 on amd64 !i386 if !nocheck if cross x"),
            ("a,\n b ,\n\tc", "a; b; c"),
            ("| a", "error: `| a`: a package name belongs here (letters, digits, `+ - . _`)"),
            ("a b", "error: `a b`: `b` does not belong there"),
            ("a (1)", "error: `a (1)`: a version is written `(>= 1.0)`, with one of << <= = >= >>"),
            ("a (>= 1", "error: `a (>= 1`: `(` is not closed"),
            ("a [amd64", "error: `a [amd64`: `[` is not closed"),
            ("a <x", "error: `a <x`: `<` is not closed"),
            ("a (>= )", "error: `a (>= )`: an empty version"),
            ("a:", "error: `a:`: `:` does not belong there"),
            ("ä", "error: `ä`: a package name belongs here (letters, digits, `+ - . _`)"),
        ] {
            assert_eq!(read(field), expect, "{field:?}");
        }
    }

    #[test]
    fn operators() {
        let v = |text| Version::parse(text).unwrap();
        for (operator, holds) in [
            (Operator::Earlier, [true, false, false]),
            (Operator::EarlierOrEqual, [true, true, false]),
            (Operator::Equal, [false, true, false]),
            (Operator::LaterOrEqual, [false, true, true]),
            (Operator::Later, [false, false, true]),
        ] {
            let found = ["1~", "1", "1+"].map(|found| operator.holds(&v(found), &v("1")));
            assert_eq!(found, holds, "{operator}");
        }
    }

    #[test]
    fn restrictions() {
        for (field, applies) in [
            ("a", true),
            ("a [amd64]", true),
            ("a [arm64 amd64]", true),
            ("a [arm64]", false),
            ("a [!amd64]", false),
            ("a [!arm64]", true),
            ("a [linux-any]", true),
            ("a [any]", true),
            ("a [any-amd64]", true),
            ("a [hurd-any]", false),
            ("a <!nocheck>", true),
            ("a <nocheck>", false),
            ("a <nocheck> <!cross>", true),
            ("a <!nocheck cross>", false),
        ] {
            assert_eq!(parse(field).unwrap()[0].terms[0].applies("amd64"), applies, "{field}");
        }
    }
}
