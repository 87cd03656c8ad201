//! `[registry]`, judged: where container images come from.

use super::model::Certificate;
use super::secret::Secret;
use super::values;

/// Where container images come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// Registries in which an image is looked up whose name has none, in order. None: those of the image.
    pub search: Option<Vec<String>>,
    /// What is otherwise with registries.
    pub mirrors: Vec<Mirror>,
    /// Who the machine is to registries.
    pub credentials: Vec<Credentials>,
}

/// What is otherwise with one registry, or with a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Which: `HOST[:PORT][/PATH]`, or `*.DOMAIN` for all of a domain.
    pub registry: String,
    /// Where its images are, too, in the order to ask; the registry itself comes last.
    pub endpoints: Vec<Place>,
    /// Whether those who are asked (the endpoints, without any the registry) may be without TLS, or with a certificate of anybody's.
    pub insecure: bool,
    /// Authorities that they are believed by, beside those of the machine.
    pub authorities: Vec<Certificate>,
}

/// Who the machine is to a registry, or to a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Which.
    pub registry: Place,
    /// The name.
    pub username: String,
    /// The password, or a token.
    pub password: Secret,
}

/// A registry, or a part of it: `HOST[:PORT][/PATH]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    text: String,
    host: usize,
}

impl Place {
    /// The whole.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `HOST[:PORT]`: what its certificates are looked up by.
    pub fn host(&self) -> &str {
        self.text.get(..self.host).unwrap_or(&self.text)
    }

    /// Judges a place.
    pub(super) fn judge(text: &str) -> Result<Self, String> {
        let bad = || {
            format!("`{}` is no registry: HOST, HOST:PORT or HOST/PATH in lower case, without `https://`", values::shown(text))
        };
        let (host, path) = text.split_once('/').map_or((text, None), |(host, path)| (host, Some(path)));
        let with_port = host.rsplit_once(':').is_some_and(|(before, _)| !host.ends_with(']') && !before.is_empty());
        let name = if with_port {
            values::host_and_port(host).map(|(host, _)| host)
        } else {
            values::host(host.trim_matches(['[', ']']))
        };
        let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.:[]".contains(&byte);
        let part = |part: &str| {
            let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            ends(part.bytes().next())
                && ends(part.bytes().last())
                && part.bytes().all(|byte| small(byte) && !b":[]".contains(&byte))
        };
        if name.is_err() || !host.bytes().all(small) || !path.is_none_or(|path| path.split('/').all(part)) || text.len() > 255 {
            return Err(bad());
        }
        Ok(Self { text: text.to_owned(), host: host.len() })
    }
}
