//! `Replaces`: whose files a package may take over (Debian Policy 7.6.1).

use super::rule::MergeError;
use crate::compose::unpack::Unpacked;
use crate::deb822::{self, Comments};
use crate::resolve::dependency::{self, Operator};
use crate::version::Version;

/// A package's `Replaces` field.
pub(super) struct Replaces(Vec<(String, Option<(Operator, String)>)>);

impl Replaces {
    pub(super) fn of(package: &Unpacked) -> Result<Self, MergeError> {
        let fault =
            |fault: String| MergeError::Control { name: package.name.to_string(), version: package.version.to_string(), fault };
        let text = deb822::text(&package.paragraph).map_err(|error| fault(error.to_string()))?;
        let paragraph = deb822::single(text, Comments::Refused).map_err(|error| fault(error.to_string()))?;
        let field = paragraph.as_ref().and_then(|paragraph| paragraph.get("Replaces")).unwrap_or_default();
        let groups = dependency::parse(field).map_err(|error| fault(error.to_string()))?;
        let term = |term: &dependency::Term<'_>| {
            let version = term.version.as_ref().map(|(operator, version)| (*operator, version.as_str().to_string()));
            (term.name.to_string(), version)
        };
        Ok(Self(groups.iter().flat_map(|group| &group.terms).map(term).collect()))
    }

    /// True if the package may take over what `other` ships.
    pub(super) fn covers(&self, other: &Unpacked) -> bool {
        self.0.iter().filter(|(name, _)| **name == *other.name).any(|(_, wanted)| match wanted {
            None => true,
            Some((operator, wanted)) => match (Version::parse(&other.version), Version::parse(wanted)) {
                (Ok(found), Ok(wanted)) => operator.holds(&found, &wanted),
                _ => false,
            },
        })
    }
}
