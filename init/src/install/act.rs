//! Doing it: the writes of an installation in their order, and the reading back.
//!
//! | step | on the disk when power fails in it | the next run |
//! |---|---|---|
//! | first sector zero, then begin and end | what is left of what was there | asks for `wipe` again, or goes on |
//! | mark | nobody's | goes on |
//! | ESP, root, tree, loader, zeros | marked, begin and end zero | takes it as an empty disk |
//! | read back and verified | the same | the same |
//! | the table's backup, then the first copy without the first sector | marked: no kernel and no firmware reads a table without it | the same |
//! | first sector: boot code, protective MBR | either nobody's or whole: it is one sector | goes on, or starts the disk |
//! | mark taken away | whole | starts the disk |
//!
//! Every step is flushed before the next one begins. The kernel's cache writes the first sector with the block of 4 KiB that it is in; the
//! block's other sectors get the bytes that they have.

use super::STATE;
use super::content::{self, LOOKED_AT, MARK_AT};
use super::esp::{self, EspFile};
use super::medium::{Medium, Place};
use super::plan::Plan;
use super::verify::Verifier;
use super::window::Window;
use crate::config::volume::{Volume, VolumeError};
use crate::facts::FactError;
use kmimage_contract::boot_records::grub;
use kmimage_contract::cmdline::CmdlineError;
use kmimage_contract::disk_layout::LayoutError;
use kmimage_contract::fat32::layout::{Data, FatError};
use kmimage_contract::gpt::Fault;
use kmimage_contract::paths;
use kmimage_contract::state_line::StateLine;
use kmimage_contract::verity::SuperblockError;
use kmimage_sys::block;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes that are read or written at once.
pub(super) const CHUNK: usize = 1 << 20;
/// What a buffer for unbuffered reading has to be aligned to.
const ALIGNED: usize = 4096;
/// Bytes of a sector; of the boot code in the first one.
const SECTOR: usize = 512;
const BOOT_CODE: usize = 440;

