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
    use crate::reference::{assert_committed, assert_explained};

    #[test]
    fn the_committed_files_are_these() {
        assert_committed(&files());
    }

    #[test]
    fn every_key_is_explained() {
        let headings = ["[packages]", "[[repository]]", "[[kernel.modules.drop]]", "[without]", "[[executable]]"];
        assert_explained(&markdown(), &headings);
    }
}
