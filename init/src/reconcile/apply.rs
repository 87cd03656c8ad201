//! The doing: the one match over [`Action`].

use super::plan::Action;
use crate::desired::{Content, EtcFile};
use crate::modules::{Loader, ModuleError};
use crate::storage::places::{self, BINDS, PlaceError};
use kmimage_contract::paths;
use kmimage_sys::mount::{self, Restrictions};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// An action that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A module that is not there, or that the kernel refuses.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// A file that could not be made.
    #[error("{step} {}", path.display())]
    File {
        /// What was tried.
        step: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A kernel parameter that is not there.
    #[error("the kernel has no such parameter (a module may be missing that brings it)")]
    NoParameter,
    /// A name that the kernel refuses.
    #[error("the kernel refuses the name")]
    Name(#[source] io::Error),
    /// A place below /etc that could not be mounted.
    #[error(transparent)]
    Places(#[from] PlaceError),
}

/// Where the files that are laid over /etc lie.
pub(super) fn etc_folder() -> PathBuf {
    Path::new(paths::RUN).join("etc")
}

/// Where the image's own /etc can still be seen. It is there when something has been laid over /etc.
pub(super) fn image_etc() -> PathBuf {
    Path::new(paths::RUN).join("image-etc")
}

/// Does it.
pub(super) fn apply(action: &Action) -> Result<(), ApplyError> {
    match action {
        Action::WriteInput { path, content } => write_input(Path::new(path), content.reveal()),
        Action::SetHostname { name } => set_hostname(name),
        Action::LoadModule { name } => Ok(Loader::open().load(name).map(drop)?),
        Action::SetSysctl { path, value } => set_sysctl(path, value),
        Action::LayEtc { files } => lay_etc(files),
    }
}

fn at<'a>(step: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> ApplyError + 'a {
    move |source| ApplyError::File { step, path: path.to_owned(), source }
}

/// Writes a file that only root reads, beside its place, and moves it there.
fn write_input(path: &Path, text: &str) -> Result<(), ApplyError> {
    let beside = path.with_extension("new");
    let write = || {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, path)
    };
    write().map_err(at("writing", path))
}

/// Gives the kernel the name, and the file that /etc/hostname leads to.
pub fn set_hostname(name: &str) -> Result<(), ApplyError> {
    kmimage_sys::host::set_name(name).map_err(ApplyError::Name)?;
    let folder = Path::new(paths::NET);
    let path = folder.join("hostname");
    let write = || {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        let beside = folder.join("hostname.new");
        fs::write(&beside, format!("{name}\n"))?;
        fs::set_permissions(&beside, Permissions::from_mode(0o644))?;
        fs::rename(&beside, &path)
    };
    write().map_err(at("writing", &path))
}

fn set_sysctl(path: &str, value: &str) -> Result<(), ApplyError> {
    let path = Path::new("/proc/sys").join(path);
    match File::options().write(true).open(&path).and_then(|mut file| file.write_all(value.as_bytes())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ApplyError::NoParameter),
        result => result.map_err(at("writing", &path)),
    }
}

/// Builds the files, complete, and mounts them over the image's /etc: read-only, because there is no place to write to.
fn lay_etc(files: &BTreeMap<String, EtcFile>) -> Result<(), ApplyError> {
    let (etc, image, folder) = (Path::new("/etc"), image_etc(), etc_folder());
    if !image.is_dir() {
        fs::create_dir(&image).map_err(at("making", &image))?;
        mount::bind(etc, &image).map_err(at("mounting", &image))?;
    }
    // What lies over /etc now goes on using the old folder until the last who looks at it has gone.
    let new = folder.with_extension("new");
    let _ = fs::remove_dir_all(&new);
    build(files, &new, &image)?;
    let old = folder.with_extension("old");
    let _ = fs::remove_dir_all(&old);
    match fs::rename(&folder, &old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at("moving", &folder)(error)),
        _ => {}
    }
    fs::rename(&new, &folder).map_err(at("moving", &new))?;
    Loader::open().load("overlay")?;
    // What is mounted below would be hidden, and counted as there.
    for bind in BINDS.iter().filter(|bind| Path::new(bind.target).starts_with(etc)) {
        let _ = mount::detach(Path::new(bind.target));
    }
    let options = format!("lowerdir={}:{}", folder.display(), image.display());
    let restrictions = Restrictions { read_only: true, no_suid: true, no_dev: true, no_exec: false };
    mount::mount("etc", etc, "overlay", restrictions, &options).map_err(at("mounting", etc))?;
    Ok(places::bind_below_etc()?)
}

fn build(files: &BTreeMap<String, EtcFile>, folder: &Path, image: &Path) -> Result<(), ApplyError> {
    make_folders(folder).map_err(at("making", folder))?;
    for (path, file) in files {
        let Ok(below) = Path::new(path).strip_prefix("/etc") else { continue };
        let to = folder.join(below);
        let parent = to.parent().unwrap_or(folder);
        make_folders(parent).map_err(at("making", parent))?;
        write_file(&to, file, &image.join(below)).map_err(at("writing", &to))?;
    }
    Ok(())
}

/// As /etc's own folders are, whoever made them.
fn make_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(folder)
}

fn write_file(to: &Path, file: &EtcFile, image: &Path) -> io::Result<()> {
    let bytes = match &file.content {
        Content::Link(target) => return symlink(target, to),
        Content::Text(text) => text.reveal().as_bytes().to_vec(),
        Content::Behind(behind) => {
            let mut bytes = fs::read(image)?;
            bytes.extend_from_slice(behind.as_bytes());
            bytes
        }
    };
    // Not even for a moment does it have other rights than it should.
    let mut new = File::options().write(true).create_new(true).mode(file.mode).open(to)?;
    new.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::machine_config::Secret;

    #[test]
    fn the_folder_has_exactly_what_was_asked_for() {
        let root = std::env::temp_dir().join(format!("kmimage-etc-{}", std::process::id()));
        let (image, folder) = (root.join("image"), root.join("etc"));
        fs::create_dir_all(image.join("ssl")).unwrap();
        fs::write(image.join("ssl/bundle"), "image\n").unwrap();
        let file = |mode, content| EtcFile { mode, content };
        let files = BTreeMap::from([
            ("/etc/a/b/secret".to_owned(), file(0o600, Content::Text(Secret::new("x")))),
            ("/etc/resolv.conf".to_owned(), file(0o777, Content::Link("/run/x".to_owned()))),
            ("/etc/ssl/bundle".to_owned(), file(0o644, Content::Behind("own\n".to_owned()))),
        ]);
        build(&files, &folder, &image).unwrap();
        assert_eq!(fs::read_to_string(folder.join("a/b/secret")).unwrap(), "x");
        assert_eq!(fs::metadata(folder.join("a/b/secret")).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_link(folder.join("resolv.conf")).unwrap(), Path::new("/run/x"));
        assert_eq!(fs::read_to_string(folder.join("ssl/bundle")).unwrap(), "image\nown\n");
        // A file where another needs a folder is an error that names it.
        let clash = BTreeMap::from([
            ("/etc/x".to_owned(), file(0o644, Content::Text(Secret::new("")))),
            ("/etc/x/y".to_owned(), file(0o644, Content::Text(Secret::new("")))),
        ]);
        let error = build(&clash, &root.join("clash"), &image).unwrap_err().to_string();
        assert!(error.starts_with("making ") && error.ends_with("clash/x"), "{error}");
        fs::remove_dir_all(&root).unwrap();
    }
}
