//! What is said of a location that cannot be found: who named it, where it was looked for, and what may have been meant.

use super::program::find_program;
use crate::configuration::Location;
use crate::error::{Error, plain};
use crate::escape::quoted;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Why a location cannot be searched, and what to do.
pub fn explain(location: &Location, error: &io::Error) -> String {
    let mut problem = plain(error);
    if let Some(place) = &location.place {
        problem.push_str(&format!("; named by {place}"));
    }
    if error.kind() != io::ErrorKind::NotFound {
        return problem;
    }
    let text = location.path.as_os_str().as_bytes();
    for hint in hints(text, location.place.is_some()) {
        problem.push_str("; ");
        problem.push_str(hint);
    }
    if !text.starts_with(b"/")
        && let Ok(directory) = std::env::current_dir()
    {
        problem.push_str(&format!("; it is relative to the working directory `{}`", quoted(directory)));
    }
    problem
}

/// Looks at LOCATION arguments before anything is started.
///
/// # Errors
/// Usage: one is no location but a program, whose `--` was forgotten.
pub fn refuse_program(operands: &[OsString]) -> Result<(), Error> {
    let is_program = |word: &&OsString| {
        let is_name = !word.is_empty() && !word.as_bytes().contains(&b'/');
        // Last, as the file system of a location may not answer.
        is_name && find_program(word.as_bytes()).is_ok() && !Path::new(word).exists()
    };
    let Some(index) = operands.iter().position(|word| is_program(&word)) else { return Ok(()) };
    let words = operands[index..].join(OsStr::new(" "));
    let (word, words) = (quoted(&operands[index]), quoted(&words));
    Err(Error::Usage(format!("`{word}` is a program and no location here; did you mean `-- {words}`?")))
}

/// What the path itself shows to be wrong. A shell has had its way with an argument, a file or a variable meets none.
fn hints(text: &[u8], is_from_configuration: bool) -> impl Iterator<Item = &'static str> {
    let has = |part: &[u8]| has(text, part);
    let is_quoted = |quote: u8| text.len() > 1 && text.starts_with(&[quote]) && text.ends_with(&[quote]);
    [
        (text.is_empty(), "the path is empty"),
        (has(b"{{"), "`{{ }}` is a template's, which was not rendered"),
        (text.starts_with(b"~"), "`~` is not expanded: write the whole path"),
        (has(b"$"), "`$` and the name of a variable are not expanded: write the whole path"),
        (has(b"*") || has(b"?"), "`*` and `?` are not expanded: name the directory"),
        (has(b"file:/"), "it wants a path, not a URL"),
        (is_quoted(b'"') || is_quoted(b'\''), "the quotes are part of the path: leave them out"),
        (is_from_configuration && text.starts_with(b"["), "a list stands in a file without quotes around it"),
        (is_from_configuration && (text.starts_with(b"-") || has(b" -")), "an item of a list is `- ` and the path"),
        (is_from_configuration && (has(b",") || has(b":/")), "several paths are a list: [\"a\", \"b\"]"),
    ]
    .into_iter()
    .filter_map(|(applies, hint)| applies.then_some(hint))
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::hints;

    #[test]
    fn what_a_path_shows_is_said() {
        for (path, expected) in [
            ("plugins", &[][..]),
            ("~/plugins", &["`~` is not"]),
            ("$HOME/plugins", &["`$` and"]),
            ("plugins/*.sh", &["`*` and"]),
            ("{{ .Values.plugins }}", &["`{{ }}` is"]),
            ("\"/plugins\"", &["the quotes"]),
            ("-a -b", &["an item"]),
            ("/a:/b", &["several paths"]),
            ("", &["the path is empty"]),
        ] {
            let found: Vec<_> = hints(path.as_bytes(), true).collect();
            assert_eq!(found.len(), expected.len(), "{path}: {found:?}");
            assert!(found.iter().zip(expected).all(|(hint, start)| hint.starts_with(start)), "{path}: {found:?}");
        }
    }
}
