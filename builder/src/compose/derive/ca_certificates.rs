//! The bundle of trusted certificates, /etc/ssl/certs/ca-certificates.crt, byte for byte as update-ca-certificates writes it.
//!
//! Which certificates: those that /etc/ca-certificates.conf names, in its order; without that file (a maintainer script makes it) every
//! one below /usr/share/ca-certificates by path; then every one below /usr/local/share/ca-certificates by path.
//!
//! The bundle alone is made, not the link per certificate nor OpenSSL's links by name hash: Go, Rust and curl open the bundle, and a
//! Go program that finds single certificates beside it parses everything twice.

use super::{DeriveError, files_below, path, put_unless_overlaid, read, text_at};
use crate::compose::content::Content;
use crate::compose::tree::{Entry, Kind, Origin, Tree, TreePath};

const STEP: Origin = Origin::Derive("ca-certificates");

/// Writes the bundle; a tree without certificates gets none.
pub fn derive(tree: &mut Tree) -> Result<(), DeriveError> {
    let mut bundle = Vec::new();
    for certificate in certificates(tree)? {
        let Some(bytes) = read(tree, &certificate)? else { continue };
        bundle.extend_from_slice(&bytes);
        if bytes.last().is_some_and(|&byte| byte != b'\n') {
            bundle.push(b'\n');
        }
    }
    if !bundle.is_empty() {
        let entry = Entry::file(Content::from_bytes(bundle), 0o644, STEP);
        put_unless_overlaid(tree, path("/etc/ssl/certs/ca-certificates.crt")?, entry);
    }
    Ok(())
}

fn certificates(tree: &Tree) -> Result<Vec<TreePath>, DeriveError> {
    let shipped = path("/usr/share/ca-certificates")?;
    let mut certificates = Vec::new();
    match text_at(tree, &path("/etc/ca-certificates.conf")?)? {
        Some(text) => {
            for name in text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])) {
                let certificate =
                    shipped.join(name.trim()).map_err(|source| DeriveError::Path { path: name.to_owned(), source })?;
                if is_file(tree, &certificate) {
                    certificates.push(certificate);
                }
            }
        }
        None => certificates.extend(by_path(tree, &shipped)),
    }
    certificates.extend(by_path(tree, &path("/usr/local/share/ca-certificates")?));
    Ok(certificates)
}

/// In the order of `sort` in the C locale: by bytes, where a tree's own order is by component.
fn by_path(tree: &Tree, directory: &TreePath) -> Vec<TreePath> {
    let mut found: Vec<TreePath> = files_below(tree, directory, b".crt").cloned().collect();
    found.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    found
}

fn is_file(tree: &Tree, path: &TreePath) -> bool {
    tree.resolve(path).and_then(|path| tree.get(&path)).is_some_and(|entry| matches!(entry.kind, Kind::File(_)))
}
