//! DHCPv4 on one link: messages and the client's machine are pure; this file connects them to sockets and time.
//!
//! Why our own and not a library's client: the one that fits (mozim 0.3) ignores a refusal (NAK) while it requests, renews and
//! rebinds, so that an address that the server has taken back is used to the end of its lease; it puts the server and the requested
//! address into renewals, which RFC 2131 (4.3.6) forbids; it waits before its first message; and its parsers can't be reached to be fuzzed.

pub(crate) mod frame;
pub(crate) mod lease;
pub(crate) mod machine;
pub(crate) mod message;

use super::watched::watched;
use kmimage_sys::clock;
use kmimage_sys::packet::DhcpSocket;
use lease::Lease;
use machine::{Client, Event, Send};
use message::Incoming;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

/// Longer than this nothing sleeps: the timers stand still while the machine is suspended, the leases' time doesn't.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long to wait where the link takes no socket.
const SOCKET_PAUSE: Duration = Duration::from_secs(1);

/// What a client says when something has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) lease: Option<Lease>,
    pub(crate) confirming: Option<Ipv4Addr>,
    pub(crate) state: &'static str,
}

impl Report {
    fn of(client: &Client) -> Self {
        Self { lease: client.lease().cloned(), confirming: client.confirming(), state: client.state() }
    }
}

/// Runs a client on a link until it is dropped; `carrier` tells it of the link, it reports with the link's index.
pub(crate) async fn run(
    link: u32,
    mut client: Client,
    mut carrier: watch::Receiver<bool>,
    reports: mpsc::UnboundedSender<(u32, Report)>,
) {
    let mut socket: Option<AsyncFd<DhcpSocket>> = None;
    let mut report = Report::of(&client);
    let mut event = if *carrier.borrow_and_update() { Event::Carrier } else { Event::NoCarrier };
    loop {
        // Listen before anything is sent.
        let sent = client.step(event, clock::since_boot(), random());
        if !client.listens() {
            socket = None;
        } else if socket.is_none() {
            socket = DhcpSocket::open(link).and_then(watched).ok();
        }
        if let Some(sent) = sent {
            // What is lost is sent again at the next deadline.
            let _ = send(socket.as_ref(), sent).await;
        }
        let now = Report::of(&client);
        if now != report {
            report = now;
            if reports.send((link, report.clone())).is_err() {
                return;
            }
        }
        let pause = client.deadline().map_or(LONGEST_SLEEP, |deadline| deadline.saturating_sub(clock::since_boot()));
        let pause = pause.min(if client.listens() && socket.is_none() { SOCKET_PAUSE } else { LONGEST_SLEEP });
        event = tokio::select! {
            changed = carrier.changed() => {
                if changed.is_err() {
                    return;
                }
                if *carrier.borrow_and_update() { Event::Carrier } else { Event::NoCarrier }
            }
            message = receive(socket.as_ref()) => match message {
                Ok(message) => Event::Message(message),
                Err(_) => {
                    // The link went down under it.
                    socket = None;
                    tokio::time::sleep(SOCKET_PAUSE).await;
                    Event::Time
                }
            },
            () = tokio::time::sleep(pause) => Event::Time,
        };
    }
}

/// The next message that is one; never, without a socket.
async fn receive(socket: Option<&AsyncFd<DhcpSocket>>) -> io::Result<Incoming> {
    let Some(socket) = socket else { return std::future::pending().await };
    let mut buffer = [0; 2048];
    loop {
        let mut ready = socket.readable().await?;
        if let Ok(length) = ready.try_io(|socket| socket.get_ref().receive(&mut buffer)) {
            let message = buffer.get(..length?).and_then(frame::unwrap).and_then(Incoming::decode);
            if let Some(message) = message {
                return Ok(message);
            }
        }
    }
}

async fn send(socket: Option<&AsyncFd<DhcpSocket>>, sent: Send) -> io::Result<()> {
    match sent {
        Send::Broadcast(message) => {
            let packet = frame::wrap(&message.encode()).ok_or(io::ErrorKind::InvalidInput)?;
            socket.ok_or(io::ErrorKind::NotConnected)?.get_ref().send(&packet)
        }
        Send::Unicast { from, to, message } => {
            // Its answer comes to the packet socket, as everything does.
            let socket = UdpSocket::bind((from, 68)).await?;
            socket.send_to(&message.encode(), (to, 67)).await.map(|_| ())
        }
    }
}

/// A number that nobody can foresee: the standard library's hash tables are seeded by the kernel.
fn random() -> u32 {
    let number = RandomState::new().build_hasher().finish();
    (number >> 32) as u32 ^ number as u32
}
