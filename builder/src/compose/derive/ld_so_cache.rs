//! ld.so.cache, and the links by soname, as ldconfig makes them.
//!
//! The format is glibc's `glibc-ld.so.cache1.1` alone (elf/cache.c, dl-cache.h), little-endian, without the optional extension section:
//! header, entries in ld.so's search order, strings. Libraries in `glibc-hwcaps` directories are not indexed: an image that wants
//! them needs the extension, and ld.so falls back to the plain ones. Only x86-64 libraries count.

use super::{DeriveError, library_directories, path, put_own, read};
use crate::compose::content::Content;
use crate::compose::facts::{Elf, ElfKind, Fact, Facts, MACHINE_X86_64};
use crate::compose::tree::{Entry, Kind, Origin, Tree, TreePath};
use std::cmp::Ordering;
use std::collections::BTreeMap;

const STEP: Origin = Origin::Derive("ld.so.cache");

/// `FLAG_ELF_LIBC6 | FLAG_X8664_LIB64`.
const FLAGS: u32 = 0x0303;
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// What one directory offers under one soname.
struct Library {
    file: Vec<u8>,
    is_link: bool,
}

/// Writes /etc/ld.so.cache, and /etc/ld.so.conf as libc-bin ships it where there is none.
pub fn derive(tree: &mut Tree, facts: &Facts) -> Result<(), DeriveError> {
    let conf = path("/etc/ld.so.conf")?;
    if tree.get(&conf).is_none() && tree.get(&path("/etc/ld.so.conf.d")?).is_some() {
        tree.insert(conf, Entry::file(Content::from_bytes(*b"include /etc/ld.so.conf.d/*.conf\n"), 0o644, STEP));
    }
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (written, directory) in library_directories(tree)? {
        let libraries = libraries_in(tree, facts, &directory);
        for (soname, library) in &libraries {
            if !library.is_link && library.file != *soname {
                let link = directory.join(soname).map_err(|source| DeriveError::Path { path: lossy(soname), source })?;
                if tree.get(&link).is_none() {
                    tree.insert(link, Entry::symlink(&library.file, STEP));
                }
            }
            entries.push((soname.clone(), [written.as_bytes(), b"/", soname].concat()));
        }
    }
    if entries.is_empty() {
        return Ok(());
    }
    // Highest first; of equals the directory that is searched first (the sort is stable).
    entries.sort_by(|(a, _), (b, _)| compare(b, a));
    put_own(tree, path("/etc/ld.so.cache")?, Entry::file(Content::from_bytes(encode(&entries)), 0o644, STEP))
}

/// By soname, what ldconfig takes from a directory: a file rather than a link, of two the higher name.
fn libraries_in(tree: &Tree, facts: &Facts, directory: &TreePath) -> BTreeMap<Vec<u8>, Library> {
    let mut libraries: BTreeMap<Vec<u8>, Library> = BTreeMap::new();
    for (at, entry) in tree.under(directory).filter(|(at, _)| at.parent().as_ref() == Some(directory)) {
        let name = at.name();
        if !is_library_name(name) {
            continue;
        }
        let Some(elf) = tree.resolve(at).and_then(|real| library(tree, facts, &real)) else { continue };
        let mut soname = elf.soname.as_ref().map_or_else(|| name.to_vec(), |soname| soname.clone().into_bytes());
        let mut is_link = matches!(entry.kind, Kind::Symlink(_));
        if is_link {
            // A link that is not called by the soname, nor the linker's libNAME.so of it, counts as a file.
            let for_linker = name.ends_with(b".so") && soname.starts_with(name);
            is_link = name == soname || for_linker;
            if is_link {
                soname = name.to_vec();
            }
        }
        let new = Library { file: name.to_vec(), is_link };
        match libraries.get_mut(&soname) {
            Some(known) => {
                if (!is_link && known.is_link) || (is_link == known.is_link && compare(&known.file, name) == Ordering::Less) {
                    *known = new;
                }
            }
            None => {
                libraries.insert(soname, new);
            }
        }
    }
    libraries
}

