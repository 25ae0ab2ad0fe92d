//! JSON Pointer as RFC 6901 defines it.

use super::Value;
use crate::nearest::nearest;
use std::fmt;

/// How far a pointer leads, where the document ends before it does.
#[derive(Debug, PartialEq)]
pub struct End<'v, 'p> {
    /// The last value that is there, and the part of the pointer that names it.
    value: &'v Value<'v>,
    reached: &'p str,
    /// What that value has not.
    missing: String,
}

impl<'a> Value<'a> {
    /// The value that `pointer` names: `""` is the whole document, `/a/0` the first element of member `a`. Where the
    /// document has no such value, how far the pointer leads.
    ///
    /// # Errors
    /// What is wrong with the pointer itself.
    pub fn pointer<'v, 'p>(&'v self, pointer: &'p str) -> Result<Result<&'v Value<'a>, End<'v, 'p>>, &'static str> {
        let mut tokens = pointer.split('/');
        if tokens.next() != Some("") {
            return Err("a JSON Pointer is empty or begins with `/`");
        }
        let names = tokens.map(unescaped).collect::<Result<Vec<_>, _>>()?;
        let mut value = self;
        let mut length = 0;
        for (name, token) in names.into_iter().zip(pointer.split('/').skip(1)) {
            let found = match value {
                Value::Object(_) => value.get(&name),
                Value::Array(elements) => index(&name).and_then(|index| elements.get(index)),
                _ => None,
            };
            let Some(found) = found else {
                return Ok(Err(End { value, reached: &pointer[..length], missing: name }));
            };
            value = found;
            length += 1 + token.len();
        }
        Ok(Ok(value))
    }
}

/// Names of members at most in a message.
const MOST_NAMES: usize = 12;

impl fmt::Display for End<'_, '_> {
    /// Names of members, but no values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let End { value, reached, missing } = self;
        match reached {
            &"" => f.write_str("the document")?,
            reached => write!(f, "`{reached}`")?,
        }
        match value {
            Value::Object(members) if members.is_empty() => write!(f, " has no `{missing}`; it is empty"),
            Value::Object(members) => {
                let names = || members.iter().map(|(name, _)| &**name);
                write!(f, " has no `{missing}`")?;
                if let Some(near) = nearest(missing, names()) {
                    write!(f, "; did you mean `{near}`?")?;
                }
                let shown: Vec<String> = names().take(MOST_NAMES).map(|name| format!("`{name}`")).collect();
                write!(f, "; it has {}", shown.join(", "))?;
                match members.len().checked_sub(MOST_NAMES) {
                    None | Some(0) => Ok(()),
                    Some(more) => write!(f, " and {more} more"),
                }
            }
            Value::Array(elements) => match elements.len() {
                0 => write!(f, " is an empty list: it has no `{missing}`"),
                1 => write!(f, " is a list of one element, /0: it has no `{missing}`"),
                count => write!(f, " is a list of {count} elements, /0 to /{}: it has no `{missing}`", count - 1),
            },
            value => write!(f, " is {} and has no `{missing}`", value.kind()),
        }
    }
}

/// `~1` stands for `/` and `~0` for `~`: in a pointer these two cannot stand for themselves.
fn unescaped(token: &str) -> Result<String, &'static str> {
    let mut name = String::with_capacity(token.len());
    let mut rest = token.chars();
    while let Some(char) = rest.next() {
        name.push(match char {
            '~' => match rest.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err("in a JSON Pointer `~` is written `~0`, and `/` inside a name `~1`"),
            },
            other => other,
        });
    }
    Ok(name)
}

/// An index has no sign and no leading zero, so that each element has one name only.
fn index(token: &str) -> Option<usize> {
    let plain = token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    if plain { token.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    #[test]
    fn pointers_of_the_standard_find_their_values() {
        let text =
            r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8,"~1":9}"#;
        let document = json::parse(text.as_bytes()).unwrap();
        for (pointer, expected) in [
            ("/foo", Some(r#"["bar","baz"]"#)),
            ("/foo/0", Some("\"bar\"")),
            ("/foo/1", Some("\"baz\"")),
            ("/", Some("0")),
            ("/a~1b", Some("1")),
            ("/c%d", Some("2")),
            ("/e^f", Some("3")),
            ("/g|h", Some("4")),
            ("/i\\j", Some("5")),
            ("/k\"l", Some("6")),
            ("/ ", Some("7")),
            ("/m~0n", Some("8")),
            ("/~01", Some("9")),
            ("/foo/2", None),
            ("/foo/-", None),
            ("/foo/00", None),
            ("/foo/01", None),
            ("/foo/+1", None),
            ("/foo/", None),
            ("/foo/18446744073709551616", None),
            ("/foo/0/x", None),
            ("/bar", None),
            ("/bar/baz", None),
        ] {
            let found = document.pointer(pointer).unwrap().ok().map(|value| {
                let mut text = String::new();
                json::write(value, &mut text);
                text
            });
            assert_eq!(found.as_deref(), expected, "{pointer}");
        }
        assert_eq!(document.pointer(""), Ok(Ok(&document)));
    }

    #[test]
    fn where_the_document_ends_is_said_without_values() {
        let document = json::parse(br#"{"a":{"b":[1,"x"],"c/d":{}},"e":[],"f":"secret","plugin.port":1}"#).unwrap();
        for (pointer, expected) in [
            ("/g", "the document has no `g`; it has `a`, `e`, `f`, `plugin.port`"),
            (
                "/plugin.prot",
                "the document has no `plugin.prot`; did you mean `plugin.port`?; it has `a`, `e`, `f`, `plugin.port`",
            ),
            ("/a/b/2/c", "`/a/b` is a list of 2 elements, /0 to /1: it has no `2`"),
            ("/e/0", "`/e` is an empty list: it has no `0`"),
            ("/a/c~1d/x", "`/a/c~1d` has no `x`; it is empty"),
            ("/f/g", "`/f` is a string and has no `g`"),
        ] {
            let end = document.pointer(pointer).unwrap().expect_err(pointer);
            assert_eq!(end.to_string(), expected, "{pointer}");
        }
        let many: String = (0..20).map(|number| format!(r#""{number}":0,"#)).collect();
        let text = ["{", &many, "\"x\":0}"].concat();
        let document = json::parse(text.as_bytes()).unwrap();
        let end = document.pointer("/y").unwrap().expect_err("there is none");
        assert!(end.to_string().ends_with("`11` and 9 more"), "{end}");
    }

    #[test]
    fn what_is_no_pointer_is_an_error() {
        for pointer in ["foo", "#/foo", "/foo~", "/~2", "/bar/~"] {
            assert!(Value::Null.pointer(pointer).is_err(), "{pointer}");
        }
    }
}
