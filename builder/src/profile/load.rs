//! From a profile's name to the [`Profile`]: the chain of what it extends is read, with the extensions on the way; all is merged and
//! judged.

use super::error::ProfileError;
use super::library::{Found, Library, Shelf};
use super::merge::merge;
use super::model::Profile;
use super::raw::RawProfile;
use super::validate::{Context, validate};
use kmimage_contract::toml_document::{Document, DocumentError, Located, nearest};
use std::collections::BTreeMap;

/// Reads the profile `name` and all that it extends and takes.
pub fn load(library: &Library, name: &str) -> Result<Profile, ProfileError> {
    let chain = ancestors(library, name)?;
    let eldest = chain.first().map(|link| link.name.clone()).unwrap_or_default();
    let layers = with_extensions(library, chain)?;
    let context = Context {
        library,
        name: name.to_owned(),
        eldest,
        files: layers.iter().map(|link| link.file.clone()).collect(),
        folders: layers.iter().map(|link| link.folder.clone()).collect(),
    };
    let merged = merge(layers.into_iter().map(|link| (link.document, link.raw)).collect())?;
    validate(&merged, context)
}

/// The profile and what it extends, the farthest ancestor first.
fn ancestors(library: &Library, name: &str) -> Result<Vec<Link>, ProfileError> {
    let Some(found) = library.find(Shelf::Profiles, name)? else { return Err(library.unknown(name)) };
    let mut chain = vec![link(name, found)?];
    while let Some(parent) = chain.last().and_then(|link| link.raw.extends.clone()) {
        let Some(child) = chain.last() else { break };
        if chain.iter().any(|link| link.name == *parent) {
            let path: Vec<&str> = chain.iter().skip_while(|link| link.name != *parent).map(|link| link.document.name()).collect();
            let message = match path.as_slice() {
                [_] => "a profile cannot extend itself".to_owned(),
                _ => format!("these profiles extend each other: {} -> {}", path.join(" -> "), path.first().unwrap_or(&"")),
            };
            return Err(child.document.error(&parent, message).into());
        }
        let parent = named(library, Shelf::Profiles, child, &parent)?;
        chain.push(parent);
    }
    chain.reverse();
    Ok(chain)
}

/// The chain, and before each profile the extensions that it takes.
fn with_extensions(library: &Library, chain: Vec<Link>) -> Result<Vec<Link>, ProfileError> {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut layers = Vec::new();
    for profile in chain {
        for name in &profile.raw.extensions {
            let extension = named(library, Shelf::Extensions, &profile, name)?;
            if let Some(place) = taken.insert((**name).clone(), profile.document.place(name.span())) {
                return Err(profile
                    .document
                    .error(name, format!("the extension `{}` was taken already, at {place}", **name))
                    .into());
            }
            extension.refuse_what_is_a_profiles()?;
            layers.push(extension);
        }
        layers.push(profile);
    }
    Ok(layers)
}

/// What a profile names.
fn named(library: &Library, shelf: Shelf, by: &Link, name: &Located<String>) -> Result<Link, ProfileError> {
    if let Some(found) = library.find(shelf, name)? {
        return Ok(link(name, found)?);
    }
    let known = library.names(shelf)?;
    let hint = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "there are none".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    };
    let message = format!("there is no {} `{}`; {hint}", shelf.what(), **name);
    Err(by.document.error(name, message).into())
}

struct Link {
    name: String,
    document: Document,
    raw: RawProfile,
    file: super::model::SourceFile,
    folder: Option<std::path::PathBuf>,
}

impl Link {
    /// An extension combines with any profile: it has nothing to say of which.
    fn refuse_what_is_a_profiles(&self) -> Result<(), DocumentError> {
        let keys = [("extends", &self.raw.extends), ("role", &self.raw.role)];
        let single = keys.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let refused = single.chain(self.raw.extensions.first().map(|name| ("extensions", name))).next();
        match refused {
            Some((key, value)) => {
                Err(self.document.error(value, format!("an extension has no `{key}`: it adds to the profile that takes it")))
            }
            None => Ok(()),
        }
    }
}

fn link(name: &str, found: Found) -> Result<Link, DocumentError> {
    let raw = found.document.decode()?;
    Ok(Link { name: name.to_owned(), document: found.document, raw, file: found.file, folder: found.folder })
}
