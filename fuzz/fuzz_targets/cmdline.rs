//! Any bytes as a kernel command line: what can be rendered reads back the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let cmdline = kmimage_contract::cmdline::Cmdline::parse(text);
        let _ = cmdline.boot_parameters();
        if let Ok(rendered) = cmdline.render() {
            assert_eq!(kmimage_contract::cmdline::Cmdline::parse(&rendered), cmdline);
        }
    }
});
