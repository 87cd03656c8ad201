//! `[registry]`: what is refused, and what is understood.

use super::{parse, refused};
use crate::machine_config::Registry;

#[test]
fn what_is_wrong_is_refused_with_these_words() {
    assert!(refused(include_str!("../refused-registry.txt"), Some("worker")) >= 20);
}

#[test]
fn an_image_without_containers_has_no_registries() {
    let error = parse("a", b"version = 1\n[registry]\nsearch = []\n", Some("base")).unwrap_err();
    assert_eq!(error.summary(), "a:2:1: `registry`: an image of the role `base` runs no containers");
}

#[test]
fn everything_is_understood() {
    let text = r#"version = 1
[registry]
search = ["registry.example.org:5000", "docker.io"]
[[registry.mirror]]
registry = "docker.io/library"
endpoints = ["https://mirror.example.org/cache/", "http://10.0.0.1:5000", "https://[2001:db8::1]:443"]
insecure = true
[[registry.mirror]]
registry = "*.example.org"
endpoints = ["https://mirror.example.org"]
ca = """
-----BEGIN CERTIFICATE-----
MAMCAQE=
-----END CERTIFICATE-----
"""
[[registry.credentials]]
registry = "registry.example.org/team"
username = "robot$x"
password = "hunter2:x"
"#;
    let config = parse("a", text.as_bytes(), Some("worker")).unwrap();
    let Registry { search, mirrors, credentials } = &config.registry;
    assert_eq!(search.as_deref(), Some(&["registry.example.org:5000".to_owned(), "docker.io".to_owned()][..]));
    let places: Vec<_> = mirrors[0].endpoints.iter().map(|place| (place.as_str(), place.host())).collect();
    assert_eq!(
        places,
        [
            ("mirror.example.org/cache", "mirror.example.org"),
            ("10.0.0.1:5000", "10.0.0.1:5000"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443")
        ]
    );
    assert_eq!((mirrors[0].insecure, mirrors[1].insecure, mirrors[1].authorities.len()), (true, false, 1));
    assert_eq!((credentials[0].registry.host(), credentials[0].username.as_str()), ("registry.example.org", "robot$x"));
    assert_eq!(credentials[0].password.reveal(), "hunter2:x");
    assert!(!format!("{config:?}").contains("hunter2"));
    // Nothing said is not the same as an empty list.
    assert_eq!(parse("a", b"version = 1\n", Some("base")).unwrap().registry, Registry::default());
    assert_eq!(parse("a", b"version = 1\n[registry]\nsearch = []\n", None).unwrap().registry.search, Some(Vec::new()));
}
