//! Any bytes as a machine config: an answer, and of what is taken a network that its child can read.
#![no_main]

use kmimage_contract::machine_config::{Network, parse};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match parse("fuzz", data, Some("base")) {
        Ok(config) => {
            let json = serde_json::to_string(&config.network).expect("a network is JSON");
            assert_eq!(serde_json::from_str::<Network>(&json).ok().as_ref(), Some(&config.network));
            assert_eq!(config.network.check(), Ok(()));
        }
        Err(error) => assert!(!error.to_string().is_empty() && !error.summary().contains('\n')),
    }
});
