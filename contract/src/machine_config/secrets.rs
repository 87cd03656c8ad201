//! Where a config holds what nobody else may read.

use super::{Discovery, MachineConfig, Secret};

impl MachineConfig {
    /// The keys whose values are, or may be, secrets, in the words of a document: for those who write a config into something that many can
    /// read. A proxy is one only if its address has a name and a password.
    pub fn secret_keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        if let Some(proxy) = &self.proxy {
            let has_password = |proxy: &Option<Secret>| proxy.as_ref().is_some_and(|address| address.reveal().contains('@'));
            keys.extend(has_password(&proxy.http).then(|| "network.proxy.http".to_owned()));
            keys.extend(has_password(&proxy.https).then(|| "network.proxy.https".to_owned()));
        }
        keys.extend(self.files.iter().map(|file| format!("file.content ({})", file.path)));
        for service in &self.services {
            keys.extend(service.environment.keys().map(|name| format!("service.environment.{name} ({})", service.name)));
        }
        match self.cluster.as_ref().map(|cluster| &cluster.discovery) {
            None => {}
            Some(Discovery::Token { .. }) => keys.push("cluster.token".to_owned()),
            Some(Discovery::File { token, .. }) => {
                keys.push("cluster.kubeconfig".to_owned());
                keys.extend(token.is_some().then(|| "cluster.token".to_owned()));
            }
        }
        let registries = self.registry.credentials.iter();
        keys.extend(registries.map(|credentials| format!("registry.credentials.password ({})", credentials.registry.as_str())));
        keys
    }
}

#[cfg(test)]
mod tests {
    use crate::machine_config::parse;

    #[test]
    fn every_secret_is_named_and_nothing_else() {
        let text = r#"version = 1
[network.proxy]
http = "http://proxy.example:3128"
https = "http://me:hunter2@proxy.example:3128"
[[file]]
path = "/etc/one"
content = "hunter2"
[[service]]
name = "one"
command = ["/usr/bin/one"]
environment = { A = "hunter2", B = "" }
[cluster]
endpoint = "api.example:6443"
token = "abcdef.0123456789abcdef"
ca-hashes = ["sha256:0000000000000000000000000000000000000000000000000000000000000000"]
[[registry.credentials]]
registry = "registry.example/team"
username = "me"
password = "hunter2"
"#;
        let config = parse("node.toml", text.as_bytes(), None).unwrap();
        let expect = [
            "network.proxy.https",
            "file.content (/etc/one)",
            "service.environment.A (one)",
            "service.environment.B (one)",
            "cluster.token",
            "registry.credentials.password (registry.example/team)",
        ];
        assert_eq!(config.secret_keys(), expect);
        let plain = b"version = 1\n[machine]\nhostname = \"a\"\n[network.proxy]\nhttp = \"http://proxy.example:3128\"\n";
        assert_eq!(parse("node.toml", plain, None).unwrap().secret_keys(), Vec::<String>::new());
    }
}
