//! `kmimage flash`: writes an image to a whole device and reads it back.
//!
//! `facts` (what there is, read) -> `judge` (may it be overwritten, pure) -> `image` (what the device is to hold) -> `device` (opened for us
//! alone) -> `write` -> `verify`. The first mebibyte is erased first and written last: a device that is only half written has no partition
//! table, and no firmware takes it for a system. Whatever the image says is written, its holes too, because a stick has old bytes.
//!
//! Deliberately not here: writing to more than one device, formatting, and looking for the room that a device claims to have behind the
//! image. Nothing overrides a refusal.

pub mod config;
pub mod device;
pub mod error;
pub mod facts;
pub mod image;
pub mod judge;
mod table;
pub mod verify;
pub mod write;

pub use error::{FlashError, State};

/// The first bytes of a device: what firmware and kernels look at. Erased first, written last.
pub(crate) const HEAD: u64 = 1 << 20;

/// How much is written, read and compared at once.
pub(crate) const STEP: u64 = 1 << 20;

/// Says whether the work is to stop, because a person wants it.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// Ranges in pieces of at most [`STEP`], none across a multiple of it.
pub(crate) fn pieces(ranges: &[std::ops::Range<u64>]) -> impl Iterator<Item = std::ops::Range<u64>> + '_ {
    ranges.iter().flat_map(|range| {
        let mut at = range.start;
        std::iter::from_fn(move || {
            let next = range.end.min((at / STEP + 1) * STEP);
            (at < next).then(|| std::mem::replace(&mut at, next)..next)
        })
    })
}

/// A place on a device for people: `1536 MiB (byte 1610612736)`.
pub(crate) fn place(at: u64) -> String {
    format!("{} MiB (byte {at})", at >> 20)
}
