//! The IPv4 and UDP headers around a DHCP message that is sent before the link has an address (RFC 791, RFC 768).

use std::net::Ipv4Addr;

const UDP: u8 = 17;
const CLIENT: u16 = 68;
const SERVER: u16 = 67;

/// A packet from no address to everybody, from the client's to the server's port.
pub(crate) fn wrap(payload: &[u8]) -> Option<Vec<u8>> {
    let udp_length = u16::try_from(payload.len() + 8).ok()?;
    let length = udp_length.checked_add(20)?;
    let (from, to) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    let mut header = vec![0x45, 0x10];
    header.extend(length.to_be_bytes());
    // Identification 0, no fragments; time to live 64.
    header.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
    header.extend(from.octets());
    header.extend(to.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());

    let mut udp = Vec::new();
    udp.extend(CLIENT.to_be_bytes());
    udp.extend(SERVER.to_be_bytes());
    udp.extend(udp_length.to_be_bytes());
    udp.extend([0, 0]);
    let [high, low] = udp_length.to_be_bytes();
    let pseudo = [&from.octets()[..], &to.octets()[..], &[0, UDP, high, low][..]].concat();
    // 0 would say that there is no sum.
    let sum = match checksum(&[&pseudo, &udp, payload]) {
        0 => 0xffff,
        sum => sum,
    };
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    Some([header, udp, payload.to_vec()].concat())
}

/// The payload of a UDP packet to the client's port. Sums are not checked: virtual networks leave them to hardware that isn't there.
pub(crate) fn unwrap(packet: &[u8]) -> Option<&[u8]> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let length = usize::from(u16::from_be_bytes(*packet.get(2..)?.first_chunk()?));
    let fragment = u16::from_be_bytes(*packet.get(6..)?.first_chunk()?) & 0x3fff;
    if packet[0] >> 4 != 4 || header < 20 || *packet.get(9)? != UDP || fragment != 0 {
        return None;
    }
    let udp = packet.get(header..length)?;
    let port = u16::from_be_bytes(*udp.get(2..)?.first_chunk()?);
    let length = usize::from(u16::from_be_bytes(*udp.get(4..)?.first_chunk()?));
    (port == CLIENT).then(|| udp.get(8..length)).flatten()
}

/// The Internet checksum (RFC 1071) of parts that are all, but for the last, of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_sums_up_and_is_unwrapped() {
        for payload in [&b""[..], b"x", b"ab", &[0xff; 1400]] {
            let packet = wrap(payload).unwrap();
            assert_eq!(checksum(&[&packet[..20]]), 0, "{payload:?}");
            let pseudo = [&packet[12..20], &[0, UDP], &packet[24..26]].concat();
            assert_eq!(checksum(&[&pseudo, &packet[20..]]), 0, "{payload:?}");
            // It goes to the server's port; on its way back it would go to ours.
            assert_eq!(unwrap(&packet), None);
            let mut back = packet;
            back[23] = 68;
            back.extend(*b"padding of a short frame");
            assert_eq!(unwrap(&back), Some(payload));
        }
        assert_eq!(wrap(&[0; 65_536]), None);
    }

    #[test]
    fn foreign_packets_are_refused_at_any_length() {
        let mut packet = wrap(b"payload").unwrap();
        packet[23] = 68;
        for length in 0..packet.len() {
            assert_eq!(unwrap(&packet[..length]), None, "{length}");
        }
        for (at, value) in [(0, 0x65), (0, 0x44), (0, 0x4f), (2, 0xff), (6, 0x20), (9, 6), (25, 3)] {
            let mut bad = packet.clone();
            bad[at] = value;
            assert_eq!(unwrap(&bad), None, "{at}");
        }
    }
}
