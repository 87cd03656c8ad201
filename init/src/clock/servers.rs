//! Whom to ask.

use super::DEFAULT_SERVERS;
use kmimage_contract::paths;
use serde::Deserialize;
use std::io::Write as _;
use std::path::Path;

/// The form of [`paths::TIME`] and [`paths::NTP`].
#[derive(Debug, Default, Deserialize)]
struct Servers {
    #[serde(default)]
    servers: Vec<String>,
}

/// The config's servers, else DHCP's, else the default.
pub(super) fn read(root: &Path) -> Vec<String> {
    let named = [paths::TIME, paths::NTP].into_iter().map(|path| read_file(&root.join(path.trim_start_matches('/'))));
    named.into_iter().find(|servers| !servers.is_empty()).unwrap_or_else(|| DEFAULT_SERVERS.map(str::to_owned).to_vec())
}

fn read_file(path: &Path) -> Vec<String> {
    let Ok(bytes) = std::fs::read(path) else { return Vec::new() };
    match serde_json::from_slice::<Servers>(&bytes) {
        Ok(servers) => servers.servers,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "time: {}: {error}", path.display());
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configs_servers_come_first_then_dhcps() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        assert_eq!(read(root.path()), DEFAULT_SERVERS);
        write(paths::NTP, "{\"servers\":[\"10.0.0.1\"]}\n");
        assert_eq!(read(root.path()), ["10.0.0.1"]);
        write(paths::TIME, "{\"servers\":[\"ntp.example.org\",\"10.0.0.2\"]}");
        assert_eq!(read(root.path()), ["ntp.example.org", "10.0.0.2"]);
        write(paths::TIME, "{\"servers\":[]}");
        assert_eq!(read(root.path()), ["10.0.0.1"]);
        write(paths::TIME, "{");
        assert_eq!(read(root.path()), ["10.0.0.1"]);
    }
}
