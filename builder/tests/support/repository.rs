//! Makes signed apt repositories, sound ones and broken ones.

use super::deb::{Compression, Deb};
use jiff::Timestamp;
use sequoia_openpgp::cert::prelude::*;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::SerializeInto;
use sequoia_openpgp::serialize::stream::{Message, Signer};
use sequoia_openpgp::types::KeyFlags;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A key that signs repositories, made on 2020-01-01.
#[derive(Debug, Clone)]
pub struct Key {
    certificate: Cert,
    revocation: Signature,
}

impl Key {
    /// A key that does not expire.
    pub fn generate(owner: &str) -> Self {
        Self::valid_for(owner, None)
    }

    /// A key that expires so long after 2020-01-01.
    pub fn valid_for(owner: &str, validity: Option<Duration>) -> Self {
        let (certificate, revocation) = CertBuilder::new()
            .add_userid(owner)
            .set_cipher_suite(CipherSuite::Cv25519)
            .set_primary_key_flags(KeyFlags::empty().set_certification().set_signing())
            .set_creation_time(UNIX_EPOCH + Duration::from_secs(1_577_836_800))
            .set_validity_period(validity)
            .generate()
            .unwrap();
        Self { certificate, revocation }
    }

    /// The public certificate, armored, as a keyring holds it.
    pub fn public(&self) -> Vec<u8> {
        self.certificate.clone().strip_secret_key_material().armored().to_vec().unwrap()
    }

    /// The public certificate with its owner's revocation.
    pub fn public_revoked(&self) -> Vec<u8> {
        let (revoked, _) = self.certificate.clone().insert_packets([self.revocation.clone()]).unwrap();
        revoked.strip_secret_key_material().armored().to_vec().unwrap()
    }

    /// The full fingerprint, upper-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        self.certificate.fingerprint().to_hex()
    }

    /// The key ID: the fingerprint's last 16 digits.
    pub fn key_id(&self) -> String {
        self.certificate.keyid().to_hex()
    }

    /// `text` with a cleartext signature made at `date`.
    pub fn clear_sign(&self, text: &str, date: Timestamp) -> Vec<u8> {
        let policy = &StandardPolicy::new();
        let time: SystemTime = date.into();
        let keys = || self.certificate.keys().secret().with_policy(policy, time).supported().for_signing();
        // A key that had expired when it signed has no valid binding then; any secret key will do.
        let keypair = match keys().next() {
            Some(key) => key.key().clone().into_keypair().unwrap(),
            None => self.certificate.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap(),
        };
        let mut signed = Vec::new();
        let mut signer =
            Signer::new(Message::new(&mut signed), keypair).unwrap().cleartext().creation_time(time).build().unwrap();
        signer.write_all(text.as_bytes()).unwrap();
        signer.finalize().unwrap();
        signed
    }
}

/// What is wrong with a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A letter of the signed text is changed after signing.
    TamperedRelease,
    /// The Release is signed for a suite of this name.
    OtherSuite(String),
    /// InRelease has no signature at all.
    Unsigned,
    /// The indexes change after the Release was made, their size does not.
    WrongIndexHash,
    /// The indexes grow after the Release was made.
    WrongIndexSize,
    /// The indexes are not there.
    MissingIndex,
    /// The .deb of this package changes after it was indexed, its size does not.
    WrongDebHash(String),
    /// The .deb of this package grows after it was indexed.
    WrongDebSize(String),
    /// The .deb of this package is not there.
    MissingDeb(String),
}

/// A repository to be: one suite with one component, or flat.
#[derive(Debug, Clone)]
pub struct Repository {
    pub suite: String,
    pub component: String,
    pub flat: bool,
    pub date: Timestamp,
    pub valid_until: Option<Timestamp>,
    pub by_hash: bool,
    /// In which forms `Packages` is there.
    pub compressions: Vec<Compression>,
    pub debs: Vec<Deb>,
    pub faults: Vec<Fault>,
}

impl Repository {
    /// `dists/SUITE` with the component main, of 2026-01-01, without Valid-Until.
    pub fn new(suite: &str, debs: Vec<Deb>) -> Self {
        Self {
            suite: suite.into(),
            component: "main".into(),
            flat: false,
            date: "2026-01-01T00:00:00Z".parse().unwrap(),
            valid_until: None,
            by_hash: true,
            compressions: vec![Compression::Gzip, Compression::Xz],
            debs,
            faults: Vec::new(),
        }
    }

