//! Any bytes as the table of SMBIOS.
#![no_main]

use kmimage_init::config::smbios;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    assert!(smbios::structures(data).count() <= data.len());
    let _ = smbios::config(data);
    if let Some(serial) = smbios::serial(data) {
        let _ = smbios::no_cloud(&serial);
    }
});
