//! `[install]`: what an install medium does with this machine's disk.

use super::raw::{RawDisk, RawInstall};
use super::validate::Context;
use super::values;
use crate::disk_selector::{DiskSelector, normal_model, normal_wwn, size_bound};
use crate::toml_document::{DocumentError, Located};
use serde::{Deserialize, Serialize};

/// An installation. It happens only on a machine that was started from an install medium.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Install {
    /// The target; without any condition the only disk that there is.
    pub disk: DiskSelector,
    /// The serial number, or a name in /dev/disk/by-id, of the disk whose content may be lost.
    pub wipe: Option<String>,
    /// What follows.
    pub after: AfterInstall,
}

/// What follows an installation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AfterInstall {
    /// The machine restarts.
    #[default]
    Restart,
    /// The machine goes off.
    PowerOff,
}

/// Judges `[install]`.
pub(super) fn install(raw: &RawInstall, context: &Context<'_>) -> Result<Install, DocumentError> {
    Ok(Install {
        disk: raw.disk.as_ref().map(|disk| selector(disk, context)).transpose()?.unwrap_or_default(),
        wipe: raw.wipe.as_ref().map(|text| context.value(text, |text| word(text, "wipe"))).transpose()?,
        after: raw.after.as_deref().copied().unwrap_or_default(),
    })
}

fn selector(raw: &Located<RawDisk>, context: &Context<'_>) -> Result<DiskSelector, DocumentError> {
    let mut selector = DiskSelector {
        id: raw.id.as_ref().map(|text| context.value(text, values::disk)).transpose()?,
        serial: raw.serial.as_ref().map(|text| context.value(text, |text| word(text, "serial"))).transpose()?,
        wwn: raw.wwn.as_ref().map(|text| context.value(text, |text| word(text, "wwn"))).transpose()?,
        model: raw.model.as_ref().map(|text| context.value(text, |text| word(text, "model"))).transpose()?,
        size: Vec::new(),
    };
    if let Some(text) = &raw.size {
        for part in text.split(',') {
            let bound = size_bound(part).ok_or_else(|| {
                let message = format!("`{}` is no comparison of sizes, such as \">= 100 GiB\"", values::shown(part));
                context.document.error(text, message)
            })?;
            selector.size.push(bound);
        }
    }
    if selector.is_empty() {
        let message =
            "`disk` says nothing about the disk: id, serial, wwn, model or size; without `disk` it is the only one there is";
        return Err(context.document.error(raw, message));
    }
    selector.wwn = selector.wwn.map(|wwn| normal_wwn(&wwn));
    selector.model = selector.model.map(|model| normal_model(&model));
    Ok(selector)
}

/// What a disk says of itself: printable, without white space at its ends.
fn word(text: &str, key: &str) -> Result<String, String> {
    let fits = |c: char| c == ' ' || c.is_ascii_graphic();
    if text.is_empty() || text.trim() != text || text.len() > 255 || !text.chars().all(fits) {
        return Err(format!("`{}` is no `{key}`: printable ASCII, without spaces at the ends", values::shown(text)));
    }
    Ok(text.to_owned())
}
