//! JSON Pointer as RFC 6901 defines it.

use super::Value;

impl Value {
    /// The value that `pointer` names: `""` is the whole document, `/a/0` the first element of member `a`.
    /// `None` where the document has no such value.
    ///
    /// # Errors
    /// What is wrong with the pointer itself.
    pub fn pointer(&self, pointer: &str) -> Result<Option<&Value>, &'static str> {
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
