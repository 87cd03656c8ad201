//! Rules on the finished tree: what a role's image must not have, and what everything in it must find.
//!
//! A family of rules a file; each only looks and adds to one list, so that a build names everything that is wrong at once. Some rules
//! can be waived by the profile, by rule and path (`[[allow]]`); an allowance that nothing needs is told as a note, so that it does not
//! outlive its reason. Nothing here changes the tree or reads a file's bytes: `facts` did.

mod devices;
mod error;
mod libraries;
mod links;
mod modules;
mod permissions;
mod programs;
mod scripts;
mod services;

pub use error::{CheckError, Violation, Waiver};

use super::facts::Facts;
use super::tree::{Tree, TreePath};
use crate::profile::{Exception, Profile, Rule};

/// Firmware is for other processors than the one that runs the image, whatever its files look like.
const FIRMWARE: &str = "/usr/lib/firmware/";

/// Holds `tree` against every rule. What comes back are notes for the operator; violations that the profile does not allow are the
/// error, all of them.
pub fn check(tree: &Tree, facts: &Facts, profile: &Profile) -> Result<Vec<String>, CheckError> {
    check_with(tree, facts, &profile.exceptions)
}

fn check_with(tree: &Tree, facts: &Facts, exceptions: &[Exception]) -> Result<Vec<String>, CheckError> {
    let mut found = Findings { tree, violations: Vec::new() };
    libraries::check(tree, facts, &mut found)?;
    scripts::check(tree, facts, &mut found);
    programs::check(tree, facts, &mut found);
    permissions::check(tree, &mut found);
    links::check(tree, &mut found);
    modules::check(tree, facts, &mut found)?;
    devices::check(tree, &mut found);
    services::check(tree, &mut found)?;

    let mut needed = vec![false; exceptions.len()];
    let mut violations = found.violations;
    violations.retain(|violation| {
        let mut allowed = false;
        for (exception, needed) in exceptions.iter().zip(&mut needed) {
            if violation.waiver == Waiver::Allow(exception.rule) && exception.path.matches(violation.path.as_bytes()) {
                *needed = true;
                allowed = true;
            }
        }
        !allowed
    });
    if !violations.is_empty() {
        violations.sort_by(|a, b| (&a.path, a.waiver, &a.what).cmp(&(&b.path, b.waiver, &b.what)));
        violations.dedup_by(|a, b| (&a.path, &a.what) == (&b.path, &b.what));
        return Err(CheckError::Broken(violations));
    }
    let idle = exceptions.iter().zip(needed).filter(|(_, needed)| !needed);
    Ok(idle
        .map(|(exception, _)| {
            let (rule, path, reason) = (exception.rule.name(), &exception.path, &exception.reason);
            format!("the profile allows {rule} at {path} ({reason}), but nothing there needs it")
        })
        .collect())
}

/// Where rules put what they find.
struct Findings<'a> {
    tree: &'a Tree,
    violations: Vec<Violation>,
}

impl Findings<'_> {
    /// A violation that the profile may allow.
    fn add(&mut self, rule: Rule, path: &TreePath, what: String) {
        self.push(Waiver::Allow(rule), path, what);
    }

    /// A violation that nothing excuses.
    fn add_firm(&mut self, path: &TreePath, what: String) {
        self.push(Waiver::None, path, what);
    }

    fn push(&mut self, waiver: Waiver, path: &TreePath, what: String) {
        let Some(entry) = self.tree.get(path) else { return };
        self.violations.push(Violation { path: path.clone(), waiver, what, origin: entry.origin.clone() });
    }
}

#[cfg(test)]
mod tests;
