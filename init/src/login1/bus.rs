//! The bus as a client sees it: a connection of its own, with the bus's and the login manager's objects at its other end.

use super::locks::Locks;
use super::{DELAY, tell};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::sync::watch;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, Guid, OwnedFd, fdo, interface};

const MANAGER: &str = "/org/freedesktop/login1";
const BUS: &str = "/org/freedesktop/DBus";

/// How long a client may take to say who it is.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Everybody who is connected.
#[derive(Debug)]
pub(super) struct Clients {
    locks: Locks,
    guid: Guid<'static>,
    shutdown: watch::Sender<bool>,
}

impl Clients {
    pub(super) fn new(locks: Locks) -> Self {
        Self { locks, guid: Guid::generate(), shutdown: watch::Sender::new(false) }
    }

    pub(super) fn locks(&self) -> &Locks {
        &self.locks
    }

    /// Tells every client that the machine is about to go down.
    pub(super) fn announce_shutdown(&self) {
        self.shutdown.send_replace(true);
    }

    /// Serves a client until it goes away.
    pub(super) fn serve(&self, stream: UnixStream) {
        let (manager, guid, shutdown) = (Manager { locks: self.locks.clone() }, self.guid.clone(), self.shutdown.subscribe());
        tokio::spawn(async move {
            if let Err(error) = converse(stream, manager, guid, shutdown).await {
                tell(&format!("a client: {error}"));
            }
        });
    }
}

async fn converse(
    stream: UnixStream,
    manager: Manager,
    guid: Guid<'static>,
    mut shutdown: watch::Receiver<bool>,
) -> zbus::Result<()> {
    let builder = zbus::connection::Builder::unix_stream(stream).server(guid).p2p();
    let building = builder.serve_at(BUS, Bus).serve_at(MANAGER, manager).build();
    let connection =
        tokio::time::timeout(HANDSHAKE, building).await.map_err(|_| zbus::Error::Handshake("took too long".into()))??;
    tokio::select! {
        () = connection.closed() => return Ok(()),
        _ = shutdown.wait_for(|announced| *announced) => {}
    }
    announce(&connection).await?;
    connection.closed().await;
    Ok(())
}

async fn announce(connection: &Connection) -> zbus::Result<()> {
    Manager::prepare_for_shutdown(&SignalEmitter::new(connection, MANAGER)?, true).await
}

/// What a message bus answers of itself: a client introduces itself, and says what it wants to hear. It hears all that there is.
struct Bus;

#[interface(name = "org.freedesktop.DBus")]
impl Bus {
    /// A name for the client, which nobody else is asked by: each client is alone with this end.
    fn hello(&self) -> &'static str {
        ":1.1"
    }

    fn add_match(&self, _rule: &str) {}

    fn remove_match(&self, _rule: &str) {}
}

/// The login manager.
struct Manager {
    locks: Locks,
}

#[interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    /// A lock that delays what `what` names, as long as the descriptor is open.
    async fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> fdo::Result<OwnedFd> {
        if what != "shutdown" || mode != "delay" {
            return Err(fdo::Error::NotSupported(format!(
                "only `shutdown` can be inhibited here, by `delay`; not {what} by {mode}"
            )));
        }
        let taken = self.locks.take(who).map_err(|error| fdo::Error::IOError(error.to_string()))?;
        let lock = taken.ok_or_else(|| fdo::Error::LimitsExceeded("too many locks are held".to_owned()))?;
        tell(&format!("{who} delays a shutdown: {why}"));
        Ok(lock.into())
    }

    /// The longest that a lock delays a shutdown, in microseconds.
    #[zbus(property, name = "InhibitDelayMaxUSec")]
    fn inhibit_delay_max(&self) -> u64 {
        u64::try_from(DELAY.as_micros()).unwrap_or(u64::MAX)
    }

    /// The machine is about to go down; sent with `true` only, for nothing calls a shutdown off.
    #[zbus(signal)]
    async fn prepare_for_shutdown(emitter: &SignalEmitter<'_>, start: bool) -> zbus::Result<()>;
}
