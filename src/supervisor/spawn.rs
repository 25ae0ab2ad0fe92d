//! Starting one process: a plugin with its environment and its pipes, or PROGRAM as if we were not there.

use crate::configuration::Configuration;
use crate::control;
use crate::log::Stream;
pub use crate::settings::LOCATIONS_VARIABLE;
use crate::settings::{Settings, Stderr};
use crate::sys::{self, ChildSetup, DescriptorLimit, Image, Mark, Pid, SignalState, Spawned, Variable};
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, PipeReader};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

/// The absolute path of this executable, for those who are started where it is not in PATH.
const BIN_VARIABLE: &str = "LMCACHE_PLUGIN_LAUNCHER_BIN";
const PARENT_VARIABLE: &str = "LMCACHE_PLUGIN_PARENT_PID";
const PREFIXES: [&str; 2] = ["LMCACHE_PLUGIN_", "LMCACHE_RUNTIME_PLUGIN_"];
/// For whom the sockets of systemd are (sd_listen_fds(3)): PROGRAM, not the process that systemd started.
const LISTEN_PID: &CStr = c"LISTEN_PID=";

/// How this process was before it changed, for those it starts.
#[derive(Clone, Copy)]
pub struct Inherited {
    pub signals: SignalState,
    pub descriptors: DescriptorLimit,
}

/// A plugin that was forked.
pub struct Forked {
    pub spawned: Spawned,
    pub pipes: Vec<(Stream, PipeReader)>,
}

/// What plugins and PROGRAM are told of the launcher itself: where its executable is and, if it answers, where.
pub fn about_launcher(control: Option<&Path>) -> Vec<(OsString, OsString)> {
    let executable = executable().map(|path| (BIN_VARIABLE.into(), path));
    let control = control.map(|path| (control::VARIABLE.into(), path.as_os_str().to_os_string()));
    executable.into_iter().chain(control).collect()
}

/// The absolute path of this executable, by which it was called if that is one: another look at /proc takes longer.
fn executable() -> Option<OsString> {
    let called = sys::executed_path().map(OsStr::from_bytes).filter(|path| is_own_path(path, std::env::args_os()));
    match called {
        Some(path) => Some(path.to_os_string()),
        None => Some(std::env::current_exe().ok()?.into_os_string()),
    }
}

/// Not one that means another file in every process, such as /proc/self/fd/3, nor that of a script of which we are the
/// interpreter: the kernel makes an argument of it (execve(2)).
fn is_own_path(called: &OsStr, arguments: impl Iterator<Item = OsString>) -> bool {
    let is_of_process = ["/dev/", "/proc/"].iter().any(|place| called.as_bytes().starts_with(place.as_bytes()));
    called.as_bytes().starts_with(b"/") && !is_of_process && arguments.skip(1).all(|argument| argument != called)
}

/// The environment of every plugin: the launcher's own, and what plugins are told.
pub fn environment(
    settings: &Settings,
    about_launcher: &[(OsString, OsString)],
    attached_to: Option<Pid>,
    locations: &str,
) -> Rc<[Variable]> {
    let [role, worker_id, worker_count] = settings.identity_as_given.clone();
    let configuration = match &settings.configuration {
        Configuration::Fits(text) => text.clone(),
        // Nothing is started with it.
        Configuration::TooLarge { .. } => OsString::new(),
    };
    let identity =
        [("ROLE", role), ("CONFIG", configuration), ("WORKER_ID", worker_id), ("WORKER_COUNT", worker_count)];
    let mut told = about_launcher.to_vec();
    for (name, value) in identity {
        told.extend(PREFIXES.map(|prefix| ([prefix, name].concat().into(), value.clone())));
    }
    if let Some(pid) = attached_to {
        told.push((PARENT_VARIABLE.into(), pid.to_string().into()));
    }
    told.push(("PYTHONUNBUFFERED".into(), "1".into()));
    told.push((LOCATIONS_VARIABLE.into(), locations.into()));
    let unset = [PARENT_VARIABLE, control::VARIABLE].map(OsString::from);
    with(told, &unset).into()
}

/// Our own environment, with these variables in place of its own and without those that are unset. What cannot be a
/// variable, for a NUL in it, can neither have come from an environment nor be passed on.
fn with(told: Vec<(OsString, OsString)>, unset: &[OsString]) -> Vec<Variable> {
    let told: Vec<CString> = told
        .into_iter()
        .filter_map(|(name, value)| CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok())
        .collect();
    let is_replaced = |variable: &CStr| {
        let name = name_of(variable);
        unset.iter().any(|unset| unset.as_bytes() == name) || told.iter().any(|ours| name_of(ours) == name)
    };
    let mut environment = sys::environment();
    environment.retain(|variable| !is_replaced(variable));
    let mut all = Vec::with_capacity(environment.len() + told.len());
    all.extend(environment.into_iter().map(Variable::Borrowed));
    all.extend(told.into_iter().map(Variable::Owned));
    all
}

