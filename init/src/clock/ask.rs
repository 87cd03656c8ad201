//! Asking servers, one after the other.

use super::rule::{Clock, Sample};
use kmimage_sys::clock;
use rsntp::{Config, SntpClient};
use std::net::ToSocketAddrs as _;
use std::time::Duration;

/// How long a server may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The port of NTP.
const PORT: u16 = 123;

/// The first answer that can be believed, or why there is none.
pub(super) fn first_usable(servers: &[String], state: &Clock) -> Result<Sample, String> {
    let mut reasons = Vec::new();
    for server in servers {
        let sample = ask(server).and_then(|sample| match state.doubt(&sample) {
            None => Ok(sample),
            Some(doubt) => Err(doubt),
        });
        match sample {
            Ok(sample) => return Ok(sample),
            Err(reason) => reasons.push(format!("{server}: {reason}")),
        }
    }
    Err(if reasons.is_empty() { "no server is named".to_owned() } else { reasons.join("; ") })
}

/// `HOST`, or `HOST:PORT` in tests.
fn ask(server: &str) -> Result<Sample, String> {
    // An IPv6 address has colons of its own.
    let name = server.parse::<std::net::IpAddr>().map(|address| (address.to_string(), PORT)).unwrap_or_else(|_| {
        let with_port = server.rsplit_once(':').and_then(|(name, port)| Some((name.to_owned(), port.parse().ok()?)));
        with_port.unwrap_or_else(|| (server.to_owned(), PORT))
    });
    let addresses = (name.0.as_str(), name.1).to_socket_addrs().map_err(|error| error.to_string())?;
    let mut reason = "the name has no address".to_owned();
    // A name of a pool has several; the second is asked if the first is silent, more would take too long.
    for address in addresses.take(2) {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let Ok(any) = any.parse() else { continue };
        let client = SntpClient::with_config(Config::default().bind_address(any).timeout(TIMEOUT));
        match client.synchronize(address) {
            Ok(result) => {
                return Ok(Sample {
                    server: server.to_owned(),
                    offset: result.clock_offset().as_secs_f64(),
                    delay: result.round_trip_delay().as_secs_f64(),
                    stratum: result.stratum(),
                    at: clock::wall(),
                });
            }
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    /// A server of our own, an hour ahead, that answers `answers` questions; `flaw` spoils each answer.
    fn server(answers: usize, flaw: fn(&mut [u8; 48])) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let name = socket.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for _ in 0..answers {
                let mut question = [0; 48];
                let (_, from) = socket.recv_from(&mut question).unwrap();
                let now = clock::wall() + Duration::from_secs(3600);
                let seconds = u32::try_from((now.as_secs() + 2_208_988_800) & 0xffff_ffff).unwrap();
                let fraction = u32::try_from((u64::from(now.subsec_nanos()) << 32) / 1_000_000_000).unwrap();
                let stamp = [seconds.to_be_bytes(), fraction.to_be_bytes()].concat();
                let mut answer = [0; 48];
                (answer[0], answer[1]) = (0x24, 3);
                answer[24..32].copy_from_slice(&question[40..48]);
                answer[32..40].copy_from_slice(&stamp);
                answer[40..48].copy_from_slice(&stamp);
                flaw(&mut answer);
                socket.send_to(&answer, from).unwrap();
            }
        });
        name
    }

    #[test]
    fn an_answer_is_measured() {
        let name = server(1, |_| {});
        let sample = first_usable(std::slice::from_ref(&name), &Clock::new(Duration::ZERO)).unwrap();
        assert_eq!((sample.server, sample.stratum), (name, 3));
        assert!((sample.offset - 3600.0).abs() < 1.0, "{}", sample.offset);
    }

    #[test]
    fn the_next_server_is_asked_when_one_is_of_no_use() {
        let servers = [
            // Not synchronised itself; an answer to another question; a kiss of death.
            server(1, |answer| answer[0] = 0xe4),
            server(1, |answer| answer[24] ^= 1),
            server(1, |answer| {
                answer[1] = 0;
                answer[12..16].copy_from_slice(b"RATE");
            }),
            server(1, |_| {}),
        ];
        let sample = first_usable(&servers, &Clock::new(Duration::ZERO)).unwrap();
        assert_eq!(sample.server, servers[3]);
    }

    #[test]
    fn nobody_gives_every_reason() {
        let old = server(1, |_| {});
        let servers = [old.clone(), "no-such-host.invalid".to_owned()];
        let floor = clock::wall() + Duration::from_secs(7200);
        let reasons = first_usable(&servers, &Clock::new(floor)).unwrap_err();
        let expected = format!("{old}: it says a time before this image was made; no-such-host.invalid: ");
        assert!(reasons.starts_with(&expected), "{reasons}");
        assert_eq!(first_usable(&[], &Clock::new(floor)), Err("no server is named".to_owned()));
    }
}
