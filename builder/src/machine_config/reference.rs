//! docs/machine-config.md and the JSON schema that editors check machine configs by. Tests hold the committed files against these
//! functions.

use crate::reference::{json, tables};
use kmimage_contract::machine_config::{self, FILE_FOLDER, RESERVED_FILES};
use std::fmt::Write as _;

/// Every generated file: path relative to the repository, and its text.
pub fn files() -> [(&'static str, String); 2] {
    [("docs/machine-config.md", markdown()), ("docs/machine-config.schema.json", schema())]
}

/// The JSON schema of machine configs.
pub fn schema() -> String {
    json(&machine_config::schema())
}

/// docs/machine-config.md.
pub fn markdown() -> String {
    let mut page = String::from(include_str!("reference.md"));
    page.push_str("\n## Keys\n");
    page.push_str(&tables(&machine_config::schema()));
    let _ = write!(page, "\n## Files that are not a config's to write\n\n| below {FILE_FOLDER} | instead |\n|---|---|\n");
    for (path, instead) in RESERVED_FILES {
        let _ = writeln!(page, "| `{path}` | {instead} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_committed, assert_explained};

    #[test]
    fn the_committed_files_are_these() {
        assert_committed(&files());
    }

    #[test]
    fn every_key_is_explained() {
        let headings =
            ["[machine]", "[[network.interface]]", "[[network.bond]]", "[[service]]", "[service.readiness]", "[cluster]"];
        assert_explained(&markdown(), &headings);
    }

    /// What stands in the page as a whole document is one.
    #[test]
    fn the_pages_example_is_taken() {
        let page = markdown();
        let (_, rest) = page.split_once("```toml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        machine_config::parse("example", example.as_bytes(), Some("base")).unwrap();
    }
}
