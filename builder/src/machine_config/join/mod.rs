//! A worker's machine config from what an administrator has at hand: the line that kubeadm prints, or an admin kubeconfig.

pub mod admin;
pub mod kubeadm_line;

use super::starting::string;
use kmimage_contract::machine_config::{self, Discovery, MachineConfigError, Secret};
use std::fmt::Write as _;

/// What a machine joins by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// How it finds its cluster.
    pub cluster: Discovery,
    /// The node's name, which is the machine's.
    pub hostname: Option<String>,
}

/// The machine config, judged as the machine will judge it. It holds secrets.
pub fn document(join: &Join) -> Result<Secret, MachineConfigError> {
    let mut text = "version = 1\n\n[machine]\nrole = \"worker\"\n".to_owned();
    // Writing to a text can't fail.
    if let Some(hostname) = &join.hostname {
        let _ = writeln!(text, "hostname = {}", string(hostname));
    }
    text.push_str("\n[cluster]\n");
    let mut add = |key: &str, value: &str| {
        let _ = writeln!(text, "{key} = {value}");
    };
    match &join.cluster {
        Discovery::Token { endpoint, token, ca_hashes } => {
            add("endpoint", &string(&endpoint.to_string()));
            add("token", &string(token.whole().reveal()));
            let hashes: Vec<String> = ca_hashes.iter().map(|hash| string(&hash.to_string())).collect();
            add("ca-hashes", &format!("[{}]", hashes.join(", ")));
        }
        Discovery::File { kubeconfig, token } => {
            if let Some(token) = token {
                add("token", &string(token.whole().reveal()));
            }
            add("discovery", &lines(kubeconfig.reveal()));
        }
    }
    machine_config::parse("generated", text.as_bytes(), None)?;
    Ok(Secret::new(text))
}

/// A text of several lines as TOML has it most readably.
fn lines(text: &str) -> String {
    let plain = !text.contains("'''") && !text.ends_with('\'') && !text.chars().any(|c| c.is_control() && c != '\n');
    if plain { format!("'''\n{text}'''") } else { string(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::machine_config::{BootstrapToken, CaHash};
    use kmimage_contract::machine_config::{Discovery, parse};

    #[test]
    fn what_is_written_is_what_was_meant() {
        let hash: CaHash = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
        let token: BootstrapToken = "abcdef.0123456789abcdef".parse().unwrap();
        let cluster =
            Discovery::Token { endpoint: "10.0.0.1:6443".parse().unwrap(), token: token.clone(), ca_hashes: vec![hash] };
        let text = document(&Join { cluster, hostname: Some("node-1".to_owned()) }).unwrap();
        let expect = format!(
            "version = 1\n\n[machine]\nrole = \"worker\"\nhostname = \"node-1\"\n\n[cluster]\nendpoint = \"10.0.0.1:6443\"\n\
             token = \"abcdef.0123456789abcdef\"\nca-hashes = [\"{hash}\"]\n"
        );
        assert_eq!(text.reveal(), expect);
        for kubeconfig in ["clusters: []\n", "a: 'b'", "a: '''\n", "a:\tb\r\n"] {
            let cluster = Discovery::File { kubeconfig: Secret::new(kubeconfig), token: Some(token.clone()) };
            let text = document(&Join { cluster, hostname: None }).unwrap();
            let config = parse("t", text.reveal().as_bytes(), Some("worker")).unwrap();
            let Discovery::File { kubeconfig: read, .. } = config.cluster.unwrap().discovery else { panic!() };
            assert_eq!(read.reveal(), kubeconfig);
        }
        let cluster = Discovery::File { kubeconfig: Secret::new("x"), token: None };
        assert!(document(&Join { cluster, hostname: Some("Node 1".to_owned()) }).is_err());
    }
}
