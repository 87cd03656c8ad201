//! NoCloud seeds: a small ISO 9660 volume, labelled `cidata`, from which a machine takes its config and who it is.
//!
//! A pure value from documents; the config is judged first. The network-config is the platform's own format and judged by the machine.

use crate::emit::iso::{self, Folder, IsoError, Node, Volume};
use crate::failure::{Classified, Kind};
use crate::hash::Sha256Digest;
use jiff::Timestamp;
use kmimage_contract::machine_config::{self, MachineConfigError};

/// The label by which machines find a seed.
pub const LABEL: &str = "cidata";

/// The first line that says that a user-data is a machine config.
const MARK: &str = "#kmimage\n";

/// What a seed is made of.
#[derive(Debug, Clone, Copy)]
pub struct Documents<'a> {
    /// What errors call the config.
    pub name: &'a str,
    /// The machine config.
    pub config: &'a [u8],
    /// The host name for the meta-data; a hostname in the config outranks it.
    pub hostname: Option<&'a str>,
    /// The instance for the meta-data. `None`: it follows from the documents.
    pub instance_id: Option<&'a str>,
    /// A network-config, as it is.
    pub network_config: Option<&'a [u8]>,
    /// A whole meta-data, as it is.
    pub meta_data: Option<&'a [u8]>,
}

/// Why there is no seed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The machine config is refused.
    #[error(transparent)]
    Config(#[from] MachineConfigError),
    /// A name that can't be in a meta-data.
    #[error("`{value}` is no {what}: letters, digits, `-`, `_`, `.` and `:` are")]
    Name {
        /// What it should be.
        what: &'static str,
        /// As given.
        value: String,
    },
    /// More than a machine reads.
    #[error("the {0} has more than {limit} bytes", limit = machine_config::MAX_SIZE)]
    TooLarge(&'static str),
    /// The volume can't be written.
    #[error(transparent)]
    Iso(#[from] IsoError),
}

impl Classified for SeedError {
    fn kind(&self) -> Kind {
        match self {
            SeedError::Config(_) => Kind::Profile,
            SeedError::Name { .. } | SeedError::TooLarge(_) => Kind::Usage,
            SeedError::Iso(_) => Kind::Internal,
        }
    }
}

/// The bytes of a seed; `time` is the time of everything in it.
pub fn write(documents: &Documents<'_>, time: Timestamp) -> Result<Vec<u8>, SeedError> {
    let mut user_data = documents.config.to_vec();
    if !user_data.starts_with(MARK.as_bytes()) && !user_data.starts_with(b"#kmimage\r\n") {
        user_data.splice(0..0, MARK.bytes());
    }
    machine_config::parse(documents.name, documents.config, None)?;
    // With the mark before it, too: the machine judges what lies on the volume.
    machine_config::parse(documents.name, &user_data, None)?;
    let too_large = |bytes: Option<&[u8]>| bytes.is_some_and(|bytes| bytes.len() > machine_config::MAX_SIZE);
    if too_large(documents.network_config) {
        return Err(SeedError::TooLarge("network-config"));
    }
    if too_large(documents.meta_data) {
        return Err(SeedError::TooLarge("meta-data"));
    }
    let meta_data = match documents.meta_data {
        Some(bytes) => bytes.to_vec(),
        None => meta_data(documents, &user_data)?.into_bytes(),
    };
    let mut root = Folder::new();
    root.insert("user-data".to_owned(), Node::File(user_data));
    root.insert("meta-data".to_owned(), Node::File(meta_data));
    if let Some(bytes) = documents.network_config {
        root.insert("network-config".to_owned(), Node::File(bytes.to_vec()));
    }
    Ok(iso::write(&Volume { label: LABEL.to_owned(), time, root, boot: None })?.bytes)
}

fn meta_data(documents: &Documents<'_>, user_data: &[u8]) -> Result<String, SeedError> {
    let name = |what: &'static str, value: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        let fits = !value.is_empty() && value.len() <= 255 && value.chars().all(good);
        if fits { Ok(value.to_owned()) } else { Err(SeedError::Name { what, value: value.to_owned() }) }
    };
    let instance = match documents.instance_id {
        Some(id) => name("instance-id", id)?,
        None => {
            let all =
                [user_data, documents.network_config.unwrap_or_default(), documents.hostname.unwrap_or_default().as_bytes()];
            format!("kmimage-{:.16}", Sha256Digest::of(&all.join(&0)).to_string())
        }
    };
    let hostname = documents.hostname.map(|hostname| name("host name", hostname)).transpose()?;
    let hostname = hostname.map_or_else(String::new, |hostname| format!("local-hostname: \"{hostname}\"\n"));
    Ok(format!("instance-id: \"{instance}\"\n{hostname}"))
}
