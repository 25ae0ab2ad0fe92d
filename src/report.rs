//! `list` and `check`: the plan, as a table for people and as records for machines. Starts nothing.

use crate::configuration::room;
use crate::error::Error;
use crate::notice::Record;
use crate::plugin::name::{self, Nature};
use crate::plugin::plan::{self, Decision, Entry, Plan};
use crate::settings::{Format, Settings};
use crate::{escape, sys};
use std::ffi::OsString;
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
                row(&[bad.location.as_os_str().as_bytes(), b": ", bad.problem.as_bytes()], &mut out);
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
            let mut say = |what: &[u8], problem: &str| row(&[what, b": ", problem.as_bytes()], &mut out);
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
            row(&[format!("{files} file{file}, {running} run here, {problems} problem{problem}").as_bytes()], &mut out);
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

/// Decision, name, and the command or the reason, in columns that are as wide as they must be.
fn table(plan: &Plan, out: &mut Vec<u8>) {
    let width = plan.entries.iter().map(|entry| characters(entry.name.as_bytes())).max().unwrap_or(0).min(40);
    let limit = sys::terminal_width(io::stdout().as_fd()).unwrap_or(usize::MAX);
    for entry in &plan.entries {
        let (decision, reason) = decision(entry);
        let mut line = format!("{decision:<5}  ").into_bytes();
        escape::one_line(entry.name.as_bytes(), &mut line);
        let padding = width.saturating_sub(characters(entry.name.as_bytes())) + 2;
        line.extend(std::iter::repeat_n(b' ', padding));
        match &entry.decision {
            Decision::Run { command, .. } => {
                let words: Vec<&[u8]> = command.iter().map(|word: &OsString| word.as_bytes()).collect();
                escape::one_line(&words.join(&b' '), &mut line);
            }
            Decision::Skip { .. } | Decision::Error { .. } => escape::one_line(reason.as_bytes(), &mut line),
        }
        shorten(&mut line, limit);
        line.push(b'\n');
        out.extend(line);
    }
}

fn characters(text: &[u8]) -> usize {
    String::from_utf8_lossy(text).chars().count()
}

/// Cuts a line to the width of the terminal.
fn shorten(line: &mut Vec<u8>, limit: usize) {
    let text = String::from_utf8_lossy(line);
    if text.chars().count() > limit {
        let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
        *line = [kept.as_bytes(), "\u{2026}".as_bytes()].concat();
    }
}

fn row(parts: &[&[u8]], out: &mut Vec<u8>) {
    parts.iter().for_each(|part| escape::one_line(part, out));
    out.push(b'\n');
}
