//! Any bytes as a control.tar and a control paragraph.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = kmimage::compose::deb::control::read_bytes(data);
    if let Ok(text) = kmimage::deb822::text(data) {
        let _ = kmimage::deb822::single(text, kmimage::deb822::Comments::Refused);
        if let Ok(groups) = kmimage::resolve::dependency::parse(text) {
            assert!(groups.len() <= text.len() + 1);
        }
    }
});
