//! A DHCPv4 client as a pure machine: events and the time in, messages to send and the lease out (RFC 2131, 4.4).
//!
//! What differs from the letter of RFC 2131, and why:
//! - nothing waits at the start (the RFC's 1 to 10 s): a machine boots, and its address is what everything else waits for;
//! - the first repetitions come after 1, 2 and 4 s: a switch that has just brought a port up loses the first message;
//! - nothing probes an address by ARP: that costs seconds at each boot, and servers probe before they offer.

use super::lease::{Lease, Times};
use super::message::{Incoming, Kind, Outgoing, option};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Repetitions of an unanswered message: 1, 2, 4, ... s, at most this.
const LONGEST_PAUSE: Duration = Duration::from_secs(64);
/// RFC 2131, 4.4.5: renewals are repeated at half of the time that is left, but not more often than this.
const RENEWAL_PAUSE: Duration = Duration::from_secs(60);
/// Requests that a server who made an offer leaves unanswered before anybody is asked again.
const REQUESTS: u32 = 3;
/// Requests to confirm an address that stay unanswered before anybody is asked for one.
const CONFIRMATIONS: u32 = 2;

/// What happens to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The link has carrier (again): it may be another network.
    Carrier,
    /// The link lost it.
    NoCarrier,
    /// A message came.
    Message(Incoming),
    /// The time has come that [`Client::deadline`] named.
    Time,
}

/// How a message goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Send {
    /// To everybody, from no address.
    Broadcast(Outgoing),
    /// To the server, from the leased address.
    Unicast { from: Ipv4Addr, to: Ipv4Addr, message: Outgoing },
}

/// The client of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    hardware: [u8; 6],
    hostname: Option<String>,
    phase: Phase,
    /// What is held: in use until it ends, or until a server says that it isn't ours.
    lease: Option<Lease>,
    /// The address to ask for first: the last one.
    last: Option<Ipv4Addr>,
    transaction: u32,
    /// When the exchange began.
    began: Duration,
    /// When the request that may be answered by an ACK was sent.
    asked: Duration,
    /// Refusals one behind the other: they slow the client down.
    refusals: u32,
    deadline: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// No carrier.
    Waiting,
    /// INIT, after a refusal: later.
    Pausing,
    /// SELECTING: DISCOVER is out, for the n-th time.
    Discovering(u32),
    /// REQUESTING.
    Requesting { address: Ipv4Addr, server: Ipv4Addr, count: u32 },
    /// REBOOTING: is this still our address?
    Confirming { address: Ipv4Addr, count: u32 },
    /// BOUND.
    Bound,
    /// RENEWING.
    Renewing,
    /// REBINDING.
    Rebinding,
}

impl Client {
    /// A client without carrier. `last` is the address that it had before, if that is known.
    pub(crate) fn new(hardware: [u8; 6], hostname: Option<String>, last: Option<Ipv4Addr>) -> Self {
        Self {
            hardware,
            hostname,
            phase: Phase::Waiting,
            lease: None,
            last,
            transaction: 0,
            began: Duration::ZERO,
            asked: Duration::ZERO,
            refusals: 0,
            deadline: None,
        }
    }

    /// What is held now.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// The address that the client wants confirmed while it holds no lease: what may stay on the link until there is an answer.
    pub(crate) fn confirming(&self) -> Option<Ipv4Addr> {
        match self.phase {
            Phase::Confirming { address, .. } => Some(address),
            _ => None,
        }
    }

