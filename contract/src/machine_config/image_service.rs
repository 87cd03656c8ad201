//! The services that an image brings: a file `NAME.toml` each in [`crate::paths::SERVICES`], with the keys of a machine config's
//! `[[service]]` but for its name, and some of its own.
//!
//! What differs from a config's service: it is part of the verified root, so one that says nothing of `capabilities` keeps them all; it
//! waits for nothing that it doesn't name (a config's service has the disk and /etc in its final form anyway).

use super::model::{Condition, Service};
use super::raw::{RawReadiness, RawRestart, RawService, Text};
use super::secret::Secret;
use super::validate::Context;
use super::validate::service::{self, Known};
use super::values;
use crate::toml_document::{Document, DocumentError, Located};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A service of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageService {
    /// What it has in common with a config's.
    pub service: Service,
    /// Whether it keeps only the capabilities that it names; else it keeps all.
    pub limited: bool,
    /// A file with further arguments, one a line.
    pub arguments_file: Option<String>,
    /// Whether it reads what lies in /etc anew on SIGHUP, which it gets when /etc has changed.
    pub reloads: bool,
    /// Whether its environment has the config's proxies.
    pub proxies: bool,
    /// Whether a shutdown begins with it: everything else is stopped once it has ended.
    pub stops_first: bool,
    /// Whether what it has started goes on when it ends (as systemd's `KillMode=process`); else all of its control group ends with it.
    pub keeps_processes: bool,
}

/// What such a service may wait for besides others.
const OF_AN_IMAGE: [(&str, Condition); 6] = [
    ("network", Condition::Network),
    ("time", Condition::Time),
    ("state", Condition::State),
    ("var", Condition::Var),
    ("applied", Condition::Applied),
    ("kubelet-configured", Condition::KubeletConfigured),
];

/// A file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawImageService {
    command: Vec<Text>,
    #[serde(default)]
    needs: Vec<Text>,
    #[serde(default)]
    environment: BTreeMap<Text, Located<Secret>>,
    #[serde(default)]
    restart: RawRestart,
    readiness: Option<RawReadiness>,
    oom_score: Option<Located<i64>>,
    memory_min: Option<Text>,
    memory_low: Option<Text>,
    capabilities: Option<Vec<Text>>,
    stop_timeout_s: Option<Located<i64>>,
    arguments_file: Option<Text>,
    #[serde(default)]
    reloads: bool,
    #[serde(default)]
    proxies: bool,
    #[serde(default)]
    stops_first: bool,
    #[serde(default)]
    keeps_processes: bool,
}

/// Reads all files, by the names of their services: together, because they need each other.
pub fn image_services(files: &BTreeMap<String, String>) -> Result<Vec<ImageService>, DocumentError> {
    let mut read = Vec::new();
    for (name, text) in files {
        let document = Document::new(format!("{}/{name}.toml", crate::paths::SERVICES), text.as_str());
        let raw: RawImageService = document.decode()?;
        read.push((document, split(name, raw)));
    }
    let contexts: Vec<Context<'_>> = read.iter().map(|(document, _)| Context { document, image_role: None }).collect();
    let known = Known { conditions: &OF_AN_IMAGE, services: files.keys().map(String::as_str).collect() };
    let mut services = Vec::new();
    for ((_, (raw, own)), context) in read.iter().zip(&contexts) {
        service::name(&raw.name, context)?;
        let path = |text: &Text| values::path(text).map(str::to_owned).map_err(|message| context.document.error(text, message));
        services.push(ImageService {
            service: service::service(raw, &known, context)?,
            limited: own.limited,
            arguments_file: own.arguments_file.as_ref().map(path).transpose()?,
            reloads: own.reloads,
            proxies: own.proxies,
            stops_first: own.stops_first,
            keeps_processes: own.keeps_processes,
        });
    }
    service::no_circle(&read.iter().map(|(_, (raw, _))| raw).zip(&contexts).collect::<Vec<_>>())?;
    Ok(services)
}

/// What only an image's service has.
struct Own {
    limited: bool,
    arguments_file: Option<Text>,
    reloads: bool,
    proxies: bool,
    stops_first: bool,
    keeps_processes: bool,
}

