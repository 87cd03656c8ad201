//! Any bytes as an InRelease file and as the text that one signs.
#![no_main]

use kmimage::fetch::openpgp;
use kmimage::fetch::release::Release;
use sequoia_openpgp::Cert;
use std::sync::LazyLock;

static DEBIAN: LazyLock<Vec<Cert>> = LazyLock::new(|| {
    let keyrings = kmimage::profile::embedded_keyrings();
    keyrings.iter().flat_map(|(name, bytes)| openpgp::certificates(name, bytes).unwrap()).collect()
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // The day after the corpus' real InRelease was signed.
    let now = jiff::Timestamp::from_second(1_795_200_000).unwrap();
    if let Ok(text) = openpgp::verify(data, &DEBIAN, now) {
        Release::parse(&text).unwrap();
    }
    let _ = Release::parse(data);
});
