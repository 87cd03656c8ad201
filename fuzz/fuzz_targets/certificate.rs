//! Any bytes as a certificate: what is read of it lies in it.
#![no_main]

use kmimage_contract::certificate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(facts) = certificate::read(data) {
        assert!(facts.public_key_info.len() + facts.subject.len() < data.len());
        let _ = (facts.hash(), facts.common_name());
    }
});
