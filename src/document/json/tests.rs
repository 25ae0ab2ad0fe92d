//! What is read and written, and what is refused with its place.

use super::*;

fn compact(text: &str) -> Result<String, String> {
    let value = parse(text.as_bytes()).map_err(|error| format!("{}:{}: {error}", error.line, error.column))?;
    let mut out = String::new();
    write(&value, &mut out);
    Ok(out)
}

#[test]
fn valid_documents_are_read() {
    for (text, expected) in [
        (" null ", "null"),
        ("[true,\n\tfalse]", "[true,false]"),
        ("[]", "[]"),
        ("{ }", "{}"),
        (r#"{"a":1,"b":{"c":[2]}}"#, r#"{"a":1,"b":{"c":[2]}}"#),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        ("[-0, 1.50, 1E+2, 123456789012345678901234567890]", "[-0,1.50,1E+2,123456789012345678901234567890]"),
        (r#""\"\\\/\b\f\n\r\t\u0041""#, r#""\"\\/\u0008\u000c\n\r\tA""#),
        (r#""\ud83d\ude00 é \u00e9""#, "\"😀 é é\""),
        ("\"\u{7f}\u{2028}\"", "\"\u{7f}\u{2028}\""),
        ("\u{feff}1", "1"),
    ] {
        assert_eq!(compact(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn invalid_documents_are_refused_with_a_place() {
    for (text, expected) in [
        ("", "1:1: expected a value, found the end of the document"),
        ("[1,\n 2,]", "2:4: expected a value: no comma comes before the end"),
        (r#"{"a":1,}"#, "1:8: expected a name in double quotes: no comma comes before the end"),
        ("['a']", "1:2: expected a value: strings have double quotes"),
        ("[ # a\n]", "1:3: expected a value: JSON has no comments"),
        ("[True]", "1:2: expected a value: JSON writes true, false and null"),
        ("[1 2]", "1:4: expected `,` or `]`"),
        ("{a: 1}", "1:2: expected a name in double quotes"),
        (r#"{"a" 1}"#, "1:6: expected `:`"),
        (r#"{"a": 1 "b""#, "1:9: expected `,` or `}`"),
        ("01", "1:2: a number must not begin with 0"),
        ("1.", "1:3: expected a digit"),
        ("-", "1:2: expected a digit"),
        ("+1", "1:1: expected a value"),
        ("NaN", "1:1: expected a value: JSON writes true, false and null"),
        ("nul", "1:1: expected a value"),
        ("1 1", "1:3: expected the end of the document"),
        ("\"a\nb\"", "1:3: a control character in a string must be written as an escape"),
        ("\"a", "1:3: expected `\"`, found the end of the document"),
        (r#""\q""#, r#"1:2: expected one of the escapes \" \\ \/ \b \f \n \r \t \uXXXX"#),
        (r#""\u12g4""#, "1:6: expected four hexadecimal digits"),
        (r#""é\ud83d""#, "1:3: half of a surrogate pair stands for no character"),
        (r#""\ud83d\u0041""#, "1:2: half of a surrogate pair stands for no character"),
    ] {
        assert_eq!(compact(text), Err(expected.to_owned()), "{text}");
    }
    assert_eq!(parse(b"[\"\xff\"]").map_err(|error| (error.offset, error.message)), Err((2, "not UTF-8".into())));
}

#[test]
fn a_value_is_found_where_it_stands() {
    use Step::{Element, Member};
    let text = r#" {"a": 1, "b\"": [10, {"c": "a"}], "a" : {"d": 2}}"#;
    for (path, part, expected) in [
        (&[][..], Part::Value, "{"),
        (&[Member("a")], Part::Value, "{\"d"),
        (&[Member("a")], Part::Key, "\"a\" :"),
        (&[Member("a"), Member("d")], Part::Value, "2"),
        (&[Member("b\"")], Part::Value, "[10"),
        (&[Member("b\""), Element(1), Member("c")], Part::Value, "\"a\"}"),
        (&[Member("b\""), Element(7)], Part::Value, "[10"),
        (&[Member("nowhere")], Part::Key, "{"),
    ] {
        let found = &text[offset(text.as_bytes(), path, part)..];
        assert!(found.starts_with(expected), "{path:?}: {found}");
    }
}

#[test]
fn nesting_is_limited() {
    assert!(parse(("[".repeat(512) + &"]".repeat(512)).as_bytes()).is_ok());
    assert!(parse(("[".repeat(513) + &"]".repeat(513)).as_bytes()).is_err());
}
