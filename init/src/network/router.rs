//! Name servers in router advertisements (RFC 8106): the kernel takes addresses and routes from them itself, the rest it hands over.

use super::leases::RouterDns;
use super::names;
use kmimage_sys::router_options::RouterOptionsSocket;
use std::io;
use std::net::Ipv6Addr;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// The kernel's number of these messages (RTM_NEWNDUSEROPT), and the lengths of nlmsghdr and nduseroptmsg.
const MESSAGE: u16 = 68;
const HEADER: usize = 16;
const OPTIONS: usize = 16;
/// The options: recursive DNS servers, search list.
const SERVERS: u8 = 25;
const SEARCH: u8 = 31;
/// A router says more only to fill memory.
const MOST: usize = 16;

/// One option of one advertisement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) link: u32,
    /// How long it holds; zero takes it back.
    pub(crate) lifetime: Duration,
    pub(crate) what: What,
}

/// What an option says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Servers(Vec<Ipv6Addr>),
    Search(Vec<String>),
}

/// Waits for the next options.
pub(crate) async fn receive(socket: &AsyncFd<RouterOptionsSocket>) -> io::Result<Vec<Advice>> {
    let mut buffer = [0; 8192];
    loop {
        let mut ready = socket.readable().await?;
        if let Ok(length) = ready.try_io(|socket| socket.get_ref().receive(&mut buffer)) {
            // The kernel had to drop some: the next advertisement brings them again.
            let length = match length {
                Err(error) if error.raw_os_error() == Some(105) => continue,
                length => length?,
            };
            let options = buffer.get(..length.unwrap_or(0)).map(parse).unwrap_or_default();
            if !options.is_empty() {
                return Ok(options);
            }
        }
    }
}

/// Takes netlink messages apart. What is malformed is left out.
pub(crate) fn parse(mut bytes: &[u8]) -> Vec<Advice> {
    let mut options = Vec::new();
    while let Some(header) = bytes.first_chunk::<HEADER>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(message) = bytes.get(HEADER..length) else { break };
        if u16::from_ne_bytes([header[4], header[5]]) == MESSAGE {
            message_options(message, &mut options);
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    options
}

fn message_options(message: &[u8], options: &mut Vec<Advice>) {
    let Some((header, rest)) = message.split_first_chunk::<OPTIONS>() else { return };
    let length = usize::from(u16::from_ne_bytes([header[2], header[3]]));
    let link = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
    let Some(mut rest) = rest.get(..length) else { return };
    // RFC 4861, 4.6: type, length in units of 8 bytes, content.
    while let [kind, units, ..] = *rest {
        let Some((option, next)) = rest.split_at_checked(usize::from(units) * 8).filter(|_| units > 0) else { return };
        rest = next;
        let Some((&[_, _, _, _, a, b, c, d], content)) = option.split_first_chunk::<8>() else { continue };
        let lifetime = Duration::from_secs(u64::from(u32::from_be_bytes([a, b, c, d])));
        let what = match kind {
            SERVERS => What::Servers(content.as_chunks::<16>().0.iter().map(|octets| Ipv6Addr::from(*octets)).collect()),
            SEARCH => What::Search(names::decode_list(content)),
            _ => continue,
        };
        options.push(Advice { link, lifetime, what });
    }
}

/// What a link's routers say of DNS, with the times at which it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    servers: Vec<(Ipv6Addr, Duration)>,
    search: Vec<(String, Duration)>,
}

impl Known {
    /// Takes one option in; times are since the machine's start.
    pub(crate) fn take(&mut self, option: &Advice, now: Duration) {
        let end = now.saturating_add(option.lifetime);
        match &option.what {
            What::Servers(servers) => servers.iter().for_each(|server| keep(&mut self.servers, server, end, now)),
            What::Search(search) => search.iter().for_each(|name| keep(&mut self.search, name, end, now)),
        }
    }

