//! The services that the image brings: a file `NAME.toml` each of the verified root, with the keys of a machine config's `[[service]]`
//! (tables written inline). They need nothing of a config, so they start as soon as what they name is there. One that says nothing of
//! `capabilities` keeps them all: it is part of the image.

use super::unit::Unit;
use crate::desired;
use kmimage_contract::machine_config::{self, MachineConfigError};
use kmimage_contract::paths;
use kmimage_contract::toml_document::{Document, DocumentError};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Why the image's services can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageServicesError {
    /// A file that can't be read.
    #[error("reading {0}")]
    Read(String, #[source] io::Error),
    /// A file that is no TOML.
    #[error(transparent)]
    Toml(#[from] DocumentError),
    /// Keys and values that a service has not.
    #[error(transparent)]
    Service(#[from] MachineConfigError),
}

/// All of them, by name; the image is verified, so only its maker can be wrong. An image without any has no folder for them.
pub(crate) fn image_services() -> Result<BTreeMap<String, Unit>, ImageServicesError> {
    let mut files = BTreeMap::new();
    let fail = |path: &Path| {
        let path = path.display().to_string();
        move |error| ImageServicesError::Read(path, error)
    };
    for path in fs::read_dir(Path::new(paths::SERVICES)).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".toml")) {
            files.insert(name.to_owned(), fs::read_to_string(&path).map_err(fail(&path))?);
        }
    }
    parse(&files)
}

/// Takes the files for one machine config, so that its rules hold for them, too.
fn parse(files: &BTreeMap<String, String>) -> Result<BTreeMap<String, Unit>, ImageServicesError> {
    let mut text = "version = 1\n".to_owned();
    for (name, file) in files {
        text.push_str(&format!("[[service]]\nname = \"{name}\"\n{file}\n"));
    }
    let config = machine_config::parse(paths::SERVICES, text.as_bytes(), None)?;
    let mut units = BTreeMap::new();
    for service in &config.services {
        let mut unit = desired::service_unit(service, None, &[]);
        let file = files.get(&service.name).map_or("", String::as_str);
        let keys: BTreeMap<String, serde::de::IgnoredAny> = Document::new(service.name.as_str(), file).decode()?;
        if !keys.contains_key("capabilities") {
            unit.capabilities = None;
            unit.no_new_privileges = false;
        }
        units.insert(service.name.clone(), unit);
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(files: &[(&str, &str)]) -> Result<BTreeMap<String, Unit>, ImageServicesError> {
        parse(&files.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect())
    }

    #[test]
    fn files_are_services_of_their_names() {
        let units = parsed(&[
            ("a", "command = [\"/usr/bin/a\"]\noom-score = -900\n"),
            (
                "b",
                "command = [\"/usr/bin/b\", \"x\"]\nneeds = [\"a\"]\ncapabilities = [\"CAP_CHOWN\"]\nenvironment = { A = \"b\" }",
            ),
        ])
        .unwrap();
        let (a, b) = (&units["a"], &units["b"]);
        assert_eq!((a.capabilities, a.no_new_privileges, a.oom_score), (None, false, -900));
        assert_eq!((b.capabilities, b.no_new_privileges, b.needs.as_slice()), (Some(1), true, &["a".to_owned()][..]));
        assert!(b.environment.contains(&("A".to_owned(), "b".to_owned())));
        assert!(parsed(&[]).unwrap().is_empty());
    }

    #[test]
    fn other_keys_are_refused() {
        for bad in ["command = [\"/usr/bin/a\"]\nuser = \"x\"", "command = []", "comm", "needs = [\"a\"]"] {
            assert!(parsed(&[("a", bad)]).is_err(), "{bad}");
        }
    }
}
