//! A config as written into a [`MachineConfig`]: every value is judged, and an error points at where it was written.
//!
//! What only the machine knows (is there such a disk, such a module) is not judged here.

mod cluster;
mod network;
mod registry;
pub(super) mod service;

pub use service::RESERVED_SERVICES;

use super::model::{Certificate, File, Host, MachineConfig, Proxy, Sysctl, Volume};
use super::raw::{RawFile, RawMachineConfig, RawProxy, RawVolume, Text};
use super::{files, install};
use super::{pem, sysctl, values};
use crate::toml_document::{Document, DocumentError, Located, nearest};
use std::collections::BTreeMap;
use std::ops::Range;

type Result<T, E = DocumentError> = std::result::Result<T, E>;

/// The document that is judged, and the image that it is for.
pub(super) struct Context<'a> {
    pub(super) document: &'a Document,
    /// The role of the image; none when it is not known which image the config will meet.
    pub(super) image_role: Option<&'a str>,
}

impl Context<'_> {
    /// Judges one value where it was written.
    pub(super) fn value<T>(&self, text: &Text, judge: impl FnOnce(&str) -> Result<T, String>) -> Result<T> {
        judge(text).map_err(|message| self.document.error(text, message))
    }

    /// Judges each value of a list; one that occurs twice (in its judged form) is an error.
    fn values<T: PartialEq>(&self, texts: &[Text], judge: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>> {
        let mut values = Vec::with_capacity(texts.len());
        for text in texts {
            let value = self.value(text, &judge)?;
            if values.contains(&value) {
                return self.fail(text, format!("`{}` is here twice", **text));
            }
            values.push(value);
        }
        Ok(values)
    }

    /// A whole number within bounds.
    fn number<T: TryFrom<i64>>(&self, number: &Located<i64>, bounds: Range<i64>, what: &str) -> Result<T> {
        let out = || self.document.error(number, format!("{what} is {} to {}, not {}", bounds.start, bounds.end - 1, **number));
        if bounds.contains(number) { T::try_from(**number).map_err(|_| out()) } else { Err(out()) }
    }

    fn fail<T, U>(&self, at: &Located<U>, message: impl Into<String>) -> Result<T> {
        Err(self.document.error(at, message))
    }

    /// An error about something that was written before, too.
    fn doubled<T>(&self, at: &Text, what: &str, first: Range<usize>) -> Result<T> {
        let place = self.document.place(first);
        self.fail(at, format!("{what} `{}` is here twice, first at {place}", **at))
    }
}

/// Judges a decoded document.
pub(super) fn validate(raw: &RawMachineConfig, context: &Context<'_>) -> Result<MachineConfig> {
    Ok(MachineConfig {
        hostname: raw.machine.hostname.as_ref().map(|text| context.value(text, values::hostname)).transpose()?,
        role: raw.machine.role.as_ref().map(|text| role(text, context)).transpose()?,
        network: network::network(&raw.network, context)?,
        proxy: proxy(&raw.network.proxy, context)?,
        time_servers: context.values(&raw.time.servers, |text| values::host(text).map(|host| bare(&host)))?,
        sysctls: sysctls(&raw.sysctl, context)?,
        modules: context.values(&raw.kernel.modules, values::module)?,
        trusted: trusted(&raw.trust.ca, context)?,
        files: file_entries(&raw.file, context)?,
        volumes: volumes(&raw.volume, context)?,
        services: service::services(&raw.service, context)?,
        log: raw.log.receiver.as_ref().map(|text| context.value(text, str::parse)).transpose()?,
        cluster: cluster::cluster(raw, context)?,
        kubelet: cluster::kubelet(raw, context)?,
        registry: registry::registry(raw, context)?,
        install: raw.install.as_ref().map(|raw| install::install(raw, context)).transpose()?,
    })
}

/// A host without the brackets of a URL.
fn bare(host: &Host) -> String {
    match host {
        Host::Name(name) => name.clone(),
        Host::Address(address) => address.to_string(),
    }
}

fn role(text: &Text, context: &Context<'_>) -> Result<String> {
    let role = context.value(text, |text| values::name(text, 64))?;
    match context.image_role {
        Some(image) if image != role => {
            context.fail(text, format!("this is for the role `{role}`, the image has the role `{image}`"))
        }
        _ => Ok(role),
    }
}