    /// What holds now.
    pub(crate) fn at(&self, now: Duration) -> RouterDns {
        RouterDns { servers: holding(&self.servers, now), search: holding(&self.search, now) }
    }

    /// When the next of it ends.
    pub(crate) fn next_end(&self, now: Duration) -> Option<Duration> {
        let ends = self.servers.iter().map(|(_, end)| *end).chain(self.search.iter().map(|(_, end)| *end));
        ends.filter(|end| *end > now).min()
    }
}

fn keep<T: Clone + PartialEq>(known: &mut Vec<(T, Duration)>, value: &T, end: Duration, now: Duration) {
    known.retain(|(_, end)| *end > now);
    let room = known.len() < MOST;
    match known.iter_mut().find(|(known, _)| known == value) {
        Some((_, known)) => *known = end,
        None if room => known.push((value.clone(), end)),
        None => {}
    }
    known.retain(|(_, end)| *end > now);
}

fn holding<T: Clone>(known: &[(T, Duration)], now: Duration) -> Vec<T> {
    known.iter().filter(|(_, end)| *end > now).map(|(value, _)| value.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(link: u32, options: &[u8]) -> Vec<u8> {
        let length = HEADER + OPTIONS + options.len();
        let mut bytes = u32::try_from(length).unwrap().to_ne_bytes().to_vec();
        bytes.extend(MESSAGE.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend([10, 0]);
        bytes.extend(u16::try_from(options.len()).unwrap().to_ne_bytes());
        bytes.extend(link.to_ne_bytes());
        bytes.resize(HEADER + OPTIONS, 0);
        bytes.extend(options);
        bytes
    }

    fn servers(seconds: u8, last: u8) -> Vec<u8> {
        let mut option = vec![SERVERS, 3, 0, 0, 0, 0, 0, seconds];
        option.extend("fd00::".parse::<Ipv6Addr>().unwrap().octets());
        *option.last_mut().unwrap() = last;
        option
    }

    #[test]
    fn options_are_taken_apart() {
        let search = [SEARCH, 2, 0, 0, 0, 0, 0, 60, 3, b'o', b'r', b'g', 0, 0, 0, 0];
        let bytes = [message(3, &servers(60, 1)), message(4, &search)].concat();
        let minute = Duration::from_secs(60);
        assert_eq!(
            parse(&bytes),
            [
                Advice { link: 3, lifetime: minute, what: What::Servers(vec!["fd00::1".parse().unwrap()]) },
                Advice { link: 4, lifetime: minute, what: What::Search(vec!["org".to_owned()]) },
            ]
        );
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).len() < 2, "{length}");
        }
        assert_eq!(parse(&message(3, &[SERVERS, 0, 0, 0])), []);
        assert_eq!(parse(&message(3, &[1, 1, 0, 0, 0, 0, 0, 0])), []);
    }

    #[test]
    fn what_is_known_ends_and_is_taken_back() {
        let mut known = Known::default();
        let at = Duration::from_secs;
        let take = |known: &mut Known, seconds: u8, last: u8, now: u64| {
            for option in parse(&message(3, &servers(seconds, last))) {
                known.take(&option, at(now));
            }
        };
        take(&mut known, 60, 1, 0);
        take(&mut known, 30, 2, 0);
        assert_eq!((known.at(at(10)).servers.len(), known.next_end(at(10))), (2, Some(at(30))));
        assert_eq!(known.at(at(30)).servers, ["fd00::1".parse::<Ipv6Addr>().unwrap()]);
        take(&mut known, 60, 1, 50);
        assert_eq!(known.next_end(at(50)), Some(at(110)));
        take(&mut known, 0, 1, 60);
        assert_eq!(known.at(at(60)), RouterDns::default());
        for last in 0..100 {
            take(&mut known, 60, last, 70);
        }
        assert_eq!(known.at(at(70)).servers.len(), MOST);
    }
}
