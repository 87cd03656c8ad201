use super::super::message::tests::reply;
use super::*;

const HARDWARE: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// The transaction that `reply` writes.
const RANDOM: u32 = 7;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn message(kind: u8, last: u8, options: &[u8]) -> Event {
    let options = [&[53, 1, kind, 54, 4, 10, 0, 0, 1], options].concat();
    Event::Message(Incoming::decode(&reply([10, 0, 0, last], &options, &[], &[])).unwrap())
}

/// A lease of 100 s: renewal at 50 s, any server at 88 s.
fn ack(last: u8) -> Event {
    message(5, last, &[51, 4, 0, 0, 0, 100, 1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 0, 1])
}

fn offer(last: u8) -> Event {
    message(2, last, &[])
}

fn nak() -> Event {
    message(6, 0, &[])
}

/// What is sent, shortly: kind, how, what it asks for.
fn short(send: Option<Send>) -> String {
    let Some(send) = send else { return "-".to_owned() };
    let (how, message) = match send {
        Send::Broadcast(message) => ("broadcast".to_owned(), message),
        Send::Unicast { from, to, message } => (format!("{from}>{to}"), message),
    };
    let last = |address: Ipv4Addr| address.octets()[3].to_string();
    let requested = message.requested.map_or("-".to_owned(), last);
    let server = if message.server.is_some() { " server" } else { "" };
    format!("{:?} {how} requested={requested} current={}{server}", message.kind, last(message.current))
}

/// The second, the event; what goes out, the state, the held address' last byte and the next deadline behind it.
type Row = (u64, Event, &'static str, &'static str, Option<u8>, Option<u64>);

/// Runs events at their second; each row says what goes out, the state, the address held and the next deadline behind it.
fn run(last: Option<u8>, rows: &[Row]) {
    let mut client = Client::new(HARDWARE, None, last.map(|last| Ipv4Addr::new(10, 0, 0, last)));
    for (number, (time, event, sent, state, held, deadline)) in rows.iter().enumerate() {
        let result = short(client.step(event.clone(), seconds(*time), RANDOM));
        let address = client.lease().map(|lease| lease.address.octets()[3]);
        let expect = (sent.to_string(), *state, *held, deadline.map(seconds));
        assert_eq!((result, client.state(), address, client.deadline()), expect, "row {number}: {time} {event:?}");
        let quiet = ["no-carrier", "bound", "refused"].contains(state);
        assert_eq!(client.listens(), !quiet, "row {number}");
    }
}

const DISCOVER: &str = "Discover broadcast requested=- current=0";
const REQUEST_9: &str = "Request broadcast requested=9 current=0 server";
const CONFIRM_9: &str = "Request broadcast requested=9 current=0";
const RENEW_9: &str = "Request 10.0.0.9>10.0.0.1 requested=- current=9";
const REBIND_9: &str = "Request broadcast requested=- current=9";

#[test]
fn the_first_address_and_its_renewals() {
    run(
        None,
        &[
            (0, Event::Carrier, DISCOVER, "discovering", None, Some(1)),
            (0, offer(9), REQUEST_9, "requesting", None, Some(1)),
            (0, ack(9), "-", "bound", Some(9), Some(50)),
            (20, ack(8), "-", "bound", Some(9), Some(50)),
            (50, Event::Time, RENEW_9, "renewing", Some(9), Some(88)),
            (51, ack(9), "-", "bound", Some(9), Some(100)),
            (100, Event::Time, RENEW_9, "renewing", Some(9), Some(138)),
            (100, ack(9), "-", "bound", Some(9), Some(150)),
        ],
    );
}

#[test]
fn silence_is_asked_into_ever_more_slowly() {
    let again = |time, deadline| (time, Event::Time, DISCOVER, "discovering", None, Some(deadline));
    run(
        None,
        &[
            (0, Event::Carrier, DISCOVER, "discovering", None, Some(1)),
            again(1, 3),
            again(3, 7),
            again(7, 15),
            again(15, 31),
            again(31, 63),
            again(63, 127),
            again(127, 191),
            (140, Event::Time, "-", "discovering", None, Some(191)),
        ],
    );
}

