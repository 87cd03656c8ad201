//! What is on a disk, by its first and last MiB and its partition table. Pure.

use kmimage_contract::disk_layout::DiskLayout;
use kmimage_contract::gpt;
use uuid::Uuid;

/// How much of a disk's begin, and of its end, is looked at: every file system, volume manager and partition table that a whole disk can
/// carry has its signature in one of these two places.
pub(super) const LOOKED_AT: u64 = 1 << 20;

/// Where an installation under way leaves its mark: behind every copy of a partition table, before the first partition.
pub(super) const MARK_AT: u64 = 512 << 10;

/// The mark's length in bytes: a sector of every disk.
pub(super) const MARK_SIZE: usize = 4096;

/// Bytes of a sector, and of all that the first copy of a table has, with the first sector.
const SECTOR: usize = 512;
const TABLE: usize = 34 * SECTOR;

const MARK: &[u8] = b"kmimage: an installation on this disk is not finished; nothing here is anybody's data\n";

/// What is on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing: begin and end are zero.
    Empty,
    /// An installation that was cut off. Nobody's data.
    Unfinished,
    /// A finished installation, or an image that was written to the disk.
    Kmimage {
        /// The ESP of the medium that it was installed from.
        installed_from: Option<Uuid>,
    },
    /// An installation whose ESP can't be read, and why: which medium it is from can't be told.
    Damaged(String),
    /// Something else, and what.
    Foreign(String),
    /// What can't be read, and why: it may be anything.
    Unreadable(String),
}

/// The mark.
pub(super) fn mark() -> Vec<u8> {
    let mut mark = MARK.to_vec();
    mark.resize(MARK_SIZE, 0);
    mark
}

/// Judges a disk by its begin and its end ([`LOOKED_AT`] bytes each) and the valid table on it, whichever copy that is from. Where it was
/// installed from is on its ESP, and not to be seen here.
pub(super) fn judge(begin: &[u8], end: &[u8], table: Option<&gpt::Table>) -> Content {
    let nobodys = begin.get(..SECTOR).is_some_and(zero);
    let marked = begin.get(MARK_AT as usize..).is_some_and(|bytes| bytes.starts_with(MARK));
    match table {
        _ if nobodys && marked && nothing_else(begin, end, table) => Content::Unfinished,
        // What a kernel would not take for a table is none of an installation.
        Some(table) if !nobodys && DiskLayout::is_ours(table) => Content::Kmimage { installed_from: None },
        Some(table) => Content::Foreign(describe(table)),
        None if zero(begin) && zero(end) => Content::Empty,
        None => Content::Foreign(signature(begin).to_owned()),
    }
}

/// Whether a marked disk holds, beside the mark, zeros and what an installation leaves of its own table when it is cut off, and nothing else: a
/// system that was put on the disk since then may have left the mark where it is.
fn nothing_else(begin: &[u8], end: &[u8], table: Option<&gpt::Table>) -> bool {
    let mark = MARK_AT as usize;
    let unused = |from: usize, to: usize| begin.get(from..to).is_some_and(zero);
    let around = unused(TABLE, mark) && unused(mark + MARK_SIZE, begin.len());
    let before_backup = end.len().checked_sub(TABLE - SECTOR).and_then(|length| end.get(..length)).is_some_and(zero);
    let first = begin.get(SECTOR..TABLE).unwrap_or_default();
    let own = match table {
        Some(table) if DiskLayout::is_ours(table) => table.encode().ok(),
        Some(_) => return false,
        None => None,
    };
    // The backup is written first, so a first copy that is torn is known by it.
    let own = own.as_ref().and_then(|own| own.primary.get(SECTOR..TABLE)).unwrap_or_default();
    let is_own = first.chunks(SECTOR).enumerate().all(|(at, sector)| zero(sector) || own.chunks(SECTOR).nth(at) == Some(sector));
    around && before_backup && is_own
}

fn zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

fn describe(table: &gpt::Table) -> String {
    let names: Vec<&str> =
        table.partitions.iter().map(|entry| entry.name.as_str()).filter(|name| !name.is_empty()).take(4).collect();
    let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    format!("a GPT with {} partitions{names}", table.partitions.len())
}

/// What a disk without a valid GPT begins with.
fn signature(begin: &[u8]) -> &'static str {
    const KNOWN: [(usize, &[u8], &str); 9] = [
        (1080, &[0x53, 0xef], "an ext file system"),
        (0, b"XFSB", "an XFS file system"),
        (0x1_0040, b"_BHRfS_M", "a Btrfs file system"),
        (0, b"LUKS\xba\xbe", "a LUKS volume"),
        (536, b"LVM2 001", "a physical volume of LVM"),
        (0x8001, b"CD001", "an ISO 9660 file system"),
        (0, b"hsqs", "a squashfs file system"),
        (4086, b"SWAPSPACE2", "a swap area"),
        (512, b"EFI PART", "a damaged GPT"),
    ];
    let has = |at: usize, what: &[u8]| begin.get(at..).is_some_and(|bytes| bytes.starts_with(what));
    let partitioned =
        || has(510, &[0x55, 0xaa]) && [446, 462, 478, 494].iter().any(|at| begin.get(at + 4).is_some_and(|kind| *kind != 0));
    match KNOWN.iter().find(|(at, what, _)| has(*at, what)) {
        Some((.., name)) => name,
        None if partitioned() => "an MBR partition table",
        None if has(510, &[0x55, 0xaa]) => "a boot sector",
        None => "data that kmimage has not made",
    }
}
