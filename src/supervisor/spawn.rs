//! Starting one process: a plugin with its environment and its pipes, or PROGRAM as if we were not there.

use crate::configuration::Configuration;
use crate::log::Stream;
pub use crate::settings::ID_VARIABLE;
use crate::settings::{Settings, Stderr};
use crate::sys::{self, ChildSetup, DescriptorLimit, Pid, SignalState};
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, IsTerminal, PipeReader};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// The canonical locations that a launcher above us runs, as a JSON array.
pub const LOCATIONS_VARIABLE: &str = "LMCACHE_PLUGIN_LAUNCHER_LOCATIONS";

const PARENT_VARIABLE: &str = "LMCACHE_PLUGIN_PARENT_PID";
const PREFIXES: [&str; 2] = ["LMCACHE_PLUGIN_", "LMCACHE_RUNTIME_PLUGIN_"];

/// How this process was before it changed, for those it starts.
#[derive(Clone, Copy)]
pub struct Inherited {
    pub signals: SignalState,
    pub descriptors: DescriptorLimit,
}

/// A plugin that was started.
pub struct Started {
    pub pid: Pid,
    pub pipes: Vec<(Stream, PipeReader)>,
    /// What was wished and not granted.
    pub warnings: Vec<String>,
}

/// The environment of every plugin, but for the identifier: the launcher's own, and what plugins are told.
pub fn environment(settings: &Settings, attached_to: Option<Pid>, locations: &str) -> Arc<[CString]> {
    let [role, worker_id, worker_count] = settings.identity_as_given.clone();
    let configuration = match &settings.configuration {
        Configuration::Fits(text) => text.clone(),
        // Nothing is started with it.
        Configuration::TooLarge { .. } => OsString::new(),
    };
    let identity =
        [("ROLE", role), ("CONFIG", configuration), ("WORKER_ID", worker_id), ("WORKER_COUNT", worker_count)];
    let mut told: Vec<(String, OsString)> = Vec::new();
    for (name, value) in identity {
        told.extend(PREFIXES.map(|prefix| ([prefix, name].concat(), value.clone())));
    }
    if let Some(pid) = attached_to {
        told.push((PARENT_VARIABLE.into(), pid.to_string().into()));
    }
    told.push(("PYTHONUNBUFFERED".into(), "1".into()));
    told.push((LOCATIONS_VARIABLE.into(), locations.into()));
    let is_told = |name: &OsStr| {
        [PARENT_VARIABLE, ID_VARIABLE].iter().any(|ours| name == *ours)
            || told.iter().any(|(ours, _)| name == ours.as_str())
    };
    let inherited: Vec<_> = std::env::vars_os().filter(|(name, _)| !is_told(name)).collect();
    let told = told.iter().map(|(name, value)| (OsStr::new(name), value.as_os_str()));
    let all = inherited.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())).chain(told);
    // A value with a NUL in it cannot be passed on, nor can it have come from an environment.
    all.filter_map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()).collect()
}

/// Starts a plugin in a process group of its own, without input, its output in pipes.
///
/// # Errors
/// As pipe(2), fork(2) and execve(2) have them.
pub fn plugin(
    words: &[OsString],
    id: &str,
    environment: &Arc<[CString]>,
    settings: &Settings,
    inherited: &Inherited,
) -> io::Result<Started> {
    let words = words.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let id = CString::new([ID_VARIABLE, "=", id].concat())?;
    let mut command = Command::new("plugin");
    command.stdin(no_input()?);
    let (reader, writer) = io::pipe()?;
    let mut pipes = Vec::new();
    match settings.stderr {
        Stderr::Merged => {
            command.stdout(writer.try_clone()?).stderr(writer);
            pipes.push((Stream::Merged, reader));
        }
        Stderr::Separate => {
            let (error_reader, error_writer) = io::pipe()?;
            command.stdout(writer).stderr(error_writer);
            pipes.push((Stream::Stdout, reader));
            pipes.push((Stream::Stderr, error_reader));
        }
    }
    let setup = ChildSetup {
        is_plugin: true,
        signals: SignalState::default_state(),
        descriptors: inherited.descriptors,
        takes_terminal: false,
        nice: settings.nice,
        oom_score_adj: settings.oom_score_adj,
    };
    sys::prepare_child(&mut command, setup);
    sys::prepare_exec(&mut command, words, id, Arc::clone(environment));
    let pid = command.spawn()?.id() as Pid;
    Ok(Started { pid, pipes, warnings: refusals(settings, pid) })
}

/// /dev/null or, in a root file system without it, a pipe that has ended.
fn no_input() -> io::Result<Stdio> {
    match File::open("/dev/null") {
        Ok(file) => Ok(file.into()),
        Err(_) => io::pipe().map(|(reader, _)| reader.into()),
    }
}

/// What the kernel did not grant to a plugin that runs all the same.
fn refusals(settings: &Settings, pid: Pid) -> Vec<String> {
    let mut warnings = Vec::new();
    if let (Some(wished), Some(granted)) = (settings.nice, settings.nice.and_then(|_| sys::nice_of(pid)))
        && wished != granted
    {
        warnings.push(format!("--nice {wished} is not permitted; it runs with {granted}"));
    }
    if let Some(wished) = settings.oom_score_adj {
        let granted = fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap_or_default();
        let granted = granted.trim();
        if !granted.is_empty() && granted != wished.to_string() {
            warnings.push(format!("--oom-score-adj {wished} is not permitted; it runs with {granted}"));
        }
    }
    warnings
}

/// Starts PROGRAM with everything that the launcher inherited, and the terminal if the launcher had it.
///
/// # Errors
/// As fork(2) and execve(2) have them.
pub fn program(words: &[OsString], launcher_group: Pid, inherited: &Inherited) -> io::Result<Pid> {
    let mut command = Command::new(words.first().map_or(OsStr::new(""), OsString::as_os_str));
    command.args(words.iter().skip(1));
    let is_foreground = sys::foreground_group() == Some(launcher_group);
    let setup = ChildSetup {
        is_plugin: false,
        signals: inherited.signals,
        descriptors: inherited.descriptors,
        // In a pipeline the terminal stays with the whole job; PROGRAM gets it when it asks.
        takes_terminal: is_foreground && io::stdin().is_terminal() && io::stdout().is_terminal(),
        nice: None,
        oom_score_adj: None,
    };
    sys::prepare_child(&mut command, setup);
    Ok(command.spawn()?.id() as Pid)
}
