//! Patterns over paths of the image: `*` and `?` stay inside one component, `**` crosses them, `{a,b}` and `[ab]` as usual.

use crate::compose::tree::TreePath;
use globset::{GlobBuilder, GlobMatcher};
use serde::{Serialize, Serializer};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A pattern over paths. What it is matched against (the image's absolute paths, a kernel's module paths) is its field's matter.
#[derive(Clone)]
pub struct PathGlob {
    text: String,
    matcher: GlobMatcher,
}

/// A text that is no pattern.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("bad pattern: {0}")]
pub struct BadGlob(String);

impl PathGlob {
    /// Compiles a pattern.
    pub fn new(text: &str) -> Result<Self, BadGlob> {
        let glob = GlobBuilder::new(text)
            .literal_separator(true)
            .backslash_escape(true)
            .empty_alternates(true)
            .build()
            .map_err(|error| BadGlob(error.kind().to_string()))?;
        Ok(Self { text: text.to_owned(), matcher: glob.compile_matcher() })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True if the whole of `path` matches.
    pub fn matches(&self, path: impl AsRef<[u8]>) -> bool {
        self.matcher.is_match(Path::new(OsStr::from_bytes(path.as_ref())))
    }

    /// True if `path`, or a directory above it, matches: what a `drop` of a directory means.
    pub fn matches_or_holds(&self, path: &TreePath) -> bool {
        let mut at = Some(path.clone());
        while let Some(candidate) = at {
            if self.matches(candidate.as_bytes()) {
                return true;
            }
            at = candidate.parent();
        }
        false
    }
}

impl fmt::Display for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PathGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl PartialEq for PathGlob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for PathGlob {}

impl Serialize for PathGlob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_inside_a_component() {
        let table = [
            ("/usr/share/doc/*/copyright", "/usr/share/doc/libc6/copyright", true),
            ("/usr/share/doc/*/copyright", "/usr/share/doc/a/b/copyright", false),
            ("/usr/share/man/**", "/usr/share/man/man1/ls.1.gz", true),
            ("/usr/share/man/**", "/usr/share/man", false),
            ("/usr/share/{man,info}", "/usr/share/info", true),
            ("**/*.a", "/usr/lib/libc.a", true),
        ];
        for (glob, path, expected) in table {
            assert_eq!(PathGlob::new(glob).unwrap().matches(path), expected, "{glob} {path}");
        }
    }

    #[test]
    fn a_directory_that_matches_takes_what_it_holds() {
        let glob = PathGlob::new("/usr/share/man").unwrap();
        assert!(glob.matches_or_holds(&TreePath::new("/usr/share/man/man1/ls.1.gz").unwrap()));
        assert!(!glob.matches_or_holds(&TreePath::new("/usr/share/manual").unwrap()));
    }

    #[test]
    fn bad_patterns_are_named() {
        let error = |text: &str| PathGlob::new(text).unwrap_err().to_string();
        assert_eq!(error("/a[b"), "bad pattern: unclosed character class; missing ']'");
        assert_eq!(error("/a{b"), "bad pattern: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)");
    }
}
