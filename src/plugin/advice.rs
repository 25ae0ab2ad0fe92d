//! What `check` says of a file beyond the decision.

use super::candidate::Candidate;
use super::entry::Entry;
use super::name::{Identity, RoleScope, Scope, WorkerScope};
use super::permissions::writable_by_others;
use super::program::find_program;
use crate::escape::quoted;

/// Adds to an entry what only `check` says.
pub fn advise(entry: &mut Entry, candidate: &Candidate, scope: &Scope, identity: &Identity) {
    let advice = &mut entry.advice;
    first_line(candidate, advice);
    if let Some(meant) = &scope.meant {
        let wrong = match &scope.role {
            RoleScope::Unknown(part) => format!("`{}` is no role", quoted(part)),
            RoleScope::Everywhere | RoleScope::Role(_) => "the name has no role, so that it runs everywhere".into(),
        };
        advice.push(format!("{wrong}; did you mean `{}`?", quoted(meant)));
    }
    match &scope.worker {
        WorkerScope::Id(id) if *id >= identity.worker_count => {
            let count = identity.worker_count;
            advice
                .push(format!("worker id {id} never occurs with --worker-count {count}: rename it, or give the count"));
        }
        WorkerScope::TooLarge(digits) => advice.push(format!("worker id {digits} is too large to match: rename it")),
        WorkerScope::Id(_) | WorkerScope::Every => {}
    }
    advice.extend(writable_by_others(&candidate.opened.metadata));
}

fn first_line(candidate: &Candidate, advice: &mut Vec<String>) {
    let first_line = &candidate.first_line;
    if first_line.has_byte_order_mark {
        advice.push("a byte order mark (BOM) before `#!`: save it as UTF-8 without one".into());
    }
    if first_line.has_carriage_return {
        advice.push("the first line ends in CRLF: convert the file to Unix line ends".into());
    }
    if first_line.shebang.is_none() && !candidate.is_elf {
        advice.push("no first line says what runs it: add one, such as #!/usr/bin/env python3".into());
    }
    if let Some((program, Some(argument))) = &first_line.shebang
        && program.ends_with(b"/env")
        && !argument.starts_with(b"-")
    {
        let words = String::from_utf8_lossy(argument);
        let is_one = !words.contains([' ', '\t']);
        if !is_one {
            let env = String::from_utf8_lossy(program);
            advice.push(format!("env takes `{words}` for one name: write #!{env} -S {words}"));
        } else if !argument.contains(&b'=') && find_program(argument).is_err() {
            advice.push(format!("env will not find `{words}` in PATH: install it"));
        }
    }
}
