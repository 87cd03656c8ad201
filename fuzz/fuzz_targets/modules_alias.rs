//! Any bytes as a line of modules.alias and a device's name: matching ends, says nothing against itself, and finds what a plain text names.
#![no_main]

use kmimage_init::facts::aliases;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, device) = text.split_once('\n').unwrap_or((text, text));
    let matched = aliases::matches(pattern, device);
    if !pattern.contains(['*', '?', '[']) {
        assert_eq!(matched, pattern == device);
    }
    // The one pass over a table finds what a match of the two alone says.
    if pattern.contains(':') && !pattern.starts_with("devname:") && !pattern.contains(['\r', ' ']) && !device.contains('\n') {
        let found = aliases::drivers(&format!("alias {pattern} driver\n"), &[device.to_owned(), "a:b".to_owned()]);
        assert_eq!(found.first().is_some_and(|modules| !modules.is_empty()), matched, "{pattern} {device}");
    }
    let _ = aliases::stands_for(pattern, device);
    let _ = kmimage_init::devices::identify(data);
});
