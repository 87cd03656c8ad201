//! References that users read, made from the doc comments of the types that documents are decoded into: JSON schemas, and pages of
//! Markdown with a table of keys for each table of the document.

use schemars::Schema;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A schema as an indented text.
pub fn json(schema: &Schema) -> String {
    // `{:#}` of a JSON value is its indented text.
    format!("{:#}\n", schema.as_value())
}

/// All keys of a document: those outside of any table first, then each TOML table under a heading of its own.
pub fn tables(schema: &Schema) -> String {
    let root = schema.as_value();
    let mut page = Page { root, text: String::new(), shown: BTreeMap::new() };
    if let Some(meaning) = meaning(root) {
        let _ = write!(page.text, "\n{meaning}\n");
    }
    page.keys("", "", root, root);
    page.text
}

/// Writes one schema.
struct Page<'a> {
    root: &'a Value,
    text: String,
    /// The heading of each definition that has been shown, by name.
    shown: BTreeMap<&'a str, String>,
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

impl<'a> Page<'a> {
    /// The keys of one table; `reference` is the schema that led to it.
    fn keys(&mut self, path: &str, heading: &str, reference: &'a Value, schema: &'a Value) {
        if let Some(name) = definition(reference) {
            if let Some(shown) = self.shown.get(name) {
                let _ = write!(self.text, "\nIts keys are those of `{shown}`.\n");
                return;
            }
            self.shown.insert(name, heading.to_owned());
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
            let (heading, reference, schema) = match shape(root, property) {
                Shape::Table(schema) => (format!("[{path}]"), property, schema),
                Shape::Tables(schema) => (format!("[[{path}]]"), &property["items"], schema),
                Shape::Value => continue,
            };
            let _ = write!(self.text, "\n### `{heading}`\n");
            if let Some(meaning) = meaning(property).or_else(|| meaning(schema)) {
                let _ = write!(self.text, "\n{meaning}\n");
            }
            self.keys(&path, &heading, reference, schema);
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
    match definition(schema) {
        Some(name) => &root["$defs"][name],
        None => schema,
    }
}

/// The name of the definition that a schema refers to, be it that or null: TOML has no null.
fn definition(schema: &Value) -> Option<&str> {
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    let target = std::iter::once(schema).chain(choices).find_map(|choice| choice["$ref"].as_str());
    target?.strip_prefix("#/$defs/")
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
        "object" => match kind(root, &schema["additionalProperties"]).as_str() {
            word @ ("string" | "value") => format!("table of {word}s"),
            list => format!("table of {}", list.replacen("list ", "lists ", 1)),
        },
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

/// Generated files, by their paths in the repository, are committed as they are generated.
#[cfg(test)]
pub(crate) fn assert_committed(files: &[(&str, String)]) {
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (path, text) in files {
        let committed = fs_err::read_to_string(repository.join(path)).unwrap_or_default();
        assert!(committed == *text, "{path} is not what the doc comments say: run `cargo xtask docs`");
    }
}

/// Each key of a page has a meaning, and each of these tables a part of its own.
#[cfg(test)]
pub(crate) fn assert_explained(page: &str, tables: &[&str]) {
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        assert!(!line.ends_with("|  |") && !line.contains("| value"), "{line}");
    }
    for table in tables {
        assert!(page.contains(&format!("### `{table}`\n")), "{table}");
    }
}
