//! The files of /etc that a machine has for itself.

use kmimage_contract::machine_config::{MachineConfig, Secret};
use kmimage_contract::paths;
use std::collections::BTreeMap;

/// Where programs look for the certificates that they trust, below /etc.
const TRUST_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A file or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcFile {
    /// Permission bits; of no meaning for a link.
    pub mode: u32,
    /// What it is.
    pub content: Content,
}

/// What a file of /etc is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file with this text.
    Text(Secret),
    /// The image's own file with this text behind it.
    Behind(String),
    /// A link.
    Link(String),
}

/// All of them, by path. What changes while the machine runs is a link: /etc is complete before anybody sees it, and stays.
pub(super) fn files(config: &MachineConfig, machine_id: &str) -> BTreeMap<String, EtcFile> {
    let text = |text: String| EtcFile { mode: 0o644, content: Content::Text(Secret::new(text)) };
    let link = |name: &str| EtcFile { mode: 0o777, content: Content::Link(format!("{}/{name}", paths::NET)) };
    let mut files: BTreeMap<String, EtcFile> =
        ["hostname", "hosts", "resolv.conf"].into_iter().map(|name| (format!("/etc/{name}"), link(name))).collect();
    files.insert("/etc/machine-id".to_owned(), text(format!("{machine_id}\n")));
    if !config.trusted.is_empty() {
        let bundle: String = config.trusted.iter().map(|certificate| certificate.pem.as_str()).collect();
        files.insert(TRUST_BUNDLE.to_owned(), EtcFile { mode: 0o644, content: Content::Behind(bundle) });
    }
    for file in &config.files {
        files.insert(file.path.clone(), EtcFile { mode: file.mode, content: Content::Text(file.content.clone()) });
    }
    files
}