fn library<'a>(tree: &Tree, facts: &'a Facts, at: &TreePath) -> Option<&'a Elf> {
    let Kind::File(content) = &tree.get(at)?.kind else { return None };
    match facts.of(at, content)? {
        Fact::Elf(elf) if elf.class == 64 && elf.machine == MACHINE_X86_64 && elf.dynamic => {
            matches!(elf.kind, ElfKind::SharedLibrary | ElfKind::Executable).then_some(elf)
        }
        _ => None,
    }
}

fn is_library_name(name: &[u8]) -> bool {
    (name.starts_with(b"lib") || name.starts_with(b"ld-"))
        && memchr::memmem::find(name, b".so").is_some()
        && !name.ends_with(b".py")
}

/// glibc's `_dl_cache_libcmp`: digits by value. ld.so searches the cache by halving with this very order.
fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.first(), b.first()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, rest_a) = number(a);
                let (y, rest_b) = number(b);
                if x != y {
                    return x.cmp(&y);
                }
                (a, b) = (rest_a, rest_b);
            }
            (Some(x), Some(_)) if x.is_ascii_digit() => return Ordering::Greater,
            (Some(_), Some(y)) if y.is_ascii_digit() => return Ordering::Less,
            (Some(x), Some(y)) if x == y => (a, b) = (&a[1..], &b[1..]),
            // As C does: a text that ended counts as a zero byte, other bytes as signed.
            (x, y) => return x.map_or(0, |&x| x as i8).cmp(&y.map_or(0, |&y| y as i8)),
        }
        if a.is_empty() && b.is_empty() {
            return Ordering::Equal;
        }
    }
}

/// The number that `text` begins with, wrapping as C's `int` does, and what follows it.
fn number(text: &[u8]) -> (i32, &[u8]) {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(len);
    (digits.iter().fold(0i32, |value, digit| value.wrapping_mul(10).wrapping_add(i32::from(digit - b'0'))), rest)
}

fn encode(entries: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    // A soname is the end of its path: one string serves both, the key pointing into the value.
    let mut strings: Vec<u8> = Vec::new();
    let mut rows = Vec::with_capacity(entries.len() * ENTRY);
    let strings_at = HEADER + entries.len() * ENTRY;
    for (soname, value) in entries {
        let value_at = strings_at + strings.len();
        let key_at = value_at + value.len() - soname.len();
        strings.extend_from_slice(value);
        strings.push(0);
        for word in [FLAGS, key_at as u32, value_at as u32, 0] {
            rows.extend_from_slice(&word.to_le_bytes());
        }
        rows.extend_from_slice(&0u64.to_le_bytes());
    }
    let mut bytes = b"glibc-ld.so.cache1.1".to_vec();
    bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(strings.len() as u32).to_le_bytes());
    // Little-endian; no extension section.
    bytes.extend_from_slice(&[2, 0, 0, 0]);
    bytes.resize(HEADER, 0);
    bytes.extend_from_slice(&rows);
    bytes.extend_from_slice(&strings);
    bytes
}

/// What /etc/ld.so.cache says: soname -> path, of several the first. Empty if there is none, or none of our format.
pub(crate) fn library_cache(tree: &Tree) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, DeriveError> {
    Ok(read(tree, &path("/etc/ld.so.cache")?)?.and_then(|bytes| decode(&bytes)).unwrap_or_default())
}

fn decode(bytes: &[u8]) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize);
    let string = |at: usize| bytes.get(at..)?.split(|&byte| byte == 0).next();
    if !bytes.starts_with(b"glibc-ld.so.cache1.1") {
        return None;
    }
    let mut libraries = BTreeMap::new();
    for row in bytes.get(HEADER..)?.chunks_exact(ENTRY).take(word(20)?).enumerate().map(|(at, _)| HEADER + at * ENTRY) {
        let (key, value) = (string(word(row + 4)?)?, string(word(row + 8)?)?);
        libraries.entry(key.to_vec()).or_insert_with(|| value.to_vec());
    }
    Some(libraries)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
