//! A document to start from: all that can be said, explained, most of it commented out.

use kmimage_contract::machine_config::{self, MachineConfigError};

/// The document. Prose is `# ` and text; a line that could stand in the document is `#` and the line.
const TEMPLATE: &str = include_str!("starting.toml");

/// A valid document, with what is known already filled in.
pub fn document(role: Option<&str>, hostname: Option<&str>) -> Result<String, MachineConfigError> {
    let known = [("#role = ", role), ("#hostname = ", hostname)];
    let filled = |line: &str| {
        let value = known.iter().find_map(|(key, value)| value.filter(|_| line.starts_with(key)).map(|value| (key, value)));
        match value {
            Some((key, value)) => format!("{}{}\n", key.trim_start_matches('#'), string(value)),
            None => format!("{line}\n"),
        }
    };
    let text: String = TEMPLATE.lines().map(filled).collect();
    machine_config::parse("generated", text.as_bytes(), None)?;
    Ok(text)
}

/// A text as a TOML string: JSON's are TOML's basic strings, but for the delete character, which JSON leaves bare.
pub(super) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::machine_config::{MachineConfig, parse};

    #[test]
    fn it_is_valid_and_says_nothing_yet() {
        let text = document(None, None).unwrap();
        assert_eq!(parse("x", text.as_bytes(), None).unwrap(), MachineConfig::default());
    }

    #[test]
    fn what_is_known_is_filled_in() {
        let text = document(Some("base"), Some("node-1")).unwrap();
        let config = parse("x", text.as_bytes(), Some("base")).unwrap();
        assert_eq!((config.role.as_deref(), config.hostname.as_deref()), (Some("base"), Some("node-1")));
        let error = document(None, Some("Node\"1")).unwrap_err().summary();
        assert!(error.ends_with("`Node\\\"1` has upper-case letters: a node's name has none"), "{error}");
    }

    /// With every `#` before a line of TOML taken away it is valid, too, and uses every section.
    #[test]
    fn its_examples_are_taken() {
        let lines = document(None, None).unwrap();
        let text: String = lines.lines().map(|line| format!("{}\n", uncommented(line))).collect();
        let config = parse("x", text.as_bytes(), None).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert!(config.hostname.is_some() && config.role.is_some() && config.proxy.is_some() && config.log.is_some());
        assert!(!config.sysctls.is_empty() && !config.modules.is_empty() && !config.time_servers.is_empty());
        assert!(!config.trusted.is_empty() && !config.files.is_empty() && !config.volumes.is_empty());
        assert!(!config.services.is_empty() && !config.network.hosts.is_empty() && !config.network.nameservers.is_empty());
        assert!(!config.network.interfaces.is_empty() && !config.network.vlans.is_empty());
        assert!(!config.network.bonds.is_empty() && !config.network.bridges.is_empty());
        assert!(config.install.is_some());
        assert!(config.cluster.is_some() && !config.kubelet.is_empty() && !config.registry.credentials.is_empty());
    }

    fn uncommented(line: &str) -> &str {
        line.strip_prefix('#').filter(|rest| !rest.is_empty() && !rest.starts_with(' ')).unwrap_or(line)
    }
}
