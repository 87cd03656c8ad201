//! Any text as a `kubeadm join` line: what is taken is a machine config, and no refusal shows a token.
#![no_main]

use kmimage::machine_config::join::kubeadm_line::{self, Line, LineError};
use kmimage::machine_config::join::{Join, document};
use kmimage_contract::machine_config::Discovery;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match kubeadm_line::parse(text) {
        Ok(Line { endpoint: Some(endpoint), token: Some(token), ca_hashes, discovery_file: None, .. }) => {
            document(&Join { cluster: Discovery::Token { endpoint, token, ca_hashes }, hostname: None }).unwrap();
        }
        Ok(line) => assert!(line.discovery_file.is_some()),
        // Its name is all that is known of it.
        Err(LineError::Unknown(_)) => {}
        Err(error) => assert!(!error.to_string().contains("hunter2hunter2hu")),
    }
});
