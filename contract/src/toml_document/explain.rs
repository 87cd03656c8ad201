//! What serde and toml say is wrong, in the words of this project: types as TOML names them, and the nearest known word.

use super::printable;

/// The member of `known` that is most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count().min(word.chars().count()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// serde's and toml's words in ours. Unknown messages pass as they are (their first line).
pub(super) fn explain(message: &str) -> String {
    if let Some((word, known)) = unknown(message, "unknown field `") {
        return unknown_word("key", word, &known);
    }
    if let Some((word, known)) = unknown(message, "unknown variant `") {
        return unknown_word("value", word, &known);
    }
    if let Some(key) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return format!("the key `{key}` is missing here");
    }
    if let Some(message) = wrong_type(message) {
        return message;
    }
    message.lines().next().unwrap_or_default().to_owned()
}

/// Says "invalid type: FOUND, expected WANTED" in TOML's words. A string is not repeated: the wrong place may hold a secret.
fn wrong_type(message: &str) -> Option<String> {
    // An enumeration that was given no string.
    if message.starts_with("wanted string or table") {
        return Some("a string is expected here".to_owned());
    }
    let rest = message.strip_prefix("invalid type: ")?;
    // What is wanted holds no comma; what was found may hold anything.
    let (found, wanted) = rest.rsplit_once(", expected ")?;
    let found = match found.split(' ').next() {
        Some("string") => "a string",
        Some("sequence") => "a list",
        Some("map") => "a table",
        Some("floating") => "a number with a point",
        Some("integer") => "a whole number",
        Some("boolean") => "true or false",
        _ => "something else",
    };
    let wanted = match wanted.lines().next().unwrap_or_default() {
        "i64" | "u64" => "a whole number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        wanted if wanted.starts_with("struct ") => "a table",
        wanted => wanted,
    };
    Some(format!("{wanted} is expected here, not {found}"))
}

/// Takes "unknown field `a`, expected one of `b`, `c`" apart.
fn unknown<'a>(message: &'a str, prefix: &str) -> Option<(&'a str, Vec<&'a str>)> {
    let rest = message.strip_prefix(prefix)?;
    if let Some(word) = rest.strip_suffix("`, there are no fields") {
        return Some((word, Vec::new()));
    }
    // The known ones are ours and hold no backtick; the unknown one may hold anything.
    let cut = rest.rfind("`, expected ")?;
    let known = rest.get(cut + 1..)?.split('`').skip(1).step_by(2).collect();
    Some((rest.get(..cut)?, known))
}

fn unknown_word(what: &str, word: &str, known: &[&str]) -> String {
    let word: String = word.chars().take(60).map(printable).collect();
    if let Some(nearest) = nearest(&word, known.iter().copied()) {
        return format!("unknown {what} `{word}`; did you mean `{nearest}`?");
    }
    match known {
        [] => format!("unknown {what} `{word}`; there is none here"),
        _ => format!("unknown {what} `{word}`; known here: {}", known.join(", ")),
    }
}
