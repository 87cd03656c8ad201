//! Any bytes as a Packages index.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = kmimage::deb822::text(data) {
        let _ = kmimage::resolve::packages::parse(text);
    }
});
