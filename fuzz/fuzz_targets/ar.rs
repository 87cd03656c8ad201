//! Any bytes as an ar archive, as a .deb is one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = kmimage::compose::deb::ar::members_of_bytes(data);
});
