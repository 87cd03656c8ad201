//! The host's apt configuration, as far as it says where mirrors and proxies are: `sources.list`(5) in both its forms and
//! `apt.conf`(5). Texts in, values out; [`read`] alone touches the file system.
//!
//! Options, pins and keys of the host's sources are deliberately not read: what is believed is the profile's business.

use crate::deb822::{self, Comments};
use fs_err as fs;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One address of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSource {
    /// The base address, without a trailing slash.
    pub uri: String,
    /// The suite.
    pub suite: String,
    /// Its components; empty for a flat repository.
    pub components: Vec<String>,
}

/// apt's settings, by lower-case name (`acquire::http::proxy`); of a list the last value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AptConfiguration(pub BTreeMap<String, String>);

impl AptConfiguration {
    /// The value of a setting; case does not count.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(String::as_str)
    }
}

/// Reads apt's sources and settings below `root` (`/` of the host). What cannot be read is as if it were not there: the host's apt is
/// a hint, never needed.
pub fn read(root: &Path) -> (Vec<AptSource>, AptConfiguration) {
    let apt = root.join("etc/apt");
    let mut sources = Vec::new();
    let mut lists = vec![apt.join("sources.list")];
    lists.extend(parts(&apt.join("sources.list.d"), &["list", "sources"]));
    for path in lists {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => sources.extend(parse_deb822(&text)),
            _ => sources.extend(parse_lines(&text)),
        }
    }
    let mut settings = AptConfiguration::default();
    let mut files = parts(&apt.join("apt.conf.d"), &["conf", ""]);
    files.push(apt.join("apt.conf"));
    for path in files {
        if let Ok(text) = fs::read_to_string(&path) {
            parse_settings(&text, &mut settings);
        }
    }
    (sources, settings)
}

/// The files of a directory that apt reads, in its order: names of letters, digits, `-`, `_`, `.`, with one of these extensions.
fn parts(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(".");
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            plain && !name.starts_with('.') && extensions.contains(&name.rsplit_once('.').map_or("", |(_, extension)| extension))
        })
        .collect();
    paths.sort();
    paths
}

/// `deb [options] URI SUITE COMPONENT...`, a line each; `deb-src` and what is no source is skipped.
pub fn parse_lines(text: &str) -> Vec<AptSource> {
    let mut sources = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t'])) else { continue };
        let mut rest = rest.trim_start();
        if rest.starts_with('[') {
            let Some((_, after)) = rest.split_once(']') else { continue };
            rest = after;
        }
        let mut words = rest.split_whitespace();
        let (Some(uri), Some(suite)) = (words.next(), words.next()) else { continue };
        sources.push(AptSource {
            uri: uri.trim_end_matches('/').to_string(),
            suite: suite.to_string(),
            components: words.map(str::to_string).collect(),
        });
    }
    sources
}

/// Paragraphs of `Types`, `URIs`, `Suites`, `Components`; disabled ones are skipped, reading ends at a syntax error.
pub fn parse_deb822(text: &str) -> Vec<AptSource> {
    let mut sources = Vec::new();
    for paragraph in deb822::paragraphs(text, Comments::Skipped).map_while(Result::ok) {
        let words = |name| -> Vec<&str> { paragraph.field(name).map(|field| field.words().collect()).unwrap_or_default() };
        let disabled = matches!(paragraph.get("Enabled"), Some("no" | "false" | "without" | "off" | "disable" | "0"));
        if disabled || !words("Types").contains(&"deb") {
            continue;
        }
        for uri in words("URIs") {
            for suite in words("Suites") {
                sources.push(AptSource {
                    uri: uri.trim_end_matches('/').to_string(),
                    suite: suite.to_string(),
                    components: words("Components").into_iter().map(str::to_string).collect(),
                });
            }
        }
    }
    sources
}

/// `Name "value";`, `Scope { ... };`, `Scope::Name "value";`, with `//`, `#` and `/* */` comments. Directives (`#include`, `#clear`)
/// are not followed; a syntax error ends the text.
pub fn parse_settings(text: &str, settings: &mut AptConfiguration) {
    let mut scopes: Vec<String> = Vec::new();
    let mut name: Option<String> = None;
    let mut value: Option<String> = None;
    for token in tokens(text) {
        match token {
            Token::Word(word) => match (&name, &value) {
                (None, _) => name = Some(word),
                (Some(_), None) => value = Some(word),
                _ => return,
            },
            Token::Quoted(text) => match (&name, &value) {
                (Some(_), None) => value = Some(text),
                // An anonymous member of a list; no list matters here.
                (None, None) => value = Some(text),
                _ => return,
            },
            Token::Open => {
                scopes.push(name.take().unwrap_or_default());
                value = None;
            }
            Token::Close => {
                if scopes.pop().is_none() {
                    return;
                }
                (name, value) = (None, None);
            }
            Token::End => {
                if let (Some(name), Some(value)) = (name.take(), value.take()) {
                    let path: Vec<&str> = scopes.iter().map(String::as_str).chain([name.as_str()]).collect();
                    settings.0.insert(path.join("::").to_ascii_lowercase(), value);
                }
                (name, value) = (None, None);
            }
        }
    }
}

