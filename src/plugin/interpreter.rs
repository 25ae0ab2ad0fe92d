//! The first line of a plugin, and the command that runs it. Pure: which programs exist is asked through a closure.

use crate::escape::quoted;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// How many bytes of a file its first line is looked for in. The kernel reads 256; env -S lines can be longer.
pub const HEAD_BYTES: usize = 4096;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the first line of a file says about how to run it.
#[derive(Debug, Default, PartialEq)]
pub struct FirstLine {
    /// Interpreter and at most one argument; `None` without a `#!` line that names one.
    pub shebang: Option<(Vec<u8>, Option<Vec<u8>>)>,
    /// A byte order mark stands before the `#!`: the kernel would not have found it.
    pub has_byte_order_mark: bool,
    /// The line ends in CR LF: the kernel would take the CR for a part of it.
    pub has_carriage_return: bool,
    /// The file begins with `#!`, whether or not an interpreter follows.
    pub is_script: bool,
}

/// Splits the first line as execve(2) does: blanks, the interpreter, blanks, the rest as one argument.
pub fn first_line(head: &[u8]) -> FirstLine {
    let has_byte_order_mark = head.starts_with(BYTE_ORDER_MARK);
    let head = if has_byte_order_mark { &head[BYTE_ORDER_MARK.len()..] } else { head };
    let Some(text) = head.strip_prefix(b"#!") else {
        return FirstLine::default();
    };
    let line = text.split(|&byte| byte == b'\n' || byte == 0).next().unwrap_or_default();
    let (line, has_carriage_return) = match line.strip_suffix(b"\r") {
        Some(line) => (line, true),
        None => (line, false),
    };
    fn is_blank(byte: &u8) -> bool {
        *byte == b' ' || *byte == b'\t'
    }
    let trim_start = |text: &[u8]| text.iter().skip_while(|byte| is_blank(byte)).copied().collect::<Vec<u8>>();
    let mut line = trim_start(line);
    while line.last().is_some_and(is_blank) {
        line.pop();
    }
    let end = line.iter().position(is_blank).unwrap_or(line.len());
    let argument = trim_start(&line[end..]);
    let interpreter = line[..end].to_vec();
    FirstLine {
        shebang: (!interpreter.is_empty()).then(|| (interpreter, (!argument.is_empty()).then_some(argument))),
        has_byte_order_mark,
        has_carriage_return,
        is_script: true,
    }
}

/// The programs that stand in where the first line names none that exists, by suffix of the file.
fn fallbacks(file_name: &str) -> &'static [&'static str] {
    match suffix(file_name) {
        Some(Suffix::Python) => &["python", "python3"],
        Some(Suffix::Shell) => &["bash", "sh"],
        None => &[],
    }
}

/// The suffixes that make a file a plugin whatever it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    Python,
    Shell,
}

/// The suffix of a file name, if it is one that makes a plugin.
pub fn suffix(file_name: &str) -> Option<Suffix> {
    let (_, extension) = file_name.rsplit_once('.')?;
    if extension.eq_ignore_ascii_case("py") {
        Some(Suffix::Python)
    } else if extension.eq_ignore_ascii_case("sh") {
        Some(Suffix::Shell)
    } else {
        None
    }
}

/// The words before the file's own path, and what has to be said about them.
#[derive(Debug, PartialEq)]
pub struct Interpreter {
    pub words: Vec<OsString>,
    /// The interpreter that was asked for does not exist, and which one stands in.
    pub warning: Option<String>,
}

