//! Scripts that can be run have their interpreter in the image.
//!
//! Only files with an execute bit: without it a `#!` line is a comment. A damaged `#!` line runs nothing and is told here, too.

use super::Findings;
use crate::compose::facts::{Fact, Facts};
use crate::compose::tree::{Tree, TreePath};
use crate::profile::Rule;

/// Where `env` looks: the PATH that init gives to what it starts.
const PATH: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

pub(super) fn check(tree: &Tree, facts: &Facts, found: &mut Findings<'_>) {
    let root = TreePath::root();
    for (path, fact) in facts.over(tree) {
        let Fact::Script(script) = fact else { continue };
        if tree.get(path).is_none_or(|entry| entry.mode & 0o111 == 0) {
            continue;
        }
        let interpreter = &script.interpreter;
        if !interpreter.starts_with('/') {
            let what = format!("is a script for {interpreter}, which is no absolute path");
            found.add(Rule::MissingInterpreter, path, what);
        } else if tree.follow_to_file(&root, interpreter.as_bytes()).is_none() {
            let what = format!("is a script for {interpreter}, which is not in the image");
            found.add(Rule::MissingInterpreter, path, what);
        } else if let Some(program) = script.env_program() {
            let there =
                PATH.iter().any(|directory| tree.follow_to_file(&root, format!("{directory}/{program}").as_bytes()).is_some());
            if !there {
                let what = format!("is a script for {program} (by env), which is not in the image");
                found.add(Rule::MissingInterpreter, path, what);
            }
        }
    }
}
