//! What is, as far as a wish asks for it.

use super::apply::etc_folder;
use crate::desired::{Content, Desired, EtcFile};
use crate::facts;
use kmimage_contract::machine_config::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// The machine's name, as the kernel has it.
    pub hostname: String,
    /// Modules that are loaded, of those that are wanted.
    pub modules: BTreeSet<String>,
    /// Kernel parameters that are there, of those that are wanted.
    pub sysctls: BTreeMap<String, String>,
    /// Files for children that are there. They may hold secrets.
    pub inputs: BTreeMap<String, String>,
    /// What lies over the image's /etc. `None`: nothing does.
    pub etc: Option<BTreeMap<String, EtcFile>>,
}

impl Observed {
    /// Looks at the machine.
    pub fn read(wish: &Desired) -> Self {
        let text = |path: &Path| fs::read_to_string(path).ok();
        let sysctls = wish.sysctls.iter().filter_map(|(path, _)| Some((path.clone(), text(&Path::new("/proc/sys").join(path))?)));
        let inputs = wish.inputs.keys().filter_map(|path| Some(((*path).to_owned(), text(Path::new(path))?)));
        let loaded = |name: &&String| Path::new("/sys/module").join(name).join("initstate").exists();
        Self {
            hostname: text(Path::new("/proc/sys/kernel/hostname")).unwrap_or_default().trim().to_owned(),
            modules: wish.modules.iter().filter(loaded).cloned().collect(),
            sysctls: sysctls.collect(),
            inputs: inputs.collect(),
            etc: is_laid().then(|| read_etc(wish)),
        }
    }
}

/// Whether something lies over the image's /etc.
fn is_laid() -> bool {
    facts::mounts::read().unwrap_or_default().iter().any(|mount| mount.target == Path::new("/etc"))
}

/// The wanted files that lie there as they are wanted; one that is otherwise, or not wanted, makes the whole differ.
fn read_etc(wish: &Desired) -> BTreeMap<String, EtcFile> {
    let folder = etc_folder();
    let mut found = BTreeMap::new();
    for path in files_below(&folder) {
        let Ok(below) = path.strip_prefix(&folder) else { continue };
        let name = format!("/etc/{}", below.display());
        let wanted = wish.etc.get(&name);
        found.insert(name, read_file(&path, wanted));
    }
    found
}

fn read_file(path: &Path, wanted: Option<&EtcFile>) -> EtcFile {
    let mode = fs::symlink_metadata(path).map_or(0, |metadata| metadata.permissions().mode() & 0o7777);
    if let Ok(target) = fs::read_link(path) {
        return EtcFile { mode: 0o777, content: Content::Link(target.display().to_string()) };
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    // The image's own part can't change while it runs: only what is behind it counts.
    match wanted.map(|wanted| &wanted.content) {
        Some(Content::Behind(behind)) if text.ends_with(behind.as_str()) => {
            EtcFile { mode, content: Content::Behind(behind.clone()) }
        }
        _ => EtcFile { mode, content: Content::Text(Secret::new(text)) },
    }
}

/// All files and links below a folder.
fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
        if is_folder { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}
