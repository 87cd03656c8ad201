//! The initramfs: one static binary, the modules that reach a disk, and nothing else.
//!
//! A newc cpio archive (crate `cpio`) in one zstd frame. Modules are as in the root, not packed by themselves: the archive is no larger
//! for it, and the kernel loads them many times faster than it would unpack each. Init gives the memory back. The bytes depend on the
//! contents alone: times are zero, inode numbers count up, the compressor runs in one thread.

use crate::compose::content::Content;
use crate::compose::tree::TreePath;
use crate::failure::{Classified, Kind};
use cpio::newc::{Builder, ModeFileType, trailer};
use kmimage_contract::paths::{INITRAMFS_INIT, INITRAMFS_MODULES};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};

/// Directories that init mounts on, and the one of the console node.
const DIRECTORIES: [&str; 6] = ["dev", "proc", "run", "sys", "sysroot", "tmp"];

/// Why there is no initramfs.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// A module's bytes can't be read.
    #[error("can't read {path} for the initramfs")]
    Read {
        /// The path in the image.
        path: String,
        /// What happened.
        source: io::Error,
    },
    /// cpio has 32-bit sizes.
    #[error("{path} is too large for an initramfs ({size} bytes)")]
    TooLarge {
        /// The path in the image.
        path: String,
        /// Its size in bytes.
        size: u64,
    },
    /// The archive can't be written or compressed.
    #[error("can't compress the initramfs")]
    Compress(#[source] io::Error),
}

impl Classified for InitramfsError {
    fn kind(&self) -> Kind {
        match self {
            InitramfsError::Read { source, .. } | InitramfsError::Compress(source) => crate::failure::io_kind(source),
            InitramfsError::TooLarge { .. } => Kind::Policy,
        }
    }
}

/// A file of the initramfs: its path, as in the root, and its bytes.
#[derive(Debug, Clone)]
pub struct Module {
    /// Absolute path, in the image and in the initramfs.
    pub path: TreePath,
    /// The module as the root has it.
    pub content: Content,
}

/// What an initramfs is made of.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The static binary that becomes `/init`.
    pub init: &'a Content,
    /// Modules in load order: a module comes after those it needs. Tables of modules may be among them.
    pub modules: &'a [Module],
    /// zstd level.
    pub level: i32,
}

/// The compressed archive; the same inputs give the same bytes.
pub fn build(inputs: &Inputs<'_>) -> Result<Vec<u8>, InitramfsError> {
    let total: u64 = inputs.modules.iter().map(|module| module.content.len()).sum::<u64>() + inputs.init.len();
    let out = Vec::with_capacity(usize::try_from(total / 2).unwrap_or(0));
    let mut encoder = zstd::Encoder::new(out, inputs.level).map_err(InitramfsError::Compress)?;
    encoder.include_checksum(true).map_err(InitramfsError::Compress)?;
    let mut archive = Archive { out: encoder, next: 1 };

    let mut directories: BTreeSet<String> = DIRECTORIES.iter().map(|&name| name.to_owned()).collect();
    for module in inputs.modules {
        let mut parent = module.path.parent();
        while let Some(path) = parent.filter(|path| !path.is_root()) {
            directories.insert(relative(&path));
            parent = path.parent();
        }
    }
    let mut directories: Vec<String> = directories.into_iter().collect();
    // A directory before what it holds, whatever sorts between.
    directories.sort_by(|a, b| a.split('/').cmp(b.split('/')));
    for name in &directories {
        archive.add(name, ModeFileType::Directory, 0o755, None, io::empty(), 0)?;
    }
    archive.add("dev/console", ModeFileType::Char, 0o600, Some((5, 1)), io::empty(), 0)?;
    archive.add_content(INITRAMFS_INIT.trim_start_matches('/'), 0o755, inputs.init)?;
    let mut list = String::new();
    let mut seen = BTreeSet::new();
    for module in inputs.modules {
        if seen.insert(&module.path) {
            archive.add_content(&relative(&module.path), 0o644, &module.content)?;
            // The tables beside the modules are read, not loaded.
            if module.path.to_string().contains(".ko") {
                list.push_str(&format!("{}\n", module.path));
            }
        }
    }
    archive.add(
        INITRAMFS_MODULES.trim_start_matches('/'),
        ModeFileType::Regular,
        0o644,
        None,
        list.as_bytes(),
        list.len() as u64,
    )?;
    let encoder = trailer(archive.out).map_err(InitramfsError::Compress)?;
    encoder.finish().map_err(InitramfsError::Compress)
}

