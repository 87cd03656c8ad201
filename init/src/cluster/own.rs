//! What the machine knows of itself that a join needs.

use super::refusal::Refusal;
use crate::agent::links;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// Its name.
    pub(super) node: String,
    /// Its id: 32 hexadecimal digits.
    pub(super) machine_id: String,
    /// Its addresses, without those of the host itself and of links.
    pub(super) addresses: Vec<IpAddr>,
    /// Its memory in bytes.
    pub(super) memory: u64,
}

impl Own {
    /// Looks.
    pub(super) fn look() -> Result<Self, Refusal> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |why: String| Refusal::Machine { what, why }
        };
        let read = |path: &str| {
            std::fs::read_to_string(Path::new(path)).map_err(|error| failed(&format!("reading {path}"))(error.to_string()))
        };
        let links = links().map_err(failed("asking the kernel for addresses"))?;
        let addresses = links.into_values().flat_map(|link| link.addresses).map(|(address, _)| address).filter(is_for_others);
        Ok(Self {
            node: read("/proc/sys/kernel/hostname")?.trim().to_ascii_lowercase(),
            machine_id: read("/etc/machine-id")?.trim().to_owned(),
            addresses: addresses.collect(),
            memory: memory(&read("/proc/meminfo")?),
        })
    }
}

fn is_for_others(address: &IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !local && !address.is_loopback()
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or_default() << 10
}

/// The version of the image's kubelet, as it says it itself: `v1.36.2`.
#[expect(
    clippy::disallowed_methods,
    reason = "only kubelet knows its version; a program of the verified root, with a fixed argument"
)]
pub(super) fn kubelet_version(kubelet: &str) -> Result<String, Refusal> {
    let failed = |why: String| Refusal::Machine { what: format!("running {kubelet} --version"), why };
    let mut child = Command::new(kubelet)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    if let Some(output) = child.stdout.take() {
        output.take(200).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    }
    child.wait().map_err(|error| failed(error.to_string()))?;
    let version = text.trim().strip_prefix("Kubernetes ").unwrap_or_default();
    if minor(version).is_some() { Ok(version.to_owned()) } else { Err(failed(format!("it says {:?}", text.trim()))) }
}

/// Major and minor number of a version of Kubernetes: (1, 36) of `v1.36.2-rc.1+vendor`.
pub(super) fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix('v')?.split('.');
    let mut number = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok();
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_two_numbers_that_count() {
        for (text, expect) in [
            ("v1.36.2", Some((1, 36))),
            ("v1.28.15+k3s1", Some((1, 28))),
            ("v2.0.0-alpha.1", Some((2, 0))),
            ("1.36.2", None),
            ("v1.x", None),
            ("v1", None),
            ("", None),
        ] {
            assert_eq!(minor(text), expect, "{text}");
        }
    }

    #[test]
    fn the_machine_is_looked_at() {
        assert_eq!(memory("MemFree: 1 kB\nMemTotal:      393216 kB\n"), 384 << 20);
        assert_eq!(memory(""), 0);
        for (address, expect) in [
            ("10.0.0.1", true),
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("fe80::1", false),
            ("::1", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(is_for_others(&address.parse().unwrap()), expect, "{address}");
        }
        assert!(kubelet_version("/nowhere/kubelet").unwrap_err().to_string().starts_with("running /nowhere/kubelet --version: "));
    }
}
