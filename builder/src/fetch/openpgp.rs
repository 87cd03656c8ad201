//! OpenPGP: from an InRelease file to the text that was signed, or a refusal.
//!
//! The cleartext signature framework (RFC 9580, 7) under sequoia's standard policy. One valid signature by a trusted certificate
//! suffices: archives sign with the old and the new key while they change it. As apt does, a key that has expired or was revoked by
//! now is refused, even if it was valid when it signed. Nothing outside of the signed text is ever returned.

use crate::failure::{Classified, Kind};
use jiff::Timestamp;
use sequoia_openpgp::cert::prelude::*;
use sequoia_openpgp::parse::stream::{
    GoodChecksum, MessageLayer, MessageStructure, VerificationError, VerificationHelper, VerifierBuilder,
};
use sequoia_openpgp::parse::{PacketParser, PacketParserResult, Parse};
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::types::RevocationStatus;
use sequoia_openpgp::{Cert, KeyHandle, Packet};
use std::io::Read;
use std::time::SystemTime;

const MARKER: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE_MARKER: &[u8] = b"\n-----BEGIN PGP SIGNATURE-----";

/// Why a signed text is not believed.
#[derive(Debug, thiserror::Error)]
pub enum OpenPgpError {
    /// There is no signature.
    #[error("it is not signed")]
    NotSigned,
    /// Signed, but by nobody who is trusted.
    #[error("it is signed by {}, none of which the profile trusts ({})", .signers.join(", "), .trusted.join(", "))]
    UnknownKey {
        /// Key IDs or fingerprints that the signatures name.
        signers: Vec<String>,
        /// Fingerprints of the certificates that are trusted.
        trusted: Vec<String>,
    },
    /// A trusted key's signature, but not of this text.
    #[error("the signature of key {key} does not fit the text: it was changed, or damaged on its way")]
    BadSignature {
        /// The key's fingerprint.
        key: String,
    },
    /// The key has expired.
    #[error("key {key}, which signed it, expired on {date}")]
    Expired {
        /// The key's fingerprint.
        key: String,
        /// When it expired.
        date: Timestamp,
    },
    /// The key was revoked.
    #[error("key {key}, which signed it, was revoked by its owner")]
    Revoked {
        /// The key's fingerprint.
        key: String,
    },
    /// The key or the signature is too weak, or not meant for signing.
    #[error("the signature of key {key} is refused: {reason}")]
    Refused {
        /// The key's fingerprint.
        key: String,
        /// sequoia's reason.
        reason: String,
    },
    /// Not an OpenPGP message that can be read.
    #[error("it cannot be read as a signed OpenPGP message: {reason}")]
    Malformed {
        /// sequoia's reason.
        reason: String,
    },
    /// A keyring that holds no certificate.
    #[error("keyring {name} holds no OpenPGP certificate: {reason}")]
    BadKeyring {
        /// Its name.
        name: String,
        /// sequoia's reason.
        reason: String,
    },
    /// The key that was fetched is another one.
    #[error("the profile pins key {pinned}, but {uri} holds {}", if .found.is_empty() { "no OpenPGP certificate".to_string() } else { .found.join(", ") })]
    OtherKey {
        /// The profile's fingerprint.
        pinned: String,
        /// Where the key was looked for.
        uri: String,
        /// The fingerprints found there.
        found: Vec<String>,
    },
}

impl Classified for OpenPgpError {
    fn kind(&self) -> Kind {
        match self {
            OpenPgpError::BadKeyring { .. } => Kind::Profile,
            _ => Kind::Trust,
        }
    }
}

/// Reads the certificates of a keyring, binary or armored. `name` is for the error.
pub fn certificates(name: &str, keyring: &[u8]) -> Result<Vec<Cert>, OpenPgpError> {
    let bad = |reason: String| OpenPgpError::BadKeyring { name: name.to_string(), reason };
    let parser = CertParser::from_bytes(keyring).map_err(|error| bad(error.to_string()))?;
    let certificates: Vec<Cert> = parser.collect::<Result<_, _>>().map_err(|error| bad(error.to_string()))?;
    if certificates.is_empty() {
        return Err(bad("it is empty".to_string()));
    }
    Ok(certificates)
}