fn proxy(raw: &RawProxy, context: &Context<'_>) -> Result<Option<Proxy>> {
    let url = |secret: &Option<Located<super::Secret>>| {
        let Some(secret) = secret else { return Ok(None) };
        values::proxy(secret.reveal()).map_err(|message| context.document.error(secret, message))?;
        Ok(Some((**secret).clone()))
    };
    let no_proxy = context.values(&raw.no_proxy, values::no_proxy)?;
    let proxy = Proxy { http: url(&raw.http)?, https: url(&raw.https)?, no_proxy };
    Ok(Some(proxy).filter(|proxy| *proxy != Proxy::default()))
}

fn sysctls(raw: &BTreeMap<Text, Text>, context: &Context<'_>) -> Result<BTreeMap<Sysctl, String>> {
    let mut sysctls = BTreeMap::new();
    let mut written: Vec<_> = raw.iter().collect();
    written.sort_by_key(|(key, _)| key.span().start);
    for (key, text) in written {
        let name = context.value(key, sysctl::name)?;
        let value = context.value(text, |text| sysctl::value(&name, text))?;
        if sysctls.contains_key(&name) {
            return context.fail(key, format!("`{}` is here twice, written in two ways", name.path()));
        }
        sysctls.insert(name, value);
    }
    Ok(sysctls)
}

fn trusted(raw: &[Text], context: &Context<'_>) -> Result<Vec<Certificate>> {
    let mut certificates = Vec::new();
    for text in raw {
        certificates.extend(context.value(text, pem::certificates)?);
    }
    Ok(certificates)
}

fn file_entries(raw: &[RawFile], context: &Context<'_>) -> Result<Vec<File>> {
    let mut files: Vec<File> = Vec::new();
    for (at, file) in raw.iter().enumerate() {
        let path = context.value(&file.path, files::path)?;
        let mode = file.mode.as_ref().map_or(Ok(0o644), |text| context.value(text, values::mode))?;
        for (other, known) in raw.iter().zip(&files).take(at) {
            if known.path == path {
                return context.doubled(&file.path, "the file", other.path.span());
            }
            if inside(&path, &known.path) || inside(&known.path, &path) {
                let place = context.document.place(other.path.span());
                return context
                    .fail(&file.path, format!("`{path}` and `{}` ({place}): one is a folder of the other", known.path));
            }
        }
        files.push(File { path, mode, content: (*file.content).clone() });
    }
    Ok(files)
}

/// Whether a path lies below another.
fn inside(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn volumes(raw: &[RawVolume], context: &Context<'_>) -> Result<Vec<Volume>> {
    let mut volumes: Vec<Volume> = Vec::new();
    for (at, volume) in raw.iter().enumerate() {
        let name = context.value(&volume.name, |text| values::name(text, 16))?;
        let disk = context.value(&volume.disk, values::disk)?;
        let path = context.value(&volume.path, volume_path)?;
        for (other, known) in raw.iter().zip(&volumes).take(at) {
            if known.name == name {
                return context.doubled(&volume.name, "the volume", other.name.span());
            }
            if known.disk == disk {
                return context.doubled(&volume.disk, "the disk", other.disk.span());
            }
            if known.path == path || inside(&path, &known.path) || inside(&known.path, &path) {
                let place = context.document.place(other.path.span());
                return context
                    .fail(&volume.path, format!("`{path}` overlaps with `{}` of `{}` ({place})", known.path, known.name));
            }
        }
        let filesystem = volume.filesystem.as_deref().copied().unwrap_or_default();
        volumes.push(Volume { name, disk, path, filesystem });
    }
    Ok(volumes)
}

fn volume_path(text: &str) -> Result<String, String> {
    let path = values::path(text)?;
    if !inside(path, "/var") {
        return Err(format!("`{path}` is not below /var: volumes are mounted only there"));
    }
    // What the machine itself mounts or keeps there.
    match ["/var/run", "/var/lock", "/var/tmp", "/var/lib/kmimage", "/var/log"]
        .iter()
        .find(|own| path == **own || inside(path, own))
    {
        Some(own) => Err(format!("`{own}` is the machine's own: mount the volume elsewhere below /var")),
        None => Ok(path.to_owned()),
    }
}

/// The end of a message about a word that is not known.
fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known here: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}
