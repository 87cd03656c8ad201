//! Bytes to a document of version 1 that may be decoded: size, UTF-8, TOML, version, sections of other releases.

use super::hidden;
use crate::toml_document::{Document, DocumentError};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The largest document, in bytes: what the carriers of configs (a NoCloud snippet of Proxmox) allow.
pub const MAX_SIZE: usize = 1 << 20;

/// The version of the format that this release reads.
const VERSION: &str = "1";

/// Sections that the format will have, and this release doesn't serve.
const NOT_SERVED: [&str; 8] = ["addon", "api", "control-plane", "crio", "gpu", "image", "snapshot", "upgrade"];

/// Why a machine config is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineConfigError {
    /// More than a config has.
    #[error("{name}: a machine config has at most {MAX_SIZE} bytes, not {size}")]
    TooLarge {
        /// The document's name.
        name: String,
        /// Its size in bytes.
        size: usize,
    },
    /// It says something that can't be.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl MachineConfigError {
    /// The error in one line, without the document's own text: for state lines.
    pub fn summary(&self) -> String {
        match self {
            Self::TooLarge { .. } => self.to_string(),
            Self::Document(error) => format!("{}:{}:{}: {}", error.file, error.line, error.column, error.message),
        }
    }
}

/// Opens a document and judges what must be judged before its keys.
pub(super) fn open(name: &str, bytes: &[u8]) -> Result<Document, MachineConfigError> {
    if bytes.len() > MAX_SIZE {
        return Err(MachineConfigError::TooLarge { name: name.to_owned(), size: bytes.len() });
    }
    let lossy = String::from_utf8_lossy(bytes);
    let table = DeTable::parse(&lossy);
    let hidden = table.as_ref().map_or_else(|_| hidden::of_text(&lossy), |table| hidden::of_table(table.get_ref()));
    let document = Document::from_bytes_hiding(name, bytes, hidden)?;
    // What is wrong with the syntax is said by `decode`.
    let Ok(table) = table else { return Ok(document) };
    version(&document, table.get_ref())?;
    for (key, _) in table.get_ref() {
        if NOT_SERVED.contains(&key.get_ref().as_ref()) {
            return Err(document.error_at(key.span(), format!("`{}`: this release does not serve it yet", key.get_ref())).into());
        }
    }
    Ok(document)
}

/// Another version has other keys: nothing else is worth saying about it.
fn version(document: &Document, table: &DeTable<'_>) -> Result<(), DocumentError> {
    let expected = "a machine config begins with `version = 1`";
    let Some(value): Option<&Spanned<DeValue<'_>>> = table.get("version") else {
        return Err(document.error_at(0..0, expected));
    };
    match value.get_ref() {
        DeValue::Integer(number) if number.as_str() == VERSION => Ok(()),
        DeValue::Integer(number) => {
            Err(document.error_at(value.span(), format!("this release reads version {VERSION}, not {}", number.as_str())))
        }
        _ => Err(document.error_at(value.span(), expected)),
    }
}