/// The certificate of a pinned fingerprint out of what `uri` served.
pub fn pinned(fingerprint: &str, uri: &str, served: &[u8]) -> Result<Cert, OpenPgpError> {
    let certificates = certificates(uri, served).unwrap_or_default();
    let found = certificates.iter().map(|certificate| certificate.fingerprint().to_hex()).collect();
    let wanted = |certificate: &Cert| certificate.fingerprint().to_hex().eq_ignore_ascii_case(fingerprint);
    let other = OpenPgpError::OtherKey { pinned: fingerprint.to_ascii_uppercase(), uri: uri.to_string(), found };
    certificates.into_iter().find(wanted).ok_or(other)
}

/// A certificate as it is served now, and all that an earlier state of it said beyond that: who takes a revocation away from what is
/// served does not make the key good again.
pub fn merged(served: Cert, earlier: Cert) -> Result<Cert, OpenPgpError> {
    let name = served.fingerprint().to_hex();
    served.merge_public(earlier).map_err(|error| OpenPgpError::Refused { key: name, reason: error.to_string() })
}

/// A certificate's public part in binary form.
pub fn encoded(certificate: &Cert) -> Result<Vec<u8>, OpenPgpError> {
    let refused = |reason| OpenPgpError::Refused { key: certificate.fingerprint().to_hex(), reason };
    certificate.to_vec().map_err(|error| refused(error.to_string()))
}

/// Verifies a cleartext-signed text against `trusted` at the time `now`. A signature made after `now` is no fault: clocks go wrong, and
/// a signature from the future gives nobody anything.
pub fn verify(signed: &[u8], trusted: &[Cert], now: Timestamp) -> Result<Vec<u8>, OpenPgpError> {
    if !signed.starts_with(MARKER) {
        return Err(OpenPgpError::NotSigned);
    }
    let now: SystemTime = now.into();
    let time = newest_signature(signed).map_or(now, |newest| newest.max(now));
    let policy = StandardPolicy::at(time);
    let helper = Helper { trusted, policy: &policy, time };
    let malformed = |reason: String| OpenPgpError::Malformed { reason };
    let builder = VerifierBuilder::from_bytes(signed).map_err(|error| malformed(error.to_string()))?;
    let mut verifier = builder.with_policy(&policy, time, helper).map_err(|error| match error.downcast::<OpenPgpError>() {
        Ok(error) => error,
        Err(error) => malformed(error.to_string()),
    })?;
    let mut text = Vec::new();
    verifier.read_to_end(&mut text).map_err(|error| malformed(error.to_string()))?;
    if !verifier.message_processed() {
        return Err(malformed("it does not end".to_string()));
    }
    Ok(text)
}

/// When the newest of the signatures says it was made. Not yet verified: good for tolerating a clock that is behind, no more.
fn newest_signature(signed: &[u8]) -> Option<SystemTime> {
    let at = memchr::memmem::rfind(signed, SIGNATURE_MARKER)?;
    let mut newest = None;
    let mut next = PacketParser::from_bytes(signed.get(at + 1..)?).ok()?;
    while let PacketParserResult::Some(parser) = next {
        let (packet, rest) = parser.next().ok()?;
        if let Packet::Signature(signature) = packet {
            newest = newest.max(signature.signature_creation_time());
        }
        next = rest;
    }
    newest
}

struct Helper<'a> {
    trusted: &'a [Cert],
    policy: &'a StandardPolicy<'a>,
    time: SystemTime,
}

