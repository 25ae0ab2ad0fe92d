//! What one sees is what it is called: names that are not the same look different, on a terminal and in every message.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::{on_terminal, plain};
use crate::sandbox::{LAUNCHER, Sandbox};

/// Names that a terminal shows alike.
const ALIKE: [&[u8]; 10] = [
    b"a\xff",
    b"a\xfe",
    b"a\xc3",
    "a\u{fffd}".as_bytes(),
    b"a\\xff",
    b"a\n",
    b"a\\n",
    b"a b",
    "a\u{2800}b".as_bytes(),
    "a\u{a0}b".as_bytes(),
];

/// What people see of these texts: bytes that are no character look the same, and so do blanks.
fn seen(texts: &[String]) -> BTreeSet<String> {
    texts.iter().map(|text| text.replace(['\u{2800}', '\u{a0}'], " ")).collect()
}

#[test]
fn names_that_a_terminal_shows_alike_are_told_apart_on_it() {
    let sandbox = Sandbox::new();
    for name in ALIKE {
        sandbox.plugin(OsStr::from_bytes(&[b"all_", name].concat()), "#!/bin/sh\necho here\n");
    }
    let lines = |command: &[&str], part: &str| {
        let text = plain(&on_terminal(&sandbox, 120, command).output().text());
        let lines: Vec<String> = text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect();
        assert_eq!(lines.len(), ALIKE.len(), "{part} in {text}");
        lines
    };
    let tables = [
        lines(&[LAUNCHER, "list", "plugins"], "/bin/sh"),
        lines(&[LAUNCHER, "run", "--quiet", "plugins"], "] "),
        lines(&[LAUNCHER, "run", "plugins"], "exited "),
    ];
    for rows in tables {
        assert_eq!(seen(&rows).len(), ALIKE.len(), "{rows:#?}");
    }
    // The control: that is what a terminal makes of them.
    let raw = ALIKE.map(|name| String::from_utf8_lossy(name).into_owned());
    assert_eq!(seen(&raw).len(), ALIKE.len() - 5);
}

#[test]
fn what_was_typed_is_told_apart_in_every_message() {
    let sandbox = Sandbox::new();
    for (before, status) in [
        (&[][..], 2),
        (&["install", "x"], 2),
        (&["install"], 1),
        (&["list", "--worker-id"], 2),
        (&["list", "--config"], 2),
        (&["status", "--control"], 2),
        (&["run", "--"], 127),
    ] {
        let told = ALIKE.map(|word| {
            let done = sandbox.launcher(before).args([OsStr::from_bytes(word)]).output();
            assert_eq!(done.status.code(), Some(status), "{before:?}: {}", done.stderr);
            assert_eq!(done.stderr.matches('\n').count(), 1, "{}", done.stderr);
            done.stderr
        });
        assert_eq!(seen(&told).len(), ALIKE.len(), "{told:#?}");
    }
}

#[test]
fn a_name_does_not_change_what_stands_before_it() {
    let sandbox = Sandbox::new();
    sandbox.plugin(OsStr::new("\u{301}launcher"), "#!/bin/sh\necho here\n");
    let done = sandbox.launcher(["run", "--quiet", "plugins"]).output();
    assert_eq!(done.text(), "[\\u0301launcher] here\n");
}

#[test]
fn each_of_two_streams_looks_as_it_suits_where_it_goes() {
    let sandbox = Sandbox::with([("a.sh", "#!/bin/sh\necho out\nprintf '\\033[31mred\\n' >&2\n")]);
    for (redirection, file) in [("2>file", "[a.sh] \u{1b}[31mred\n"), (">file", "[a.sh] out\n")] {
        let script = format!("exec \"$LAUNCHER\" run --quiet --stderr separate plugins {redirection}");
        let text = on_terminal(&sandbox, 80, &["sh", "-c", &script]).output().text();
        assert_eq!(sandbox.read("file"), file, "{redirection}");
        let shown = if redirection == ">file" { "\u{1b}[31mred\u{1b}[0m" } else { "out" };
        assert!(text.starts_with("\u{1b}[36m[a.sh]\u{1b}[0m     ") && text.trim_end().ends_with(shown), "{text:?}");
    }
}
