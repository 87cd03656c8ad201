//! The reference that users read, made from the doc comments of the raw types: docs/profiles.md and the JSON schemas that editors
//! check profiles by. Tests hold the committed files against these functions.

use super::overlay_manifest::RawOverlay;
use super::raw::RawProfile;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;
use std::fmt::Write as _;

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

fn json(schema: &Schema) -> String {
    // `{:#}` of a JSON value is its indented text.
    format!("{:#}\n", schema.as_value())
}

/// docs/profiles.md.
pub fn markdown() -> String {
    let mut page = String::from(include_str!("reference.md"));
    page.push_str("\n## Keys of a profile\n");
    Page { root: schema_of::<RawProfile>().as_value(), text: &mut page }.table("", "", None, None);
    page.push_str("\n## Keys of overlay.toml\n");
    Page { root: schema_of::<RawOverlay>().as_value(), text: &mut page }.table("", "", None, None);
    page
}

/// Writes one schema as tables of keys, each TOML table under a heading of its own.
struct Page<'a> {
    root: &'a Value,
    text: &'a mut String,
}

/// What a key holds, as far as headings need it.
enum Shape<'a> {
    /// `[key]`
    Table(&'a Value),
    /// `[[key]]`
    Tables(&'a Value),
    /// Anything that is written after `key =`.
    Value,
}

impl Page<'_> {
    fn table(&mut self, path: &str, heading: &str, property: Option<&Value>, schema: Option<&Value>) {
        let schema = schema.unwrap_or(self.root);
        if !heading.is_empty() {
            let _ = write!(self.text, "\n### `{heading}`\n");
        }
        if let Some(meaning) = property.and_then(meaning).or_else(|| meaning(schema)) {
            let _ = write!(self.text, "\n{meaning}\n");
        }
        let root = self.root;
        let Some(properties) = schema["properties"].as_object() else { return };
        let (values, tables): (Vec<_>, Vec<_>) =
            properties.iter().partition(|(_, property)| matches!(shape(root, property), Shape::Value));
        if !values.is_empty() {
            self.text.push_str("\n| key | value | meaning |\n|---|---|---|\n");
        }
        for (key, property) in values {
            let needed = schema["required"].as_array().is_some_and(|required| required.iter().any(|name| name == key));
            let needed = if needed { ", required" } else { "" };
            let kind = kind(root, property);
            let cell = meaning(property).unwrap_or_default().replace('|', "\\|");
            let _ = writeln!(self.text, "| `{key}` | {kind}{needed} | {cell} |");
        }
        for (key, property) in tables {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match shape(root, property) {
                Shape::Table(schema) => self.table(&path, &format!("[{path}]"), Some(property), Some(schema)),
                Shape::Tables(schema) => self.table(&path, &format!("[[{path}]]"), Some(property), Some(schema)),
                Shape::Value => {}
            }
        }
    }
}

fn shape<'a>(root: &'a Value, property: &'a Value) -> Shape<'a> {
    let has_keys = |schema: &'a Value| schema["properties"].is_object().then_some(schema);
    if let Some(schema) = has_keys(resolve(root, property)) {
        return Shape::Table(schema);
    }
    match has_keys(resolve(root, &property["items"])) {
        Some(schema) => Shape::Tables(schema),
        None => Shape::Value,
    }
}

fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|target| target.strip_prefix("#/$defs/")) {
        Some(name) => &root["$defs"][name],
        None => schema,
    }
}

/// What is written after `key =`, in words.
fn kind(root: &Value, property: &Value) -> String {
    let schema = resolve(root, property);
    let word = match &schema["type"] {
        Value::String(word) => word.as_str(),
        // An optional value is "string or null"; TOML has no null.
        Value::Array(words) => words.iter().filter_map(Value::as_str).find(|word| *word != "null").unwrap_or_default(),
        _ => "",
    };
    let choices: Vec<&str> =
        schema["oneOf"].as_array().into_iter().flatten().filter_map(|choice| choice["const"].as_str()).collect();
    match word {
        "array" => format!("list of {}s", kind(root, &schema["items"])),
        "object" => "table of strings".to_owned(),
        "" if !choices.is_empty() => format!("`{}`", choices.join("`, `")),
        "" => "value".to_owned(),
        word => word.to_owned(),
    }
}

/// A doc comment as one paragraph.
fn meaning(schema: &Value) -> Option<String> {
    let text = schema["description"].as_str()?;
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
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
