//! Which parts of a document no error message may show, because they are, or may be, secrets.
//!
//! A value is shown only below keys that are known to hold none; a misspelt key hides its value, too. A text that is no TOML has no
//! keys: there, whatever stands between quotes is hidden.

use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Keys whose values may be shown. A key that is missing here only hides more.
const SHOWN: [&str; 73] = [
    "addresses",
    "after",
    "bond",
    "bridge",
    "ca-hashes",
    "capabilities",
    "cluster",
    "command",
    "credentials",
    "dhcp",
    "disk",
    "driver",
    "endpoint",
    "exec",
    "file",
    "filesystem",
    "hostname",
    "hosts",
    "http",
    "id",
    "insecure",
    "install",
    "interface",
    "kernel",
    "kubelet",
    "labels",
    "log",
    "mac",
    "machine",
    "match",
    "maximum-ms",
    "members",
    "memory-low",
    "memory-min",
    "metric",
    "minimum-ms",
    "mirror",
    "mode",
    "model",
    "modules",
    "mtu",
    "name",
    "nameservers",
    "needs",
    "network",
    "node-ip",
    "oom-score",
    "over",
    "path",
    "provider-id",
    "readiness",
    "receiver",
    "registry",
    "restart",
    "role",
    "routes",
    "search",
    "serial",
    "servers",
    "service",
    "size",
    "socket",
    "stop-timeout-s",
    "sysctl",
    "taints",
    "time",
    "to",
    "version",
    "via",
    "vlan",
    "volume",
    "wipe",
    "wwn",
];

/// Tables whose keys are the user's own, and whose values hold no secrets.
const OPEN: [&str; 3] = ["hosts", "labels", "sysctl"];

/// What to hide of a document that is TOML: every value that is not below a known key.
pub(super) fn of_table(table: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    walk_table(table, false, &mut hidden);
    hidden
}

fn walk_table(table: &DeTable<'_>, open: bool, hidden: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let key: &str = key.get_ref();
        if key == "proxy" {
            walk_proxy(value, hidden);
        } else if open || SHOWN.contains(&key) {
            walk(value, OPEN.contains(&key), hidden);
        } else {
            hide(value, hidden);
        }
    }
}

/// Hides all values, of tables and lists those within.
fn hide(value: &Spanned<DeValue<'_>>, hidden: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => table.values().for_each(|value| hide(value, hidden)),
        DeValue::Array(array) => array.iter().for_each(|value| hide(value, hidden)),
        _ => hidden.push(value.span()),
    }
}

/// Addresses of proxies may hold passwords; what is reached without them does not.
fn walk_proxy(value: &Spanned<DeValue<'_>>, hidden: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => {
            table.iter().filter(|(key, _)| key.get_ref() != "no-proxy").for_each(|(_, value)| hide(value, hidden));
        }
        _ => hidden.push(value.span()),
    }
}

fn walk(value: &Spanned<DeValue<'_>>, open: bool, hidden: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => walk_table(table, open, hidden),
        DeValue::Array(array) => array.iter().for_each(|value| walk(value, open, hidden)),
        _ => {}
    }
}

/// What to hide of a text that is no TOML: of each line everything behind the words and brackets of known keys. A line that is nothing
/// but a known key and its value is shown whole.
pub(super) fn of_text(text: &str) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let (prefix, whole) = shown_prefix(line);
        if !whole {
            hidden.push(start + prefix..start + line.len());
        }
        start += line.len();
    }
    hidden
}

/// How much of a line is known words, with brackets and dots, up to an equals sign; whether its value may be shown, too.
fn shown_prefix(line: &str) -> (usize, bool) {
    let mut at = 0;
    let mut last = "";
    while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
        let word_end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')).unwrap_or(rest.len());
        let (word, _) = rest.split_at(word_end);
        if rest.starts_with('=') {
            // A proxy's address is below `http`, too.
            return (at + 1, SHOWN.contains(&last) && last != "http" && line.matches('=').count() == 1);
        } else if SHOWN.contains(&word) || matches!(word, "ca" | "content" | "environment" | "proxy" | "trust") {
            last = word;
            at += word.len();
        } else if rest.starts_with([' ', '\t', '[', ']', '.', '\r', '\n']) {
            at += 1;
        } else {
            return (at, false);
        }
    }
    (at, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_broken_text_little_is_shown() {
        let check = |text: &str, shown: &str| {
            let hidden = of_text(text);
            let kept = text.char_indices().map(|(at, c)| if hidden.iter().any(|range| range.contains(&at)) { '*' } else { c });
            assert_eq!(kept.collect::<String>(), shown, "{text}");
        };
        check("[[network.interface]]", "[[network.interface]]");
        check("[[network.interfaces]]", "[[network.************");
        check("hostname = node-1", "hostname = node-1");
        check("hostname = \"a\" b = c", "hostname =**********");
        check("content = \"hunter2\"", "content =**********");
        check("http = \"http://a:b@c\"", "http =***************");
        check("MAMCAQE=", "********");
        check("\\ud\u{e4}", "****");
        check("", "");
    }
}
