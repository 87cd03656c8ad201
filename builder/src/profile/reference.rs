//! The reference that users read, made from the doc comments of the raw types: docs/profiles.md and the JSON schemas that editors
//! check profiles by. Tests hold the committed files against these functions.

use super::overlay_manifest::RawOverlay;
use super::raw::RawProfile;
use crate::reference::{json, tables};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Every generated file: path relative to the repository, and its text.
pub fn files() -> [(&'static str, String); 3] {
    [
        ("docs/profiles.md", markdown()),
        ("profiles/profile.schema.json", schema()),
        ("profiles/overlay.schema.json", overlay_schema()),
    ]
}

/// The JSON schema of profiles.
pub fn schema() -> String {
    json(&schema_of::<RawProfile>())
}

/// The JSON schema of overlay.toml.
pub fn overlay_schema() -> String {
    json(&schema_of::<RawOverlay>())
}

fn schema_of<T: JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}

/// docs/profiles.md.
pub fn markdown() -> String {
    let mut page = String::from(include_str!("reference.md"));
    page.push_str("\n## Keys of a profile\n");
    page.push_str(&tables(&schema_of::<RawProfile>()));
    page.push_str("\n## Keys of overlay.toml\n");
    page.push_str(&tables(&schema_of::<RawOverlay>()));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_committed_files_are_these() {
        for (path, text) in files() {
            let committed =
                fs_err::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap_or_default();
            assert!(committed == text, "{path} is not what the doc comments say: run `cargo xtask docs`");
        }
    }

    #[test]
    fn every_key_is_explained() {
        let page = markdown();
        for line in page.lines().filter(|line| line.starts_with("| `")) {
            assert!(!line.ends_with("|  |") && !line.contains("| value"), "{line}");
        }
        for heading in ["[packages]", "[[repository]]", "[[kernel.modules.drop]]", "[without]", "[[executable]]"] {
            assert!(page.contains(&format!("### `{heading}`\n")), "{heading}");
        }
    }
}