/// Why an installation, or a reset, ends early.
#[derive(Debug, thiserror::Error)]
pub(super) enum InstallError {
    /// The image's identity.
    #[error(transparent)]
    Release(FactError),
    /// The kernel command line can't be read.
    #[error(transparent)]
    Cmdline(FactError),
    /// The kernel command line says something malformed.
    #[error(transparent)]
    Parameters(CmdlineError),
    /// The slot's size, or the disk's.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The medium can't be read.
    #[error("reading the medium ({what})")]
    Medium {
        /// What of it.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// The medium's ESP can't be read.
    #[error("reading the medium's ESP")]
    Volume(#[from] VolumeError),
    /// The medium's ESP has no FAT.
    #[error("the medium's ESP holds no FAT file system")]
    NoFileSystem,
    /// A file that every medium has.
    #[error("the medium's ESP has no {0}")]
    MissingFile(String),
    /// A file that is not what it should be.
    #[error("the medium's {0} has the wrong length")]
    Length(String),
    /// The medium's hash tree.
    #[error("the medium's hash tree")]
    Superblock(SuperblockError),
    /// A hash tree with other blocks.
    #[error("the medium's hash tree has blocks of {0} and {1} bytes; only 4096 are served")]
    BlockSize(u32, u32),
    /// The files don't fit on an ESP.
    #[error(transparent)]
    Esp(FatError),
    /// Something doesn't fit.
    #[error("{0}")]
    Plan(&'static str),
    /// The table would be invalid.
    #[error("the partition table")]
    Table(Fault),
    /// What is to be carried over.
    #[error("reading the machine config {}", paths::MACHINE_CONFIG)]
    Config(#[source] io::Error),
    /// No randomness.
    #[error("reading random bytes")]
    Random(#[source] io::Error),
    /// The disk is not to be had.
    #[error("opening the disk {disk} for writing")]
    Open {
        /// Which.
        disk: String,
        /// Why not.
        source: io::Error,
    },
    /// The disk fails.
    #[error("{step} the disk")]
    Disk {
        /// What was done.
        step: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The disk doesn't hold what was written to it.
    #[error("the disk does not hold what was written to it: {0} differs")]
    Differs(&'static str),
}

impl InstallError {
    /// What a person can do.
    pub(super) fn remedy(&self) -> &'static str {
        match self {
            Self::Open { .. } => "another program uses the disk: restart, or choose another disk",
            Self::Disk { .. } | Self::Differs(_) => "look at the disk: cabling, the host's storage, its health; then restart",
            Self::Release(_) | Self::Cmdline(_) | Self::Parameters(_) | Self::Layout(_) | Self::Plan(_) | Self::Table(_) => {
                "report this: the image and its init disagree"
            }
            _ => "write the medium again, and restart",
        }
    }
}

/// What an installation writes to.
pub(super) trait Target {
    /// Writes all bytes at an offset; they are on the disk after [`Target::flush`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads what the disk has, past every cache of this machine.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Waits until the disk has everything.
    fn flush(&self) -> io::Result<()>;
}

/// A disk that nobody else uses.
#[derive(Debug)]
pub(super) struct Device {
    cached: File,
    direct: File,
}

impl Device {
    /// Opens a disk for this process alone: one that is mounted, or that something is made of, is refused by the kernel.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { cached: block::open_exclusive(path)?, direct: block::open_direct(path)? })
    }
}

impl Target for Device {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.cached.write_all_at(bytes, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.direct.read_exact_at(buffer, offset)
    }

    fn flush(&self) -> io::Result<()> {
        self.cached.sync_all()
    }
}

/// Installs. All checks have been made.
pub(super) fn act(
    target: &impl Target,
    medium: &Medium,
    volume: &mut Volume<Window<'_>>,
    plan: &Plan,
    files: &[EspFile],
    say: &mut dyn FnMut(StateLine),
) -> Result<(), InstallError> {
    let disk = |step| move |source| InstallError::Disk { step, source };
    let sector = first_sector(volume, plan)?;
    take(target, plan.size).map_err(disk("clearing"))?;
    let mut progress = Progress::new("copy", plan, say);
    let esp = write_esp(target, volume, plan, files)?;
    progress.add(esp.place.len);
    let core = esp::content(volume, grub::CORE_IMAGE.trim_start_matches('/'))?;
    if core.len() as u64 > plan.bios.len {
        return Err(InstallError::Plan("GRUB's core image is larger than its partition"));
    }
    write_zeros(target, plan.bios).and_then(|()| target.write_at(&core, plan.bios.start)).map_err(disk("writing"))?;
    for place in &plan.zeros {
        write_zeros(target, *place).map_err(disk("clearing"))?;
    }
    copy(target, &medium.root, 0, plan.root, &mut progress)?;
    copy(target, &medium.device, medium.tree.start, plan.tree, &mut progress)?;
    target.flush().map_err(disk("writing"))?;

    let mut progress = Progress::new("verify", plan, say);
    verify(target, medium, plan, &esp, &core, &mut progress)?;

    let rest = plan.gpt.primary.get(SECTOR..).unwrap_or_default();
    target.write_at(&plan.gpt.backup, plan.gpt.backup_offset).map_err(disk("writing"))?;
    target.flush().map_err(disk("writing"))?;
    target.write_at(rest, SECTOR as u64).map_err(disk("writing"))?;
    target.flush().map_err(disk("writing"))?;
    target.write_at(&sector, 0).map_err(disk("writing"))?;
    target.flush().map_err(disk("writing"))?;
    take_mark_away(target).map_err(disk("writing"))
}

/// The last step of whatever leaves a mark.
pub(super) fn take_mark_away(target: &impl Target) -> io::Result<()> {
    write_zeros(target, Place { start: MARK_AT, len: content::MARK_SIZE as u64 })?;
    target.flush()
}

/// The first sector as it is when all is done: boot code and protective MBR.
fn first_sector(volume: &mut Volume<Window<'_>>, plan: &Plan) -> Result<Vec<u8>, InstallError> {
    let boot = esp::content(volume, grub::BOOT_IMAGE.trim_start_matches('/'))?;
    let code = boot.get(..BOOT_CODE).ok_or_else(|| InstallError::Length(grub::BOOT_IMAGE.to_owned()))?;
    let table = plan.gpt.primary.get(BOOT_CODE..SECTOR).ok_or(InstallError::Plan("the partition table is short"))?;
    Ok([code, table].concat())
}

/// Makes the disk nobody's, and marks it. The mark comes last: what is found beside it later is not from before.
fn take(target: &impl Target, size: u64) -> io::Result<()> {
    clear(target, size)?;
    target.write_at(&content::mark(), MARK_AT)?;
    target.flush()
}

/// Clears a disk's begin and end, but for a mark. The table's first copy goes before its backup: by that it is known when it is torn.
pub(super) fn clear(target: &impl Target, size: u64) -> io::Result<()> {
    write_zeros(target, Place { start: 0, len: SECTOR as u64 })?;
    target.flush()?;
    let behind = MARK_AT + content::MARK_SIZE as u64;
    write_zeros(target, Place { start: SECTOR as u64, len: MARK_AT - SECTOR as u64 })?;
    write_zeros(target, Place { start: behind, len: LOOKED_AT - behind })?;
    target.flush()?;
    write_zeros(target, Place { start: size - LOOKED_AT, len: LOOKED_AT })?;
    target.flush()
}

/// Writes zeros.
pub(super) fn write_zeros(target: &impl Target, place: Place) -> io::Result<()> {
    let zeros = vec![0; CHUNK.min(place.len as usize)];
    let mut at = 0;
    while at < place.len {
        let length = zeros.len().min((place.len - at) as usize);
        target.write_at(zeros.get(..length).unwrap_or_default(), place.start + at)?;
        at += length as u64;
    }
    Ok(())
}

/// The ESP as it was written: where, and the digest of all its bytes.
struct WrittenEsp {
    place: Place,
    digest: [u8; 32],
}

/// Writes the ESP from its begin to its last used byte, with zeros where nothing is: the file system counts on them.
fn write_esp(
    target: &impl Target,
    volume: &mut Volume<Window<'_>>,
    plan: &Plan,
    files: &[EspFile],
) -> Result<WrittenEsp, InstallError> {
    let fail = |source| InstallError::Disk { step: "writing", source };
    let mut stream = Stream { target, start: plan.esp, written: 0, buffer: Vec::with_capacity(2 * CHUNK), digest: Sha256::new() };
    for extent in &plan.esp_extents {
        let gap = extent.offset.checked_sub(stream.at()).ok_or(InstallError::Plan("the ESP's extents overlap"))?;
        stream.zeros(gap).map_err(fail)?;
        match &extent.data {
            Data::Bytes(bytes) => stream.put(bytes).map_err(fail)?,
            Data::File(number) => {
                let file = files.get(*number).ok_or(InstallError::Plan("a file of the ESP is missing"))?;
                let bytes = match &file.text {
                    Some(text) => text.clone(),
                    None => esp::content(volume, &file.path)?,
                };
                if bytes.len() as u64 != file.len {
                    return Err(InstallError::Length(file.path.clone()));
                }
                stream.put(&bytes).map_err(fail)?;
            }
        }
    }
    // Up to a page: what is read back is whole pages.
    let end = stream.at().next_multiple_of(ALIGNED as u64);
    stream.zeros(end - stream.at()).map_err(fail)?;
    stream.finish().map_err(fail)
}

/// Bytes on their way to the disk, in order.
struct Stream<'a, T> {
    target: &'a T,
    start: u64,
    written: u64,
    buffer: Vec<u8>,
    digest: Sha256,
}

impl<T: Target> Stream<'_, T> {
    fn at(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        for piece in bytes.chunks(CHUNK) {
            self.buffer.extend_from_slice(piece);
            if self.buffer.len() >= CHUNK {
                self.target.write_at(self.buffer.get(..CHUNK).unwrap_or_default(), self.start + self.written)?;
                self.buffer.drain(..CHUNK);
                self.written += CHUNK as u64;
            }
        }
        Ok(())
    }

    fn zeros(&mut self, mut count: u64) -> io::Result<()> {
        let zeros = [0; ALIGNED];
        while count > 0 {
            let length = zeros.len().min(usize::try_from(count).unwrap_or(usize::MAX));
            self.put(zeros.get(..length).unwrap_or_default())?;
            count -= length as u64;
        }
        Ok(())
    }

    fn finish(self) -> io::Result<WrittenEsp> {
        self.target.write_at(&self.buffer, self.start + self.written)?;
        let place = Place { start: self.start, len: self.at() };
        Ok(WrittenEsp { place, digest: self.digest.finalize().into() })
    }
}

/// Copies from the medium.
fn copy(target: &impl Target, from: &File, start: u64, to: Place, progress: &mut Progress<'_>) -> Result<(), InstallError> {
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    while at < to.len {
        let length = buffer.len().min((to.len - at) as usize);
        let piece = buffer.get_mut(..length).unwrap_or_default();
        from.read_exact_at(piece, start + at).map_err(|source| InstallError::Medium { what: "its root".to_owned(), source })?;
        target.write_at(piece, to.start + at).map_err(|source| InstallError::Disk { step: "writing", source })?;
        at += length as u64;
        progress.add(length as u64);
    }
    Ok(())
}

/// Reads everything back and judges it: the root by the root hash, the tree by what follows from the root, the rest by what was written.
fn verify(
    target: &impl Target,
    medium: &Medium,
    plan: &Plan,
    esp: &WrittenEsp,
    core: &[u8],
    progress: &mut Progress<'_>,
) -> Result<(), InstallError> {
    let mut digest = Sha256::new();
    read_back(target, esp.place, |bytes| {
        digest.update(bytes);
        progress.add(bytes.len() as u64);
        true
    })?;
    if <[u8; 32]>::from(digest.finalize()) != esp.digest {
        return Err(InstallError::Differs("the ESP"));
    }
    let mut verifier = Verifier::new(&medium.params);
    read_back(target, plan.root, |bytes| {
        verifier.add(bytes);
        progress.add(bytes.len() as u64);
        true
    })?;
    let (root_hash, tree) = verifier.finish(&medium.params).map_err(InstallError::Superblock)?;
    if root_hash != medium.root_hash {
        return Err(InstallError::Differs("the root"));
    }
    let same = |expected: &[u8], place: Place| {
        let mut at = 0;
        read_back(target, place, |bytes| {
            // Behind what was written are zeros.
            let expected = expected.get(at..).unwrap_or_default();
            let expected = expected.get(..bytes.len()).unwrap_or(expected);
            at += bytes.len();
            bytes.starts_with(expected) && bytes.get(expected.len()..).is_some_and(|rest| rest.iter().all(|&byte| byte == 0))
        })
    };
    if !same(&tree, plan.tree)? {
        return Err(InstallError::Differs("the hash tree"));
    }
    progress.add(plan.tree.len);
    if !same(core, plan.bios)? {
        return Err(InstallError::Differs("GRUB's core image"));
    }
    for place in &plan.zeros {
        if !same(&[], *place)? {
            return Err(InstallError::Differs("an empty partition"));
        }
    }
    Ok(())
}

/// Reads a place of the disk in pieces, as long as `take` says that they are as they should be; whether it has said so to the end.
fn read_back(target: &impl Target, place: Place, mut take: impl FnMut(&[u8]) -> bool) -> Result<bool, InstallError> {
    let mut buffer = vec![0; CHUNK + ALIGNED];
    let skip = buffer.as_ptr().align_offset(ALIGNED).min(ALIGNED);
    let mut at = 0;
    while at < place.len {
        let length = CHUNK.min((place.len - at) as usize);
        let piece = buffer.get_mut(skip..skip + length).unwrap_or_default();
        target.read_at(piece, place.start + at).map_err(|source| InstallError::Disk { step: "reading back", source })?;
        if !take(piece) {
            return Ok(false);
        }
        at += length as u64;
    }
    Ok(true)
}

/// How far a step has come, said in tenths.
struct Progress<'a> {
    step: &'static str,
    total: u64,
    done: u64,
    said: u64,
    say: &'a mut dyn FnMut(StateLine),
}

impl<'a> Progress<'a> {
    fn new(step: &'static str, plan: &Plan, say: &'a mut dyn FnMut(StateLine)) -> Self {
        let esp = plan.esp_extents.last().map_or(0, |extent| extent.offset);
        say(StateLine::new(STATE).with("step", step).with("percent", 0));
        Self { step, total: esp + plan.root.len + plan.tree.len, done: 0, said: 0, say }
    }

    fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let tenth = (self.done.saturating_mul(10) / self.total.max(1)).min(10);
        if tenth > self.said {
            self.said = tenth;
            (self.say)(StateLine::new(STATE).with("step", self.step).with("percent", tenth * 10));
        }
    }
}
