//! The name that an image is asked for by: `REGISTRY/PATH:TAG`, `REGISTRY/PATH@sha256:DIGEST`, or both, always in full.
//!
//! The grammar is that of distribution's `reference` package, which CRI-O parses by. Short names (`busybox`) are refused: what they stand
//! for is the node's configuration to say, and a preloaded image would be looked for under another name than it has.

use crate::hash::Sha256Digest;
use serde::{Serialize, Serializer};
use std::fmt;

/// The longest repository, registry included.
const REPOSITORY_MAX: usize = 255;
/// The longest tag.
const TAG_MAX: usize = 128;

/// A whole, canonical name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageName {
    /// Registry and path: `registry.k8s.io/pause`.
    repository: String,
    tag: Option<String>,
    digest: Option<Sha256Digest>,
}

impl ImageName {
    /// Judges a name; the error is a sentence that begins with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => {
                // The grammar knows lower case only.
                let hex = digest.strip_prefix("sha256:").filter(|hex| !hex.bytes().any(|byte| byte.is_ascii_uppercase()));
                let hex = hex.and_then(|hex| hex.parse().ok());
                let fault =
                    || format!("`{text}` is no image name: behind the @ belong `sha256:` and 64 lower-case hexadecimal digits");
                (rest, Some(hex.ok_or_else(fault)?))
            }
        };
        // A colon before the last slash is a port's.
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(format!("`{text}` is no image name: `{tag}` is no tag (letters, digits, `_`, `.`, `-`, 128 at most)"));
        }
        let (registry, path) = match repository.split_once('/') {
            Some((registry, path)) if is_registry(registry) => (registry, path),
            _ => {
                let full = if repository.contains('/') { repository.to_owned() } else { format!("library/{repository}") };
                return Err(format!(
                    "`{text}` is a short name, and a preloaded image is found by its full one only; \
                    `docker.io/{full}` is how an image of Docker's registry is called"
                ));
            }
        };
        if repository.len() > REPOSITORY_MAX || path.is_empty() || !path.split('/').all(is_component) {
            return Err(format!(
                "`{text}` is no image name: a path has lower-case letters and digits, parted by `.`, `_`, `-` or `/`"
            ));
        }
        if registry == "index.docker.io" || (registry == "docker.io" && !path.contains('/')) {
            let path = if path.contains('/') { path.to_owned() } else { format!("library/{path}") };
            return Err(format!("`{text}` is looked for as `docker.io/{path}`; write that"));
        }
        if tag.is_none() && digest.is_none() {
            return Err(format!("`{text}` has neither a tag nor a digest; `{text}:latest` is what it would stand for"));
        }
        Ok(Self { repository: repository.to_owned(), tag: tag.map(str::to_owned), digest })
    }

    /// The names that the reader of the store knows the image by: a tag and a digest are a name each.
    pub fn names(&self) -> Vec<String> {
        let tag = self.tag.as_ref().map(|tag| format!("{}:{tag}", self.repository));
        let digest = self.digest.map(|digest| format!("{}@sha256:{digest}", self.repository));
        tag.into_iter().chain(digest).collect()
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest or of the index, if the name pins it.
    pub fn digest(&self) -> Option<Sha256Digest> {
        self.digest
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}

impl Serialize for ImageName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn is_tag(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !text.is_empty() && text.len() <= TAG_MAX && text.bytes().all(fits) && !text.starts_with(['.', '-'])
}

/// A first component is a registry where it has a dot or a port, or is `localhost`.
fn is_registry(text: &str) -> bool {
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let named = host == "localhost" || host.contains('.') || port.is_some();
    named && host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let parted = text.split(|c: char| "._-".contains(c)).filter(|part| !part.is_empty());
    let ends = |byte: Option<u8>| byte.is_some_and(alphanumeric);
    let separators = ["..", "._", "_.", ".-", "-.", "_-", "-_", "___"];
    parted.flat_map(str::bytes).all(alphanumeric)
        && ends(text.bytes().next())
        && ends(text.bytes().last())
        && !separators.iter().any(|separator| text.contains(separator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_and_what_the_store_calls_them() {
        let digest = "0".repeat(64);
        let both = format!("quay.io:5000/a/b__c-d.e:v1_2@sha256:{digest}");
        let name = ImageName::parse(&both).unwrap();
        assert_eq!(name.to_string(), both);
        assert_eq!(name.names(), ["quay.io:5000/a/b__c-d.e:v1_2".to_owned(), format!("quay.io:5000/a/b__c-d.e@sha256:{digest}")]);
        assert_eq!(name.tag(), Some("v1_2"));
        for good in
            ["registry.k8s.io/pause:3.10.1", "localhost/x:y", "host:5000/x:1", "docker.io/library/busybox:1.36", "a.b/c--d:e"]
        {
            assert_eq!(ImageName::parse(good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn others_are_refused_with_what_to_write() {
        let check = |text: &str, expect: &str| assert_eq!(ImageName::parse(text).unwrap_err(), expect);
        let short = "is a short name, and a preloaded image is found by its full one only; `docker.io/";
        let docker = "is how an image of Docker's registry is called";
        check("busybox:1", &format!("`busybox:1` {short}library/busybox` {docker}"));
        check("flannel/flannel:1", &format!("`flannel/flannel:1` {short}flannel/flannel` {docker}"));
        check("docker.io/busybox:1", "`docker.io/busybox:1` is looked for as `docker.io/library/busybox`; write that");
        check("a.b/c", "`a.b/c` has neither a tag nor a digest; `a.b/c:latest` is what it would stand for");
        check(
            "a.b/c@sha256:12",
            "`a.b/c@sha256:12` is no image name: behind the @ belong `sha256:` and 64 lower-case hexadecimal digits",
        );
        check(
            &format!("a.b/c@sha256:{}", "A".repeat(64)),
            &format!(
                "`a.b/c@sha256:{}` is no image name: behind the @ belong `sha256:` and 64 lower-case hexadecimal digits",
                "A".repeat(64)
            ),
        );
        check("a.b/c:-d", "`a.b/c:-d` is no image name: `-d` is no tag (letters, digits, `_`, `.`, `-`, 128 at most)");
        let path = "a path has lower-case letters and digits, parted by `.`, `_`, `-` or `/`";
        for bad in ["a.b/C:d", "a.b/c..d:e", "a.b/-c:d", "a.b/c/:d", "a.b/:d", "a.b/c_-d:e", "a.b/ü:d"] {
            check(bad, &format!("`{bad}` is no image name: {path}"));
        }
    }
}