#[test]
fn a_server_that_falls_silent_behind_its_offer_is_left() {
    run(
        None,
        &[
            (0, Event::Carrier, DISCOVER, "discovering", None, Some(1)),
            (0, offer(9), REQUEST_9, "requesting", None, Some(1)),
            (0, offer(8), "-", "requesting", None, Some(1)),
            (1, Event::Time, REQUEST_9, "requesting", None, Some(3)),
            (3, Event::Time, REQUEST_9, "requesting", None, Some(7)),
            (7, Event::Time, DISCOVER, "discovering", None, Some(8)),
        ],
    );
}

#[test]
fn the_last_address_is_asked_for_first() {
    run(Some(9), &[(0, Event::Carrier, CONFIRM_9, "confirming", None, Some(1)), (0, ack(9), "-", "bound", Some(9), Some(50))]);
    run(
        Some(9),
        &[(0, Event::Carrier, CONFIRM_9, "confirming", None, Some(1)), (0, nak(), DISCOVER, "discovering", None, Some(1))],
    );
    run(
        Some(9),
        &[
            (0, Event::Carrier, CONFIRM_9, "confirming", None, Some(1)),
            (1, Event::Time, CONFIRM_9, "confirming", None, Some(3)),
            (3, Event::Time, "Discover broadcast requested=9 current=0", "discovering", None, Some(4)),
        ],
    );
}

#[test]
fn a_refused_renewal_takes_the_address_away_and_asks_for_another() {
    run(
        None,
        &[
            (0, Event::Carrier, DISCOVER, "discovering", None, Some(1)),
            (0, offer(9), REQUEST_9, "requesting", None, Some(1)),
            (0, ack(9), "-", "bound", Some(9), Some(50)),
            (50, Event::Time, RENEW_9, "renewing", Some(9), Some(88)),
            (50, nak(), DISCOVER, "discovering", None, Some(51)),
            (50, offer(8), "Request broadcast requested=8 current=0 server", "requesting", None, Some(51)),
            (50, ack(8), "-", "bound", Some(8), Some(100)),
        ],
    );
}

#[test]
fn a_server_may_grant_another_address_at_renewal() {
    run(
        None,
        &[
            (0, Event::Carrier, DISCOVER, "discovering", None, Some(1)),
            (0, offer(9), REQUEST_9, "requesting", None, Some(1)),
            (0, ack(9), "-", "bound", Some(9), Some(50)),
            (50, Event::Time, RENEW_9, "renewing", Some(9), Some(88)),
            (50, ack(8), "-", "bound", Some(8), Some(100)),
        ],
    );
}

#[test]
fn a_server_that_is_gone_costs_the_address_at_the_end_and_not_before() {
    run(
        None,
        &[
            (0, Event::Carrier, DISCOVER, "discovering", None, Some(1)),
            (0, offer(9), REQUEST_9, "requesting", None, Some(1)),
            (0, ack(9), "-", "bound", Some(9), Some(50)),
            (50, Event::Time, RENEW_9, "renewing", Some(9), Some(88)),
            (88, Event::Time, REBIND_9, "rebinding", Some(9), Some(100)),
            (100, Event::Time, "Discover broadcast requested=9 current=0", "discovering", None, Some(101)),
            (101, offer(9), REQUEST_9, "requesting", None, Some(102)),
            (101, ack(9), "-", "bound", Some(9), Some(151)),
        ],
    );
}

