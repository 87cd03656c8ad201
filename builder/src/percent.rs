//! Percent-encoding (RFC 3986, section 2.1), for addresses and package URLs. Encoding only. Pure.

/// `text` with every byte as `%XX` but the unreserved ones (letters, digits and `-._~`) and those in `keep`.
pub fn encode(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_bytes_are_encoded() {
        let check = |text, keep: &str, expect| assert_eq!(encode(text, keep.as_bytes()), expect);
        check("aZ09-._~", "", "aZ09-._~");
        check("1:2.4+b 1/%", "", "1%3A2.4%2Bb%201%2F%25");
        check("1:2.4+b 1/%", ":+", "1:2.4+b%201%2F%25");
        check("\u{e9}\n", "", "%C3%A9%0A");
    }
}
