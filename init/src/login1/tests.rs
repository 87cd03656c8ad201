//! The wire is real on both sides: zbus's client here, and systemd's own busctl.

use super::*;
use std::os::unix::net::UnixStream;
use std::time::Instant;

fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn client(clients: &Clients) -> zbus::Connection {
    let (ours, theirs) = UnixStream::pair().unwrap();
    clients.serve(theirs);
    zbus::connection::Builder::unix_stream(ours).p2p().build().await.unwrap()
}

async fn inhibit(client: &zbus::Connection, what: &str, mode: &str) -> zbus::Result<zbus::OwnedFd> {
    let manager = (Some("org.freedesktop.login1"), "/org/freedesktop/login1", Some("org.freedesktop.login1.Manager"));
    let answer = client.call_method(manager.0, manager.1, manager.2, "Inhibit", &(what, "kubelet", "why", mode)).await?;
    answer.body().deserialize()
}

#[test]
fn a_lock_delays_a_shutdown_until_it_is_closed() {
    on_a_runtime(async {
        let clients = Clients::new(Locks::default());
        // Nobody asked: nobody waits.
        prepare_for_shutdown(&clients, Duration::from_secs(3600)).await;
        let first = client(&clients).await;
        let second = client(&clients).await;
        let (one, other) =
            (inhibit(&first, "shutdown", "delay").await.unwrap(), inhibit(&second, "shutdown", "delay").await.unwrap());
        assert_eq!(clients.locks().holders(), ["kubelet", "kubelet"]);
        let mut heard = zbus::MessageStream::from(&first);
        let begun = Instant::now();
        let work = async {
            let signal = std::future::poll_fn(|context| futures_util::Stream::poll_next(std::pin::Pin::new(&mut heard), context));
            let signal = signal.await.unwrap().unwrap();
            assert_eq!(signal.header().member().unwrap().as_str(), "PrepareForShutdown");
            assert!(signal.body().deserialize::<bool>().unwrap());
            drop(one);
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(clients.locks().holders(), ["kubelet"]);
            // As when its holder is killed.
            drop((other, second));
        };
        tokio::join!(prepare_for_shutdown(&clients, Duration::from_secs(3600)), work);
        assert!(begun.elapsed() < Duration::from_secs(60) && clients.locks().holders().is_empty());
    });
}

#[test]
fn who_does_not_let_go_is_not_waited_for() {
    on_a_runtime(async {
        let clients = Clients::new(Locks::default());
        let client = client(&clients).await;
        let _kept = inhibit(&client, "shutdown", "delay").await.unwrap();
        prepare_for_shutdown(&clients, Duration::from_millis(200)).await;
        assert_eq!(clients.locks().holders(), ["kubelet"]);
    });
}

#[test]
fn what_is_not_served_is_refused() {
    on_a_runtime(async {
        let clients = Clients::new(Locks::default());
        let client = client(&clients).await;
        let error = inhibit(&client, "sleep", "block").await.unwrap_err().to_string();
        assert!(error.contains("only `shutdown` can be inhibited here, by `delay`; not sleep by block"), "{error}");
        let error = client
            .call_method(
                Some("org.freedesktop.systemd1"),
                "/org/freedesktop/systemd1",
                Some("org.freedesktop.systemd1.Manager"),
                "KillUnit",
                &(),
            )
            .await
            .unwrap_err();
        assert!(error.to_string().contains("Unknown"), "{error}");
        let mut locks = Vec::new();
        let error = loop {
            match inhibit(&client, "shutdown", "delay").await {
                Ok(lock) => locks.push(lock),
                Err(error) => break error,
            }
        };
        assert!(locks.len() == 64 && error.to_string().contains("too many locks"), "{} {error}", locks.len());
    });
}

/// systemd's own client finds what it looks for.
#[test]
#[expect(clippy::disallowed_methods, reason = "another implementation judges ours")]
fn tools_busctl_reads_the_property() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus/system_bus_socket");
    let address = format!("--address=unix:path={}", socket.display());
    let said = on_a_runtime(async {
        let listener = listen(&socket).unwrap();
        let clients = Clients::new(Locks::default());
        let words = ["get-property", "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"];
        let busctl = tokio::task::spawn_blocking(move || {
            std::process::Command::new("busctl").arg(address).args(words).arg("InhibitDelayMaxUSec").output().unwrap()
        });
        clients.serve(listener.accept().await.unwrap().0.into_std().unwrap());
        busctl.await.unwrap()
    });
    assert_eq!(String::from_utf8_lossy(&said.stdout), "t 60000000\n", "{}", String::from_utf8_lossy(&said.stderr));
}
