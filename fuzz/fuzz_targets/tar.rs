//! Any bytes as a data.tar.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = kmimage::compose::deb::tar::members_of_bytes(data);
});
