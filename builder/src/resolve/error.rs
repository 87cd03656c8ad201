//! Why resolution refuses, and which line of the profile would settle it.

use super::dependency::RelationError;
use crate::failure::{Classified, Kind};
use std::fmt;

/// The packages that lead from the profile to the one in question: `linux-image-amd64 -> linux-base`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain(pub Vec<String>);

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" -> "))
    }
}

/// A package's version and repository, for messages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offered {
    /// The package.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The repository.
    pub repository: String,
}

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.repository)
    }
}

/// A relation that more than one package could meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguity {
    /// From the profile to the package that has the relation.
    pub chain: Chain,
    /// `Depends: a | b`, as written.
    pub relation: String,
    /// The virtual name, if the relation is one name that no package has.
    pub virtual_name: Option<String>,
    /// Who could meet it.
    pub candidates: Vec<String>,
    /// Names in the profile's `alternatives` that no repository has: misspelt, perhaps.
    pub unknown_choices: Vec<String>,
}

impl Ambiguity {
    /// The line of the profile that settles it.
    fn remedy(&self) -> String {
        let first = self.candidates.first().map_or("", String::as_str);
        match &self.virtual_name {
            Some(name) => format!("{} = \"{first}\" below `[choose.provider]`", toml_key(name)),
            None => format!("\"{first}\" in the list `alternatives` below `[choose]`"),
        }
    }

    /// A word about choices that cannot do anything.
    fn unknown(&self) -> Option<String> {
        let names = self.unknown_choices.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        (!names.is_empty()).then(|| format!("No repository has {names}, which the profile has in `alternatives`."))
    }
}

/// A name as TOML writes it where a key belongs.
fn toml_key(name: &str) -> String {
    let bare = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if bare { name.to_owned() } else { format!("\"{name}\"") }
}

/// Why there is no closure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The profile names a package that no repository has.
    #[error("no repository has the package `{name}`, which the profile names in {key}")]
    Unknown {
        /// The name.
        name: String,
        /// The profile's key that names it.
        key: &'static str,
        /// Similar names that there are.
        nearest: Vec<String>,
        /// Packages that provide it, if it is virtual.
        providers: Vec<String>,
    },
    /// The profile declares a package absent that it also names.
    #[error("the profile names the package `{name}` and declares it absent as well")]
    WantedAndAbsent {
        /// The name.
        name: String,
    },
    /// No package meets a relation.
    #[error("nothing meets `{relation}` of `{package}`{}{}", there_is(.found), by(.chain))]
    Unmet {
        /// Who has the relation.
        package: String,
        /// The relation with its field.
        relation: String,
        /// From the profile to `package`.
        chain: Chain,
        /// Packages of the right name that do not do.
        found: Vec<Offered>,
        /// Similar names that there are, if there is none.
        nearest: Vec<String>,
        /// The names in the relation.
        names: Vec<String>,
    },
    /// Relations that more than one package could meet; at least one.
    #[error("{}", ambiguous(.0))]
    Ambiguous(Vec<Ambiguity>),
    /// Two origins offer the package, or one offers two of the same version.
    #[error("the package `{name}` is offered more than once: {}{}", list(.offers), by(.chain))]
    Origins {
        /// The name.
        name: String,
        /// The offers.
        offers: Vec<Offered>,
        /// From the profile to it.
        chain: Chain,
    },
    /// `[choose.repository]` sends a package to a repository that does not have it.
    #[error("the profile takes `{name}` from the repository `{repository}`, which does not offer it")]
    NotOffered {
        /// The package.
        name: String,
        /// The repository chosen.
        repository: String,
        /// Who has it.
        offers: Vec<Offered>,
    },
    /// `[choose.provider]` names a package that does not provide the virtual one (in the version wanted).
    #[error("the profile chooses `{provider}` for `{name}`, but it does not meet `{relation}` of `{package}`")]
    NotAProvider {
        /// The virtual package.
        name: String,
        /// The one chosen.
        provider: String,
        /// Who has the relation.
        package: String,
        /// The relation with its field.
        relation: String,
        /// Who would meet it.
        candidates: Vec<String>,
    },
    /// Two packages of the closure exclude each other.
    #[error("`{package}` and `{other}` exclude each other: {package} has `{relation}`, and {other} is version {version}{}", both(.chain, .other_chain))]
    Conflict {
        /// Who has the relation.
        package: String,
        /// The relation with its field.
        relation: String,
        /// Whom it hits.
        other: String,
        /// In which version.
        version: String,
        /// From the profile to `package`.
        chain: Chain,
        /// From the profile to `other`.
        other_chain: Chain,
    },
    /// More than one kernel.
    #[error("an image has one kernel, but these are here: {}", .images.join(", "))]
    Kernels {
        /// The linux-image packages.
        images: Vec<String>,
    },
    /// A taken package's relation field cannot be read.
    #[error("the field `{field}` of `{package}` cannot be read")]
    Relation {
        /// The package with its version and repository.
        package: Offered,
        /// The field.
        field: &'static str,
        /// Why.
        source: RelationError,
    },
}

