//! Any bytes as a stub, a kernel or a UKI.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(pe) = kmimage::assemble::pe::Headers::parse(data) {
        let _ = pe.section(".cmdline");
    }
    let _ = kmimage::assemble::uki::kernel_release(data);
});