/// What an image's service has in common with a config's, and the rest.
fn split(name: &str, raw: RawImageService) -> (RawService, Own) {
    let RawImageService {
        command,
        needs,
        environment,
        restart,
        readiness,
        oom_score,
        memory_min,
        memory_low,
        capabilities,
        stop_timeout_s,
        arguments_file,
        reloads,
        proxies,
        stops_first,
        keeps_processes,
    } = raw;
    let own = Own { limited: capabilities.is_some(), arguments_file, reloads, proxies, stops_first, keeps_processes };
    let service = RawService {
        // Its name is the file's: an error about it stands at the beginning.
        name: Located::at(name.to_owned(), 0..0),
        command,
        needs,
        environment,
        restart,
        readiness,
        oom_score,
        memory_min,
        memory_low,
        capabilities: capabilities.unwrap_or_default(),
        stop_timeout_s,
    };
    (service, own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine_config::Need;

    fn read(files: &[(&str, &str)]) -> Result<Vec<ImageService>, DocumentError> {
        image_services(&files.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect())
    }

    #[test]
    fn files_are_services_of_their_names() {
        let services = read(&[
            ("a", "command = [\"/usr/bin/a\"]\noom-score = -900\nneeds = [\"var\", \"kubelet-configured\"]\nreloads = true\n"),
            (
                "b",
                "command = [\"/usr/bin/b\"]\nneeds = [\"a\"]\ncapabilities = []\narguments-file = \"/run/x\"\nproxies = true\n",
            ),
        ])
        .unwrap();
        let [a, b] = services.as_slice() else { panic!("{services:?}") };
        assert_eq!((a.service.name.as_str(), a.limited, a.reloads, a.proxies), ("a", false, true, false));
        assert_eq!(a.service.needs, [Need::Condition(Condition::Var), Need::Condition(Condition::KubeletConfigured)]);
        assert_eq!((b.service.name.as_str(), b.limited, b.reloads, b.proxies), ("b", true, false, true));
        assert_eq!((b.arguments_file.as_deref(), b.service.needs.as_slice()), (Some("/run/x"), &[Need::Service("a".into())][..]));
        assert_eq!(read(&[]).unwrap(), []);
        for (name, condition) in OF_AN_IMAGE {
            assert_eq!(condition.name(), name);
        }
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        let folder = crate::paths::SERVICES;
        for (name, text, message) in [
            ("a", "command = [\"/usr/bin/a\"]\nuser = \"x\"", "a.toml:2:1: unknown key `user`"),
            ("a", "command = []", "a.toml:1:1: `command` names no program"),
            ("a", "needs = [\"b\"]\ncommand = [\"/usr/bin/a\"]", "a.toml:1:10: `a` needs `b`, and there is no such service"),
            ("a", "needs = [\"a\"]\ncommand = [\"/usr/bin/a\"]", "a.toml:1:10: `a` needs itself"),
            ("kmimage", "command = [\"/usr/bin/a\"]", "kmimage.toml:1:1: `kmimage` is a part of the machine itself"),
            ("a", "command = [\"/var/a\"]", "a.toml:1:12: `/var/a` is not in the verified root"),
            ("a", "command = [\"/usr/bin/a\"]\narguments-file = \"x\"", "a.toml:2:18: `x` is no absolute path"),
        ] {
            let error = read(&[(name, text)]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{folder}/{message}")), "{error}");
        }
        let circle = "command = [\"/usr/bin/a\"]\nneeds = [\"OTHER\"]";
        let error = read(&[("a", &circle.replace("OTHER", "b")), ("b", &circle.replace("OTHER", "a"))]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{folder}/a.toml:2:10: `a` and `b` need each other")), "{error}");
    }

    /// What this repository's own overlays bring.
    #[test]
    fn the_workers_services_are_read() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../overlays/worker/rootfs/usr/lib/kmimage/services");
        let file = |name: &str| (name.to_owned(), std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap());
        let services = image_services(&["crio", "kubelet", "login1"].map(file).into()).unwrap();
        let [crio, kubelet, login1] = services.as_slice() else { panic!("{services:?}") };
        assert_eq!((crio.limited, crio.proxies, crio.reloads), (false, true, true));
        assert!(crio.keeps_processes && !kubelet.keeps_processes);
        assert_eq!(kubelet.arguments_file.as_deref(), Some(crate::paths::KUBELET_ARGUMENTS));
        let crio_first = Need::Service("crio".to_owned());
        assert!(kubelet.service.needs.contains(&crio_first));
        assert!(login1.stops_first && login1.limited && !kubelet.stops_first);
        assert!(kubelet.service.needs.contains(&Need::Condition(Condition::KubeletConfigured)));
    }
}