/// Finds the interpreter for a file. `find` maps a program, as a first line or PATH would name it, to its path, or says why
/// it cannot be executed.
///
/// # Errors
/// Why there is none, as a clause.
pub fn resolve(
    first_line: &FirstLine,
    file_name: &str,
    find: impl Fn(&[u8]) -> Result<PathBuf, &'static str>,
) -> Result<Interpreter, String> {
    let missing = match &first_line.shebang {
        Some((program, argument)) => match find(program) {
            Ok(path) => {
                let argument = argument.clone().map(OsString::from_vec);
                return Ok(Interpreter { words: [path.into()].into_iter().chain(argument).collect(), warning: None });
            }
            Err(problem) => Some(format!("interpreter `{}` {problem}", quoted(OsStr::from_bytes(program)))),
        },
        None => None,
    };
    let candidates = fallbacks(file_name);
    let found = candidates.iter().find_map(|name| find(name.as_bytes()).ok());
    match (found, missing) {
        (Some(path), None) => Ok(Interpreter { words: vec![path.into()], warning: None }),
        (Some(path), Some(missing)) => {
            let warning = Some(format!("{missing}, using {}", quoted(&path)));
            Ok(Interpreter { words: vec![path.into()], warning })
        }
        (None, Some(missing)) => Err(missing + &nor(candidates)),
        (None, None) if candidates.is_empty() => Err("no `#!` line says what runs it".into()),
        (None, None) => Err(format!("no `#!` line{}", nor(candidates))),
    }
}

fn nor(candidates: &[&str]) -> String {
    match candidates {
        [first, second] => format!(", and neither {first} nor {second} is in PATH"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<(String, Option<String>)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        first_line(line.as_bytes()).shebang.map(|(program, argument)| (text(program), argument.map(text)))
    }

    #[test]
    fn a_first_line_splits_as_execve_splits_it() {
        for (line, program, argument) in [
            ("#!/bin/sh\necho", "/bin/sh", None),
            ("#! /bin/bash -e\n", "/bin/bash", Some("-e")),
            ("#!\t/usr/bin/env -S python3 -X utf8 \t\n", "/usr/bin/env", Some("-S python3 -X utf8")),
            ("#!/usr/bin/env python3", "/usr/bin/env", Some("python3")),
            ("#!python3\n", "python3", None),
            ("#!/bin/bash -e\r\necho", "/bin/bash", Some("-e")),
            ("\u{feff}#!/bin/sh\n", "/bin/sh", None),
            ("#!/bin/sh\0junk\n", "/bin/sh", None),
        ] {
            assert_eq!(split(line), Some((program.into(), argument.map(String::from))), "{line:?}");
        }
        for line in ["", "#", "#!", "#!  \n/bin/sh", "\n#!/bin/sh", "print(1)"] {
            assert_eq!(split(line), None, "{line:?}");
        }
    }

    #[test]
    fn what_was_forgiven_is_reported() {
        assert!(first_line(b"\xef\xbb\xbf#!/bin/sh\n").has_byte_order_mark);
        assert!(first_line(b"#!/bin/sh\r\n").has_carriage_return);
        assert!(!first_line(b"#!/bin/sh\n").has_carriage_return);
    }

    #[test]
    fn a_missing_interpreter_falls_back_by_suffix() {
        let find = |exists: &'static [&'static str]| {
            move |program: &[u8]| {
                let program = std::str::from_utf8(program).unwrap();
                exists.contains(&program).then(|| PathBuf::from("/bin").join(program)).ok_or("is not there")
            }
        };
        let run = |text: &str, name: &str, exists| resolve(&first_line(text.as_bytes()), name, find(exists));
        let words = |result: Result<Interpreter, String>| result.map(|found| (found.words, found.warning.is_some()));
        let one = |program: &str, warned| Ok((vec![OsString::from(program)], warned));
        assert_eq!(words(run("x", "a.py", &["python", "python3"])), one("/bin/python", false));
        assert_eq!(words(run("x", "a.py", &["python3"])), one("/bin/python3", false));
        assert_eq!(words(run("x", "a.sh", &["sh"])), one("/bin/sh", false));
        assert_eq!(words(run("#!/opt/py -u\n", "a.py", &["python3"])), one("/bin/python3", true));
        assert!(run("#!/opt/ruby\n", "a.rb", &["sh"]).unwrap_err().contains("`/opt/ruby` is not there"));
        assert!(run("x", "a.sh", &[]).unwrap_err().contains("neither bash nor sh"));
    }
}
