//! Any bytes as a network-config and as the other documents of a seed; what is taken keeps the rules of a machine config's `[network]`.
#![no_main]

use kmimage_init::config::seed::{meta_data, network_config, user_data};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(found) = network_config::read(data)
        && let Some(network) = found.network
    {
        network.check().unwrap();
    }
    let _ = meta_data::read(data);
    let _ = user_data::read(data, 1 << 16);
});
