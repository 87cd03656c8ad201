//! Any bytes as a hypervisor's side of the guest agent's port.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // A command has a brace at either end.
    assert!(kmimage_init::agent::fuzz_frames(data) <= data.len() / 2);
});
