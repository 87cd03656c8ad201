//! The directory record of a file or a directory.

use super::names::{Record, ShortName};

pub(super) const ATTRIBUTE_VOLUME: u8 = 0x08;
pub(super) const ATTRIBUTE_DIRECTORY: u8 = 0x10;
pub(super) const ATTRIBUTE_ARCHIVE: u8 = 0x20;

/// A record whose times are all `stamp` (`time::stamp`). `len` is a file's length in bytes, 0 for all else.
pub(super) fn record(name: &ShortName, attributes: u8, cluster: u32, len: u32, stamp: [u8; 4]) -> Record {
    let mut record = [0; 32];
    record[..11].copy_from_slice(name);
    record[11] = attributes;
    record[14..18].copy_from_slice(&stamp);
    points_to(&mut record, cluster, len);
    written(&mut record, stamp);
    record
}

/// Gives a record another content.
pub(super) fn points_to(record: &mut Record, cluster: u32, len: u32) {
    record[20..22].copy_from_slice(&((cluster >> 16) as u16).to_le_bytes());
    record[26..28].copy_from_slice(&(cluster as u16).to_le_bytes());
    record[28..32].copy_from_slice(&len.to_le_bytes());
}

/// Gives a record another time of its last change.
pub(super) fn written(record: &mut Record, stamp: [u8; 4]) {
    let [_, _, date_low, date_high] = stamp;
    record[18..20].copy_from_slice(&[date_low, date_high]);
    record[22..26].copy_from_slice(&stamp);
}
