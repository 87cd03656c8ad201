//! Domain names as DHCP and router advertisements bring them.
//!
//! They end up in resolv.conf and hosts, so that nothing but a name may pass.

/// Whether a text is a domain name of letters, digits, `-` and `_`.
pub(crate) fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Reads names in the encoding of RFC 1035 (4.1.4), one behind the other, with pointers into the same bytes. Ends at the first that
/// is malformed; a name that [`is_domain`] refuses is left out.
pub(crate) fn decode_list(bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some((name, next)) = decode(bytes, at) else { break };
        if is_domain(&name) && !names.contains(&name) {
            names.push(name);
        }
        at = next;
    }
    names
}

/// The name at a position, and where the next begins.
fn decode(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let (mut at, mut next) = (start, None);
    loop {
        let length = *bytes.get(at)?;
        match length {
            0 => return Some((name, next.unwrap_or(at + 1))),
            1..=63 => {
                let label = bytes.get(at + 1..at + 1 + usize::from(length))?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(std::str::from_utf8(label).ok()?);
                at += 1 + usize::from(length);
            }
            192.. => {
                let target = usize::from(length & 0x3f) << 8 | usize::from(*bytes.get(at + 1)?);
                next.get_or_insert(at + 2);
                // Only backwards: so it ends.
                at = (target < at).then_some(target)?;
            }
            64..=191 => return None,
        }
        if name.len() > 253 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        for good in ["a", "example.org", "node-1.k8s_x.example.org", "10.in-addr.arpa", &"a".repeat(63)] {
            assert!(is_domain(good), "{good}");
        }
        let long = vec!["a".repeat(63); 4].join(".");
        for bad in ["", ".", "a..b", "-a", "a-", "a b", "a\nnameserver 6.6.6.6", "a;b", "ä", &"a".repeat(64), &long] {
            assert!(!is_domain(bad), "{bad}");
        }
    }

    #[test]
    fn lists() {
        let check = |bytes: &[u8], names: &[&str]| assert_eq!(decode_list(bytes), names, "{bytes:?}");
        check(b"", &[]);
        check(b"\x03org\0", &["org"]);
        // RFC 3397's own example: eng.apple.com., marketing.apple.com.
        check(b"\x03eng\x05apple\x03com\0\x09marketing\xc0\x04", &["eng.apple.com", "marketing.apple.com"]);
        check(b"\x01a\0\x01a\0", &["a"]);
        check(b"\x01a\0\x05trunc", &["a"]);
        check(b"\xc0\x00", &[]);
        check(b"\x01a\xc0\x00", &[]);
        check(b"\x01a\xc0", &[]);
        check(b"\x40a", &[]);
        check(b"\x01\n\0\x01b\0", &["b"]);
        check(b"\0\x01b\0", &["b"]);
    }
}
