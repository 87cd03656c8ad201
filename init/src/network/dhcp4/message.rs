//! DHCPv4 messages: RFC 2131 (the header), RFC 2132 (options), RFC 3396 (long options), RFC 3397 (search list), RFC 3442 (routes).
//!
//! Pure: bytes in, values out. Nothing that a server says is trusted: every length is checked, names are taken only if they are names.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const MAGIC: [u8; 4] = [99, 130, 83, 99];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;
/// Where the fields of the header lie, and how long it is with the magic number.
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const HEADER: usize = 240;
/// A BOOTP message is at least this long; some relays drop shorter ones.
const MINIMUM: usize = 300;

/// The options that we use; numbers of RFC 2132 and followers.
pub(crate) mod option {
    pub(crate) const MASK: u8 = 1;
    pub(crate) const ROUTER: u8 = 3;
    pub(crate) const DNS: u8 = 6;
    pub(crate) const HOSTNAME: u8 = 12;
    pub(crate) const DOMAIN: u8 = 15;
    pub(crate) const MTU: u8 = 26;
    pub(crate) const NTP: u8 = 42;
    pub(crate) const REQUESTED: u8 = 50;
    pub(crate) const LEASE_TIME: u8 = 51;
    pub(crate) const OVERLOAD: u8 = 52;
    pub(crate) const KIND: u8 = 53;
    pub(crate) const SERVER: u8 = 54;
    pub(crate) const PARAMETERS: u8 = 55;
    pub(crate) const MAXIMUM_SIZE: u8 = 57;
    pub(crate) const T1: u8 = 58;
    pub(crate) const T2: u8 = 59;
    pub(crate) const CLIENT: u8 = 61;
    pub(crate) const SEARCH: u8 = 119;
    pub(crate) const ROUTES: u8 = 121;
    pub(crate) const PAD: u8 = 0;
    pub(crate) const END: u8 = 255;
}

/// What we ask a server for. RFC 3442: the routes come before the router.
const PARAMETERS: [u8; 11] = [
    option::MASK,
    option::ROUTES,
    option::ROUTER,
    option::DNS,
    option::HOSTNAME,
    option::DOMAIN,
    option::MTU,
    option::NTP,
    option::SEARCH,
    option::T1,
    option::T2,
];

/// The longest message that we take: what fits into an Ethernet frame.
const MAXIMUM_SIZE: u16 = 1472;

/// What a message is for (option 53), as far as it matters to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Discover = 1,
    Offer = 2,
    Request = 3,
    Ack = 5,
    Nak = 6,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Discover, Self::Offer, Self::Request, Self::Ack, Self::Nak].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A message that we send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) kind: Kind,
    pub(crate) transaction: u32,
    /// Seconds since the exchange began.
    pub(crate) seconds: u16,
    /// The address that the link has and the lease is for; unspecified outside of renewals.
    pub(crate) current: Ipv4Addr,
    /// Option 50.
    pub(crate) requested: Option<Ipv4Addr>,
    /// Option 54.
    pub(crate) server: Option<Ipv4Addr>,
    pub(crate) hardware: [u8; 6],
    /// Option 12: what the server may register in its DNS.
    pub(crate) hostname: Option<String>,
}

impl Outgoing {
    /// As the payload of a UDP datagram.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![REQUEST, ETHERNET, 6, 0];
        bytes.extend(self.transaction.to_be_bytes());
        bytes.extend(self.seconds.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.current.octets());
        bytes.resize(28, 0);
        bytes.extend(self.hardware);
        bytes.resize(HEADER - MAGIC.len(), 0);
        bytes.extend(MAGIC);
        let mut add = |code: u8, value: &[u8]| {
            // A value of ours that doesn't fit into an option is left out: none but a hostname could be so long, and none is.
            if let Ok(length) = u8::try_from(value.len()) {
                bytes.extend([code, length]);
                bytes.extend(value);
            }
        };
        add(option::KIND, &[self.kind as u8]);
        // The link's own address: what reservations are made by, and the same at each boot and after each new installation.
        let mut client = vec![ETHERNET];
        client.extend(self.hardware);
        add(option::CLIENT, &client);
        if let Some(address) = self.requested {
            add(option::REQUESTED, &address.octets());
        }
        if let Some(server) = self.server {
            add(option::SERVER, &server.octets());
        }
        add(option::MAXIMUM_SIZE, &MAXIMUM_SIZE.to_be_bytes());
        add(option::PARAMETERS, &PARAMETERS);
        if let Some(hostname) = &self.hostname {
            add(option::HOSTNAME, hostname.as_bytes());
        }
        bytes.push(option::END);
        bytes.resize(bytes.len().max(MINIMUM), 0);
        bytes
    }
}

