//! The repositories of a merged profile: each is one of three whole forms (suites, flat, directory), never a mixture.

use super::error::ProfileError;
use super::merge::{Merged, Written};
use super::model::{Keyring, Layout, Location, Repository, Source, Trust, Versions};
use super::raw::RawRepository;
use super::validate::{Context, Once, unknown_name, value_in};
use super::{values, versions};
use crate::hash::Sha256Digest;
use kmimage_contract::toml_document::{DocumentError, Located};

type Text = Located<String>;
type Item = Written<RawRepository>;

pub(super) fn repositories(merged: &Merged, versions: &Versions, context: &Context<'_>) -> Result<Vec<Repository>, ProfileError> {
    let address = |document, text: &Text, judge: fn(&str) -> Result<String, String>| {
        let judged = versions::filled(versions, text).and_then(|text| judge(&text));
        judged.map_err(|message| merged.error_in(document, text, message))
    };
    let mut once = Once::new(merged, "repository");
    let mut repositories = Vec::new();
    for item in &merged.repositories {
        let name = value_in(merged, item.document, &item.name, values::name)?;
        once.see(item.document, &item.name, name.clone())?;
        let source = match &item.directory {
            Some(directory) => directory_source(merged, item, directory, context)?,
            None => Source::Signed {
                location: location(merged, item, &address)?,
                layout: layout(merged, item)?,
                trust: trust(merged, item, context, &address)?,
            },
        };
        let snapshot = match &item.snapshot {
            None => None,
            Some(text) => Some(address(item.document, text, snapshot)?),
        };
        repositories.push(Repository { name, source, snapshot });
    }
    Ok(repositories)
}

fn directory_source(merged: &Merged, item: &Item, directory: &Text, context: &Context<'_>) -> Result<Source, DocumentError> {
    let RawRepository { name: _, uris, suites, components, flat, keyrings, fingerprint, key_uri, snapshot, directory: _ } =
        &item.item;
    let lists = [("uris", uris), ("suites", suites), ("components", components), ("keyrings", keyrings)];
    let singles = [("fingerprint", fingerprint), ("key-uri", key_uri), ("snapshot", snapshot)];
    let mut others: Vec<(&str, &Text)> = Vec::new();
    others.extend(lists.iter().filter_map(|(key, list)| Some((*key, list.first()?))));
    others.extend(singles.iter().filter_map(|(key, single)| Some((*key, single.as_ref()?))));
    if let Some((key, at)) = others.first() {
        return Err(merged.error_in(item.document, *at, format!("a repository with a `directory` has no `{key}`")));
    }
    if let Some(flat) = flat {
        return Err(merged.error_in(item.document, flat, "a repository with a `directory` has no `flat`"));
    }
    let folder = context.folders.get(item.document).and_then(Option::as_ref);
    match folder {
        Some(folder) if !directory.is_empty() => Ok(Source::Directory(folder.join(&**directory))),
        Some(_) => Err(merged.error_in(item.document, directory, "this must name a folder")),
        None => Err(merged.error_in(item.document, directory, "an embedded profile has no folder to look in")),
    }
}

/// Puts versions into an address, and judges it where it was written.
type Address<'a> = dyn Fn(usize, &Text, fn(&str) -> Result<String, String>) -> Result<String, DocumentError> + 'a;

fn location(merged: &Merged, item: &Item, address: &Address<'_>) -> Result<Location, DocumentError> {
    let Some(first) = item.uris.first() else {
        let message = "where is this repository? Give `uris` or a `directory`";
        return Err(merged.error_in(item.document, &item.name, message));
    };
    let alias = |text: &Text| match text.as_str() {
        "debian-mirror" => Some(Location::DebianMirror),
        "debian-security-mirror" => Some(Location::DebianSecurityMirror),
        _ => None,
    };
    if let (Some(location), 1) = (alias(first), item.uris.len()) {
        return Ok(location);
    }
    let mut uris = Vec::new();
    for text in &item.uris {
        if alias(text).is_some() {
            return Err(merged.error_in(item.document, text, format!("`{}` stands alone in `uris`", **text)));
        }
        uris.push(address(item.document, text, values::uri)?);
    }
    Ok(Location::Uris(uris))
}

fn layout(merged: &Merged, item: &Item) -> Result<Layout, DocumentError> {
    if item.flat.as_ref().is_some_and(|flat| **flat) {
        return match item.suites.first().or(item.components.first()) {
            None => Ok(Layout::Flat),
            Some(text) => Err(merged.error_in(item.document, text, "a flat repository has neither suites nor components")),
        };
    }
    if item.suites.is_empty() || item.components.is_empty() {
        let message = "a repository needs `suites` and `components`, or `flat = true`";
        return Err(merged.error_in(item.document, &item.name, message));
    }
    let words = |texts: &[Text], what| {
        let mut once = Once::new(merged, what);
        let mut words = Vec::new();
        for text in texts {
            let word = value_in(merged, item.document, text, values::suite)?;
            once.see(item.document, text, word.clone())?;
            words.push(word);
        }
        Ok(words)
    };
    Ok(Layout::Suites { suites: words(&item.suites, "suite")?, components: words(&item.components, "component")? })
}

fn trust(merged: &Merged, item: &Item, context: &Context<'_>, address: &Address<'_>) -> Result<Trust, ProfileError> {
    match (&item.fingerprint, &item.key_uri, item.keyrings.is_empty()) {
        (None, None, false) => Ok(Trust::Keyrings(keyrings(merged, item, context)?)),
        (Some(fingerprint), Some(key_uri), true) => Ok(Trust::Pinned {
            fingerprint: value_in(merged, item.document, fingerprint, values::fingerprint)?,
            key_uri: address(item.document, key_uri, values::uri)?,
        }),
        _ => {
            let message = "why is this repository believed? Give either `keyrings`, or `fingerprint` and `key-uri`";
            Err(merged.error_in(item.document, &item.name, message).into())
        }
    }
}

fn keyrings(merged: &Merged, item: &Item, context: &Context<'_>) -> Result<Vec<Keyring>, ProfileError> {
    let mut once = Once::new(merged, "keyring");
    let mut keyrings = Vec::new();
    for text in &item.keyrings {
        let name = value_in(merged, item.document, text, file_name)?;
        once.see(item.document, text, name.clone())?;
        let Some(bytes) = context.library.keyring(&name)? else {
            let known = context.library.keyring_names();
            return Err(unknown_name(merged, item.document, text, "keyring", known.iter().map(String::as_str)).into());
        };
        keyrings.push(Keyring { name, sha256: Sha256Digest::of(&bytes), bytes: bytes.into() });
    }
    Ok(keyrings)
}

fn file_name(text: &str) -> Result<String, String> {
    let ends = [".gpg", ".asc", ".pgp"].iter().any(|end| text.ends_with(end));
    if !ends || text.contains('/') || text.starts_with('.') {
        return Err(format!("`{text}` is no file of profiles/keyrings (.gpg, .pgp or .asc)"));
    }
    Ok(text.to_owned())
}

fn snapshot(text: &str) -> Result<String, String> {
    if text.matches("{date}").count() != 1 {
        return Err(format!("`{text}` must hold `{{date}}` once"));
    }
    values::uri(text)
}
