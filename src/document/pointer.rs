//! JSON Pointer as RFC 6901 defines it.

use super::Value;

impl<'a> Value<'a> {
    /// The value that `pointer` names: `""` is the whole document, `/a/0` the first element of member `a`.
    /// `None` where the document has no such value.
    ///
    /// # Errors
    /// What is wrong with the pointer itself.
    pub fn pointer(&self, pointer: &str) -> Result<Option<&Value<'a>>, &'static str> {
        let mut tokens = pointer.split('/');
        if tokens.next() != Some("") {
            return Err("a JSON Pointer is empty or begins with `/`");
        }
        let mut found = Some(self);
        for token in tokens {
            let name = unescaped(token)?;
            found = match found {
                Some(Value::Object(_)) => found.and_then(|object| object.get(&name)),
                Some(Value::Array(elements)) => index(&name).and_then(|index| elements.get(index)),
                _ => None,
            };
        }
        Ok(found)
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
            let found = document.pointer(pointer).unwrap().map(|value| {
                let mut text = String::new();
                json::write(value, &mut text);
                text
            });
            assert_eq!(found.as_deref(), expected, "{pointer}");
        }
        assert_eq!(document.pointer(""), Ok(Some(&document)));
    }

    #[test]
    fn what_is_no_pointer_is_an_error() {
        for pointer in ["foo", "#/foo", "/foo~", "/~2", "/bar/~"] {
            assert!(Value::Null.pointer(pointer).is_err(), "{pointer}");
        }
    }
}
