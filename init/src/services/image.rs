//! The services that the image brings, as units: a file `NAME.toml` each of the verified root, read as
//! [`kmimage_contract::machine_config::image_services`] says. They start as soon as what they name is there.

use super::built_in::GENERATION;
use super::unit::Unit;
use crate::desired;
use kmimage_contract::machine_config::{self, ImageService};
use kmimage_contract::paths;
use kmimage_contract::toml_document::DocumentError;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// The most bytes that a file with arguments has.
const MOST_ARGUMENTS: u64 = 64 << 10;

/// What the machine adds to the image's services.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Additions {
    /// Conditions and units that a service needs, too, if it waits for the config to be applied.
    pub(crate) with_applied: Vec<String>,
    /// The environment of those that want proxies.
    pub(crate) proxies: BTreeMap<String, String>,
}

/// Why the image's services can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageServicesError {
    /// A file that can't be read.
    #[error("reading {0}")]
    Read(String, #[source] io::Error),
    /// Keys and values that a service has not.
    #[error(transparent)]
    Service(#[from] DocumentError),
}

/// All of them, by name; the image is verified, so only its maker can be wrong. An image without any has no folder for them.
pub(crate) fn image_services(additions: &Additions) -> Result<BTreeMap<String, Unit>, ImageServicesError> {
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
    let mut units = BTreeMap::new();
    for service in machine_config::image_services(&files)? {
        let further = match &service.arguments_file {
            Some(path) => read_arguments(Path::new(path)).map_err(fail(Path::new(path)))?,
            None => String::new(),
        };
        units.insert(service.service.name.clone(), unit(&service, &further, additions));
    }
    Ok(units)
}

/// What lies in a file with arguments; nothing, as long as nobody has written it.
fn read_arguments(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(MOST_ARGUMENTS + 1).read_to_string(&mut text).map(drop)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    if text.len() as u64 > MOST_ARGUMENTS { Err(io::Error::other("more arguments than a program takes")) } else { Ok(text) }
}

/// One service as unit. Its further arguments come one a line; a line that begins with `#` is none, but it, too, is part of what the unit
/// is: whoever writes the digest of a configuration there has the service started anew when that has changed.
fn unit(service: &ImageService, further: &str, additions: &Additions) -> Unit {
    let also = if service.service.needs.contains(&machine_config::Need::Condition(machine_config::Condition::Applied)) {
        additions.with_applied.as_slice()
    } else {
        &[]
    };
    let mut unit = desired::service_unit(&service.service, None, also);
    if !service.limited {
        unit.capabilities = None;
        unit.no_new_privileges = false;
    }
    unit.reloads = service.reloads;
    unit.stops_first = service.stops_first;
    unit.keeps_processes = service.keeps_processes;
    let (remarks, arguments): (Vec<&str>, Vec<&str>) =
        further.lines().filter(|line| !line.is_empty()).partition(|line| line.starts_with('#'));
    unit.arguments.extend(arguments.into_iter().map(str::to_owned));
    if !remarks.is_empty() {
        unit.environment.push((GENERATION.to_owned(), remarks.join(" ")));
    }
    if service.proxies {
        let own: Vec<String> = service.service.environment.keys().cloned().collect();
        let proxies = additions.proxies.iter().filter(|(name, _)| !own.contains(name));
        unit.environment.extend(proxies.map(|(name, value)| (name.clone(), value.clone())));
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, further: &str, additions: &Additions) -> Unit {
        let files = BTreeMap::from([("a".to_owned(), text.to_owned())]);
        let services = machine_config::image_services(&files).unwrap();
        unit(&services[0], further, additions)
    }

    #[test]
    fn what_is_not_limited_keeps_all() {
        let unit = units("command = [\"/usr/bin/a\", \"x\"]\noom-score = -900\n", "", &Additions::default());
        assert_eq!((unit.capabilities, unit.no_new_privileges, unit.oom_score), (None, false, -900));
        assert_eq!((unit.needs.len(), unit.arguments.as_slice(), unit.reloads), (0, &["x".to_owned()][..], false));
        let unit = units("command = [\"/usr/bin/a\"]\ncapabilities = [\"CAP_CHOWN\"]\nreloads = true", "", &Additions::default());
        assert_eq!((unit.capabilities, unit.no_new_privileges, unit.reloads), (Some(1), true, true));
    }

    #[test]
    fn further_arguments_are_lines() {
        let base = units("command = [\"/usr/bin/a\", \"x\"]", "", &Additions::default());
        let with = |further: &str| units("command = [\"/usr/bin/a\", \"x\"]", further, &Additions::default());
        let unit = with("--a=b c\n\n--d=\n");
        assert_eq!(unit.arguments, ["x", "--a=b c", "--d="]);
        assert_eq!(unit.environment, base.environment);
        // Not an argument, but another unit.
        let (one, two) = (with("# sha256 1\n--a\n"), with("# sha256 2\n--a\n"));
        assert_eq!((one.arguments.as_slice(), &one.arguments), (&["x".to_owned(), "--a".to_owned()][..], &two.arguments));
        assert_ne!(one, two);
    }

    #[test]
    fn the_machine_adds_proxies_and_disks_where_they_are_wanted() {
        let additions = Additions {
            with_applied: vec!["volumes".to_owned()],
            proxies: [("http_proxy", "http://p:1"), ("no_proxy", "x")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
        };
        let plain = units("command = [\"/usr/bin/a\"]\nneeds = [\"var\"]", "", &additions);
        assert_eq!(plain.needs, ["var"]);
        assert!(!plain.environment.iter().any(|(name, _)| name.contains("proxy")));
        let text = "command = [\"/usr/bin/a\"]\nneeds = [\"applied\"]\nproxies = true\nenvironment = { no_proxy = \"own\" }";
        let unit = units(text, "", &additions);
        assert_eq!(unit.needs, ["volumes", "applied"]);
        let proxies: Vec<_> = unit.environment.iter().filter(|(name, _)| name.contains("proxy")).collect();
        assert_eq!(proxies, [&("no_proxy".to_owned(), "own".to_owned()), &("http_proxy".to_owned(), "http://p:1".to_owned())]);
    }

    #[test]
    fn arguments_are_read_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arguments");
        assert_eq!(read_arguments(&path).unwrap(), "");
        fs::write(&path, "--a\n").unwrap();
        assert_eq!(read_arguments(&path).unwrap(), "--a\n");
        fs::write(&path, "x".repeat(MOST_ARGUMENTS as usize + 1)).unwrap();
        assert!(read_arguments(&path).is_err());
    }
}
