//! PROGRAM as if it had been started bare: every scenario is done once without the launcher and once below it, and what
//! is seen must be the same: who got which signal how often, statuses, modes of the terminal, output.
//!
//! A scenario is a row of a table: where it happens, the script, and what is done to it, step by step. In scripts `SH` is each shell
//! in turn, and `./r` starts what follows: bare, or below the launcher.

mod leader;
mod once;
mod pid1;
mod plain;
mod stage;
mod tools;
mod typed;

use std::panic::catch_unwind;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::sandbox::{LAUNCHER, Sandbox};
use stage::{PATIENCE, Scenario, Seen, perform};

/// The scenarios that every shell takes part in, and in which it matters.
fn scenarios() -> Vec<Scenario> {
    [plain::SCENARIOS, leader::SCENARIOS, typed::SCENARIOS, pid1::SCENARIOS].concat()
}

/// How the launcher stands before PROGRAM.
fn launcher() -> String {
    format!("{LAUNCHER} run --quiet plugins --")
}

/// Scenarios, and what stands between caller and program in them, that must be seen to differ.
const DIFFERENT: &[(&str, &str)] = &[
    ("what is inherited", "nice"),
    ("what another inherits", "/usr/bin/setsid -w"),
    ("SIGPIPE ignored", "env --default-signal=PIPE"),
    ("a script of bash that Ctrl-C ends", "bash child.sh"),
];

/// Does each scenario with this shell both ways, some at once: most of the time they wait.
fn compare(shell: &str, scenarios: &[Scenario]) {
    let next = AtomicUsize::new(0);
    let problems = Mutex::new(Vec::new());
    let only = std::env::var("SCENARIO").unwrap_or_default();
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (name, place, script, _) = scenario;
                    if !name.contains(&only) {
                        continue;
                    }
                    // A shell that is slow by itself is no difference.
                    let bare = (0..3).map(|_| attempt(scenario, shell, "")).find(Result::is_ok);
                    let bare = bare.unwrap_or_else(|| Err("bare it cannot be done".to_owned()));
                    let below = bare.clone().and_then(|_| attempt(scenario, shell, &launcher()));
                    if bare.is_err() || bare != below {
                        problems
                            .lock()
                            .expect("no panic")
                            .push(format!("{name} ({place:?}, {shell}): {script}\n{}", difference(&bare, &below)));
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().expect("no panic");
    assert!(problems.is_empty(), "{} of {}:\n{}", problems.len(), scenarios.len(), problems.join("\n"));
}

/// One that cannot be done keeps no other from being done.
fn attempt(scenario: &Scenario, shell: &str, under: &str) -> Result<Seen, String> {
    catch_unwind(|| perform(scenario, shell, under, PATIENCE)).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

fn difference(bare: &Result<Seen, String>, below: &Result<Seen, String>) -> String {
    let (Ok(bare), Ok(below)) = (bare, below) else { return format!("bare: {bare:?}\nbelow: {below:?}") };
    let only = |these: &Seen, those: &Seen| {
        these.lines.iter().filter(|line| !those.lines.contains(line)).cloned().collect::<Vec<_>>()
    };
    format!(
        "only bare: {:#?}\nonly below: {:#?}\n{} and {} lines\n{:?}\n{:?}",
        only(bare, below),
        only(below, bare),
        bare.lines.len(),
        below.lines.len(),
        (&bare.output, &bare.error, bare.status),
        (&below.output, &below.error, below.status)
    )
}

#[test]
fn nothing_differs_with_bash() {
    compare("bash", &scenarios());
}

#[test]
fn nothing_differs_with_dash() {
    compare("dash", &scenarios());
}

#[test]
fn nothing_differs_with_busybox() {
    assert!(Command::new("busybox").arg("true").status().is_ok(), "wanted: apt-get install busybox");
    compare("busybox sh", &scenarios());
}

#[test]
fn nothing_differs_in_what_no_shell_matters_to() {
    compare("dash", once::SCENARIOS);
}

/// What can be used here is named in the output of a test that fails.
#[test]
fn nothing_differs_below_other_tools() {
    let sandbox = Sandbox::new();
    let can_be_used = |ask: &&str| sandbox.command("sh", ["-c", ask]).output().status.success();
    let (here, missing): (Vec<_>, Vec<_>) = tools::TOOLS.iter().partition(|(ask, _)| can_be_used(ask));
    let names = |tools: &[&(&'static str, _)]| tools.iter().map(|(ask, _)| *ask).collect::<Vec<_>>().join("`, `");
    eprintln!("compared: `{}`; cannot be used here: `{}`", names(&here), names(&missing));
    let scenarios: Vec<Scenario> = here.iter().flat_map(|(_, scenarios)| scenarios.iter().copied()).collect();
    compare("dash", &scenarios);
}

/// The negative control: what stands between and is not as if it were not there is found out.
#[test]
fn what_is_different_is_seen() {
    let scenarios = scenarios();
    for (name, under) in DIFFERENT {
        let scenario = scenarios.iter().find(|scenario| scenario.0 == *name).expect("a scenario");
        let bare = perform(scenario, "dash", "", PATIENCE).expect("it can be done");
        assert_ne!(perform(scenario, "dash", under, PATIENCE), Ok(bare), "{name} below {under}");
    }
}
