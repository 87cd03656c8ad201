//! Networks of a test's own: a namespace with bridges, taps and servers in it. The host's network is never touched.
//!
//! [`Netns`] is a network and mount namespace that lives as long as the value; an ordinary user gets one with a user namespace around
//! it. Machines are plugged in by [`Netns::tap`], programs that have no machine around them run in a namespace [`Netns::beside`] this
//! one, joined by [`Netns::veth`]. Servers ([`dnsmasq`], [`radvd`], any program by [`Netns::spawn`]) run inside, their logs are
//! the tests' to read.
//!
//! ```no_run
//! use kmimage_qemu_tests::netns::{Netns, dnsmasq::Dnsmasq};
//! let lan = Netns::new();
//! lan.bridge("br0", &["10.77.0.1/24"]);
//! let dnsmasq = Dnsmasq::start(&lan, "br0", &["--dhcp-range=10.77.0.50,10.77.0.90,120"]);
//! let node = lan.beside();
//! lan.veth("node0", "br0", &node, "eth0", "52:54:00:00:00:01");
//! node.ip("link set eth0 up");
//! dnsmasq.wait_for("a lease", std::time::Duration::from_secs(10), |line| line.contains("DHCPACK").then_some(()));
//! ```

pub mod daemon;
pub mod dnsmasq;
pub mod radvd;
pub mod servers;
pub mod trunk;

use crate::foreign::{program, run};
use daemon::Daemon;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

/// What makes the namespaces useful: a /run of their own, a /sys that shows their interfaces, loopback. Then it waits for the test's end.
const HOLD: &str =
    "mount -t tmpfs tmpfs /run && mount -t sysfs sysfs /sys && ip link set lo up && echo ready && exec cat >/dev/null";

/// A network namespace with a mount namespace. Everything in it ends with the test's process, however that ends.
pub struct Netns {
    holder: Child,
    /// Held open: its end is the holder's.
    _stdin: ChildStdin,
    /// Whether there is a user namespace around it.
    user: bool,
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Netns {
    /// A new one, empty but for loopback.
    ///
    /// # Panics
    /// When this system doesn't let this user have one.
    pub fn new() -> Self {
        let user = !rustix::process::geteuid().is_root();
        let mut unshare = program("unshare");
        if user {
            unshare.args(["--user", "--map-root-user"]);
        }
        Self::hold(unshare, user)
    }

    /// Another one that can be joined to this one.
    ///
    /// # Panics
    /// As [`Netns::new`].
    pub fn beside(&self) -> Self {
        // In the same user namespace: only there an interface can be moved from one to the other.
        Self::hold(self.program("unshare"), self.user)
    }

    fn hold(mut unshare: Command, user: bool) -> Self {
        unshare.args(["--net", "--mount", "sh", "-c", HOLD]);
        let mut holder = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare");
        let stdin = holder.stdin.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("a pipe")).read_line(&mut line).expect("unshare's word");
        assert_eq!(line, "ready\n", "no network namespace can be made here; as an ordinary user it needs user namespaces");
        Self { holder, _stdin: stdin, user }
    }

