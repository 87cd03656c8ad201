//! DHCPv6 without addresses on one link (RFC 8415, 18.2.6): resolvers and time servers, where a router's advertisement says that they
//! come by it (the O flag alone). Its addresses a link then has from the router's prefixes. mozim has no such mode.

use super::dhcp6::{Link, Report};
use super::leases::Lease6;
use super::names;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

/// All servers and relays of a link.
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;

/// Message types.
const REPLY: u8 = 7;
const INFORMATION_REQUEST: u8 = 11;
/// Options.
const CLIENT_ID: u16 = 1;
const SERVER_ID: u16 = 2;
const WISHES: u16 = 6;
const ELAPSED: u16 = 8;
const DNS: u16 = 23;
const SEARCH: u16 = 24;
const SNTP: u16 = 31;
const REFRESH: u16 = 32;
const NTP: u16 = 56;
/// Suboptions of `NTP` (RFC 5908): an address, a name.
const NTP_ADDRESS: u16 = 1;
const NTP_NAME: u16 = 3;

/// Between two requests: begins with the first, doubles up to the second.
const REPEAT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));
/// When to ask again: if the server says nothing of it, and the least.
const REFRESHED: (Duration, Duration) = (Duration::from_secs(86_400), Duration::from_secs(600));

/// Asks on a link until it is dropped; again when the carrier was away, and when what was said is old.
pub(super) async fn run(link: Link, duid: Vec<u8>, mut carrier: watch::Receiver<bool>, reports: mpsc::UnboundedSender<Report>) {
    let mut known = None;
    loop {
        while !*carrier.borrow_and_update() {
            if carrier.changed().await.is_err() {
                return;
            }
        }
        let word = if known.is_none() { "asking" } else { "informed" };
        if reports.send((link.index, known.clone(), word)).is_err() {
            return;
        }
        let pause = tokio::select! {
            (lease, refresh) = ask(&link, &duid) => {
                known = Some(lease);
                if reports.send((link.index, known.clone(), "informed")).is_err() {
                    return;
                }
                refresh
            }
            changed = carrier.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = carrier.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// Asks until there is an answer.
async fn ask(link: &Link, duid: &[u8]) -> (Lease6, Duration) {
    let number = RandomState::new().build_hasher().finish().to_be_bytes();
    let transaction = [number[0], number[1], number[2]];
    let mut pause = REPEAT.0;
    let mut elapsed = Duration::ZERO;
    loop {
        let once = async {
            let socket = open(link).await?;
            let to = SocketAddrV6::new(SERVERS, SERVER_PORT, 0, link.index);
            socket.send_to(&request(transaction, duid, elapsed), to).await?;
            let mut buffer = [0; 2048];
            loop {
                let length = socket.recv(&mut buffer).await?;
                if let Some(answer) = buffer.get(..length).and_then(|bytes| parse(bytes, transaction, duid)) {
                    return io::Result::Ok(answer);
                }
            }
        };
        // A link that takes no socket just now may do so at the next try.
        if let Ok(Ok(answer)) = tokio::time::timeout(pause, once).await {
            return answer;
        }
        elapsed += pause;
        tokio::time::sleep(REPEAT.0 / 10).await;
        pause = (pause * 2).min(REPEAT.1);
    }
}

async fn open(link: &Link) -> io::Result<UdpSocket> {
    UdpSocket::bind(SocketAddrV6::new(link.link_local, CLIENT_PORT, 0, link.index)).await
}

fn request(transaction: [u8; 3], duid: &[u8], elapsed: Duration) -> Vec<u8> {
    let [a, b, c] = transaction;
    let mut message = vec![INFORMATION_REQUEST, a, b, c];
    let mut put = |code: u16, content: &[u8]| {
        message.extend(code.to_be_bytes());
        message.extend(u16::try_from(content.len()).unwrap_or(0).to_be_bytes());
        message.extend(content);
    };
    put(CLIENT_ID, duid);
    // In hundredths of a second.
    put(ELAPSED, &u16::try_from(elapsed.as_millis() / 10).unwrap_or(u16::MAX).to_be_bytes());
    put(WISHES, &[DNS, SEARCH, SNTP, REFRESH, NTP].map(u16::to_be_bytes).concat());
    message
}

/// Takes an answer apart. `None`: it is none to this question.
pub(super) fn parse(bytes: &[u8], transaction: [u8; 3], duid: &[u8]) -> Option<(Lease6, Duration)> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    if head[0] != REPLY || head[1..] != transaction {
        return None;
    }
    let mut lease = Lease6 { address: None, dns: Vec::new(), search: Vec::new(), ntp: Vec::new() };
    let (mut refresh, mut from_server, mut mine) = (REFRESHED.0, false, true);
    let addresses =
        |content: &[u8]| -> Vec<Ipv6Addr> { content.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets)).collect() };
    for (code, content) in options(rest) {
        match code {
            SERVER_ID => from_server = true,
            CLIENT_ID => mine = content == duid,
            DNS => lease.dns = addresses(content),
            SEARCH => lease.search = names::decode_list(content),
            SNTP => lease.ntp.extend(addresses(content).iter().map(ToString::to_string)),
            REFRESH => {
                let seconds = content.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
                refresh = seconds.map_or(refresh, |seconds| Duration::from_secs(u64::from(seconds)).max(REFRESHED.1));
            }
            NTP => {
                for (code, content) in options(content) {
                    match code {
                        NTP_ADDRESS => lease.ntp.extend(addresses(content).iter().map(ToString::to_string)),
                        NTP_NAME => lease.ntp.extend(names::decode_list(content)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    (from_server && mine).then_some((lease, refresh))
}

/// Code and content of each option; ends at the first that is cut off.
fn options(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (&[a, b, c, d], rest) = bytes.split_first_chunk::<4>()?;
        let (content, next) = rest.split_at_checked(usize::from(u16::from_be_bytes([c, d])))?;
        bytes = next;
        Some((u16::from_be_bytes([a, b]), content))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 3] = [1, 2, 3];
    const DUID: &[u8] = &[0, 4, 7, 7];

    fn reply(options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![REPLY, 1, 2, 3];
        for (code, content) in options {
            bytes.extend(code.to_be_bytes());
            bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            bytes.extend(*content);
        }
        bytes
    }

    #[test]
    fn a_request_asks_for_what_is_used() {
        let bytes = request(ID, DUID, Duration::from_millis(1500));
        assert_eq!(bytes[..4], [11, 1, 2, 3]);
        let found: Vec<(u16, &[u8])> = options(&bytes[4..]).collect();
        assert_eq!(found, [(1, DUID), (8, &[0, 150][..]), (6, &[0, 23, 0, 24, 0, 31, 0, 32, 0, 56][..])]);
    }

    #[test]
    fn answers_are_taken_apart() {
        let server: Ipv6Addr = "fd77::53".parse().unwrap();
        let octets = server.octets();
        let time = [&[0, 1, 0, 16][..], &octets, &[0, 3, 0, 5, 3], b"ntp", &[0]].concat();
        let full = reply(&[
            (SERVER_ID, &[0, 3]),
            (CLIENT_ID, DUID),
            (DNS, &octets),
            (SEARCH, b"\x03six\x04test\0"),
            (NTP, &time),
            (REFRESH, &[0, 0, 0, 1]),
        ]);
        let (lease, refresh) = parse(&full, ID, DUID).unwrap();
        assert_eq!((lease.dns, lease.search), (vec![server], vec!["six.test".to_owned()]));
        assert_eq!((lease.ntp, refresh), (vec!["fd77::53".to_owned(), "ntp".to_owned()], REFRESHED.1));
        // Cut off anywhere it is read as far as it goes, and nothing breaks.
        for length in 0..full.len() {
            let _ = parse(&full[..length], ID, DUID);
        }
    }

    #[test]
    fn what_is_no_answer_to_us_is_none() {
        let server: (u16, &[u8]) = (SERVER_ID, &[0, 3]);
        assert!(parse(&reply(&[server]), ID, DUID).is_some());
        assert_eq!(parse(&reply(&[server]), [3, 2, 1], DUID), None);
        assert_eq!(parse(&reply(&[]), ID, DUID), None);
        assert_eq!(parse(&reply(&[server, (CLIENT_ID, &[9])]), ID, DUID), None);
        let mut request = reply(&[server]);
        request[0] = INFORMATION_REQUEST;
        assert_eq!(parse(&request, ID, DUID), None);
        assert_eq!(parse(&[], ID, DUID), None);
    }
}
