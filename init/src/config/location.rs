//! Where `kmimage.config=` leads: to a URL, or to a file on a partition.

use std::fmt;
use uuid::Uuid;

/// A place that a config can be fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// By HTTP.
    Url(Url),
    /// A file on a partition with ISO 9660 or FAT.
    Partition {
        /// The partition's UUID in its table.
        uuid: Uuid,
        /// The file's path.
        path: String,
    },
}

/// A URL of http or https, without a name and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
}

/// Why a text is no location. It never holds a query, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Neither form.
    #[error("a config is at `http://...`, `https://...` or `PARTUUID=<uuid>:/<path>`")]
    Form,
    /// `PARTUUID=` without what it needs.
    #[error("`{0}`: `PARTUUID=<uuid>:/<path>` is expected")]
    Partition(String),
    /// A URL that is no URL.
    #[error("the URL is malformed: {0}")]
    Url(String),
    /// A name or password in a URL, which would end up in logs.
    #[error("a URL with a name or password in it is not supported")]
    Password,
    /// A URL with a template of cloud-init's.
    #[error("a URL with a template (`__dmi.`) is not supported")]
    Template,
}

impl Location {
    /// Reads a location.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        if let Some(rest) = text.strip_prefix("PARTUUID=") {
            let bad = || LocationError::Partition(text.to_owned());
            let (uuid, path) = rest.split_once(':').ok_or_else(bad)?;
            let path = path.strip_prefix('/').filter(|path| !path.is_empty() && !path.ends_with('/')).ok_or_else(bad)?;
            return Ok(Self::Partition { uuid: uuid.parse().map_err(|_| bad())?, path: path.to_owned() });
        }
        Url::parse(text).map(Self::Url)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "url:{url}"),
            Self::Partition { uuid, path } => write!(f, "partition:{uuid}:/{path}"),
        }
    }
}

impl Url {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
        if !begins("http://") && !begins("https://") {
            return Err(LocationError::Form);
        }
        if text.contains("__dmi.") {
            return Err(LocationError::Template);
        }
        let uri: ureq::http::Uri =
            text.parse().map_err(|error: ureq::http::uri::InvalidUri| LocationError::Url(error.to_string()))?;
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => Err(LocationError::Password),
            Some(authority) if !authority.host().is_empty() => Ok(Self { text: text.to_owned() }),
            _ => Err(LocationError::Url("no host".to_owned())),
        }
    }

    /// The whole text, to fetch it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is fetched by TLS.
    pub fn is_https(&self) -> bool {
        self.text.get(..6).is_some_and(|begin| begin.eq_ignore_ascii_case("https:"))
    }

    /// The URL of a file beside, as NoCloud composes it: the text and the name.
    pub fn join(&self, name: &str) -> Result<Self, LocationError> {
        let slash = if self.text.ends_with('/') || self.text.contains('?') { "" } else { "/" };
        Self::parse(&format!("{}{slash}{name}", self.text))
    }
}

/// Without the query, which may be a secret.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.split_once('?') {
            Some((before, _)) => write!(f, "{before}?..."),
            None => f.write_str(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_shown_without_secrets() {
        let check = |text: &str, shown: &str| assert_eq!(Location::parse(text).unwrap().to_string(), shown);
        check("http://10.0.0.1/a.toml", "url:http://10.0.0.1/a.toml");
        check("HTTPS://[2001:db8::1]:8443/a?token=secret", "url:HTTPS://[2001:db8::1]:8443/a?...");
        let uuid = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
        check(&format!("PARTUUID={}:/a/b.toml", uuid.to_uppercase()), &format!("partition:{uuid}:/a/b.toml"));
        let seed = |text: &str| Url::parse(text).unwrap().join("user-data").unwrap().as_str().to_owned();
        assert_eq!(seed("http://a/b/"), "http://a/b/user-data");
        assert_eq!(seed("http://a/b"), "http://a/b/user-data");
        assert_eq!(seed("http://a/?id=1&file="), "http://a/?id=1&file=user-data");
    }

    #[test]
    fn everything_else_is_refused() {
        let check = |text: &str, expect: &str| assert_eq!(Location::parse(text).unwrap_err().to_string(), expect, "{text}");
        let form = "a config is at `http://...`, `https://...` or `PARTUUID=<uuid>:/<path>`";
        check("", form);
        check("ftp://a/b", form);
        check("/dev/sda1:/x", form);
        check("PARTUUID=1:/x", "`PARTUUID=1:/x`: `PARTUUID=<uuid>:/<path>` is expected");
        let uuid = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
        for bad in [
            format!("PARTUUID={uuid}"),
            format!("PARTUUID={uuid}:x"),
            format!("PARTUUID={uuid}:/"),
            format!("PARTUUID={uuid}:/a/"),
        ] {
            check(&bad, &format!("`{bad}`: `PARTUUID=<uuid>:/<path>` is expected"));
        }
        check("http://name:password@host/", "a URL with a name or password in it is not supported");
        check("http://__dmi.chassis-serial-number__/", "a URL with a template (`__dmi.`) is not supported");
        check("http://", "the URL is malformed: empty string");
        check("http://a b/", "the URL is malformed: invalid uri character");
    }
}
