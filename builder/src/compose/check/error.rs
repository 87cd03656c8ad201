//! What a broken rule is to the person who builds.

use crate::compose::derive::DeriveError;
use crate::compose::tree::{BadPath, Origin, TreePath};
use crate::failure::{Classified, Kind};
use crate::profile::Rule;
use std::fmt;

/// One thing that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where.
    pub path: TreePath,
    /// What would make it acceptable.
    pub waiver: Waiver,
    /// What is wrong, after the path ("is set-uid (mode 4755)").
    pub what: String,
    /// Who brought it.
    pub origin: Origin,
}

/// Whether the profile may accept a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiver {
    /// By an `[[allow]]` of this rule.
    Allow(Rule),
    /// Never: such an image does not work.
    None,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} [", self.path, self.what)?;
        if let Waiver::Allow(rule) = self.waiver {
            write!(f, "{}; ", rule.name())?;
        }
        write!(f, "{}]", self.origin)
    }
}

/// Why the tree makes no image.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Rules are broken; every place, by path.
    #[error("{}", render(.0))]
    Broken(Vec<Violation>),
    /// A file that rules depend on (ld.so.conf, modules.builtin) can't be read.
    #[error("can't hold the tree against its rules")]
    Unreadable(#[from] DeriveError),
    /// A path that rules depend on is none.
    #[error("can't hold the tree against its rules")]
    Path(#[from] BadPath),
}

fn render(violations: &[Violation]) -> String {
    let mut text = match violations.len() {
        1 => "the finished tree breaks a rule:".to_owned(),
        count => format!("the finished tree breaks rules in {count} places:"),
    };
    for violation in violations {
        text.push_str(&format!("\n  {violation}"));
    }
    text
}

impl Classified for CheckError {
    fn kind(&self) -> Kind {
        match self {
            CheckError::Broken(_) => Kind::Policy,
            CheckError::Unreadable(error) => error.kind(),
            CheckError::Path(_) => Kind::Internal,
        }
    }

    fn hints(&self) -> Vec<String> {
        let CheckError::Broken(violations) = self else { return Vec::new() };
        let mut hints =
            vec!["Leave a file out by `[[drop]]` in the profile, or the package that brings it by `[[absent]]`.".to_owned()];
        let allowable = violations.iter().find_map(|violation| match violation.waiver {
            Waiver::Allow(rule) => Some((rule, &violation.path)),
            Waiver::None => None,
        });
        if let Some((rule, path)) = allowable {
            hints.push(format!(
                "Where it is meant, allow it by name in the profile: [[allow]] rule = \"{}\", path = \"{path}\", reason = \"...\".",
                rule.name()
            ));
        }
        hints
    }
}
