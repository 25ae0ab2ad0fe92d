//! One line of a client: a word, and names as they are or as JSON strings. Pure.

use crate::document::{Value, json};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Of all plugins where none is named.
    Status(Vec<OsString>),
    Reload,
    Start(Vec<OsString>),
    Stop(Vec<OsString>),
    Restart(Vec<OsString>),
}

impl Request {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &[u8]) -> Result<Request, String> {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii();
        let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        let names = names(rest)?;
        let some = |make: fn(Vec<OsString>) -> Request, names: Vec<OsString>| match names.is_empty() {
            true => Err("which plugin? name at least one".to_string()),
            false => Ok(make(names)),
        };
        match word {
            b"status" => Ok(Request::Status(names)),
            b"reload" if names.is_empty() => Ok(Request::Reload),
            b"reload" => Err("reload takes no names".into()),
            b"start" => some(Request::Start, names),
            b"stop" => some(Request::Stop, names),
            b"restart" => some(Request::Restart, names),
            _ => Err("unknown request; known are status, reload, start, stop and restart".into()),
        }
    }

    /// The request as a line, its end included.
    pub fn line(&self) -> Vec<u8> {
        let (word, names) = match self {
            Request::Status(names) => ("status", &names[..]),
            Request::Reload => ("reload", &[][..]),
            Request::Start(names) => ("start", &names[..]),
            Request::Stop(names) => ("stop", &names[..]),
            Request::Restart(names) => ("restart", &names[..]),
        };
        let mut line = word.as_bytes().to_vec();
        for name in names {
            line.push(b' ');
            put_name(name, &mut line);
        }
        line.push(b'\n');
        line
    }
}

/// A name as it is, where that cannot be misread.
fn put_name(name: &OsStr, line: &mut Vec<u8>) {
    let bytes = name.as_bytes();
    let is_plain = !bytes.is_empty() && bytes[0] != b'"' && !bytes.iter().any(|byte| *byte <= b' ' || *byte == 0x7f);
    match std::str::from_utf8(bytes) {
        Ok(text) if !is_plain => {
            let mut quoted = String::new();
            json::write(&Value::String(text.into()), &mut quoted);
            line.extend_from_slice(quoted.as_bytes());
        }
        _ => line.extend_from_slice(bytes),
    }
}

fn names(mut rest: &[u8]) -> Result<Vec<OsString>, String> {
    let mut names = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        let end = match rest.first() {
            None => return Ok(names),
            Some(b'"') => end_of_string(rest).ok_or("a name's quote has no end")?,
            Some(_) => rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len()),
        };
        let (name, behind) = rest.split_at(end);
        rest = behind;
        names.push(match name.first() {
            Some(b'"') => match json::parse(name) {
                Ok(Value::String(text)) => OsString::from(text.into_owned()),
                _ => return Err("a quoted name is no JSON string".into()),
            },
            _ => OsString::from_vec(name.to_vec()),
        });
    }
}

/// Behind the quote that ends the JSON string which begins here.
fn end_of_string(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    for (index, &byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return Some(index + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(names: &[&str]) -> Vec<OsString> {
        names.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_request_is_a_word_and_names() {
        for (line, expected) in [
            ("status", Request::Status(some(&[]))),
            ("  status \r", Request::Status(some(&[]))),
            ("status all_a.sh  b/all_a.sh", Request::Status(some(&["all_a.sh", "b/all_a.sh"]))),
            ("reload", Request::Reload),
            ("start \"a b.sh\"", Request::Start(some(&["a b.sh"]))),
            ("stop \"\\u00e4\\\"\\\\\" x", Request::Stop(some(&["ä\"\\", "x"]))),
            ("restart \"\"", Request::Restart(some(&[""]))),
        ] {
            assert_eq!(Request::parse(line.as_bytes()), Ok(expected), "{line}");
        }
        for line in ["", "stat", "STATUS", "reload x", "start", "stop \"x", "stop \"\\q\"", "\0", "{}"] {
            assert!(Request::parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said() {
        for (line, expected) in [
            ("stat", "unknown request; known are status, reload, start, stop and restart"),
            ("reload x", "reload takes no names"),
            ("start", "which plugin? name at least one"),
            ("stop \"x", "a name's quote has no end"),
            ("stop \"\\q\"", "a quoted name is no JSON string"),
        ] {
            assert_eq!(Request::parse(line.as_bytes()), Err(expected.into()), "{line}");
        }
    }

    #[test]
    fn only_names_that_could_be_misread_are_quoted() {
        for (name, expected) in [
            ("b/all_a.sh", "stop b/all_a.sh\n"),
            ("\u{e4}.sh", "stop \u{e4}.sh\n"),
            ("a\"b", "stop a\"b\n"),
            ("a b", "stop \"a b\"\n"),
            ("\"", "stop \"\\\"\"\n"),
            ("", "stop \"\"\n"),
            ("\u{7f}", "stop \"\u{7f}\"\n"),
        ] {
            let line = Request::Stop(some(&[name])).line();
            assert_eq!(String::from_utf8(line).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn a_request_that_was_written_is_read_as_it_was() {
        let names = ["all_a.sh", "a b.sh", "\"", "", "a\nb", "ä\u{2028}", "\u{7f}", "back\\slash"];
        let mut names = some(&names);
        names.push(OsString::from_vec(b"\xff.sh".to_vec()));
        for request in [
            Request::Status(Vec::new()),
            Request::Status(names.clone()),
            Request::Reload,
            Request::Start(names.clone()),
            Request::Stop(names.clone()),
            Request::Restart(names),
        ] {
            let line = request.line();
            let (end, body) = line.split_last().unwrap();
            assert!(*end == b'\n' && !body.contains(&b'\n'));
            assert_eq!(Request::parse(body), Ok(request));
        }
    }
}