    /// A flat one, as Kubernetes publishes.
    pub fn flat(debs: Vec<Deb>) -> Self {
        Self { flat: true, by_hash: false, ..Self::new("", debs) }
    }

    pub fn date(mut self, date: &str) -> Self {
        self.date = date.parse().unwrap();
        self
    }

    pub fn valid_until(mut self, date: &str) -> Self {
        self.valid_until = Some(date.parse().unwrap());
        self
    }

    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    fn has(&self, fault: &Fault) -> bool {
        self.faults.contains(fault)
    }

    /// Where a .deb lies, relative to the repository's base.
    pub fn deb_path(&self, deb: &Deb) -> String {
        match self.flat {
            true => format!("amd64/{}", deb.file_name()),
            false => format!("pool/{}/{}", self.component, deb.file_name()),
        }
    }

    /// The `Packages` text.
    pub fn packages(&self) -> String {
        let paragraph = |deb: &Deb| {
            let (path, bytes) = (self.deb_path(deb), deb.build());
            format!("{}Filename: {path}\nSize: {}\nSHA256: {}\n\n", deb.control(), bytes.len(), sha256(&bytes))
        };
        self.debs.iter().map(paragraph).collect()
    }

    /// Writes the repository, signed by `key`, below `base`; what is there is overwritten.
    pub fn write(&self, key: &Key, base: &Path) {
        let top = if self.flat { base.to_path_buf() } else { base.join("dists").join(&self.suite) };
        let folder = if self.flat { String::new() } else { format!("{}/binary-amd64/", self.component) };
        let text = self.packages();
        let mut listed = vec![(format!("{folder}Packages"), text.clone().into_bytes())];
        for compression in self.compressions.iter().filter(|compression| **compression != Compression::None) {
            listed.push((format!("{folder}Packages{}", compression.extension()), compression.compress(text.as_bytes())));
        }
        for (path, bytes) in &listed {
            // As in Debian, the plain text is listed but need not be there.
            if self.has(&Fault::MissingIndex) || (path.ends_with("Packages") && !self.compressions.contains(&Compression::None)) {
                continue;
            }
            let mut served = bytes.clone();
            if self.has(&Fault::WrongIndexHash) {
                *served.last_mut().unwrap() ^= 1;
            }
            if self.has(&Fault::WrongIndexSize) {
                served.push(b'\n');
            }
            write(&top.join(path), &served);
            if self.by_hash {
                write(&top.join(format!("{folder}by-hash/SHA256/{}", sha256(bytes))), &served);
            }
        }
        write(&top.join("InRelease"), &self.in_release(key, &listed));
        for deb in &self.debs {
            let name = deb.get("Package").to_string();
            let mut bytes = deb.build();
            if self.has(&Fault::WrongDebHash(name.clone())) {
                *bytes.last_mut().unwrap() ^= 1;
            }
            if self.has(&Fault::WrongDebSize(name.clone())) {
                bytes.push(b'\n');
            }
            if !self.has(&Fault::MissingDeb(name)) {
                write(&base.join(self.deb_path(deb)), &bytes);
            }
        }
    }

    fn in_release(&self, key: &Key, listed: &[(String, Vec<u8>)]) -> Vec<u8> {
        let other = self.faults.iter().find_map(|fault| match fault {
            Fault::OtherSuite(name) => Some(name),
            _ => None,
        });
        let suite = other.unwrap_or(&self.suite);
        let mut text = format!("Origin: Test\nSuite: {suite}\nCodename: {suite}\nArchitectures: amd64\n");
        text += &format!("Components: {}\nDate: {}\n", self.component, release_date(self.date));
        if let Some(date) = self.valid_until {
            text += &format!("Valid-Until: {}\n", release_date(date));
        }
        if self.by_hash {
            text += "Acquire-By-Hash: yes\n";
        }
        text += "SHA256:\n";
        for (path, bytes) in listed {
            text += &format!(" {} {:>8} {path}\n", sha256(bytes), bytes.len());
        }
        if self.has(&Fault::Unsigned) {
            return text.into_bytes();
        }
        let signed = key.clear_sign(&text, self.date);
        match self.has(&Fault::TamperedRelease) {
            true => String::from_utf8(signed).unwrap().replacen("Origin: Test", "Origin: Tesd", 1).into_bytes(),
            false => signed,
        }
    }
}

/// A date as Release files write it.
pub fn release_date(date: Timestamp) -> String {
    date.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string()
}

/// The SHA-256 of some bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}