impl Helper<'_> {
    /// A signature that fits: is its key still good?
    fn still_good(&self, good: &GoodChecksum<'_>) -> Result<(), OpenPgpError> {
        let name = || good.ka.key().fingerprint().to_hex();
        let refused = |error: String| OpenPgpError::Refused { key: name(), reason: error };
        let certificate = good.ka.cert();
        if matches!(certificate.revocation_status(self.policy, self.time), RevocationStatus::Revoked(_)) {
            return Err(OpenPgpError::Revoked { key: name() });
        }
        // The binding as it is now: an owner may have prolonged the key since.
        let now = certificate.with_policy(self.policy, self.time).map_err(|error| refused(error.to_string()))?;
        let handle = KeyHandle::from(good.ka.key().fingerprint());
        let Some(key) = now.keys().key_handle(handle).next() else { return Err(refused("its binding is gone".to_string())) };
        if matches!(key.revocation_status(), RevocationStatus::Revoked(_)) {
            return Err(OpenPgpError::Revoked { key: name() });
        }
        let ends = [now.primary_key().key_expiration_time(), key.key_expiration_time()];
        match ends.into_iter().flatten().filter(|end| *end <= self.time).min() {
            Some(end) => Err(OpenPgpError::Expired { key: name(), date: timestamp(end) }),
            None => Ok(()),
        }
    }

    fn judge(&self, error: VerificationError<'_>) -> OpenPgpError {
        let refused = |key: String, error: String| OpenPgpError::Refused { key, reason: error };
        match error {
            VerificationError::MissingKey { sig } => OpenPgpError::UnknownKey {
                signers: sig.get_issuers().first().map(KeyHandle::to_hex).into_iter().collect(),
                trusted: self.trusted.iter().map(|certificate| certificate.fingerprint().to_hex()).collect(),
            },
            VerificationError::BadSignature { ka, .. } => OpenPgpError::BadSignature { key: ka.key().fingerprint().to_hex() },
            VerificationError::BadKey { ka, error, .. } => {
                let key = ka.key().fingerprint().to_hex();
                let statuses = [ka.cert().revocation_status(self.policy, self.time), ka.revocation_status()];
                if statuses.iter().any(|status| matches!(status, RevocationStatus::Revoked(_))) {
                    return OpenPgpError::Revoked { key };
                }
                match ka.key_expiration_time().filter(|end| *end <= self.time) {
                    Some(end) => OpenPgpError::Expired { key, date: timestamp(end) },
                    None => refused(key, error.to_string()),
                }
            }
            VerificationError::UnboundKey { cert, error, .. } => refused(cert.fingerprint().to_hex(), error.to_string()),
            other => OpenPgpError::Malformed { reason: other.to_string() },
        }
    }
}

impl VerificationHelper for Helper<'_> {
    fn get_certs(&mut self, _: &[KeyHandle]) -> sequoia_openpgp::Result<Vec<Cert>> {
        Ok(self.trusted.to_vec())
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> sequoia_openpgp::Result<()> {
        let mut faults = Vec::new();
        for layer in structure {
            let MessageLayer::SignatureGroup { results } = layer else { continue };
            for result in results {
                match result {
                    Ok(good) => match self.still_good(&good) {
                        Ok(()) => return Ok(()),
                        Err(fault) => faults.push(fault),
                    },
                    Err(error) => faults.push(self.judge(error)),
                }
            }
        }
        Err(worst(faults).into())
    }
}

