//! The lock's one text form, TOML: what `encode` writes, `decode` reads back to the same value, and nothing looser.

use super::{Because, Chosen, Lock, LockError, LockedPackage, LockedProfile, Source};
use crate::resolve::packages::{is_package_name, is_repository_path};
use crate::version::Version;
use kmimage_contract::toml_document::{Document, DocumentError, Located};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::str::FromStr;

/// The version of the format. A change that older releases would misread makes it another number.
const FORMAT: i64 = 1;

/// The text of a lock.
pub fn encode(lock: &Lock) -> String {
    let mut text = String::from(
        "# Written by `kmimage lock`: every package of every profile, exactly. Keep it in version control; do not edit.\n",
    );
    // Writing to a String cannot fail.
    let _ = write_lock(lock, &mut text);
    text
}

fn write_lock(lock: &Lock, out: &mut String) -> std::fmt::Result {
    writeln!(out, "version = {FORMAT}")?;
    for (name, profile) in &lock.profiles {
        writeln!(out, "\n[profile.{}]", key(name))?;
        writeln!(out, "date = {}", quoted(&profile.date.to_string()))?;
        writeln!(out, "request = \"{}\"", profile.request)?;
        if let Some(kernel) = &profile.kernel {
            writeln!(out, "kernel = {}", quoted(kernel))?;
        }
        let releases = profile.releases.iter().map(|(name, date)| format!("{} = {}", key(name), quoted(&date.to_string())));
        writeln!(out, "releases = {{{}}}", spaced(&releases.collect::<Vec<_>>().join(", ")))?;
        write_chosen(out, "packages", &profile.packages)?;
        write_chosen(out, "boot", &profile.boot)?;
    }
    for package in lock.packages.values() {
        writeln!(out, "\n[[package]]")?;
        writeln!(out, "repository = {}", quoted(&package.repository))?;
        writeln!(out, "name = {}", quoted(&package.name))?;
        writeln!(out, "version = {}", quoted(&package.version))?;
        writeln!(out, "architecture = {}", quoted(&package.architecture))?;
        writeln!(out, "source = {}", quoted(&format!("{}={}", package.source.name, package.source.version)))?;
        writeln!(out, "path = {}", quoted(&package.path))?;
        writeln!(out, "size = {}", package.size)?;
        writeln!(out, "sha256 = \"{}\"", package.sha256)?;
        for (name, digest) in &package.scripts {
            writeln!(out, "scripts.{} = \"{digest}\"", key(name))?;
        }
    }
    Ok(())
}

fn write_chosen(out: &mut String, name: &str, chosen: &BTreeMap<String, Chosen>) -> std::fmt::Result {
    if chosen.is_empty() {
        return writeln!(out, "{name} = []");
    }
    writeln!(out, "{name} = [")?;
    for (package, chosen) in chosen {
        let package = quoted(&format!("{package}={}", chosen.version));
        write!(out, "    {{ package = {package}, repository = {}", quoted(&chosen.repository))?;
        if let Some(because) = &chosen.because {
            write!(out, ", needed-by = {}, relation = {}", quoted(&because.package), quoted(&because.relation))?;
        }
        writeln!(out, " }},")?;
    }
    writeln!(out, "]")
}

