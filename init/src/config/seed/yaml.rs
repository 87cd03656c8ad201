//! YAML documents of a seed as values, taken apart key by key: what nobody takes is refused by name.

use serde_json::{Map, Value};

/// The longest document that is read; what a seed's files may have is the reader's to say, this is the parser's own bound.
const EVENTS: usize = 100_000;

/// Reads one document. `None`: it is empty. The error is one line.
pub(crate) fn parse(text: &str) -> Result<Option<Value>, String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: EVENTS,
            max_nodes: EVENTS,
            max_depth: 32,
            max_documents: 1,
            max_aliases: 100,
            max_anchors: 100,
            max_recorded_anchor_events: 10_000,
        },
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Option<Value>>(text, options) {
        Ok(value) => Ok(value.filter(|value| !value.is_null())),
        Err(error) => Err(format!("not YAML as it is read here: {}", error.to_string().lines().next().unwrap_or_default())),
    }
}

/// A mapping and where it is in its document.
#[derive(Debug)]
pub(super) struct Mapping {
    path: String,
    entries: Map<String, Value>,
}

impl Mapping {
    /// A value that must be a mapping.
    pub(super) fn new(path: impl Into<String>, value: Value) -> Result<Self, String> {
        let path = path.into();
        match value {
            Value::Object(entries) => Ok(Self { path, entries }),
            _ if path.is_empty() => Err("a mapping is expected".to_owned()),
            _ => Err(format!("`{path}`: a mapping is expected")),
        }
    }

    /// Where a key is in the document.
    pub(super) fn place(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The keys that nobody has taken.
    pub(super) fn keys(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// Takes a value; one that is null is none.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key).filter(|value| !value.is_null())
    }

    /// Takes a text; a number is one, too.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        self.take(key).map(|value| scalar(value).ok_or_else(|| self.expected(key, "a text"))).transpose()
    }

    /// Takes a truth value.
    pub(super) fn truth(&mut self, key: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.take(key) else { return Ok(None) };
        match value {
            Value::Bool(truth) => Ok(Some(truth)),
            // As YAML 1.1 writes them, which is what these files are written for.
            Value::String(word) => match word.to_ascii_lowercase().as_str() {
                "yes" | "on" | "true" => Ok(Some(true)),
                "no" | "off" | "false" => Ok(Some(false)),
                _ => Err(self.expected(key, "true or false")),
            },
            Value::Number(number) if number.as_u64() == Some(1) => Ok(Some(true)),
            Value::Number(number) if number.as_u64() == Some(0) => Ok(Some(false)),
            _ => Err(self.expected(key, "true or false")),
        }
    }

    /// Takes a number without sign, also one in quotes.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<u32>, String> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = match &value {
            Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| self.expected(key, "a number"))
    }

    /// Takes texts: a list, or one text with white space between.
    pub(super) fn texts(&mut self, key: &str) -> Result<Vec<String>, String> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                let texts: Option<Vec<String>> = items.into_iter().map(scalar).collect();
                texts.ok_or_else(|| self.expected(key, "a list of texts"))
            }
            Some(Value::String(text)) => Ok(text.split_whitespace().map(str::to_owned).collect()),
            Some(_) => Err(self.expected(key, "a list of texts")),
        }
    }

    /// Takes a mapping.
    pub(super) fn mapping(&mut self, key: &str) -> Result<Option<Mapping>, String> {
        let place = self.place(key);
        self.take(key).map(|value| Mapping::new(place, value)).transpose()
    }

    /// Takes a mapping of mappings, by name.
    pub(super) fn named(&mut self, key: &str) -> Result<Vec<(String, Mapping)>, String> {
        let Some(mapping) = self.mapping(key)? else { return Ok(Vec::new()) };
        let place = mapping.path;
        mapping
            .entries
            .into_iter()
            .map(|(name, value)| Ok((name.clone(), Mapping::new(format!("{place}.{name}"), value)?)))
            .collect()
    }

    /// Takes a list of mappings.
    pub(super) fn list(&mut self, key: &str) -> Result<Vec<Mapping>, String> {
        let place = self.place(key);
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                items.into_iter().enumerate().map(|(at, item)| Mapping::new(format!("{place}[{at}]"), item)).collect()
            }
            Some(_) => Err(self.expected(key, "a list")),
        }
    }

    /// Refuses the first key that nobody has taken.
    pub(super) fn finish(self) -> Result<(), String> {
        match self.entries.keys().next() {
            None => Ok(()),
            Some(key) => Err(self.unsupported(key)),
        }
    }

    /// A key that isn't served.
    pub(super) fn unsupported(&self, key: &str) -> String {
        format!("`{}` is not supported", self.place(key))
    }

    fn expected(&self, key: &str, what: &str) -> String {
        format!("`{}`: {what} is expected", self.place(key))
    }
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}
