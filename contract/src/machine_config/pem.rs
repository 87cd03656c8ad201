//! Certificates as PEM text (RFC 7468), as far as a config is judged: well-formed, and nothing but certificates.

use super::model::Certificate;
use base64::prelude::{BASE64_STANDARD, Engine as _};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// All certificates of a text. Text between them is passed over, as RFC 7468 says; none at all is an error, as is anything else between
/// such lines. The error is one line.
pub fn certificates(text: &str) -> Result<Vec<Certificate>, String> {
    let mut certificates = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) else { continue };
        if label.contains("PRIVATE KEY") {
            return Err("a private key is no authority's certificate, and doesn't belong here".to_owned());
        }
        if !matches!(label, "CERTIFICATE" | "X509 CERTIFICATE") {
            let label: String = label.chars().take(40).flat_map(char::escape_debug).collect();
            return Err(format!("a certificate is expected here, not `{label}`"));
        }
        let mut body = String::new();
        let closed = loop {
            match lines.next() {
                Some(line) if line.starts_with(END) => break line.strip_prefix(END) == Some(&format!("{label}{DASHES}")),
                Some(line) => body.push_str(line),
                None => break false,
            }
        };
        let number = certificates.len() + 1;
        if !closed {
            return Err(format!("certificate {number} has no `-----END {label}-----`"));
        }
        let der = BASE64_STANDARD.decode(&body).map_err(|_| format!("certificate {number} is not base64"))?;
        if !is_one_sequence(&der) {
            return Err(format!("certificate {number} is cut off, or no certificate (not one DER sequence)"));
        }
        certificates.push(Certificate { pem: render(&body), der });
    }
    if certificates.is_empty() {
        return Err("there is no `-----BEGIN CERTIFICATE-----` in this text".to_owned());
    }
    Ok(certificates)
}

fn render(body: &str) -> String {
    let mut pem = format!("{BEGIN}CERTIFICATE{DASHES}\n");
    for (at, c) in body.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(c);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

/// Whether the bytes are one DER SEQUENCE, whole: what a certificate is, outside.
fn is_one_sequence(der: &[u8]) -> bool {
    let Some((0x30, rest)) = der.split_first().map(|(tag, rest)| (*tag, rest)) else { return false };
    let Some((&first, rest)) = rest.split_first() else { return false };
    if first < 0x80 {
        return rest.len() == usize::from(first);
    }
    let count = usize::from(first & 0x7f);
    let Some((length, content)) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count)) else { return false };
    let length = length.iter().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
    u64::try_from(content.len()) == Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_come_with_text_between() {
        let text = "subject: x\n-----BEGIN CERTIFICATE-----\nMAMC\nAQE=\n-----END CERTIFICATE-----\n\n\
                    -----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----";
        let found = certificates(text).unwrap();
        assert_eq!(found[0].der, [0x30, 3, 2, 1, 1]);
        assert_eq!(found[0].pem, "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n");
        assert_eq!(found.len(), 2);
    }
}
