//! `list` and `check`: the plan, as a table for people and as records for machines. Starts nothing.

use crate::columns::{columns, wrap};
use crate::configuration::room;
use crate::error::Error;
use crate::plugin::entry::{Decision, Entry, Plan};
use crate::plugin::name::{self, Nature};
use crate::plugin::plan;
use crate::record::Record;
use crate::settings::{Format, Settings};
use crate::{escape, sys};
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

/// Says what runs here, how, and why the rest does not.
///
/// # Errors
/// Usage: no location is named. No: nobody takes the answer.
pub fn list(settings: &Settings) -> Result<u8, Error> {
    let plan = plan(settings)?;
    let mut out = Vec::new();
    match settings.format {
        Format::Json => records(&plan, false, &mut out),
        Format::Text => {
            table(&plan, &mut out);
            for bad in &plan.bad_locations {
                row(bad.location.as_os_str().as_bytes(), &bad.problem, &mut out);
            }
        }
    }
    crate::answer::print(&out)
}

/// Says what is wrong, and whether anything is.
///
/// # Errors
/// As [`list`].
pub fn check(settings: &Settings) -> Result<u8, Error> {
    let plan = plan(settings)?;
    let mut warnings: Vec<String> = settings.configuration.problem().into_iter().collect();
    warnings.extend(room::problem(settings.configuration.len()));
    warnings.extend(settings.warnings.iter().cloned());
    warnings.extend(settings.without_effect(&stems(&plan)));
    let mut out = Vec::new();
    let problems = plan.bad_locations.len()
        + plan.entries.iter().flat_map(problems_of).count()
        + plan.directory_advice.len()
        + warnings.len();
    match settings.format {
        Format::Json => {
            records(&plan, true, &mut out);
            for (directory, advice) in &plan.directory_advice {
                let location = directory.as_os_str().as_bytes();
                out.extend(Record::empty().bytes("location", location).text("problem", advice).end());
            }
            for warning in &warnings {
                out.extend(Record::empty().text("configuration", warning).end());
            }
        }
        Format::Text => {
            let mut say = |what: &[u8], problem: &str| row(what, problem, &mut out);
            for bad in &plan.bad_locations {
                say(bad.location.as_os_str().as_bytes(), &bad.problem);
            }
            for entry in &plan.entries {
                problems_of(entry).for_each(|problem| say(entry.path.as_os_str().as_bytes(), problem));
            }
            for (directory, advice) in &plan.directory_advice {
                say(directory.as_os_str().as_bytes(), advice);
            }
            for warning in &warnings {
                say(b"configuration", warning);
            }
            let running = plan.entries.iter().filter(|entry| matches!(entry.decision, Decision::Run { .. })).count();
            let files = plan.entries.iter().filter(|entry| !entry.is_empty_directory).count();
            let [file, problem] = [files, problems].map(|count| if count == 1 { "" } else { "s" });
            out.extend(format!("{files} file{file}, {running} run here, {problems} problem{problem}\n").into_bytes());
        }
    }
    crate::answer::print(&out)?;
    Ok(u8::from(problems > 0))
}

/// The stems of all files that are plugins by their names, wherever they run.
fn stems(plan: &Plan) -> Vec<String> {
    let names = plan.entries.iter().filter_map(|entry| entry.path.file_name()).map(|name| name.to_string_lossy());
    names.filter(|name| name::nature(name) == Nature::Plugin).map(|name| name::stem(&name).to_owned()).collect()
}

fn plan(settings: &Settings) -> Result<Plan, Error> {
    match &settings.locations {
        Some(locations) => Ok(plan::plan(locations, &settings.identity)),
        None => Err(Error::Usage(settings.no_locations.clone())),
    }
}

/// Everything that `check` finds wrong with a file.
fn problems_of(entry: &Entry) -> impl Iterator<Item = &String> {
    let error = match &entry.decision {
        Decision::Error { reason } => Some(reason),
        Decision::Run { .. } | Decision::Skip { .. } => None,
    };
    error.into_iter().chain(&entry.warnings).chain(&entry.advice)
}

