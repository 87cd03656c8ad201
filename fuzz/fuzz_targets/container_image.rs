//! Any bytes as an image's name, as each of its documents, and as an archive of one.
#![no_main]

use kmimage::container_image::blob::Blob;
use kmimage::container_image::place::{Archive, Place};
use kmimage::container_image::{ImageName, document, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(name) = ImageName::parse(text)
    {
        // What is accepted is canonical.
        assert_eq!(name.to_string(), text);
    }
    let _ = document::parse(data);
    let _ = document::config(data);
    let _ = document::saved(data);
    if let (Ok(archive), Ok(name)) = (Archive::new(Blob::from_bytes(data)), ImageName::parse("registry.example.org/app:1")) {
        let _ = read(&name, &Place::Archive(archive));
    }
});
