//! `[versions]`, and the places that stand for them in addresses of repositories.

use super::merge::Merged;
use super::model::Versions;
use super::validate::value;
use kmimage_contract::toml_document::{DocumentError, nearest};

/// The versions of a merged profile: CRI-O's is Kubernetes' unless it says otherwise.
pub(super) fn versions(merged: &Merged) -> Result<Versions, DocumentError> {
    let of = |text: &Option<_>| text.as_ref().map(|text| value(merged, text, minor)).transpose();
    let kubernetes = of(&merged.kubernetes)?;
    let crio = of(&merged.crio)?.or_else(|| kubernetes.clone());
    Ok(Versions { kubernetes, crio })
}

/// A minor version: `1.36`.
fn minor(text: &str) -> Result<String, String> {
    let number = |text: &str| !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((major, minor)) if number(major) && number(minor) => Ok(text.to_owned()),
        _ => {
            Err(format!("`{text}` is no minor version such as \"1.36\": repositories are for one, and the lock names the patch"))
        }
    }
}

/// An address with versions in their places. `{date}` is left to the snapshot archive.
pub(super) fn filled(versions: &Versions, text: &str) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else { break };
        filled.push_str(before);
        let version = match name {
            "kubernetes" => &versions.kubernetes,
            "crio" => &versions.crio,
            "date" => &Some("{date}".to_owned()),
            other => {
                let hint = nearest(other, ["kubernetes", "crio"]).map(|near| format!("; did you mean `{{{near}}}`?"));
                return Err(format!("nothing is known of `{{{other}}}`{}", hint.unwrap_or_default()));
            }
        };
        match version {
            Some(version) => filled.push_str(version),
            None => return Err(format!("`{{{name}}}`: which version? Say it in `[versions] {name}`")),
        }
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled() {
        let versions = Versions { kubernetes: Some("1.36".into()), crio: Some("1.35".into()) };
        let check = |text: &str, expect: Result<&str, &str>| {
            assert_eq!(filled(&versions, text), expect.map(str::to_owned).map_err(str::to_owned), "{text}");
        };
        check("http://a/v{kubernetes}/deb/{crio}", Ok("http://a/v1.36/deb/1.35"));
        check("http://a/{date}", Ok("http://a/{date}"));
        check("http://a/}{", Ok("http://a/}{"));
        check("http://a/{krio}", Err("nothing is known of `{krio}`; did you mean `{crio}`?"));
        check("http://a/{}", Err("nothing is known of `{}`"));
        let none = filled(&Versions::default(), "{crio}").unwrap_err();
        assert_eq!(none, "`{crio}`: which version? Say it in `[versions] crio`");
    }

    #[test]
    fn versions_are_minor() {
        for good in ["1.36", "10.0"] {
            assert!(minor(good).is_ok(), "{good}");
        }
        for bad in ["1", "v1.36", "1.36.2", "1.", ".36", "1.x", "", "1.123456"] {
            assert!(minor(bad).is_err(), "{bad}");
        }
    }
}
