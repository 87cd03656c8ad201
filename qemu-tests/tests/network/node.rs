//! A node: a network namespace with a card, and init's child in it.

use kmimage_contract::state_line::StateLine;
use kmimage_qemu_tests::netns::Netns;
use kmimage_qemu_tests::netns::daemon::Daemon;
use kmimage_qemu_tests::output::Mark;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// Generous: other tests run beside this one.
pub(crate) const WAIT: Duration = Duration::from_secs(30);
pub(crate) const MAC: &str = "52:54:00:00:00:01";

/// A node beside a network.
pub(crate) struct Node {
    pub(crate) netns: Netns,
}

impl Node {
    /// With a card `eth0` that is plugged into `br0` by its port `node0`.
    pub(crate) fn new(lan: &Netns) -> Self {
        let netns = lan.beside();
        lan.veth("node0", "br0", &netns, "eth0", MAC);
        fs_err::create_dir_all(netns.root().join("run/kmimage/state")).unwrap();
        Self { netns }
    }

    /// A file below the node's /run/kmimage.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.netns.root().join("run/kmimage").join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs_err::read_to_string(self.file(name)).unwrap()
    }

    /// Writes the child's input, `[network]` as a machine config has it.
    pub(crate) fn desire(&self, hostname: &str, network: &str) {
        let text = format!("version = 1\n{network}");
        let config = kmimage_contract::machine_config::parse("test", text.as_bytes(), None).unwrap();
        let desired = serde_json::json!({
            "hostname": hostname,
            "machine-id": "0123456789abcdef0123456789abcdef",
            "network": config.network,
        });
        fs_err::write(self.file("network.json"), desired.to_string()).unwrap();
    }

    /// Starts the child.
    pub(crate) fn start(&self) -> Child {
        let mut command = self.netns.program(init());
        command.args(["network", "--veth-is-physical"]);
        Child { daemon: self.netns.spawn(&mut command) }
    }

    /// What `ip` says.
    pub(crate) fn ip(&self, words: &str) -> String {
        self.netns.ip(words)
    }
}

/// The running child.
pub(crate) struct Child {
    pub(crate) daemon: Daemon,
}

impl Child {
    /// Waits for a line `network` with these facts among all that it says.
    pub(crate) fn wait(&self, facts: &[(&str, &str)]) -> StateLine {
        self.wait_after(Mark::default(), facts)
    }

    /// Waits for a line with these facts behind a mark. A value that begins with `^` must only begin so.
    pub(crate) fn wait_after(&self, mark: Mark, facts: &[(&str, &str)]) -> StateLine {
        let fits = |line: &StateLine| {
            facts.iter().all(|(key, wanted)| {
                let value = line.get(key).unwrap_or_default();
                wanted.strip_prefix('^').map_or(value == *wanted, |begin| value.starts_with(begin))
            })
        };
        let wanted = |line: &str| StateLine::find(line).filter(|line| line.state() == "network" && fits(line));
        self.daemon.wait_after(mark, &format!("{facts:?}"), WAIT, wanted)
    }

    /// The node is usable, without a word of an error.
    pub(crate) fn usable(&self) {
        self.wait(&[("usable", "yes")]);
        assert!(!self.daemon.log().contains("error="), "{}", self.daemon.log());
    }

    /// Ends it in order.
    pub(crate) fn end(mut self) {
        self.daemon.signal("TERM");
        assert!(self.daemon.wait(Duration::from_secs(10)).success(), "{}", self.daemon.log());
    }
}

/// init as images have it; another one by `KMIMAGE_INIT=FILE`, for who works on it.
fn init() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(program) = std::env::var_os("KMIMAGE_INIT") {
            return program.into();
        }
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("init-{}", std::process::id()));
        fs_err::write(&program, kmimage::embedded_init::EmbeddedInit::get().bytes).unwrap();
        fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program
    })
}

/// Waits until something holds.
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < WAIT, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