fn records(plan: &Plan, has_problems: bool, out: &mut Vec<u8>) {
    // A record for each file.
    for entry in plan.entries.iter().filter(|entry| !entry.is_empty_directory) {
        let (decision, reason) = decision(entry);
        let mut record = Record::empty()
            .bytes("path", entry.path.as_os_str().as_bytes())
            .bytes("name", entry.name.as_bytes())
            .text("decision", decision)
            .text("reason", reason);
        if let Decision::Run { command, .. } = &entry.decision {
            record = record.list("command", command);
        }
        if has_problems {
            let problems: Vec<&String> = problems_of(entry).collect();
            record = record.list("problems", &problems);
        }
        out.extend(record.end());
    }
    for bad in &plan.bad_locations {
        let location = bad.location.as_os_str().as_bytes();
        out.extend(Record::empty().bytes("location", location).text("problem", &bad.problem).end());
    }
}

fn decision(entry: &Entry) -> (&'static str, &str) {
    match &entry.decision {
        Decision::Run { reason, .. } => ("run", reason),
        Decision::Skip { reason } => ("skip", reason),
        Decision::Error { reason } => ("error", reason),
    }
}

/// The columns of the decision, and what stands between columns.
const DECISION: usize = 5;
const GAP: usize = 2;

/// Decision, name, and the command or the reason, in columns that are as wide as they must be. On a terminal what is
/// wider than the rest of a line goes on below.
fn table(plan: &Plan, out: &mut Vec<u8>) {
    let limit = sys::terminal_width(io::stdout().as_fd()).unwrap_or(usize::MAX);
    let shown = |name: &OsStr| shown(name.as_bytes(), limit < usize::MAX);
    let names: Vec<Vec<u8>> = plan.entries.iter().map(|entry| shown(&entry.name)).collect();
    let most = if limit == usize::MAX { limit } else { limit / 2 };
    let width = names.iter().map(|name| columns(name)).filter(|&width| width <= most).max().unwrap_or(0);
    let indent = DECISION + GAP + width + GAP;
    let below = format!("\n{:indent$}", "");
    for (entry, name) in plan.entries.iter().zip(&names) {
        let (decision, reason) = decision(entry);
        let mut text = Vec::new();
        match &entry.decision {
            Decision::Run { command, .. } => {
                let words: Vec<Vec<u8>> = command.iter().map(|word| shown(word)).collect();
                text.extend_from_slice(&words.join(&b' '));
            }
            Decision::Skip { .. } | Decision::Error { .. } => escape::one_line(reason.as_bytes(), &mut text),
        }
        if limit < usize::MAX {
            let lines = wrap(&String::from_utf8_lossy(&text), limit.saturating_sub(indent).max(1));
            text = lines.join(&*below).into_bytes();
        }
        out.extend_from_slice(format!("{decision:<DECISION$}").as_bytes());
        out.extend(std::iter::repeat_n(b' ', GAP));
        out.extend_from_slice(name);
        match width.checked_sub(columns(name)) {
            Some(padding) => out.extend(std::iter::repeat_n(b' ', padding + GAP)),
            None => out.extend_from_slice(below.as_bytes()),
        }
        out.extend_from_slice(&text);
        out.push(b'\n');
    }
}

fn shown(name: &[u8], is_for_terminal: bool) -> Vec<u8> {
    let mut shown = Vec::new();
    escape::name(name, is_for_terminal, &mut shown);
    shown
}

/// What is wrong with something, by its name; on a terminal broken at spaces, what goes on below is indented.
fn row(name: &[u8], problem: &str, out: &mut Vec<u8>) {
    const INDENT: usize = 4;
    let width = sys::terminal_width(io::stdout().as_fd());
    let mut line = shown(name, width.is_some());
    line.extend_from_slice(b": ");
    escape::one_line(problem.as_bytes(), &mut line);
    match width {
        Some(width) if columns(&line) > width => {
            let lines = wrap(&String::from_utf8_lossy(&line), width.saturating_sub(INDENT).max(1));
            out.extend_from_slice(lines.join(&format!("\n{:INDENT$}", "")).as_bytes());
        }
        _ => out.extend_from_slice(&line),
    }
    out.push(b'\n');
}
