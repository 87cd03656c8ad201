//! `[registry]` as written.

use super::Text;
use crate::machine_config::secret::Secret;
use crate::toml_document::Located;
use serde::Deserialize;

/// Where container images come from.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::machine_config) struct RawRegistry {
    /// Registries in which an image is looked up whose name has none (`busybox`), in order. By default `["docker.io"]`; `[]`: such an image
    /// is refused.
    pub search: Option<Vec<Text>>,
    /// What is otherwise with a registry: mirrors, authorities, no TLS.
    #[serde(default)]
    pub mirror: Vec<RawMirror>,
    /// Who the machine is to a registry. A pod's own secrets (`imagePullSecrets`) are asked first.
    #[serde(default)]
    pub credentials: Vec<RawCredentials>,
}

/// What is otherwise with a registry.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::machine_config) struct RawMirror {
    /// Which registry, as names of images begin: `"docker.io"`, `"registry.example.org:5000"`, a part of one (`"docker.io/library"`), or all
    /// of a domain (`"*.example.org"`).
    pub registry: Text,
    /// Where its images are, too, in the order to ask: `"https://mirror.example.org/cache"`. The registry itself comes last.
    #[serde(default)]
    pub endpoints: Vec<Text>,
    /// Authorities that the endpoints (without any, the registry) are believed by, beside those of `[trust]`, as PEM text.
    pub ca: Option<Text>,
    /// True if the endpoints (without any, the registry) may be without TLS, or with a certificate of anybody's.
    #[serde(default)]
    pub insecure: bool,
}

/// Who the machine is to a registry.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::machine_config) struct RawCredentials {
    /// Which registry or mirror, or a part of it: `"registry.example.org"`, `"registry.example.org/team"`.
    pub registry: Text,
    /// The name.
    pub username: Text,
    /// The password, or a token. Never printed.
    pub password: Located<Secret>,
}
