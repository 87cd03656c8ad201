//! From a profile's name to the [`Profile`]: the chain of what it extends is read, merged and judged.

use super::error::ProfileError;
use super::library::{Found, Library};
use super::merge::merge;
use super::model::Profile;
use super::raw::RawProfile;
use super::validate::{Context, validate};
use kmimage_contract::toml_document::{Document, nearest};

/// Reads the profile `name` and all that it extends.
pub fn load(library: &Library, name: &str) -> Result<Profile, ProfileError> {
    let Some(found) = library.find(name)? else { return Err(library.unknown(name)) };
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
        let Some(found) = library.find(&parent)? else {
            let known = library.names()?;
            let hint = match nearest(&parent, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", known.join(", ")),
            };
            let message = format!("there is no profile `{}`; {hint}", *parent);
            return Err(child.document.error(&parent, message).into());
        };
        let parent = link(&parent, found)?;
        chain.push(parent);
    }
    chain.reverse();

    let context = Context {
        library,
        name: name.to_owned(),
        eldest: chain.first().map(|link| link.name.clone()).unwrap_or_default(),
        files: chain.iter().map(|link| link.file.clone()).collect(),
        folders: chain.iter().map(|link| link.folder.clone()).collect(),
    };
    let merged = merge(chain.into_iter().map(|link| (link.document, link.raw)).collect())?;
    validate(&merged, context)
}

struct Link {
    name: String,
    document: Document,
    raw: RawProfile,
    file: super::model::SourceFile,
    folder: Option<std::path::PathBuf>,
}

fn link(name: &str, found: Found) -> Result<Link, ProfileError> {
    let raw = found.document.decode()?;
    Ok(Link { name: name.to_owned(), document: found.document, raw, file: found.file, folder: found.folder })
}
