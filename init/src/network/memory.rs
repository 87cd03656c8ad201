//! The last DHCPv4 address of each network card, kept on `state`, to be asked for again at the next boot.
//!
//! A request for a known address is answered at once, where an offer may wait for the server's probe. Keyed by hardware address: a
//! clone of the disk has another. Where `state` isn't there, nothing is remembered.

use kmimage_contract::machine_config::MacAddress;
use kmimage_contract::paths;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The folder, if `state` is mounted.
fn folder() -> Option<PathBuf> {
    Path::new(paths::STATE).is_dir().then(|| Path::new(paths::STATE).join("network"))
}

fn file(folder: &Path, mac: MacAddress) -> PathBuf {
    folder.join(mac.to_string().replace(':', "-"))
}

/// The last address, if there was one.
pub(crate) fn recall(mac: MacAddress) -> Option<Ipv4Addr> {
    recall_in(&folder()?, mac)
}

fn recall_in(folder: &Path, mac: MacAddress) -> Option<Ipv4Addr> {
    std::fs::read_to_string(file(folder, mac)).ok()?.trim_end().parse().ok()
}

/// Remembers an address. Writes nothing when it is known already.
pub(crate) fn remember(mac: MacAddress, address: Ipv4Addr) -> io::Result<()> {
    folder().map_or(Ok(()), |folder| remember_in(&folder, mac, address))
}

fn remember_in(folder: &Path, mac: MacAddress, address: Ipv4Addr) -> io::Result<()> {
    if recall_in(folder, mac) == Some(address) {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    super::files::replace(&file(folder, mac), format!("{address}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_remembered_and_nonsense_is_not() {
        let folder = std::env::temp_dir().join(format!("kmimage-network-memory-{}", std::process::id()));
        let (mac, other) = (MacAddress([2, 0, 0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 2]));
        assert_eq!(recall_in(&folder, mac), None);
        remember_in(&folder, mac, Ipv4Addr::new(10, 0, 0, 9)).unwrap();
        assert_eq!(recall_in(&folder, mac), Some(Ipv4Addr::new(10, 0, 0, 9)));
        assert_eq!(recall_in(&folder, other), None);
        std::fs::write(file(&folder, mac), "10.0.0").unwrap();
        assert_eq!(recall_in(&folder, mac), None);
        remember_in(&folder, mac, Ipv4Addr::new(10, 0, 0, 8)).unwrap();
        assert_eq!(recall_in(&folder, mac), Some(Ipv4Addr::new(10, 0, 0, 8)));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
