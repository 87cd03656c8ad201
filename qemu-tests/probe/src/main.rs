//! The probe: answers questions about the machine that it runs on, over a virtio-serial port. It is in test images only.
//!
//! Started with words it is something else: with `act ...` a service that misbehaves on request, for tests of those who supervise
//! services; with `pod ...` what runs in a container.

mod act;
mod network;
mod pod;
mod port;
mod processes;
mod requests;

fn main() -> std::process::ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        None => port::serve(),
        Some("act") => act::main(&words[1..]),
        Some("pod") => pod::main(&words[1..]),
        Some(_) => std::process::ExitCode::from(2),
    }
}