    /// When to come back with [`Event::Time`], if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let end = self.lease.as_ref().and_then(|lease| lease.times).map(|times| times.end);
        [self.deadline, end].into_iter().flatten().min()
    }

    /// Whether messages are expected, so that somebody must listen.
    pub(crate) fn listens(&self) -> bool {
        !matches!(self.phase, Phase::Waiting | Phase::Pausing | Phase::Bound)
    }

    /// The state's name, for people.
    pub(crate) fn state(&self) -> &'static str {
        match self.phase {
            Phase::Waiting => "no-carrier",
            Phase::Pausing => "refused",
            Phase::Discovering(_) => "discovering",
            Phase::Requesting { .. } => "requesting",
            Phase::Confirming { .. } => "confirming",
            Phase::Bound => "bound",
            Phase::Renewing => "renewing",
            Phase::Rebinding => "rebinding",
        }
    }

    /// Takes one event. `random` is new with each call: transaction numbers and the scatter of pauses come from it.
    pub(crate) fn step(&mut self, event: Event, now: Duration, random: u32) -> Option<Send> {
        let ended = self.lease.as_ref().and_then(|lease| lease.times).is_some_and(|times| times.end <= now);
        if ended {
            self.lease = None;
        }
        match event {
            Event::NoCarrier => {
                // The lease stays: a cable that is pulled and plugged in again is no reason to lose connections.
                self.phase = Phase::Waiting;
                self.deadline = None;
                None
            }
            Event::Carrier => match self.lease.as_ref().map(|lease| lease.address).or(self.last) {
                Some(address) => {
                    self.begin(now, random);
                    self.confirm(address, 0, now, random)
                }
                None => self.discover_anew(now, random),
            },
            Event::Message(message) => self.receive(&message, now, random),
            // Without carrier there is nobody to ask; in the middle of an exchange the exchange goes on.
            Event::Time if ended && matches!(self.phase, Phase::Bound | Phase::Renewing | Phase::Rebinding) => {
                self.discover_anew(now, random)
            }
            Event::Time if self.deadline.is_some_and(|deadline| deadline <= now) => self.time(now, random),
            Event::Time => None,
        }
    }

    fn time(&mut self, now: Duration, random: u32) -> Option<Send> {
        let times = self.lease.as_ref().and_then(|lease| lease.times);
        match self.phase.clone() {
            Phase::Waiting => {
                self.deadline = None;
                None
            }
            Phase::Pausing => self.discover_anew(now, random),
            Phase::Discovering(count) => self.discover(count.saturating_add(1), now, random),
            Phase::Requesting { address, server, count } if count < REQUESTS => self.request(address, server, count, now, random),
            Phase::Requesting { .. } => self.discover_anew(now, random),
            Phase::Confirming { address, count } if count < CONFIRMATIONS => self.confirm(address, count, now, random),
            Phase::Confirming { .. } => self.discover_anew(now, random),
            Phase::Bound | Phase::Renewing | Phase::Rebinding => match times {
                Some(times) => self.renew(times, now, random),
                None => {
                    self.deadline = None;
                    None
                }
            },
        }
    }

    fn receive(&mut self, message: &Incoming, now: Duration, random: u32) -> Option<Send> {
        if message.transaction != self.transaction || message.hardware != self.hardware {
            return None;
        }
        match (message.kind, &self.phase) {
            (Kind::Offer, Phase::Discovering(_)) => {
                let server = message.one_address(option::SERVER)?;
                if message.address.is_unspecified() {
                    return None;
                }
                self.request(message.address, server, 0, now, random)
            }
            (Kind::Ack, Phase::Requesting { .. } | Phase::Confirming { .. } | Phase::Renewing | Phase::Rebinding) => {
                let lease = Lease::from_ack(message, self.asked)?;
                self.last = Some(lease.address);
                self.deadline = lease.times.map(|times| times.renew);
                self.lease = Some(lease);
                self.phase = Phase::Bound;
                self.refusals = 0;
                None
            }
            (Kind::Nak, Phase::Requesting { .. } | Phase::Confirming { .. } | Phase::Renewing | Phase::Rebinding) => {
                self.lease = None;
                self.last = None;
                self.refusals = self.refusals.saturating_add(1);
                if self.refusals == 1 {
                    return self.discover_anew(now, random);
                }
                // RFC 2131, 3.1 (5): slowly, where a server offers what it then refuses.
                self.phase = Phase::Pausing;
                self.deadline = Some(now + pause(self.refusals - 2, random));
                None
            }
            _ => None,
        }
    }

    /// A new exchange.
    fn begin(&mut self, now: Duration, random: u32) {
        self.transaction = random;
        self.began = now;
    }

    fn discover_anew(&mut self, now: Duration, random: u32) -> Option<Send> {
        self.begin(now, random);
        self.discover(0, now, random)
    }

    fn discover(&mut self, count: u32, now: Duration, random: u32) -> Option<Send> {
        self.phase = Phase::Discovering(count);
        self.deadline = Some(now + pause(count, random));
        Some(Send::Broadcast(Outgoing { requested: self.last, ..self.outgoing(Kind::Discover, now) }))
    }

    fn request(&mut self, address: Ipv4Addr, server: Ipv4Addr, count: u32, now: Duration, random: u32) -> Option<Send> {
        self.phase = Phase::Requesting { address, server, count: count + 1 };
        self.deadline = Some(now + pause(count, random));
        self.asked = now;
        let message = Outgoing { requested: Some(address), server: Some(server), ..self.outgoing(Kind::Request, now) };
        Some(Send::Broadcast(message))
    }

    fn confirm(&mut self, address: Ipv4Addr, count: u32, now: Duration, random: u32) -> Option<Send> {
        self.phase = Phase::Confirming { address, count: count + 1 };
        self.deadline = Some(now + pause(count, random));
        self.asked = now;
        Some(Send::Broadcast(Outgoing { requested: Some(address), ..self.outgoing(Kind::Request, now) }))
    }

    /// Renews by its server, later by any.
    fn renew(&mut self, times: Times, now: Duration, random: u32) -> Option<Send> {
        let lease = self.lease.as_ref()?;
        let (address, server) = (lease.address, lease.server);
        let rebinding = now >= times.rebind;
        if self.phase == Phase::Bound || rebinding && self.phase == Phase::Renewing {
            self.begin(now, random);
        }
        let until = if rebinding { times.end } else { times.rebind };
        self.deadline = Some(until.min(now + RENEWAL_PAUSE.max(until.saturating_sub(now) / 2)));
        self.asked = now;
        let message = Outgoing { current: address, ..self.outgoing(Kind::Request, now) };
        self.phase = if rebinding { Phase::Rebinding } else { Phase::Renewing };
        Some(if rebinding { Send::Broadcast(message) } else { Send::Unicast { from: address, to: server, message } })
    }

    fn outgoing(&self, kind: Kind, now: Duration) -> Outgoing {
        Outgoing {
            kind,
            transaction: self.transaction,
            seconds: u16::try_from(now.saturating_sub(self.began).as_secs()).unwrap_or(u16::MAX),
            current: Ipv4Addr::UNSPECIFIED,
            requested: None,
            server: None,
            hardware: self.hardware,
            hostname: self.hostname.clone(),
        }
    }
}

/// The pause behind the n-th message: 1, 2, 4, ... s, scattered by up to an eighth, so that many machines don't ask in step.
fn pause(count: u32, random: u32) -> Duration {
    let pause = Duration::from_secs(1 << count.min(6)).min(LONGEST_PAUSE);
    pause + pause / 8 * (random >> 24) / 256
}

#[cfg(test)]
mod tests;
