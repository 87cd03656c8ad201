//! radvd: router advertisements as a real router sends them.

use super::Netns;
use super::daemon::Daemon;
use std::ops::Deref;
use tempfile::TempDir;

/// A running radvd; its log is the [`Daemon`]'s. Ended by [`Radvd::cease`], it says goodbye with a lifetime of 0.
pub struct Radvd {
    daemon: Daemon,
    _folder: TempDir,
}

impl Radvd {
    /// Starts it with a configuration; makes the namespace a router.
    ///
    /// # Panics
    /// When it doesn't start.
    pub fn start(netns: &Netns, configuration: &str) -> Self {
        netns.sysctl("net.ipv6.conf.all.forwarding", "1");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("radvd.conf");
        fs_err::write(&file, configuration).expect("radvd.conf");
        let mut command = netns.program("radvd");
        command.args(["--nodaemon", "--logmethod=stderr", "--debug=2"]).arg(format!("--config={}", file.display()));
        command.arg(format!("--pidfile={}", folder.path().join("pid").display()));
        Self { daemon: netns.spawn(&mut command), _folder: folder }
    }

    /// Ends it as a router's administrator does: SIGTERM, with a last advertisement that takes everything back.
    ///
    /// # Panics
    /// When it doesn't end.
    pub fn cease(mut self) {
        self.daemon.signal("TERM");
        self.daemon.wait(std::time::Duration::from_secs(10));
    }
}

impl Deref for Radvd {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}
