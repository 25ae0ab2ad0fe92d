//! The variables in which LMCache tells its plugins who they are, and how it reads its own.

use std::ffi::{OsStr, OsString};

/// Where LMCache looks for plugins: the present name of the variable and the older one.
pub const LOCATIONS_VARIABLES: [&str; 2] = ["LMCACHE_RUNTIME_PLUGIN_LOCATIONS", "LMCACHE_PLUGIN_LOCATIONS"];

/// LMCache's variable of this name, under its present prefix or else its older one, and which of them it was.
pub fn variable_of_lmcache(name: &str) -> Option<(String, OsString)> {
    variable(name, |_| true)
}

/// The same, where one that is blank counts as not set.
pub fn filled_variable_of_lmcache(name: &str) -> Option<(String, OsString)> {
    variable(name, |value| !value.as_encoded_bytes().trim_ascii().is_empty())
}

fn variable(name: &str, counts: fn(&OsStr) -> bool) -> Option<(String, OsString)> {
    ["LMCACHE_RUNTIME_PLUGIN_", "LMCACHE_PLUGIN_"].iter().find_map(|prefix| {
        let variable = [prefix, name].concat();
        std::env::var_os(&variable).filter(|value| counts(value)).map(|value| (variable, value))
    })
}

/// The value of a variable without the blanks and the one pair of quotes around it, as LMCache reads it, and how many
/// bytes stand before that. Unlike there, escapes inside of quotes stay as they are.
pub fn unquoted(value: &[u8]) -> (usize, &[u8]) {
    let trimmed = match std::str::from_utf8(value) {
        Ok(text) => text.trim_matches(is_blank).as_bytes(),
        Err(_) => value.trim_ascii(),
    };
    let text = match trimmed {
        [b'"', text @ .., b'"'] | [b'\'', text @ .., b'\''] => text,
        text => text,
    };
    (text.as_ptr().addr() - value.as_ptr().addr(), text)
}

/// What Python's `str.strip` takes off.
fn is_blank(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\x1c'..='\x1f')
}

#[cfg(test)]
mod tests {
    use super::unquoted;

    #[test]
    fn blanks_and_one_pair_of_quotes_are_taken_off() {
        for (value, expected) in [
            ("", (0, "")),
            (" \t\n", (0, "")),
            ("/a b", (0, "/a b")),
            (" /a ", (1, "/a")),
            ("\"/a\"", (1, "/a")),
            (" ' /a ' ", (2, " /a ")),
            ("\"\"/a\"\"", (1, "\"/a\"")),
            ("\"", (0, "\"")),
            ("\"/a'", (0, "\"/a'")),
            ("''", (1, "")),
            ("\u{a0}\x1c/a\u{3000}", (3, "/a")),
        ] {
            let (start, text) = unquoted(value.as_bytes());
            assert_eq!((start, std::str::from_utf8(text).unwrap()), expected, "{value:?}");
        }
        assert_eq!(unquoted(b" \xff\" "), (1, &b"\xff\""[..]));
    }
}
