//! Any bytes as a volume of a NoCloud seed, ISO 9660 or FAT: what is read has no more bytes than was allowed, and nothing panics.
#![no_main]

use kmimage_init::config::seed::{self, Files};
use kmimage_init::config::volume::Volume;
use std::io::Cursor;

const LIMIT: u64 = 1 << 16;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // A volume of ISO 9660 begins behind 32 KiB that no reader looks at: those are left out of the corpus.
    let mut padded = vec![0; 16 * 2048];
    padded.extend_from_slice(data);
    for bytes in [data, &padded] {
        let Ok(Some(mut volume)) = Volume::open(Cursor::new(bytes)) else { continue };
        let mut read = |name: &str| {
            let found = volume.read(name, LIMIT).ok().flatten();
            assert!(found.as_ref().is_none_or(|content| content.len() as u64 <= LIMIT));
            found
        };
        let files = Files {
            user_data: read("user-data"),
            meta_data: read("meta-data"),
            network_config: read("network-config"),
            vendor_data: read("a/folder/vendor-data"),
        };
        let _ = seed::read(&files, LIMIT);
    }
});