fn there_is(found: &[Offered]) -> String {
    if found.is_empty() { String::new() } else { format!("; there is {}", list(found)) }
}

fn list(offers: &[Offered]) -> String {
    offers.iter().map(Offered::to_string).collect::<Vec<_>>().join(", ")
}

fn by(chain: &Chain) -> String {
    if chain.0.is_empty() { String::new() } else { format!(" (wanted by {chain})") }
}

fn both(a: &Chain, b: &Chain) -> String {
    format!(" (wanted by {a} and by {b})")
}

fn ambiguous(all: &[Ambiguity]) -> String {
    let Some(first) = all.first() else { return String::new() };
    let owner = first.chain.0.last().map_or("", String::as_str);
    let more = match all.len() {
        1 => String::new(),
        n => format!("; {} more like this", n - 1),
    };
    format!("`{}` of `{owner}` can be met by {} (wanted by {}){more}", first.relation, first.candidates.join(", "), first.chain)
}

impl ResolveError {
    /// The packages that would have to move for this not to happen.
    pub(super) fn movable(&self) -> Vec<&str> {
        match self {
            ResolveError::Unmet { package, names, .. } => names.iter().chain([package]).map(String::as_str).collect(),
            ResolveError::Conflict { package, other, .. } => vec![package, other],
            ResolveError::NotAProvider { package, provider, .. } => vec![package, provider],
            _ => Vec::new(),
        }
    }
}

impl Classified for ResolveError {
    fn kind(&self) -> Kind {
        match self {
            ResolveError::Unknown { .. } | ResolveError::Unmet { .. } | ResolveError::Relation { .. } => Kind::Unavailable,
            _ => Kind::Profile,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            ResolveError::Unknown { nearest, providers, name, .. } => {
                let mut hints = Vec::new();
                if !providers.is_empty() {
                    hints.push(format!(
                        "`{name}` is virtual; name one of the packages that provide it: {}.",
                        providers.join(", ")
                    ));
                }
                if !nearest.is_empty() {
                    hints.push(format!("Similar names: {}.", nearest.join(", ")));
                }
                if hints.is_empty() {
                    hints.push("Add the repository that has it as a `[[repository]]` of the profile.".to_owned());
                }
                hints
            }
            ResolveError::WantedAndAbsent { name } => {
                vec![format!("Take `{name}` out of `packages`, or remove its `[[absent]]`.")]
            }
            ResolveError::Unmet { names, nearest, .. } => {
                let mut hints = Vec::new();
                if !nearest.is_empty() {
                    hints.push(format!("Similar names: {}.", nearest.join(", ")));
                }
                let name = names.first().map_or("", String::as_str);
                hints.push("Add the repository that has it as a `[[repository]]` of the profile.".to_owned());
                hints.push(format!("Or do without: an `[[absent]]` with `package = \"{name}\"` and a reason."));
                hints
            }
            ResolveError::Ambiguous(all) => all
                .iter()
                .map(|ambiguity| {
                    let chain = &ambiguity.chain;
                    format!("For `{}` ({chain}) write {}, or another of its candidates.", ambiguity.relation, ambiguity.remedy())
                })
                .chain(all.iter().find(|ambiguity| ambiguity.virtual_name.is_none()).and_then(Ambiguity::unknown))
                .collect(),
            ResolveError::Origins { name, offers, .. } => {
                let repository = offers.first().map_or("", |offer| &offer.repository);
                vec![format!("Write {} = \"{repository}\" below `[choose.repository]`, or another of them.", toml_key(name))]
            }
            ResolveError::NotOffered { offers, name, .. } => {
                vec![format!("Correct `[choose.repository]`: {name} is offered as {}.", list(offers))]
            }
            ResolveError::NotAProvider { name, candidates, .. } => match candidates.as_slice() {
                [] => vec![format!("Remove {} from `[choose.provider]`.", toml_key(name))],
                _ => vec![format!(
                    "Write one of these for {} below `[choose.provider]`: {}.",
                    toml_key(name),
                    candidates.join(", ")
                )],
            },
            ResolveError::Conflict { package, other, .. } => {
                vec![format!(
                    "Leave one out: of {package} and {other}, what brings it in can be chosen or declared `[[absent]]`."
                )]
            }
            ResolveError::Kernels { .. } => {
                vec![
                    "Name the one to use: `package = \"...\"` below `[kernel]`, and no other linux-image in `packages`."
                        .to_owned(),
                ]
            }
            ResolveError::Relation { package, .. } => {
                vec![format!("The repository `{}` publishes it so: tell those who run it.", package.repository)]
            }
        }
    }
}