/// A server's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) kind: Kind,
    pub(crate) transaction: u32,
    /// "Your address": what is offered or granted.
    pub(crate) address: Ipv4Addr,
    pub(crate) hardware: [u8; 6],
    options: BTreeMap<u8, Vec<u8>>,
}

impl Incoming {
    /// Takes a UDP payload apart. `None`: not a DHCP server's message to an Ethernet client.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        if header[..3] != [REPLY, ETHERNET, 6] || header[HEADER - MAGIC.len()..] != MAGIC {
            return None;
        }
        let mut options = BTreeMap::new();
        collect(&bytes[HEADER..], &mut options);
        let overload = options.get(&option::OVERLOAD).and_then(|value: &Vec<u8>| value.first().copied()).unwrap_or(0);
        // RFC 3396, 5: the options field, then `file`, then `sname`.
        if overload & 1 != 0 {
            collect(&header[FILE], &mut options);
        }
        if overload & 2 != 0 {
            collect(&header[SNAME], &mut options);
        }
        let kind = Kind::from_number(*options.get(&option::KIND)?.first()?)?;
        Some(Self {
            kind,
            transaction: u32::from_be_bytes(*header[4..].first_chunk()?),
            address: Ipv4Addr::from(*header[16..].first_chunk::<4>()?),
            hardware: *header[28..].first_chunk()?,
            options,
        })
    }

    fn array<const N: usize>(&self, code: u8) -> Option<[u8; N]> {
        self.options.get(&code)?.as_slice().try_into().ok()
    }

    /// An option that is one address.
    pub(crate) fn one_address(&self, code: u8) -> Option<Ipv4Addr> {
        self.array::<4>(code).map(Ipv4Addr::from)
    }

    /// An option that is a list of addresses; a rest that is no address is ignored.
    pub(crate) fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        let value = self.options.get(&code).map_or(&[][..], Vec::as_slice);
        value.as_chunks::<4>().0.iter().map(|octets| Ipv4Addr::from(*octets)).collect()
    }

    /// An option that is a number of seconds.
    pub(crate) fn seconds(&self, code: u8) -> Option<u32> {
        self.array(code).map(u32::from_be_bytes)
    }

    /// The link's MTU, if it is one that IPv4 allows.
    pub(crate) fn mtu(&self) -> Option<u16> {
        self.array(option::MTU).map(u16::from_be_bytes).filter(|mtu| *mtu >= 576)
    }

    /// An option that is one domain name. A text that is none counts as not there.
    pub(crate) fn name(&self, code: u8) -> Option<String> {
        let value = self.options.get(&code)?;
        let text = std::str::from_utf8(value).ok()?.trim_end_matches(['\0', '.']);
        super::super::names::is_domain(text).then(|| text.to_owned())
    }

    /// The search list: names as DNS messages have them, with pointers into the same option.
    pub(crate) fn search(&self) -> Vec<String> {
        self.options.get(&option::SEARCH).map(|value| super::super::names::decode_list(value)).unwrap_or_default()
    }

    /// The classless routes: destination, prefix length, router. `None`: the option isn't there, or malformed and so ignored as a whole.
    pub(crate) fn routes(&self) -> Option<Vec<(Ipv4Addr, u8, Ipv4Addr)>> {
        let mut rest = self.options.get(&option::ROUTES)?.as_slice();
        let mut routes = Vec::new();
        while let Some((&length, tail)) = rest.split_first() {
            let significant = usize::from(length.div_ceil(8));
            if length > 32 || tail.len() < significant + 4 {
                return None;
            }
            let (prefix, tail) = tail.split_at(significant);
            let (router, tail) = tail.split_first_chunk::<4>()?;
            let mut octets = [0; 4];
            octets[..significant].copy_from_slice(prefix);
            let mask = u32::MAX.checked_shl(u32::from(32 - length)).unwrap_or(0);
            routes.push((Ipv4Addr::from(u32::from_be_bytes(octets) & mask), length, Ipv4Addr::from(*router)));
            rest = tail;
        }
        (!routes.is_empty()).then_some(routes)
    }
}

/// Adds the options of a field; one that occurs again is continued.
fn collect(mut bytes: &[u8], options: &mut BTreeMap<u8, Vec<u8>>) {
    while let Some((&code, rest)) = bytes.split_first() {
        match code {
            option::PAD => bytes = rest,
            option::END => return,
            code => {
                let Some((&length, rest)) = rest.split_first() else { return };
                let Some((value, rest)) = rest.split_at_checked(usize::from(length)) else { return };
                options.entry(code).or_default().extend(value);
                bytes = rest;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