/// The name of a variable, as std has it: one may begin with `=`.
fn name_of(variable: &CStr) -> &[u8] {
    let bytes = variable.to_bytes();
    let end = bytes.iter().skip(1).position(|&byte| byte == b'=').map_or(bytes.len(), |place| place + 1);
    &bytes[..end]
}

/// Starts a plugin in a process group of its own, without input, its output in pipes.
///
/// # Errors
/// As pipe(2) and fork(2) have them, and those of an argument with a NUL in it.
pub fn plugin(
    words: &[OsString],
    mark: Mark,
    environment: &Rc<[Variable]>,
    settings: &Settings,
    inherited: &Inherited,
) -> io::Result<Forked> {
    let words = strings(words)?;
    let input = no_input()?;
    let (reader, writer) = io::pipe()?;
    let mut pipes = Vec::new();
    let separate = match settings.stderr {
        Stderr::Merged => {
            pipes.push((Stream::Merged, reader));
            None
        }
        Stderr::Separate => {
            let (error_reader, error_writer) = io::pipe()?;
            pipes.push((Stream::Stdout, reader));
            pipes.push((Stream::Stderr, error_reader));
            Some(error_writer)
        }
    };
    let error = separate.as_ref().unwrap_or(&writer);
    let setup = ChildSetup {
        plugin: Some((mark, [input.as_raw_fd(), writer.as_raw_fd(), error.as_raw_fd()])),
        signals: SignalState::default_state(),
        descriptors: inherited.descriptors,
        nice: settings.nice,
        oom_score_adj: settings.oom_score_adj,
    };
    let image = Image { paths: words[..1].to_vec(), words, environment: Rc::clone(environment), own_pid: None };
    Ok(Forked { spawned: sys::spawn(image, setup)?, pipes })
}

fn strings(words: &[OsString]) -> io::Result<Vec<CString>> {
    Ok(words.iter().map(|word| CString::new(word.as_bytes())).collect::<Result<_, _>>()?)
}

/// /dev/null or, in a root file system without it, a pipe that has ended.
fn no_input() -> io::Result<OwnedFd> {
    match File::open("/dev/null") {
        Ok(file) => Ok(file.into()),
        Err(_) => io::pipe().map(|(reader, _)| reader.into()),
    }
}

/// What the kernel did not grant to a plugin that runs all the same.
pub fn refusals(settings: &Settings, pid: Pid) -> Vec<String> {
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

/// Starts PROGRAM with everything that the launcher inherited, in the process group and session of the launcher's caller.
///
/// # Errors
/// As pipe(2) and fork(2) have them.
pub fn program(
    settings: &Settings,
    about_launcher: Vec<(OsString, OsString)>,
    inherited: &Inherited,
) -> io::Result<Spawned> {
    let words = strings(&settings.program)?;
    let mut told = about_launcher;
    // Where we have no socket a launcher above us may have one.
    let mut unset = vec![control::VARIABLE.into()];
    if let Some(change) = settings.environment_of_program() {
        told.push((change.set_empty.into(), OsString::new()));
        unset.push(change.removed.into());
    }
    let environment = with(told, &unset);
    let is_listen_pid = |variable: &Variable| variable.to_bytes().starts_with(LISTEN_PID.to_bytes());
    let setup = ChildSetup {
        plugin: None,
        signals: inherited.signals,
        descriptors: inherited.descriptors,
        nice: None,
        oom_score_adj: None,
    };
    let image = Image {
        paths: paths(words.first().map_or(b"", |word| word.as_bytes())),
        words,
        own_pid: environment.iter().position(is_listen_pid).map(|index| (index, LISTEN_PID)),
        environment: environment.into(),
    };
    sys::spawn(image, setup)
}

/// Where a command may be: as it is with a slash, else in each directory of PATH (execvp(3)).
fn paths(word: &[u8]) -> Vec<CString> {
    if word.contains(&b'/') {
        return CString::new(word).into_iter().collect();
    }
    let directories = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/bin:/usr/bin".into());
    let path = |directory: &[u8]| {
        // An empty one is the working directory.
        let directory = if directory.is_empty() { b"." } else { directory };
        CString::new([directory, b"/", word].concat()).ok()
    };
    directories.as_bytes().split(|&byte| byte == b':').filter_map(path).collect()
}

/// What a shell says of a command that was not executed, and its status: 127 where it was not found, 126 where it was.
pub fn told_by_a_shell(word: &OsStr, error: &io::Error) -> (String, u8) {
    let is_path = word.as_bytes().contains(&b'/');
    let is_there = is_there(word, is_path, error);
    let reason = match error.kind() {
        io::ErrorKind::NotFound if is_there => "its interpreter does not exist".into(),
        _ if is_there || is_path => crate::error::plain(error),
        _ => "not found in PATH".into(),
    };
    (reason, if is_there { 126 } else { 127 })
}

/// Whether the file of a command that failed is there. The error alone does not tell: ENOENT is also that of a missing
/// interpreter, and EACCES that of a directory in PATH that may not be searched.
fn is_there(word: &OsStr, is_path: bool, error: &io::Error) -> bool {
    if is_path {
        return error.kind() != io::ErrorKind::NotFound || Path::new(word).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(word).is_file())
}
