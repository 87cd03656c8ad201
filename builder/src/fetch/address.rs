//! Addresses: joining a base and a path, following a redirect. Pure.

use crate::percent;

/// `base` and a path relative to it, the path's odd bytes escaped (RFC 3986). None: the path climbs, or is none.
pub(super) fn join(base: &str, path: &str) -> Option<String> {
    let mut address = base.trim_end_matches('/').to_string();
    let mut components = path.split('/').filter(|component| !component.is_empty() && *component != ".").peekable();
    components.peek()?;
    for component in components {
        if component == ".." {
            return None;
        }
        address.push('/');
        address.push_str(&percent::encode(component, b"!$&'()*+,;=:@"));
    }
    Some(address)
}

/// `scheme`, `host[:port]` and the rest (path and query) of an http or https address.
pub(super) fn split(address: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = address.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    (matches!(scheme, "http" | "https") && !authority.is_empty()).then_some((scheme, authority, path))
}

/// The host of an address, without user and port, in lower case.
pub(super) fn host(address: &str) -> Option<String> {
    let (_, authority, _) = split(address)?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    Some(host.to_ascii_lowercase())
}

/// An address without a password in it, for messages.
pub(super) fn shown(address: &str) -> String {
    match split(address) {
        Some((scheme, authority, path)) => match authority.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://***@{host}{path}"),
            None => address.to_string(),
        },
        None => address.to_string(),
    }
}

/// Where a `Location` header of `from`'s answer leads.
pub(super) fn redirected(from: &str, location: &str) -> Option<String> {
    let (scheme, authority, path) = split(from)?;
    let target = match location {
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        _ if location.contains("://") => location.to_string(),
        "" => return None,
        _ => {
            let path = path.split(['?', '#']).next().unwrap_or_default();
            let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
            format!("{scheme}://{authority}{folder}{location}")
        }
    };
    split(&target).map(|_| target.split('#').next().unwrap_or_default().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joining() {
        let joined = |path| join("http://h/debian/", path);
        assert_eq!(joined("pool/main/g/g++_1.2~3:4_all.deb").as_deref(), Some("http://h/debian/pool/main/g/g++_1.2~3:4_all.deb"));
        assert_eq!(joined("./amd64//a%3a b.deb").as_deref(), Some("http://h/debian/amd64/a%253a%20b.deb"));
        assert_eq!(joined("pool/../../x"), None);
        assert_eq!(joined("./"), None);
    }

    #[test]
    fn redirects() {
        let at = |location| redirected("http://h:8/a/b?c", location);
        assert_eq!(at("http://i/x#y").as_deref(), Some("http://i/x"));
        assert_eq!(at("//i/x").as_deref(), Some("http://i/x"));
        assert_eq!(at("/x").as_deref(), Some("http://h:8/x"));
        assert_eq!(at("x").as_deref(), Some("http://h:8/a/x"));
        assert_eq!(at("file:///etc/passwd"), None);
        assert_eq!(at(""), None);
    }

    #[test]
    fn parts() {
        assert_eq!(host("https://u:p@Host.Example:80/x").as_deref(), Some("host.example"));
        assert_eq!(host("http://[::1]:80/x").as_deref(), Some("::1"));
        assert_eq!(host("ftp://h/x"), None);
        assert_eq!(shown("http://u:p@h/x"), "http://***@h/x");
    }
}
