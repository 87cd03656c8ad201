//! dnsmasq: the DHCPv4, DHCPv6, RA and DNS server that tests talk to. It logs every packet and every question.

use super::Netns;
use super::daemon::Daemon;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// A running dnsmasq; its log is the [`Daemon`]'s.
pub struct Dnsmasq {
    daemon: Daemon,
    folder: TempDir,
}

impl Dnsmasq {
    /// Starts it on one interface with more options (`--dhcp-range=...`); it knows no upstream servers and no leases.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn start(netns: &Netns, interface: &str, options: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder"), netns, interface, options)
    }

    /// Ends it and starts it again with other options; the leases stay.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn restart(self, netns: &Netns, interface: &str, options: &[&str]) -> Self {
        let Self { daemon, folder } = self;
        drop(daemon);
        Self::start_in(folder, netns, interface, options)
    }

    /// Ends it and gives its folder with the leases, for a later [`Dnsmasq::resume`]: a server that is gone for a while.
    pub fn stop(self) -> TempDir {
        self.folder
    }

    /// Starts one that has the leases of one that stopped.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn resume(leases: TempDir, netns: &Netns, interface: &str, options: &[&str]) -> Self {
        Self::start_in(leases, netns, interface, options)
    }

    /// The file of leases: a line each, with expiry, MAC, address, name.
    pub fn leases(&self) -> PathBuf {
        self.folder.path().join("leases")
    }

    fn start_in(folder: TempDir, netns: &Netns, interface: &str, options: &[&str]) -> Self {
        let mut command = netns.program("dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--group=root"]);
        command.args(["--no-resolv", "--no-hosts", "--no-ping", "--dhcp-authoritative"]);
        command.args(["--log-facility=-", "--log-dhcp", "--log-queries"]);
        command.args(["--except-interface=lo", "--bind-interfaces"]).arg(format!("--interface={interface}"));
        command.arg(format!("--dhcp-leasefile={}", folder.path().join("leases").display())).args(options);
        let daemon = netns.spawn(&mut command);
        daemon.wait_for("its start", Duration::from_secs(20), |line| line.contains("started, ").then_some(()));
        Self { daemon, folder }
    }
}

impl Deref for Dnsmasq {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}
