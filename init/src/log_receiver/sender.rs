//! The connection to the receiver: made, lost and made again, while the backlog waits.

use super::backlog::{Backlog, Next};
use super::{message, say, watch};
use kmimage_contract::machine_config::{Host, LogProtocol, LogReceiver};
use kmimage_contract::state_line::StateLine;
use kmimage_sys::clock;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

/// Between attempts to connect, doubling.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long the receiver may take for a connection, or for a message.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open way to the receiver.
#[derive(Debug)]
enum Way {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// Sends for ever.
pub(super) async fn send(receiver: LogReceiver, backlog: Arc<Backlog>) {
    let mut pause = FIRST_PAUSE;
    let mut unsent = None;
    let mut said = String::new();
    loop {
        let reason = match connect(&receiver).await {
            Ok(mut way) => {
                report(&receiver, None, &mut said);
                pause = FIRST_PAUSE;
                drain(&mut way, &backlog, &mut unsent).await
            }
            Err(error) => error,
        };
        report(&receiver, Some(&reason), &mut said);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Says how it stands, if that is news.
fn report(receiver: &LogReceiver, reason: Option<&io::Error>, said: &mut String) {
    let line = StateLine::new("log").with("receiver", receiver);
    let line = match reason {
        None => line.with("state", "connected"),
        Some(reason) => line.with("state", "waiting").with("reason", reason),
    };
    let text = line.to_string();
    if *said != text {
        say(&line);
        *said = text;
    }
}

/// Sends until the way is closed; the message that could not be sent stays in `unsent`.
async fn drain(way: &mut Way, backlog: &Backlog, unsent: &mut Option<String>) -> io::Error {
    loop {
        let message = match unsent.take() {
            Some(message) => message,
            None => tokio::select! {
                biased;
                error = way.closed() => return error,
                next = backlog.next() => match next {
                    Next::Message(message) => message,
                    Next::Lost(count) => message::lost(count, clock::wall(), &watch::host()),
                },
            },
        };
        if let Err(error) = way.send(&message).await {
            *unsent = Some(message);
            return error;
        }
    }
}

async fn connect(receiver: &LogReceiver) -> io::Result<Way> {
    let host = match &receiver.host {
        Host::Name(name) => name.clone(),
        Host::Address(address) => address.to_string(),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host.as_str(), receiver.port)).await? {
        let attempt = match receiver.protocol {
            LogProtocol::Tcp => match timeout(PATIENCE, TcpStream::connect(address)).await {
                Ok(connected) => connected.map(Way::Tcp),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            },
            LogProtocol::Udp => udp(address).await.map(Way::Udp),
        };
        match attempt {
            Ok(way) => return Ok(way),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn udp(address: std::net::SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
    socket.connect(address).await?;
    Ok(socket)
}

impl Way {
    /// Waits until the receiver has gone: what is written then is lost without an error. A datagram's receiver is never known to go.
    async fn closed(&self) -> io::Error {
        let Self::Tcp(stream) = self else { return std::future::pending().await };
        let mut nothing = [0; 64];
        loop {
            if let Err(error) = stream.readable().await {
                return error;
            }
            match stream.try_read(&mut nothing) {
                Ok(0) => return io::Error::new(io::ErrorKind::ConnectionReset, "the receiver closed the connection"),
                // A receiver has nothing to say.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return error,
            }
        }
    }

    async fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                let frame = format!("{} {message}", message.len());
                timeout(PATIENCE, stream.write_all(frame.as_bytes()))
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
            Self::Udp(socket) => socket.send(message.as_bytes()).await.map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    fn run<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { timeout(Duration::from_secs(60), future).await.unwrap() })
    }

    fn receiver(protocol: &str, port: u16) -> LogReceiver {
        format!("{protocol}://127.0.0.1:{port}").parse().unwrap()
    }

    #[test]
    fn messages_are_counted_in_octets_and_survive_a_lost_connection() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let backlog = Arc::new(Backlog::default());
            backlog.push("äins".to_owned());
            let task = tokio::spawn(send(receiver("tcp", port), Arc::clone(&backlog)));
            let (mut first, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 7];
            first.read_exact(&mut bytes).await.unwrap();
            assert_eq!(bytes, "5 äins".as_bytes());
            drop(first);
            // Nothing is sent, and yet it is noticed.
            let (mut second, _) = listener.accept().await.unwrap();
            backlog.push("two".to_owned());
            let mut bytes = [0; 5];
            second.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"3 two");
            task.abort();
        });
    }

    #[test]
    fn a_datagram_holds_a_message() {
        run(async {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let port = socket.local_addr().unwrap().port();
            let backlog = Arc::new(Backlog::default());
            // The first is too large for the backlog, and lost.
            backlog.push("x".repeat(1 << 20));
            backlog.push("<30>1 - a x - - - one".to_owned());
            let task = tokio::spawn(send(receiver("udp", port), backlog));
            let mut bytes = [0; 1024];
            let length = socket.recv(&mut bytes).await.unwrap();
            assert!(String::from_utf8_lossy(&bytes[..length]).ends_with("messages lost before this one: 1"));
            let length = socket.recv(&mut bytes).await.unwrap();
            assert_eq!(&bytes[..length], b"<30>1 - a x - - - one");
            task.abort();
        });
    }
}
