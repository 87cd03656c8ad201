//! Any bytes as a lock: what can be read is written the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(lock) = kmimage::lock::decode("fuzz", data) {
        let text = kmimage::lock::encode(&lock);
        assert_eq!(kmimage::lock::decode("fuzz", text.as_bytes()).ok(), Some(lock));
    }
});