enum Token {
    Word(String),
    Quoted(String),
    Open,
    Close,
    End,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        if first.is_whitespace() {
            rest = after;
        } else if first == '#' || rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, next)| next);
        } else if rest.starts_with("/*") {
            rest = rest.split_once("*/").map_or("", |(_, next)| next);
        } else if first == '"' {
            let Some((quoted, next)) = after.split_once('"') else { return tokens };
            tokens.push(Token::Quoted(quoted.to_string()));
            rest = next;
        } else if let Some(token) = match first {
            '{' => Some(Token::Open),
            '}' => Some(Token::Close),
            ';' => Some(Token::End),
            _ => None,
        } {
            tokens.push(token);
            rest = after;
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || "{};\"".contains(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_string()));
            rest = &rest[end..];
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(uri: &str, suite: &str, components: &[&str]) -> AptSource {
        AptSource { uri: uri.into(), suite: suite.into(), components: components.iter().map(|c| c.to_string()).collect() }
    }

    #[test]
    fn lines() {
        let text = "# a comment\n\
            deb http://a.example/debian/ trixie main contrib # tail\n\
            deb-src http://a.example/debian trixie main\n\
            deb [arch=amd64 signed-by=/k.gpg] https://b.example/d trixie-updates main\n\
            debx http://c.example trixie main\n\
            deb http://flat.example ./\n\
            deb [open http://d.example trixie main\n\
            deb http://only\n";
        assert_eq!(
            parse_lines(text),
            [
                source("http://a.example/debian", "trixie", &["main", "contrib"]),
                source("https://b.example/d", "trixie-updates", &["main"]),
                source("http://flat.example", "./", &[]),
            ]
        );
    }

    #[test]
    fn paragraphs() {
        let text = "Types: deb deb-src\n# URIs: http://old.example/debian\nURIs: http://a.example/debian/\n http://b.example/debian\n\
            Suites: trixie trixie-updates\nComponents: main\n\nTypes: deb\nURIs: http://off.example\nSuites: trixie\nEnabled: no\n\n\
            Types: deb-src\nURIs: http://src.example\nSuites: trixie\n";
        assert_eq!(
            parse_deb822(text),
            [
                source("http://a.example/debian", "trixie", &["main"]),
                source("http://a.example/debian", "trixie-updates", &["main"]),
                source("http://b.example/debian", "trixie", &["main"]),
                source("http://b.example/debian", "trixie-updates", &["main"]),
            ]
        );
    }

    #[test]
    fn settings() {
        let mut settings = AptConfiguration::default();
        parse_settings(
            r#"// one form
            Acquire::http::Proxy "http://p.example:3128"; # and a tail
            Acquire { https { Proxy "http://q.example:3128/"; Proxy::direct.example "DIRECT"; }; Retries 3; };
            /* APT::Nothing "x"; */
            APT { NeverAutoRemove { "^linux-.*"; "a;b{c}"; }; Install-Recommends "false"; };
            "#,
            &mut settings,
        );
        let expected = [
            ("acquire::http::proxy", "http://p.example:3128"),
            ("acquire::https::proxy", "http://q.example:3128/"),
            ("acquire::https::proxy::direct.example", "DIRECT"),
            ("acquire::retries", "3"),
            ("apt::install-recommends", "false"),
        ];
        assert_eq!(settings.0, expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect());
        assert_eq!(settings.get("Acquire::HTTP::Proxy"), Some("http://p.example:3128"));
        for broken in ["}", "a \"b", "a b c;", "{{{", "a::b", "\u{e9} \"x\";"] {
            parse_settings(broken, &mut AptConfiguration::default());
        }
    }

    #[test]
    fn a_hosts_files() {
        let root = tempfile::tempdir().unwrap();
        let apt = root.path().join("etc/apt");
        assert_eq!(read(root.path()), (Vec::new(), AptConfiguration::default()));
        for (path, text) in [
            ("sources.list", "deb http://1.example/debian trixie main"),
            ("sources.list.d/b.list", "deb http://3.example/debian trixie main"),
            ("sources.list.d/a.sources", "Types: deb\nURIs: http://2.example/debian\nSuites: trixie\nComponents: main\n"),
            ("sources.list.d/c.list.disabled", "deb http://4.example/debian trixie main"),
            ("apt.conf.d/20b", "Acquire::http::Proxy \"http://late.example\";"),
            ("apt.conf.d/10a.conf", "Acquire::http::Proxy \"http://early.example\";"),
            ("apt.conf.d/30c.bak", "Acquire::http::Proxy \"http://never.example\";"),
        ] {
            let path = apt.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (sources, settings) = read(root.path());
        let uris: Vec<&str> = sources.iter().map(|source| source.uri.as_str()).collect();
        assert_eq!(uris, ["http://1.example/debian", "http://2.example/debian", "http://3.example/debian"]);
        assert_eq!(settings.get("acquire::http::proxy"), Some("http://late.example"));
    }
}
