//! base64 (RFC 4648), in the two forms that Kubernetes has.

/// Which of base64's forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With `+` and `/`, and padded (RFC 4648, 4): certificates, kubeconfigs.
    Standard,
    /// With `-` and `_`, and not padded (RFC 4648, 5): signatures of JSON (RFC 7515).
    Url,
}

impl Form {
    fn last(self) -> [u8; 2] {
        match self {
            Self::Standard => *b"+/",
            Self::Url => *b"-_",
        }
    }
}

/// Reads a text. `None`: it is not of this form.
pub fn decode(form: Form, text: &str) -> Option<Vec<u8>> {
    let [plus, slash] = form.last();
    let digits = match form {
        Form::Standard => text.trim_end_matches('='),
        Form::Url => text,
    };
    let whole = match form {
        Form::Standard => text.len().is_multiple_of(4) && text.len() - digits.len() <= 2,
        Form::Url => true,
    };
    if !whole || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in digits.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            byte if byte == plus => 62,
            byte if byte == slash => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// Writes bytes as text.
pub fn encode(form: Form, bytes: &[u8]) -> String {
    let [plus, slash] = form.last();
    let digit = |bits: u32| match (bits & 63) as u8 {
        value @ 0..=25 => b'A' + value,
        value @ 26..=51 => b'a' + value - 26,
        value @ 52..=61 => b'0' + value - 52,
        62 => plus,
        _ => slash,
    };
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let bits = part.iter().chain([0, 0].iter()).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for at in 0..4 {
            if at <= part.len() {
                text.push(char::from(digit(bits >> (18 - 6 * at))));
            } else if form == Form::Standard {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 4648, 10.
    #[test]
    fn it_is_rfc_4648s() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(Form::Standard, bytes.as_bytes()), text);
            assert_eq!(decode(Form::Standard, text).unwrap(), bytes.as_bytes());
            assert_eq!(encode(Form::Url, bytes.as_bytes()), text.trim_end_matches('='));
            assert_eq!(decode(Form::Url, text.trim_end_matches('=')).unwrap(), bytes.as_bytes());
        }
        assert_eq!(decode(Form::Standard, "+/+/").unwrap(), [0xfb, 0xff, 0xbf]);
        assert_eq!(encode(Form::Url, &[0xfb, 0xff, 0xbf]), "-_-_");
        for text in ["Zg", "Zg=", "Z===", "Zm9v\u{e4}", "Zm9-", "===="] {
            assert_eq!(decode(Form::Standard, text), None, "{text}");
        }
        for text in ["Zg==", "Z", "Zm9/", "Zm9vZ"] {
            assert_eq!(decode(Form::Url, text), None, "{text}");
        }
    }
}
