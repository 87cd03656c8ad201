//! Any bytes as what an API server says of its cluster (a ConfigMap with a signed kubeconfig), and as a kubeconfig.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    kmimage_init::cluster::fuzz_cluster_info(data);
});