    /// A program that will run inside, as (its) root; it ends with the thread that starts it.
    pub fn program(&self, name: impl AsRef<OsStr>) -> Command {
        let mut command = program("nsenter");
        command.arg(format!("--target={}", self.holder.id())).args(["--net", "--mount"]);
        if self.user {
            command.args(["--user", "--preserve-credentials"]);
        }
        // A mount namespace has its own idea of the working directory.
        command.arg(format!("--wdns={}", std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")).display()));
        command.args(["setpriv", "--pdeathsig", "KILL", "--"]).arg(name);
        command
    }

    /// Runs a program inside to its end; returns what it printed.
    ///
    /// # Panics
    /// With everything it printed, if it fails or is missing.
    pub fn run(&self, words: &[&str]) -> String {
        run(self.program(words[0]).args(&words[1..]))
    }

    /// Runs `ip` with these words, which white space parts.
    ///
    /// # Panics
    /// With what it said, when it fails.
    pub fn ip(&self, words: &str) -> String {
        run(self.program("ip").args(words.split_ascii_whitespace()))
    }

    /// Starts a program inside that goes on running; its output is kept.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn spawn(&self, command: &mut Command) -> Daemon {
        Daemon::spawn(command)
    }

    /// The files as programs inside see them: its own /run and /sys, for a test to read.
    pub fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.holder.id()).into()
    }

    /// Sets a sysctl of this network: `net.ipv6.conf.all.forwarding`.
    ///
    /// # Panics
    /// When the kernel refuses it.
    pub fn sysctl(&self, name: &str, value: &str) {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.run(&["sh", "-c", "printf %s \"$1\" >\"$2\"", "sh", value, &path]);
    }

    /// Makes a bridge with addresses, up, without the delay of the spanning tree protocol.
    pub fn bridge(&self, name: &str, addresses: &[&str]) {
        self.ip(&format!("link add {name} type bridge forward_delay 0 stp_state 0"));
        for address in addresses {
            // A duplicate of an address that only this test knows can't be: it is usable at once.
            let nodad = if address.contains(':') { "nodad" } else { "" };
            self.ip(&format!("address add {address} dev {name} {nodad}"));
        }
        self.ip(&format!("link set {name} up"));
    }

    /// Makes a tap on a bridge, up, for a machine that runs inside.
    pub fn tap(&self, name: &str, bridge: &str) {
        self.ip(&format!("tuntap add {name} mode tap"));
        self.ip(&format!("link set {name} master {bridge} up"));
    }

    /// Joins a namespace beside: `port` on `bridge` here, `interface` with this MAC address there, which stays down.
    pub fn veth(&self, port: &str, bridge: &str, other: &Netns, interface: &str, mac: &str) {
        let pid = other.holder.id();
        self.ip(&format!("link add {port} type veth peer name {interface} address {mac} netns {pid}"));
        self.ip(&format!("link set {port} master {bridge} up"));
    }

    /// Takes the carrier of a machine's or namespace's port away, or gives it back.
    pub fn carrier(&self, port: &str, on: bool) {
        self.ip(&format!("link set {port} {}", if on { "up" } else { "down" }));
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::dnsmasq::Dnsmasq;
    use super::radvd::Radvd;
    use super::servers::{Authority, Server};
    use super::*;
    use std::time::Duration;

    #[test]
    fn tools_a_network_of_its_own_with_servers() {
        let outside = run(program("ip").args(["-brief", "link"]));
        let lan = Netns::new();
        lan.bridge("br0", &["10.77.0.1/24", "fd77::1/64"]);
        lan.tap("tap0", "br0");
        let dnsmasq =
            Dnsmasq::start(&lan, "br0", &["--dhcp-range=10.77.0.50,10.77.0.90,120", "--address=/example.test/10.77.0.9"]);
        let radvd = Radvd::start(
            &lan,
            "interface br0 { AdvSendAdvert on; MaxRtrAdvInterval 4; MinRtrAdvInterval 3; prefix fd77::/64 { }; };",
        );
        let http = Server::http(&lan, "10.77.0.1:80");
        http.put("hello", b"by http");
        let authority = Authority::new();
        let https = Server::https(&lan, "10.77.0.1:443", &authority.certificate("DNS:example.test,IP:10.77.0.1"));
        https.put("hello", b"by https");
        let sntp = Server::sntp(&lan, "10.77.0.1:123", -3_600_000);
        let node = lan.beside();
        lan.veth("node0", "br0", &node, "eth0", "52:54:00:00:00:01");
        node.ip("address add 10.77.0.2/24 dev eth0");
        node.ip("link set eth0 up");
        assert!(node.root().join("sys/class/net/eth0").exists() && !node.root().join("sys/class/net/br0").exists());
        // A DNS question by UDP: example.test, type A, class IN.
        let ask = "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); \
            s.sendto(bytes.fromhex('123401000001000000000000076578616d706c6504746573740000010001'),('10.77.0.1',53)); \
            print(s.recv(512)[-4:].hex())";
        assert_eq!(node.run(&["python3", "-c", ask]), "0a4d0009\n");
        dnsmasq.wait_for("the question in the log", Duration::from_secs(5), |line| {
            line.contains("query[A] example.test from 10.77.0.2").then_some(())
        });
        node.run(&[
            "sh",
            "-c",
            "for i in $(seq 100); do ip -6 address show dev eth0 | grep -q fd77: && exit 0; sleep 0.1; done; exit 1",
        ]);
        assert_eq!(node.run(&["curl", "--silent", "http://10.77.0.1/hello"]), "by http");
        http.wait_for("the request in the log", Duration::from_secs(5), |line| {
            (line == "10.77.0.2: GET /hello HTTP/1.1 200 OK").then_some(())
        });
        let trusted = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(trusted.path(), authority.pem()).unwrap();
        let trusted = trusted.path().to_str().unwrap();
        assert_eq!(node.run(&["curl", "--silent", "--cacert", trusted, "https://10.77.0.1/hello"]), "by https");
        // The server's time of sending, in whole seconds since 1900.
        let ask = "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); \
            s.sendto(bytes([0x23])+bytes(47),('10.77.0.1',123)); r=s.recv(512); \
            import time; print(r[0], r[1], round((int.from_bytes(r[40:44],'big')-2208988800-time.time())/60))";
        assert_eq!(node.run(&["python3", "-c", ask]), "36 2 -60\n");
        drop((radvd, sntp));
        assert_eq!(run(program("ip").args(["-brief", "link"])), outside, "the host's network stays as it is");
    }
}
