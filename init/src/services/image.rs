//! The services that the image brings: a file each of the verified root.

use super::unit::Unit;
use crate::failure;
use kmimage_contract::paths;
use kmimage_contract::toml_document::Document;
use kmimage_sys::kernel_log::{self, Level};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What is read of a service's file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    /// The program and its arguments.
    command: Vec<String>,
}

/// All of them, by name. One that can't be read is named in the kernel's log: the image is verified, so only its maker can be wrong.
pub(crate) fn image_services() -> BTreeMap<String, Unit> {
    let mut units = BTreeMap::new();
    for path in fs::read_dir(Path::new(paths::SERVICES)).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".toml")) else { continue };
        match read(&path) {
            Ok(unit) => drop(units.insert(name.to_owned(), unit)),
            Err(error) => kernel_log::write(Level::Warning, &format!("kmimage-init: {error}")),
        }
    }
    units
}

fn read(path: &Path) -> Result<Unit, String> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|error| format!("{name}: {error}"))?;
    let document = Document::from_bytes(name.as_str(), &bytes).map_err(|error| failure::chain(&error))?;
    let service: Service = document.decode().map_err(|error| failure::chain(&error))?;
    let (program, arguments) = service.command.split_first().ok_or_else(|| format!("{name}: the command is empty"))?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let environment = vec![("PATH".to_owned(), "/usr/sbin:/usr/bin".to_owned())];
    Ok(Unit { environment, ..Unit::lasting(program, &arguments) })
}