fn spaced(inside: &str) -> String {
    if inside.is_empty() { String::new() } else { format!(" {inside} ") }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            c if c.is_control() => quoted += &format!("\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A TOML key, bare where that is possible.
fn key(text: &str) -> String {
    let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if bare { text.to_owned() } else { quoted(text) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawLock {
    version: Located<i64>,
    #[serde(default)]
    profile: BTreeMap<String, RawProfile>,
    #[serde(default)]
    package: Vec<RawPackage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawProfile {
    date: Located<String>,
    request: Located<String>,
    kernel: Option<Located<String>>,
    releases: BTreeMap<String, Located<String>>,
    packages: Vec<RawChosen>,
    boot: Vec<RawChosen>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawChosen {
    package: Located<String>,
    repository: String,
    needed_by: Option<String>,
    relation: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawPackage {
    repository: String,
    name: Located<String>,
    version: Located<String>,
    architecture: Located<String>,
    source: Located<String>,
    path: Located<String>,
    size: Located<u64>,
    sha256: Located<String>,
    #[serde(default)]
    scripts: BTreeMap<String, Located<String>>,
}

/// The lock in a text; `name` is its path, for messages.
pub fn decode(name: &str, bytes: &[u8]) -> Result<Lock, LockError> {
    let document = Document::from_bytes(name, bytes)?;
    // Before everything else: a lock of another format has other keys.
    let raw: RawLock = match document.decode() {
        Ok(raw) => raw,
        Err(error) => return Err(other_format(&document).unwrap_or(error).into()),
    };
    check_format(&document, &raw.version)?;
    let mut lock = Lock::default();
    for package in raw.package {
        let at = package.name.clone();
        let package = decode_package(&document, package)?;
        if let Some(twice) = lock.packages.insert(package.key(), package) {
            return Err(document
                .error(&at, format!("{} {} of {} is here twice", twice.name, twice.version, twice.repository))
                .into());
        }
    }
    for (name, profile) in raw.profile {
        let profile = decode_profile(&document, &lock, profile)?;
        lock.profiles.insert(name, profile);
    }
    Ok(lock)
}

fn check_format(document: &Document, version: &Located<i64>) -> Result<(), DocumentError> {
    if **version == FORMAT {
        return Ok(());
    }
    Err(document.error(version, format!("a lock of format {}, and this kmimage reads {FORMAT}", **version)))
}

/// The error that says so, if the text is a lock of another format.
fn other_format(document: &Document) -> Option<DocumentError> {
    #[derive(Deserialize)]
    struct OnlyVersion {
        version: Located<i64>,
    }
    let only: OnlyVersion = document.decode().ok()?;
    check_format(document, &only.version).err()
}

fn decode_profile(document: &Document, lock: &Lock, raw: RawProfile) -> Result<LockedProfile, DocumentError> {
    let releases = raw.releases.into_iter().map(|(name, date)| Ok((name, parsed(document, &date, DATE)?)));
    let packages = decode_chosen(document, lock, raw.packages)?;
    let kernel = match raw.kernel {
        Some(kernel) if !packages.contains_key(&*kernel) => {
            return Err(document.error(&kernel, "the kernel is not among the packages"));
        }
        kernel => kernel.map(Located::into_inner),
    };
    Ok(LockedProfile {
        date: parsed(document, &raw.date, DATE)?,
        request: parsed(document, &raw.request, DIGEST)?,
        kernel,
        releases: releases.collect::<Result<_, _>>()?,
        packages,
        boot: decode_chosen(document, lock, raw.boot)?,
    })
}

fn decode_chosen(document: &Document, lock: &Lock, raw: Vec<RawChosen>) -> Result<BTreeMap<String, Chosen>, DocumentError> {
    let mut all = BTreeMap::new();
    for raw in raw {
        let Some((name, version)) = raw.package.split_once('=') else {
            return Err(document.error(&raw.package, "a package is written `name=version`"));
        };
        let key = (raw.repository, name.to_owned(), version.to_owned());
        if !lock.packages.contains_key(&key) {
            return Err(document.error(&raw.package, format!("no `[[package]]` is {name} {version} of {}", key.0)));
        }
        let because = match (raw.needed_by, raw.relation) {
            (Some(package), Some(relation)) => Some(Because { package, relation }),
            (None, None) => None,
            _ => return Err(document.error(&raw.package, "`needed-by` and `relation` come together")),
        };
        let chosen = Chosen { version: key.2, repository: key.0, because };
        if all.insert(key.1, chosen).is_some() {
            return Err(document.error(&raw.package, format!("{name} is here twice")));
        }
    }
    Ok(all)
}

fn decode_package(document: &Document, raw: RawPackage) -> Result<LockedPackage, DocumentError> {
    let must =
        |fits: bool, value: &Located<String>, message: &str| if fits { Ok(()) } else { Err(document.error(value, message)) };
    must(is_package_name(&raw.name), &raw.name, "not a package name (letters, digits, `+ - . _`)")?;
    must(is_package_name(&raw.architecture), &raw.architecture, "not an architecture's name")?;
    must(is_repository_path(&raw.path), &raw.path, "not a path inside the repository")?;
    if let Err(error) = Version::parse(&raw.version) {
        return Err(document.error(&raw.version, error.to_string()));
    }
    let Some((source_name, source_version)) = raw.source.split_once('=') else {
        return Err(document.error(&raw.source, "a source package is written `name=version`"));
    };
    let scripts = raw.scripts.into_iter().map(|(name, digest)| Ok((name, parsed(document, &digest, DIGEST)?)));
    Ok(LockedPackage {
        source: Source { name: source_name.to_owned(), version: source_version.to_owned() },
        scripts: scripts.collect::<Result<_, _>>()?,
        sha256: parsed(document, &raw.sha256, DIGEST)?,
        repository: raw.repository,
        name: raw.name.into_inner(),
        version: raw.version.into_inner(),
        architecture: raw.architecture.into_inner(),
        path: raw.path.into_inner(),
        size: raw.size.into_inner(),
    })
}

const DATE: &str = "not a time such as 2026-11-20T08:12:33Z";
const DIGEST: &str = "not a SHA-256 digest (64 hexadecimal digits)";

fn parsed<T: FromStr>(document: &Document, value: &Located<String>, message: &str) -> Result<T, DocumentError> {
    value.parse().map_err(|_| document.error(value, message))
}
