//! What an image holds, as far as the file that names it says.

use crate::emit::files_tsv::{self, Row};
use crate::show::disk::root_partitions;
use crate::show::listing::{self, FileFacts};
use crate::show::source::{FileSource, Source, Window, read_some};
use crate::show::{ShowError, Shown, decode, folder_manifest, qcow2};
use kmimage_contract::manifest::{ContainerImage, Manifest};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

/// A file list larger than this is none.
const MOST_LIST: u64 = 256 << 20;

/// What an image holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Facts of the image as a whole, by name.
    pub image: BTreeMap<&'static str, String>,
    /// Versions by package name.
    pub packages: Option<BTreeMap<String, String>>,
    /// Manifests' digests by the names of the container images.
    pub container_images: Option<BTreeMap<String, String>>,
    /// Files by path, escaped as in `.files.tsv`.
    pub files: Option<BTreeMap<String, FileFacts>>,
    /// True if files have their SHA-256.
    pub hashed: bool,
    /// Bytes of the artefacts, by their ending (`raw`, `root.squashfs`).
    pub artefacts: BTreeMap<String, u64>,
}

impl Contents {
    /// Sizes by name: the artefacts', and of all files in the root together.
    pub(super) fn sizes(&self) -> BTreeMap<String, u64> {
        let mut sizes = self.artefacts.clone();
        if let Some(files) = &self.files {
            sizes.insert("files".to_owned(), files.values().filter_map(|facts| facts.size).sum());
        }
        sizes
    }
}

/// Reads an output folder, a manifest (with the `.files.tsv` beside it), a root image or a disk image.
pub fn read(path: &Path) -> Result<Contents, ShowError> {
    let at = |source| ShowError::Read { path: path.to_owned(), source };
    if fs_err::metadata(path).map_err(at)?.is_dir() {
        let (manifest_path, manifest) = folder_manifest(path)?;
        return of_manifest(&manifest_path, &manifest);
    }
    match decode(path)? {
        Shown::Manifest(manifest) => of_manifest(path, &manifest),
        Shown::Squashfs(_) => of_root(path, &File::open(path).map_err(at)?, 0),
        Shown::Disk(disk) => {
            let Some((offset, size)) = root_partitions(&disk).next() else {
                return Err(decode_error(path, "a disk image", "it has no partition with a root image".into()));
            };
            let file = File::open(path).map_err(at)?;
            if disk.format == "raw" {
                return of_root(path, &file, offset);
            }
            // The reader of squashfs wants a file: the root is taken out of the qcow2 into one without a name.
            let image = FileSource::new(file).map_err(at)?;
            let disk = qcow2::Qcow2::open(&image).map_err(|error| decode_error(path, "a qcow2 disk image", error.into()))?;
            of_root(path, &spool(&Window::new(&disk, offset, size)).map_err(at)?, 0)
        }
        _ => Err(ShowError::Unknown(path.to_owned())),
    }
}

fn decode_error(path: &Path, what: &'static str, source: Box<dyn std::error::Error + Send + Sync>) -> ShowError {
    ShowError::Decode { path: path.to_owned(), what, source }
}

fn spool(source: &dyn Source) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    let mut at = 0;
    while at < source.size() {
        let bytes = read_some(source, at, 4 << 20)?;
        at += bytes.len() as u64;
        if crate::zeros::is_zero(&bytes) {
            file.set_len(at)?;
            io::Seek::seek(&mut file, io::SeekFrom::Start(at))?;
        } else {
            file.write_all(&bytes)?;
        }
    }
    Ok(file)
}

fn of_manifest(path: &Path, manifest: &Manifest) -> Result<Contents, ShowError> {
    let image = [
        ("image", manifest.image_id.clone()),
        ("version", manifest.image_version.clone()),
        ("role", manifest.role.clone()),
        ("kernel", manifest.kernel.clone()),
        ("init", manifest.init.sha256.clone()),
        ("builder", manifest.builder_version.clone()),
        ("epoch", manifest.epoch.to_string()),
        ("root hash", manifest.verity.root_hash.to_string()),
    ];
    let packages = manifest.packages.iter().chain(&manifest.boot_packages);
    let stem = format!("{}-{}-{}.", manifest.image_id, manifest.image_version, manifest.architecture);
    let artefacts = manifest.artefacts.iter();
    let mut contents = Contents {
        image: image.into(),
        packages: Some(packages.map(|package| (package.name.clone(), package.version.clone())).collect()),
        container_images: Some(container_images(manifest)),
        files: None,
        hashed: false,
        artefacts: artefacts.map(|(name, file)| (name.strip_prefix(&stem).unwrap_or(name).to_owned(), file.size)).collect(),
    };
    let list = path.with_extension("files.tsv");
    match fs_err::File::open(&list).and_then(|file| {
        let source = FileSource::new(file.into())?;
        if source.size() > MOST_LIST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 256 MiB"));
        }
        read_some(&source, 0, MOST_LIST)
    }) {
        Ok(bytes) => {
            let rows = files_tsv::parse(&String::from_utf8_lossy(&bytes))
                .map_err(|error| decode_error(&list, "a list of files", error.into()))?;
            contents.files = Some(rows.into_iter().map(of_row).collect());
            contents.hashed = true;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(ShowError::Read { path: list, source }),
    }
    Ok(contents)
}

fn container_images(manifest: &Manifest) -> BTreeMap<String, String> {
    let named = |image: &ContainerImage| {
        let digest = format!("sha256:{}", image.digest);
        image.names.clone().into_iter().map(move |name| (name, digest.clone())).collect::<Vec<_>>()
    };
    manifest.container_images.iter().flat_map(named).collect()
}

fn of_row(row: Row) -> (String, FileFacts) {
    let Row { path, kind, mode, owner, size, content, attributes, origin } = row;
    let facts = FileFacts { kind, mode, owner, size, content: Some(content), attributes: Some(attributes), origin: Some(origin) };
    (path, facts)
}

fn of_root(path: &Path, file: &File, offset: u64) -> Result<Contents, ShowError> {
    let files = listing::of_squashfs(file, offset).map_err(|error| decode_error(path, "a squashfs", error.into()))?;
    Ok(Contents { files: Some(files), ..Contents::default() })
}
