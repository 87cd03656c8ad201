//! The services that the image brings, each a file of the verified root: started once. Nothing watches them yet.

use crate::failure;
use kmimage_contract::paths;
use kmimage_contract::toml_document::Document;
use kmimage_sys::kernel_log::{self, Level};
use serde::Deserialize;
use std::path::Path;
use std::process::{Command, Stdio};

/// What is read of a service's file.
#[derive(Debug, Deserialize)]
struct Service {
    command: Vec<String>,
}

/// Starts them all. One that can't be started is named in the kernel's log.
pub(super) fn start_all() {
    let Ok(entries) = std::fs::read_dir(Path::new(paths::SERVICES)) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if let Err(error) = start(&path) {
            kernel_log::write(Level::Warning, &format!("kmimage-init: {}: {error}", path.display()));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "process 1 starts the image's services")]
fn start(path: &Path) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let document = Document::from_bytes(path.display().to_string(), &bytes).map_err(|error| failure::chain(&error))?;
    let service: Service = document.decode().map_err(|error| failure::chain(&error))?;
    let (program, arguments) = service.command.split_first().ok_or("no command")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).map_err(|error| format!("{program}: {error}"))
}
