//! The image that is to be written: a raw disk or an ISO, told by its content; and what is laid over it so that it fits its device.

use super::error::{FlashError, State};
use super::table;
use crate::show::qcow2;
use crate::show::source::{FileSource, Source, Stream, read_some};
use kmimage_contract::gpt::{self, Found, SectorSize, Write};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// An image file.
pub struct Image {
    path: PathBuf,
    file: FileSource,
    table: Option<Found>,
}

impl Image {
    /// Opens a file that is a disk image as it is.
    pub fn open(path: &Path) -> Result<Self, FlashError> {
        let fail = |source| FlashError::Image { path: path.to_owned(), source };
        let file = File::open(path).map_err(fail)?;
        if !file.metadata().map_err(fail)?.is_file() {
            return Err(FlashError::NoImage { path: path.to_owned(), what: "no file" });
        }
        let file = FileSource::new(file).map_err(fail)?;
        let head = read_some(&file, 0, 512).map_err(fail)?;
        let refuse = |what| Err(FlashError::NoImage { path: path.to_owned(), what });
        if head.starts_with(qcow2::MAGIC) {
            return Err(FlashError::Qcow2(path.to_owned()));
        }
        let compressed = [(&b"\x1f\x8b"[..], "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ", "xz"), (b"BZh", "bzip2")];
        if let Some((_, how)) = compressed.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Err(FlashError::Compressed { path: path.to_owned(), how });
        }
        let table = [SectorSize::B512, SectorSize::B4096].into_iter().find_map(|size| {
            let found = gpt::read(&mut Stream::new(&file), file.size(), size).ok()?;
            (found.copy == gpt::Copy::Primary).then_some(found)
        });
        let is_iso = read_some(&file, 32_768, 6).map_err(fail)?.get(1..6) == Some(b"CD001");
        let has_mbr = head.get(510..512) == Some(&[0x55, 0xaa]);
        if table.is_none() && !is_iso && !has_mbr {
            return refuse("no disk image and no ISO");
        }
        Ok(Self { path: path.to_owned(), file, table })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.file.size()
    }

    /// Bytes per sector that its partition table counts in, if it has a GPT.
    pub fn sector_size(&self) -> Option<u64> {
        self.table.as_ref().map(|found| found.table.sector_size.bytes())
    }

    /// Its bytes.
    pub fn source(&self) -> &dyn Source {
        &self.file
    }

    /// Its partition table.
    pub fn table(&self) -> Option<&Found> {
        self.table.as_ref()
    }
}

/// What a device is to hold: the image, zeros behind it in its last sectors, and what is laid over both.
pub struct Content<'a> {
    image: &'a Image,
    /// Laid over, in this order.
    over: Vec<Write>,
    device_size: u64,
}

/// At the end of a device, so much is written, too: where partition tables, RAID and ZFS have what would be found again.
const TAIL: u64 = 1 << 20;

impl<'a> Content<'a> {
    /// The image on a device of `device_size` bytes, which is no smaller. The partition table becomes one for that device.
    pub fn new(image: &'a Image, device_size: u64) -> Result<Self, FlashError> {
        let over = match image.table() {
            Some(found) => {
                let record = read_some(&image.file, 0, 512);
                let record = record.map_err(|source| FlashError::Image { path: image.path.clone(), source })?;
                table::fitted(found, &record, device_size)
            }
            None => Vec::new(),
        };
        Ok(Self { image, over, device_size })
    }

    /// Lays something over what there is.
    pub fn lay_over(&mut self, writes: impl IntoIterator<Item = Write>) {
        self.over.extend(writes);
    }

    /// The error for an image that can't be read any more.
    pub(super) fn lost(&self, state: State, source: io::Error) -> FlashError {
        FlashError::Lost { path: self.image.path.clone(), state, source }
    }

    /// How many bytes of the device, from its begin on and at its end, are decided; those between keep what they hold.
    pub fn ranges(&self) -> [std::ops::Range<u64>; 2] {
        let end = self.image.size().next_multiple_of(4096).min(self.device_size);
        let tail = (self.device_size.saturating_sub(TAIL) / 4096 * 4096).max(end);
        [0..end, tail..self.device_size]
    }

    /// The bytes from `at` on, which lie in one of the [`Content::ranges`].
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let there = usize::try_from(self.image.size().saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        let (image, behind) = buffer.split_at_mut(there);
        self.image.file.read_at(image, at)?;
        behind.fill(0);
        for write in &self.over {
            let start = write.offset.max(at);
            let end = (write.offset + write.bytes.len() as u64).min(at + buffer.len() as u64);
            if start < end {
                // All four are within a buffer or a write, and so within memory.
                let (to, from, len) = ((start - at) as usize, (start - write.offset) as usize, (end - start) as usize);
                buffer[to..to + len].copy_from_slice(&write.bytes[from..from + len]);
            }
        }
        Ok(())
    }
}
