use super::*;

const HARDWARE: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// A server's message with these options, in the options field, `file` and `sname`.
pub(crate) fn reply(address: [u8; 4], options: &[u8], file: &[u8], sname: &[u8]) -> Vec<u8> {
    let mut bytes = vec![2, 1, 6, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(address);
    bytes.resize(28, 0);
    bytes.extend(HARDWARE);
    bytes.resize(44, 0);
    bytes.extend(sname);
    bytes.resize(108, 0);
    bytes.extend(file);
    bytes.resize(236, 0);
    bytes.extend(MAGIC);
    bytes.extend(options);
    bytes
}

fn decode(options: &[u8]) -> Incoming {
    Incoming::decode(&reply([10, 0, 0, 9], &[&[53, 1, 5], options].concat(), &[], &[])).unwrap()
}

#[test]
fn requests_are_what_the_rfc_says() {
    let message = Outgoing {
        kind: Kind::Request,
        transaction: 0x0102_0304,
        seconds: 3,
        current: Ipv4Addr::new(10, 0, 0, 9),
        requested: Some(Ipv4Addr::new(10, 0, 0, 8)),
        server: Some(Ipv4Addr::new(10, 0, 0, 1)),
        hardware: HARDWARE,
        hostname: Some("node-1".to_owned()),
    };
    let bytes = message.encode();
    assert_eq!(bytes.len(), 300);
    assert_eq!(bytes[..16], [1, 1, 6, 0, 1, 2, 3, 4, 0, 3, 0, 0, 10, 0, 0, 9]);
    assert_eq!(bytes[28..34], HARDWARE);
    let options = [
        &[99, 130, 83, 99, 53, 1, 3, 61, 7, 1][..],
        &HARDWARE,
        &[50, 4, 10, 0, 0, 8, 54, 4, 10, 0, 0, 1, 57, 2, 5, 0xc0, 55, 11, 1, 121, 3, 6, 12, 15, 26, 42, 119, 58, 59, 12, 6],
        b"node-1",
        &[255],
    ]
    .concat();
    assert_eq!(bytes[236..236 + options.len()], options);
    assert!(bytes[236 + options.len()..].iter().all(|byte| *byte == 0));
}

#[test]
fn replies_are_taken_apart() {
    let message =
        decode(&[1, 4, 255, 255, 255, 0, 0, 0, 3, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16, 26, 2, 5, 0x78, 255, 6, 4, 1, 1, 1, 1]);
    assert_eq!((message.kind, message.transaction, message.hardware), (Kind::Ack, 7, HARDWARE));
    assert_eq!(message.address, Ipv4Addr::new(10, 0, 0, 9));
    assert_eq!(message.one_address(option::MASK), Some(Ipv4Addr::new(255, 255, 255, 0)));
    assert_eq!(message.seconds(option::LEASE_TIME), Some(3600));
    assert_eq!(message.mtu(), Some(1400));
    // Behind the end there is nothing.
    assert!(message.addresses(option::DNS).is_empty());
}

#[test]
fn names_that_are_none_are_not_there() {
    let check = |value: &[u8], name: Option<&str>| {
        let length = u8::try_from(value.len()).unwrap();
        assert_eq!(decode(&[&[15, length], value].concat()).name(option::DOMAIN).as_deref(), name, "{value:?}");
    };
    check(b"example.org", Some("example.org"));
    check(b"example.org\0", Some("example.org"));
    check(b"example.org.", Some("example.org"));
    check(b"example.org\nnameserver 6.6.6.6", None);
    check(b"a b", None);
    check(b"\xff", None);
    check(b"", None);
}

#[test]
fn classless_routes() {
    let check = |value: &[u8], routes: Option<&[(&str, u8, &str)]>| {
        let length = u8::try_from(value.len()).unwrap();
        let address = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let routes = routes.map(|routes| routes.iter().map(|(to, length, via)| (address(to), *length, address(via))).collect());
        assert_eq!(decode(&[&[121, length], value].concat()).routes(), routes, "{value:?}");
    };
    check(&[0, 10, 0, 0, 1], Some(&[("0.0.0.0", 0, "10.0.0.1")]));
    check(
        &[24, 10, 1, 2, 0, 0, 0, 0, 32, 1, 2, 3, 4, 10, 0, 0, 1],
        Some(&[("10.1.2.0", 24, "0.0.0.0"), ("1.2.3.4", 32, "10.0.0.1")]),
    );
    check(&[17, 10, 1, 0xff, 10, 0, 0, 1], Some(&[("10.1.128.0", 17, "10.0.0.1")]));
    check(&[33, 10, 1, 2, 3, 4, 10, 0, 0, 1], None);
    check(&[24, 10, 1, 2, 10, 0, 0], None);
    check(&[255], None);
    check(&[], None);
}

#[test]
fn long_options_are_put_together_also_from_the_headers_fields() {
    let message =
        Incoming::decode(&reply([0; 4], &[53, 1, 2, 52, 1, 3, 6, 2, 10, 0, 255], &[6, 2, 0, 1, 255], &[6, 2, 9, 9])).unwrap();
    assert_eq!(message.addresses(option::DNS), [Ipv4Addr::new(10, 0, 0, 1)]);
    let message = Incoming::decode(&reply([0; 4], &[53, 1, 2, 52, 1, 2, 255], &[6, 2, 9, 9], &[6, 4, 1, 2, 3, 4])).unwrap();
    assert_eq!(message.addresses(option::DNS), [Ipv4Addr::new(1, 2, 3, 4)]);
}

#[test]
fn other_messages_are_refused_and_cut_ones_do_no_harm() {
    let good = reply([10, 0, 0, 9], &[53, 1, 5, 121, 5, 0, 10, 0, 0, 1, 119, 3, 1, b'a', 0], &[], &[]);
    for length in 0..good.len() {
        let message = Incoming::decode(&good[..length]);
        assert_eq!(message.is_some(), length >= 243, "{length}");
        if let Some(message) = message {
            let _ = (message.routes(), message.search(), message.name(15), message.mtu());
        }
    }
    for (at, value) in [(0, 1), (1, 6), (2, 8), (236, 0), (242, 8)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(Incoming::decode(&bad), None, "{at}");
    }
}
