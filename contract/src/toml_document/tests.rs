use super::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "decoding is what is tested")]
struct Room {
    name: Option<Located<String>>,
    slot_size: Option<i64>,
    kind: Option<Color>,
    #[serde(default)]
    doors: Vec<Door>,
    #[serde(default)]
    map: BTreeMap<Located<String>, Located<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Color {
    DarkRed,
    Green,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "decoding is what is tested")]
struct Door {
    width: i64,
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(decode::<Room>("room.toml", text).unwrap_err().to_string(), expected);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    check(
        "name = \"a\"\nslot_size = 1\n",
        "room.toml:2:1: unknown key `slot_size`; did you mean `slot-size`?\n   |\n 2 | slot_size = 1\n   | ^^^^^^^^^",
    );
    check(
        "[[doors]]\nwidth = 1\n\n  colour = 2\n",
        "room.toml:4:3: unknown key `colour`; known here: width\n   |\n 4 |   colour = 2\n   |   ^^^^^^",
    );
    check(
        "kind = \"dark-rad\"",
        "room.toml:1:8: unknown value `dark-rad`; did you mean `dark-red`?\n   |\n 1 | kind = \"dark-rad\"\n   |        ^^^^^^^^^^",
    );
}

#[test]
fn wrong_types_and_missing_keys_point() {
    check(
        "slot-size = \"x\"",
        "room.toml:1:13: a whole number is expected here, not a string\n   |\n 1 | slot-size = \"x\"\n   |             ^^^",
    );
    check("name = 'a'\n[[doors]]\n", "room.toml:2:1: the key `width` is missing here\n   |\n 2 | [[doors]]\n   | ^^^^^^^^^");
}

#[test]
fn broken_toml_points() {
    check("name = \"a\"\nname = \"b\"\n", "room.toml:2:1: duplicate key\n   |\n 2 | name = \"b\"\n   | ^^^^");
    check("name = ", "room.toml:1:8: string values must be quoted, expected literal string\n   |\n 1 | name =\n   |        ^");
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_are() {
    let error = Document::from_bytes("a", b"x = 1\ny = \"\xff\"\n").unwrap_err();
    assert_eq!(error.to_string(), "a:2:6: not UTF-8\n   |\n 2 | y = \"\u{fffd}\"\n   |      ^");
}

#[test]
fn long_and_odd_lines_stay_short() {
    let text = format!("a = \"{}\tü\u{1}\" ", "é".repeat(500));
    let document = Document::new("a", text.clone());
    for at in 0..text.len() + 3 {
        let error = document.error_at(at..at + 7, "x").to_string();
        assert!(error.lines().all(|line| line.chars().count() < 140), "{error}");
    }
    let backwards = std::ops::Range { start: 9, end: 2 };
    assert_eq!(document.error_at(backwards, "x").line, 1);
}

#[test]
fn values_know_their_place() {
    let document = Document::new("a.toml", "name = 'x'\n[map]\nk = 'v'\n");
    let room: Room = document.decode().unwrap();
    assert_eq!(document.place(room.name.unwrap().span()), "a.toml:1");
    let (key, value) = room.map.first_key_value().unwrap();
    assert_eq!((&**key, &**value, key.span(), value.span()), (&"k".to_owned(), &"v".to_owned(), 17..18, 21..24));
}

#[test]
fn nearest_is_near() {
    assert_eq!(nearest("packges", ["packages", "boot"]), Some("packages"));
    assert_eq!(nearest("zzz", ["packages", "boot"]), None);
    assert_eq!(nearest("bas", ["base", "worker"]), Some("base"));
}
