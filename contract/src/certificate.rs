//! The few facts of an X.509 certificate (RFC 5280) that a join needs: the public key that a hash pins, and until when it is valid. A
//! bounded walk over its DER; it judges nothing else. Whether a certificate is to be believed, only TLS says.

use crate::machine_config::CaHash;
use sha2::{Digest as _, Sha256};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// TBSCertificate's version, which version 1 leaves out.
const VERSION: u8 = 0xa0;

/// A certificate, as far as it is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its SubjectPublicKeyInfo, with its head: what a hash is made of.
    pub public_key_info: &'a [u8],
    /// Its subject, a Name, without its head.
    pub subject: &'a [u8],
    /// The last second that it is valid at, since 1970.
    pub not_after: u64,
}

/// Reads a certificate's DER. `None`: it is none.
pub fn read(der: &[u8]) -> Option<Facts<'_>> {
    let (certificate, rest) = element(SEQUENCE, der)?;
    if !rest.is_empty() {
        return None;
    }
    let (body, _) = element(SEQUENCE, certificate.content)?;
    let mut at = body.content;
    if at.first() == Some(&VERSION) {
        at = element(VERSION, at)?.1;
    }
    let (_serial, at) = element(INTEGER, at)?;
    let (_algorithm, at) = element(SEQUENCE, at)?;
    let (_issuer, at) = element(SEQUENCE, at)?;
    let (validity, at) = element(SEQUENCE, at)?;
    let (subject, at) = element(SEQUENCE, at)?;
    let (key, _) = element(SEQUENCE, at)?;
    let (_not_before, end) = time(validity.content)?;
    let (not_after, _) = time(end)?;
    Some(Facts { public_key_info: key.whole, subject: subject.content, not_after })
}

impl Facts<'_> {
    /// What pins its key.
    pub fn hash(&self) -> CaHash {
        CaHash(Sha256::digest(self.public_key_info).into())
    }

    /// The subject's common name (2.5.4.3), if it is a text.
    pub fn common_name(&self) -> Option<&str> {
        const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
        let mut names = self.subject;
        while !names.is_empty() {
            // SET OF SEQUENCE { OID, value }
            let (set, rest) = element(0x31, names)?;
            let (pair, _) = element(SEQUENCE, set.content)?;
            if let Some(value) = pair.content.strip_prefix(&COMMON_NAME) {
                // UTF8String or PrintableString.
                let (text, _) = element(0x0c, value).or_else(|| element(0x13, value))?;
                return std::str::from_utf8(text.content).ok();
            }
            names = rest;
        }
        None
    }
}

/// A part of DER: its content, and that with its head.
struct Element<'a> {
    content: &'a [u8],
    whole: &'a [u8],
}

/// Takes the first element, which must have this tag; what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (head, length) = if first < 0x80 {
        (2, usize::from(first))
    } else {
        let count = usize::from(first & 0x7f);
        // Nobody's certificate has 4 GiB.
        let digits = rest.get(..count).filter(|_| (1..=4).contains(&count))?;
        (2 + count, digits.iter().try_fold(0_usize, |length, byte| length.checked_mul(256)?.checked_add(usize::from(*byte)))?)
    };
    let end = head.checked_add(length)?;
    let (whole, rest) = der.split_at_checked(end)?;
    Some((Element { content: whole.get(head..)?, whole }, rest))
}

/// Takes a UTCTime (`YYMMDDhhmmssZ`) or GeneralizedTime (`YYYYMMDDhhmmssZ`), as seconds since 1970 (before that: 0).
fn time(der: &[u8]) -> Option<(u64, &[u8])> {
    let (text, rest, long) = match element(UTC_TIME, der) {
        Some((text, rest)) => (text.content, rest, false),
        None => {
            let (text, rest) = element(GENERALIZED_TIME, der)?;
            (text.content, rest, true)
        }
    };
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let (year, digits) = digits.split_at_checked(if long { 4 } else { 2 })?;
    let number = |digits: &[u8]| digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    let year = match (number(year), long) {
        (year, true) => year,
        (year @ 0..50, false) => 2000 + year,
        (year, false) => 1900 + year,
    };
    let mut parts = digits.chunks_exact(2).map(number);
    let mut within = |bounds: std::ops::Range<u64>| parts.next().filter(|number| bounds.contains(number));
    let (month, day) = (within(1..13)?, within(1..32)?);
    let (hour, minute, second) = (within(0..24)?, within(0..60)?, within(0..61)?);
    // Days since the first of March of the year 0: leap days are at the ends of years.
    let (year, month) = if month < 3 { (year.checked_sub(1)?, month + 9) } else { (year, month - 3) };
    let days = (year * 365 + year / 4 + year / 400 + (153 * month + 2) / 5 + day - 1).checked_sub(year / 100)?;
    let since_1970 = days.saturating_sub(719_468);
    Some((since_1970 * 86_400 + hour * 3600 + minute * 60 + second, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::{BASE64_STANDARD, Engine as _};

    fn der(pem: &str) -> Vec<u8> {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        BASE64_STANDARD.decode(&body).unwrap()
    }

    /// openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /O=system:nodes/CN=kubernetes -days 20000 -nodes;
    /// openssl x509 -pubkey | openssl pkey -pubin -outform der | sha256sum; openssl x509 -enddate; the second is RSA, to 2049.
    #[test]
    fn keys_names_and_ends_are_openssls() {
        let check = |pem: &str, hash: &str, name: &str, end: u64| {
            let der = der(pem);
            let facts = read(&der).unwrap();
            assert_eq!(facts.hash().to_string(), format!("sha256:{hash}"));
            assert_eq!((facts.common_name(), facts.not_after), (Some(name), end));
        };
        let [(ec_hash, ec_end), (rsa_hash, rsa_end)] = OF_OPENSSL;
        check(include_str!("certificate/ec.pem"), ec_hash, "kubernetes", ec_end);
        check(include_str!("certificate/rsa.pem"), rsa_hash, "kubernetes", rsa_end);
    }

    const OF_OPENSSL: [(&str, u64); 2] = [
        ("e9efc41d2f0925eea3f1b5b843a323d2f459b09a8eab07294c79b8e2c4125105", 3523300883),
        ("934bcbc3e4d7d64638678364a31eb915e74c4e64b0a3549c72fa043e3da9bb50", 2486500883),
    ];

    #[test]
    fn what_is_cut_off_or_changed_gets_an_answer() {
        let der = der(include_str!("certificate/ec.pem"));
        for at in 0..der.len() {
            assert_eq!(read(&der[..at]), None);
            let mut changed = der.clone();
            changed[at] ^= 0x81;
            let _ = read(&changed).map(|facts| (facts.hash(), facts.common_name().map(str::len)));
        }
        assert_eq!(read(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn times_are_seconds_since_1970() {
        let check = |tag: u8, text: &str, expect: Option<u64>| {
            let der = [&[tag, text.len() as u8], text.as_bytes()].concat();
            assert_eq!(time(&der).map(|(time, _)| time), expect, "{text}");
        };
        check(UTC_TIME, "700101000000Z", Some(0));
        check(UTC_TIME, "000229120000Z", Some(951_825_600));
        check(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(UTC_TIME, "500101000000Z", Some(0));
        check(GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000));
        check(GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799));
        check(GENERALIZED_TIME, "00000101000000Z", None);
        for bad in ["", "Z", "7001010000Z", "701301000000Z", "700101000000", "70010100000xZ"] {
            check(UTC_TIME, bad, None);
        }
    }
}