#[test]
fn a_pulled_cable_costs_nothing_while_the_lease_lasts() {
    run(
        None,
        &[
            (0, Event::Carrier, DISCOVER, "discovering", None, Some(1)),
            (0, offer(9), REQUEST_9, "requesting", None, Some(1)),
            (0, ack(9), "-", "bound", Some(9), Some(50)),
            (10, Event::NoCarrier, "-", "no-carrier", Some(9), Some(100)),
            (60, Event::Carrier, CONFIRM_9, "confirming", Some(9), Some(61)),
            (61, Event::Time, CONFIRM_9, "confirming", Some(9), Some(63)),
            (63, Event::Time, "Discover broadcast requested=9 current=0", "discovering", Some(9), Some(64)),
            (63, offer(9), REQUEST_9, "requesting", Some(9), Some(64)),
            (63, ack(9), "-", "bound", Some(9), Some(113)),
            (70, Event::NoCarrier, "-", "no-carrier", Some(9), Some(163)),
            (163, Event::Time, "-", "no-carrier", None, None),
            (500, Event::Carrier, CONFIRM_9, "confirming", None, Some(501)),
            (500, nak(), DISCOVER, "discovering", None, Some(501)),
        ],
    );
}

#[test]
fn refusals_one_behind_the_other_slow_the_client_down() {
    run(
        Some(9),
        &[
            (0, Event::Carrier, CONFIRM_9, "confirming", None, Some(1)),
            (0, nak(), DISCOVER, "discovering", None, Some(1)),
            (0, offer(8), "Request broadcast requested=8 current=0 server", "requesting", None, Some(1)),
            (0, nak(), "-", "refused", None, Some(1)),
            (1, Event::Time, DISCOVER, "discovering", None, Some(2)),
            (1, offer(8), "Request broadcast requested=8 current=0 server", "requesting", None, Some(2)),
            (1, nak(), "-", "refused", None, Some(3)),
        ],
    );
}

#[test]
fn messages_that_are_for_others_count_for_nothing() {
    let mut client = Client::new(HARDWARE, None, None);
    let _ = client.step(Event::Carrier, seconds(0), RANDOM + 1);
    assert_eq!(client.step(offer(9), seconds(0), RANDOM), None);
    let mut client = Client::new([2; 6], None, None);
    let _ = client.step(Event::Carrier, seconds(0), RANDOM);
    assert_eq!(client.step(offer(9), seconds(0), RANDOM), None);
}

#[test]
fn leases_are_what_the_server_says_within_reason() {
    /// Prefix length, number of routes, and when to renew, to rebind and to end, in seconds.
    type Terms = (u8, usize, Option<(u64, u64, u64)>);
    let check = |options: &[u8], expect: Option<Terms>| {
        let Event::Message(message) = message(5, 9, options) else { panic!() };
        let lease = Lease::from_ack(&message, seconds(0));
        let times = |times: Times| (times.renew.as_secs(), times.rebind.as_secs(), times.end.as_secs());
        assert_eq!(lease.map(|lease| (lease.prefix, lease.routes.len(), lease.times.map(times))), expect, "{options:?}");
    };
    check(&[], None);
    check(&[51, 4, 255, 255, 255, 255], Some((8, 0, None)));
    check(&[51, 4, 0, 0, 0, 100], Some((8, 0, Some((50, 88, 100)))));
    check(&[51, 4, 0, 0, 0, 0], Some((8, 0, Some((5, 9, 10)))));
    check(&[51, 4, 0, 0, 0, 100, 58, 4, 0, 0, 0, 5, 59, 4, 0, 0, 0, 9], Some((8, 0, Some((5, 9, 100)))));
    check(&[51, 4, 0, 0, 0, 100, 58, 4, 0, 0, 0, 90, 59, 4, 0, 0, 0, 100], Some((8, 0, Some((50, 88, 100)))));
    check(&[51, 4, 0, 0, 0, 100, 59, 4, 0, 0, 0, 1], Some((8, 0, Some((50, 88, 100)))));
    check(&[51, 4, 0, 0, 0, 100, 1, 4, 255, 0, 255, 0, 3, 8, 0, 0, 0, 0, 10, 0, 0, 2], Some((8, 1, Some((50, 88, 100)))));
    check(&[51, 4, 0, 0, 0, 100, 3, 4, 10, 0, 0, 1, 121, 8, 24, 10, 1, 0, 10, 0, 0, 2], Some((8, 1, Some((50, 88, 100)))));
}