fn relative(path: &TreePath) -> String {
    path.to_string().trim_start_matches('/').to_owned()
}

struct Archive<W: Write> {
    out: W,
    next: u32,
}

impl<W: Write> Archive<W> {
    fn add_content(&mut self, name: &str, mode: u32, content: &Content) -> Result<(), InitramfsError> {
        self.add(name, ModeFileType::Regular, mode, None, content.reader(), content.len())
    }

    fn add(
        &mut self,
        name: &str,
        file_type: ModeFileType,
        mode: u32,
        device: Option<(u32, u32)>,
        mut data: impl Read,
        len: u64,
    ) -> Result<(), InitramfsError> {
        let size = u32::try_from(len).map_err(|_| InitramfsError::TooLarge { path: format!("/{name}"), size: len })?;
        let (major, minor) = device.unwrap_or((0, 0));
        let links = if matches!(file_type, ModeFileType::Directory) { 2 } else { 1 };
        let builder = Builder::new(name)
            .ino(self.next)
            .mode(mode)
            .set_mode_file_type(file_type)
            .nlink(links)
            .rdev_major(major)
            .rdev_minor(minor);
        self.next += 1;
        let mut writer = builder.write(&mut self.out, size);
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let n = data.read(&mut buffer).map_err(|source| InitramfsError::Read { path: format!("/{name}"), source })?;
            let Some(bytes) = buffer.get(..n).filter(|bytes| !bytes.is_empty()) else { break };
            writer.write_all(bytes).map_err(InitramfsError::Compress)?;
        }
        writer.finish().map_err(InitramfsError::Compress)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::newc;

    fn module(path: &str, bytes: &[u8]) -> Module {
        Module { path: TreePath::new(path).unwrap(), content: Content::from_bytes(bytes) }
    }

    fn listing(archive: &[u8]) -> Vec<String> {
        let bytes = zstd::decode_all(archive).unwrap();
        let mut rows = Vec::new();
        let mut rest = &mut bytes.as_slice();
        loop {
            let mut reader = newc::Reader::new(rest).unwrap();
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                return rows;
            }
            let mut data = String::new();
            reader.read_to_string(&mut data).unwrap();
            rows.push(format!(
                "{:o} {} {}:{} {} {data:?}",
                entry.mode(),
                entry.name(),
                entry.rdev_major(),
                entry.rdev_minor(),
                entry.mtime()
            ));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn the_archive_is_init_and_modules_in_load_order() {
        let init = Content::from_bytes(&b"static"[..]);
        let modules = [
            module("/usr/lib/modules/6/kernel/lib/a.ko", b"A"),
            module("/usr/lib/modules/6/kernel/drivers/md/dm.ko", b"D"),
            module("/usr/lib/modules/6/modules.dep", b"T"),
        ];
        let archive = build(&Inputs { init: &init, modules: &modules, level: 3 }).unwrap();
        assert_eq!(
            listing(&archive).join("\n"),
            r#"40755 dev 0:0 0 ""
40755 proc 0:0 0 ""
40755 run 0:0 0 ""
40755 sys 0:0 0 ""
40755 sysroot 0:0 0 ""
40755 tmp 0:0 0 ""
40755 usr 0:0 0 ""
40755 usr/lib 0:0 0 ""
40755 usr/lib/modules 0:0 0 ""
40755 usr/lib/modules/6 0:0 0 ""
40755 usr/lib/modules/6/kernel 0:0 0 ""
40755 usr/lib/modules/6/kernel/drivers 0:0 0 ""
40755 usr/lib/modules/6/kernel/drivers/md 0:0 0 ""
40755 usr/lib/modules/6/kernel/lib 0:0 0 ""
20600 dev/console 5:1 0 ""
100755 init 0:0 0 "static"
100644 usr/lib/modules/6/kernel/lib/a.ko 0:0 0 "A"
100644 usr/lib/modules/6/kernel/drivers/md/dm.ko 0:0 0 "D"
100644 usr/lib/modules/6/modules.dep 0:0 0 "T"
100644 modules.list 0:0 0 "/usr/lib/modules/6/kernel/lib/a.ko\n/usr/lib/modules/6/kernel/drivers/md/dm.ko\n""#
        );
        assert_eq!(build(&Inputs { init: &init, modules: &modules, level: 3 }).unwrap(), archive);
    }
}
