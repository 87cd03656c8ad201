//! The child `login1`: lets those who asked for it finish before the machine goes down. kubelet's graceful node shutdown asks so.
//!
//! It is the system bus and the login manager in one, as far as kubelet calls them (D-Bus specification;
//! org.freedesktop.login1(5)): `Inhibit` of a shutdown with a delay, `InhibitDelayMaxUSec`, the signal `PrepareForShutdown`. The wire is
//! zbus's.
//!
//! ```text
//! kubelet -> Inhibit -> a pipe's end, which is the lock: as long as somebody has it open, a shutdown waits
//! SIGTERM of process 1 -> PrepareForShutdown(true) to everybody -> all locks let go, or DELAY has passed -> this process ends
//! ```
//! Process 1 asks this child first when a run ends, and goes on when it has ended. What it doesn't do: sessions, seats, users, other
//! names of the bus; each is refused by the bus's own errors.

mod bus;
mod locks;
#[cfg(test)]
mod tests;

use bus::Clients;
use locks::Locks;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

/// The applet's name.
pub(crate) const APPLET: &str = "login1";

/// The socket of the system bus, which clients know.
pub(crate) const SOCKET: &str = "/run/dbus/system_bus_socket";

/// How long a shutdown waits for those who asked for it. kubelet's `shutdownGracePeriod` can't be longer.
pub(crate) const DELAY: Duration = Duration::from_secs(60);

/// Runs the child; it ends by an error, or after a SIGTERM once nobody delays the shutdown any more.
pub(crate) fn run(_arguments: &[String]) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(serve(Path::new(SOCKET)))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "login1: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(socket: &Path) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = listen(socket)?;
    let clients = Clients::new(Locks::default());
    loop {
        tokio::select! {
            client = listener.accept() => clients.serve(client?.0.into_std()?),
            _ = terminate.recv() => break,
        }
    }
    prepare_for_shutdown(&clients, DELAY).await;
    Ok(())
}

/// Only root may speak here: a lock keeps the machine on.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder)?;
    }
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Tells everybody, and waits until they have let go or the time is over.
async fn prepare_for_shutdown(clients: &Clients, delay: Duration) {
    let holders = clients.locks().holders();
    if holders.is_empty() {
        return tell("nobody delays the shutdown");
    }
    tell(&format!("the shutdown waits for {}", holders.join(", ")));
    clients.announce_shutdown();
    if tokio::time::timeout(delay, clients.locks().all_released()).await.is_err() {
        tell(&format!("after {} s the shutdown waits no longer for {}", delay.as_secs(), clients.locks().holders().join(", ")));
    }
}

/// To this child's log.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "login1: {text}");
}
