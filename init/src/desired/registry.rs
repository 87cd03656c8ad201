//! Where container images come from, as the files that CRI-O reads (containers-registries.conf(5), containers-auth.json(5),
//! containers-certs.d(5)).

use super::etc::{Content, EtcFile};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use kmimage_contract::machine_config::{Credentials, Mirror, Registry, Secret};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Over the image's own registries.conf.
const REGISTRIES: &str = "/etc/containers/registries.conf.d/50-machine.conf";
/// What the image's CRI-O is told to look for credentials in.
const CREDENTIALS: &str = "/etc/crio/auth.json";
/// A folder for each registry's host, with its authorities.
const CERTIFICATES: &str = "/etc/containers/certs.d";

/// All files, by path: none that says nothing.
pub(super) fn files(registry: &Registry) -> Result<BTreeMap<String, EtcFile>, serde_json::Error> {
    let file = |mode, text: String| EtcFile { mode, content: Content::Text(Secret::new(text)) };
    let mut files = BTreeMap::new();
    let registries = registries(registry);
    if !registries.is_empty() {
        files.insert(REGISTRIES.to_owned(), file(0o644, registries));
    }
    if !registry.credentials.is_empty() {
        files.insert(CREDENTIALS.to_owned(), file(0o600, credentials(registry)?));
    }
    for (host, authorities) in authorities(registry) {
        files.insert(format!("{CERTIFICATES}/{host}/ca.crt"), file(0o644, authorities));
    }
    Ok(files)
}

/// Names of registries hold no character that means anything in TOML: the contract lets none through.
fn registries(registry: &Registry) -> String {
    let mut text = String::new();
    if let Some(search) = &registry.search {
        let quoted: Vec<String> = search.iter().map(|name| format!("\"{name}\"")).collect();
        let _ = writeln!(text, "unqualified-search-registries = [{}]", quoted.join(", "));
    }
    for Mirror { registry, endpoints, insecure, .. } in &registry.mirrors {
        let _ = writeln!(text, "[[registry]]\nprefix = \"{registry}\"");
        if !registry.starts_with("*.") {
            let _ = writeln!(text, "location = \"{registry}\"");
        }
        if endpoints.is_empty() && *insecure {
            text.push_str("insecure = true\n");
        }
        for endpoint in endpoints {
            let _ = writeln!(text, "[[registry.mirror]]\nlocation = \"{}\"\ninsecure = {insecure}", endpoint.as_str());
        }
    }
    text
}

fn credentials(registry: &Registry) -> Result<String, serde_json::Error> {
    let one = |credentials: &Credentials| {
        let both = format!("{}:{}", credentials.username, credentials.password.reveal());
        (credentials.registry.as_str().to_owned(), serde_json::json!({ "auth": BASE64_STANDARD.encode(both) }))
    };
    let auths: serde_json::Map<String, serde_json::Value> = registry.credentials.iter().map(one).collect();
    serde_json::to_string(&serde_json::json!({ "auths": auths }))
}

/// By host: what endpoints of one host are believed by, put together.
fn authorities(registry: &Registry) -> BTreeMap<&str, String> {
    let mut hosts: BTreeMap<&str, String> = BTreeMap::new();
    for Mirror { registry, endpoints, authorities, .. } in registry.mirrors.iter().filter(|mirror| !mirror.authorities.is_empty())
    {
        let own = registry.split('/').next().filter(|_| endpoints.is_empty());
        for host in endpoints.iter().map(|endpoint| endpoint.host()).chain(own) {
            let text = hosts.entry(host).or_default();
            for authority in authorities {
                if !text.contains(&authority.pem) {
                    text.push_str(&authority.pem);
                }
            }
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmimage_contract::machine_config;

    fn rendered(text: &str) -> BTreeMap<String, (u32, String)> {
        let config = machine_config::parse("t", format!("version = 1\n{text}").as_bytes(), Some("worker")).unwrap();
        let text = |file: EtcFile| match file.content {
            Content::Text(text) => (file.mode, text.reveal().to_owned()),
            other => panic!("{other:?}"),
        };
        files(&config.registry).unwrap().into_iter().map(|(path, file)| (path, text(file))).collect()
    }

    #[test]
    fn nothing_said_is_no_file() {
        assert!(rendered("").is_empty());
        assert!(rendered("[registry]\n").is_empty());
    }

    #[test]
    fn cri_o_reads_it() {
        let ca = |der: &str| format!("ca = \"\"\"\n-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n\"\"\"\n");
        let files = rendered(&format!(
            "[registry]\nsearch = [\"r.example.org:5000\", \"docker.io\"]\n\
             [[registry.mirror]]\nregistry = \"docker.io\"\nendpoints = [\"https://m.example.org/cache\", \"http://10.0.0.1:5000\"]\n\
             insecure = true\n{}[[registry.mirror]]\nregistry = \"r.example.org:5000\"\ninsecure = true\n\
             [[registry.mirror]]\nregistry = \"*.example.org\"\nendpoints = [\"https://m.example.org\"]\n{}\
             [[registry.mirror]]\nregistry = \"own.example.org/team\"\n{}\
             [[registry.credentials]]\nregistry = \"r.example.org:5000\"\nusername = \"u\"\npassword = \"hunter2\"\n",
            ca("MAMCAQE="),
            ca("MAMCAQI="),
            ca("MAMCAQE="),
        ));
        assert_eq!(
            files[REGISTRIES],
            (
                0o644,
                "unqualified-search-registries = [\"r.example.org:5000\", \"docker.io\"]\n\
                 [[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n\
                 [[registry.mirror]]\nlocation = \"m.example.org/cache\"\ninsecure = true\n\
                 [[registry.mirror]]\nlocation = \"10.0.0.1:5000\"\ninsecure = true\n\
                 [[registry]]\nprefix = \"r.example.org:5000\"\nlocation = \"r.example.org:5000\"\ninsecure = true\n\
                 [[registry]]\nprefix = \"*.example.org\"\n[[registry.mirror]]\nlocation = \"m.example.org\"\ninsecure = false\n\
                 [[registry]]\nprefix = \"own.example.org/team\"\nlocation = \"own.example.org/team\"\n"
                    .to_owned()
            )
        );
        let _: serde_json::Value = kmimage_contract::toml_document::decode("t", &files[REGISTRIES].1).unwrap();
        assert_eq!(files[CREDENTIALS], (0o600, "{\"auths\":{\"r.example.org:5000\":{\"auth\":\"dTpodW50ZXIy\"}}}".to_owned()));
        let hosts: Vec<(&str, usize)> = files
            .iter()
            .filter_map(|(path, (_, text))| Some((path.strip_prefix("/etc/containers/certs.d/")?, text.matches("BEGIN").count())))
            .collect();
        assert_eq!(hosts, [("10.0.0.1:5000/ca.crt", 1), ("m.example.org/ca.crt", 2), ("own.example.org/ca.crt", 1)]);
    }
}