/// The fault to tell: what a trusted key did says more than that others signed, too.
fn worst(faults: Vec<OpenPgpError>) -> OpenPgpError {
    let mut unknown: Option<OpenPgpError> = None;
    for fault in faults {
        match (fault, &mut unknown) {
            (OpenPgpError::UnknownKey { signers: more, .. }, Some(OpenPgpError::UnknownKey { signers, .. })) => {
                signers.extend(more)
            }
            (fault @ OpenPgpError::UnknownKey { .. }, _) => unknown = Some(fault),
            (fault, _) => return fault,
        }
    }
    unknown.unwrap_or(OpenPgpError::NotSigned)
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::repository::Key;
    use std::time::Duration;

    fn at(date: &str) -> Timestamp {
        date.parse().unwrap()
    }

    const TEXT: &str = "Suite: trixie\nDate: now\n- dashed\n\nlast line\n";

    fn trust(key: &Key) -> Vec<Cert> {
        certificates("test.asc", &key.public()).unwrap()
    }

    #[test]
    fn the_signed_text_and_nothing_else() {
        let key = Key::generate("A");
        let signed = key.clear_sign(TEXT, at("2026-01-01T00:00:00Z"));
        let text = verify(&signed, &trust(&key), at("2026-02-01T00:00:00Z")).unwrap();
        assert_eq!(String::from_utf8(text).unwrap().trim_end(), TEXT.trim_end());
        // A clock that is behind.
        assert!(verify(&signed, &trust(&key), at("2025-06-01T00:00:00Z")).is_ok());

        let before = [b"Suite: evil\n".as_slice(), &signed].concat();
        assert!(matches!(verify(&before, &trust(&key), at("2026-02-01T00:00:00Z")), Err(OpenPgpError::NotSigned)));
        let after = [signed.as_slice(), b"Suite: evil\n"].concat();
        if let Ok(text) = verify(&after, &trust(&key), at("2026-02-01T00:00:00Z")) {
            assert!(!String::from_utf8(text).unwrap().contains("evil"));
        }
        let twice = [signed.as_slice(), &Key::generate("B").clear_sign("Suite: evil\n", at("2026-01-01T00:00:00Z"))].concat();
        if let Ok(text) = verify(&twice, &trust(&key), at("2026-02-01T00:00:00Z")) {
            assert!(!String::from_utf8(text).unwrap().contains("evil"));
        }
    }

    #[test]
    fn refusals() {
        let (key, other) = (Key::generate("A"), Key::generate("B"));
        let short = Key::valid_for("C", Some(Duration::from_secs(86_400)));
        let date = at("2026-01-01T00:00:00Z");
        let signed = String::from_utf8(key.clear_sign(TEXT, date)).unwrap();
        let day_one = short.clear_sign(TEXT, at("2020-01-01T12:00:00Z"));
        let check = |signed: &[u8], trusted: &[Cert], expected: String| {
            assert_eq!(verify(signed, trusted, date).unwrap_err().to_string(), expected);
        };
        check(TEXT.as_bytes(), &trust(&key), "it is not signed".into());
        check(
            signed.as_bytes(),
            &trust(&other),
            format!("it is signed by {}, none of which the profile trusts ({})", key.fingerprint(), other.fingerprint()),
        );
        check(
            signed.replace("trixie", "trixia").as_bytes(),
            &trust(&key),
            format!("the signature of key {} does not fit the text: it was changed, or damaged on its way", key.fingerprint()),
        );
        check(&day_one, &trust(&short), format!("key {}, which signed it, expired on 2020-01-02T00:00:00Z", short.fingerprint()));
        let cut = &signed.as_bytes()[..signed.len() - 60];
        assert!(verify(cut, &trust(&key), date).is_err());
        for end in (0..signed.len() - 30).step_by(7) {
            assert!(verify(&signed.as_bytes()[..end], &trust(&key), date).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn one_trusted_signer_suffices() {
        let (key, other) = (Key::generate("A"), Key::generate("B"));
        let date = at("2026-01-01T00:00:00Z");
        let trusted = [trust(&other), trust(&key)].concat();
        assert!(verify(&key.clear_sign(TEXT, date), &trusted, date).is_ok());
    }

    #[test]
    fn a_pinned_key() {
        let (key, other) = (Key::generate("A"), Key::generate("B"));
        let served = key.public();
        assert!(pinned(&key.fingerprint().to_lowercase(), "http://k", &served).is_ok());
        let error = pinned(&other.fingerprint(), "http://k", &served).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the profile pins key {}, but http://k holds {}", other.fingerprint(), key.fingerprint())
        );
        let error = pinned(&other.fingerprint(), "http://k", b"<html>").unwrap_err();
        let expected = format!("the profile pins key {}, but http://k holds no OpenPGP certificate", other.fingerprint());
        assert_eq!(error.to_string(), expected);
        assert!(matches!(certificates("k", b""), Err(OpenPgpError::BadKeyring { .. })));
    }
}
