//! Any bytes as a DHCPv4 server's message, around it as a packet, as a DHCPv6 server's answer, and as options of router advertisements: taken
//! apart in every way.
#![no_main]

use kmimage_init::network::untrusted;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    untrusted::dhcp4_message(data);
    untrusted::ipv4_packet(data);
    untrusted::dhcp6_answer(data);
    untrusted::router_options(data);
});
