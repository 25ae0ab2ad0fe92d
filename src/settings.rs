//! Arguments, environment and file, resolved once into what to do. Precedence of options: command line, environment,
//! file; which document is the file is the configuration's to say.

mod extra;
#[cfg(test)]
mod tests;

use crate::cli::{Arguments, Opt, option_name};
use crate::configuration::{self, Configuration, Location, Origin, Sources};
use crate::error::Error;
use crate::escape::quoted;
use crate::lmcache::{LOCATIONS_VARIABLES, filled_variable_of_lmcache, variable_of_lmcache};
use crate::plugin::name::{Identity, stem};
use crate::sys::Pid;
use extra::{Extra, Override};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// What to do.
#[derive(Debug)]
pub struct Settings {
    pub identity: Identity,
    /// Role, worker id and worker count as they were given, for the environment of plugins.
    pub identity_as_given: [OsString; 3],
    /// `None` where no source names any.
    pub locations: Option<Vec<Location>>,
    /// Which kind of source the locations are from.
    pub origin: Origin,
    /// What to say where there are no locations.
    pub no_locations: String,
    pub configuration: Configuration,
    pub format: Format,
    pub is_quiet: bool,
    pub stderr: Stderr,
    pub nice: Option<i32>,
    pub oom_score_adj: Option<i32>,
    pub parent: ParentPid,
    /// The number of a descriptor whose end of file means that the parent is gone.
    pub parent_fd: Option<i32>,
    /// The socket on which requests are answered, where the file names it, and that place.
    pub control: Option<(PathBuf, String)>,
    /// Whether a change of what was read is a reload.
    pub is_watching: bool,
    /// The number of the descriptor that takes the log.
    pub log_fd: i32,
    pub program: Vec<OsString>,
    /// What is not wrong enough to stop for.
    pub warnings: Vec<String>,
    default_policy: Policy,
    /// What single plugins have of their own, by file stem; a stem may be there more than once.
    policies: Vec<(String, Override)>,
    /// What `extra_config` says to plugins, or seems to say to the launcher.
    plugin_keys: extra::PluginKeys,
}

/// How `status` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    Json,
    Prometheus,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// What becomes of the two output streams of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stderr {
    Merged,
    Separate,
}

/// What to do when a plugin ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Never,
    OnFailure,
    Always,
}

/// How one plugin is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub restart: Restart,
    /// From SIGTERM to SIGKILL.
    pub grace_period: Duration,
}

/// The process whose end ends us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentPid {
    /// Whatever process started us.
    AtStart,
    None,
    Given(Pid),
}

const FORMATS: [(&str, Format); 2] = [("text", Format::Text), ("json", Format::Json)];
const STDERRS: [(&str, Stderr); 2] = [("merged", Stderr::Merged), ("separate", Stderr::Separate)];
const RESTARTS: [(&str, Restart); 3] =
    [("never", Restart::Never), ("on-failure", Restart::OnFailure), ("always", Restart::Always)];

/// How PROGRAM's environment differs from ours.
#[derive(Debug, PartialEq)]
pub struct EnvironmentOfProgram {
    pub set_empty: &'static str,
    pub removed: &'static str,
    /// What is said of it.
    pub notice: &'static str,
}

/// The canonical locations that a launcher above us runs, as a JSON array.
pub const LOCATIONS_VARIABLE: &str = "LMCACHE_PLUGIN_LAUNCHER_LOCATIONS";

/// How `status` is to be written.
///
/// # Errors
/// Usage: not one of its forms.
pub fn status_form(arguments: &Arguments) -> Result<Form, Error> {
    const FORMS: [(&str, Form); 3] = [("text", Form::Text), ("json", Form::Json), ("prometheus", Form::Prometheus)];
    Ok(choice(arguments, Opt::Format, &FORMS)?.unwrap_or(Form::Text))
}

impl Settings {
    /// How the plugin with this file name is treated.
    pub fn policy(&self, file_name: &str) -> Policy {
        let mut policy = self.default_policy;
        for (_, own) in self.policies.iter().filter(|(of, _)| of == stem(file_name)) {
            policy.restart = own.restart.unwrap_or(policy.restart);
            policy.grace_period = own.grace_period.unwrap_or(policy.grace_period);
        }
        policy
    }

    /// How PROGRAM's environment differs from ours, so that its LMCache does not start once more what we run. LOCATION
    /// arguments are ours alone.
    pub fn environment_of_program(&self) -> Option<EnvironmentOfProgram> {
        let [newer, older] = LOCATIONS_VARIABLES;
        let is_theirs = self.locations.is_some() && self.origin != Origin::Arguments && !self.program.is_empty();
        is_theirs.then_some(EnvironmentOfProgram {
            set_empty: newer,
            removed: older,
            notice: "PROGRAM gets LMCACHE_RUNTIME_PLUGIN_LOCATIONS empty, so that its LMCache does not start the \
                     plugins again",
        })
    }

    /// From SIGTERM to SIGKILL, for what belongs to no plugin.
    pub fn grace_period(&self) -> Duration {
        self.default_policy.grace_period
    }

    /// The longest that any plugin has.
    pub fn longest_grace_period(&self) -> Duration {
        let own = self.policies.iter().filter_map(|(_, own)| own.grace_period);
        own.chain([self.grace_period()]).max().unwrap_or_default()
    }

    /// Resolves everything that `run`, `list` and `check` need.
    ///
    /// # Errors
    /// Usage: the first value that is malformed, with its place.
    pub fn resolve(arguments: &Arguments) -> Result<Settings, Error> {
        let mut warnings = Vec::new();
        let sources = Sources::find(arguments, &mut warnings)?;
        let loaded = configuration::load(arguments, &sources, &mut warnings)?;
        let extra = Extra::read(&loaded, &mut warnings)?;
        let role = given(arguments, Opt::Role, "ROLE").unwrap_or_default();
        let (worker_id, worker_id_as_given) = number(arguments, Opt::WorkerId, "WORKER_ID", "0")?;
        let (worker_count, worker_count_as_given) = number(arguments, Opt::WorkerCount, "WORKER_COUNT", "1")?;
        if worker_count < 1 {
            warnings.push(format!("the worker count is {worker_count}: expected at least 1, this process"));
        }
        let settings = Settings {
            identity: Identity {
                role: (!role.is_empty()).then(|| role.to_string_lossy().into_owned()),
                worker_id,
                worker_count,
            },
            identity_as_given: [role, worker_id_as_given, worker_count_as_given],
            locations: loaded.locations,
            origin: loaded.origin,
            no_locations: loaded.none_named,
            configuration: loaded.configuration,
            format: choice(arguments, Opt::Format, &FORMATS)?.or(extra.format).unwrap_or(Format::Text),
            is_quiet: arguments.value(Opt::Quiet).is_some() || extra.is_quiet.unwrap_or(false),
            stderr: choice(arguments, Opt::Stderr, &STDERRS)?.or(extra.stderr).unwrap_or(Stderr::Merged),
            nice: within(arguments, Opt::Nice, -20, 19)?,
            oom_score_adj: within(arguments, Opt::OomScoreAdj, -1000, 1000)?,
            parent: match within(arguments, Opt::ParentPid, 0, Pid::MAX)? {
                None if arguments.program.is_empty() => ParentPid::AtStart,
                // It would outlive whoever started it, and so it does here.
                None => ParentPid::None,
                Some(0) => ParentPid::None,
                Some(pid) => ParentPid::Given(pid),
            },
            parent_fd: within(arguments, Opt::ParentFd, 0, i32::MAX)?,
            control: extra.control,
            is_watching: arguments.value(Opt::Watch).is_some() || extra.is_watching.unwrap_or(false),
            log_fd: within(arguments, Opt::LogFd, 0, i32::MAX)?.unwrap_or(1),
            program: arguments.program.clone(),
            warnings,
            default_policy: Policy {
                restart: choice(arguments, Opt::Restart, &RESTARTS)?
                    .or(extra.default.restart)
                    .unwrap_or(Restart::Never),
                grace_period: grace_period(arguments)?.or(extra.default.grace_period).unwrap_or(Duration::from_secs(5)),
            },
            policies: overridable(extra.policies, arguments),
            plugin_keys: extra.plugin_keys,
        };
        Ok(settings)
    }
}

/// What the command line says about all plugins is above what the file says about one.
fn overridable(mut policies: Vec<(String, Override)>, arguments: &Arguments) -> Vec<(String, Override)> {
    for (_, own) in &mut policies {
        own.restart = own.restart.filter(|_| arguments.value(Opt::Restart).is_none());
        own.grace_period = own.grace_period.filter(|_| arguments.value(Opt::GracePeriod).is_none());
    }
    policies
}

/// The value of an option, or of the variables that stand for it.
fn given(arguments: &Arguments, option: Opt, variable: &str) -> Option<OsString> {
    arguments.value(option).map(OsStr::to_os_string).or_else(|| variable_of_lmcache(variable).map(|(_, value)| value))
}

/// A whole number of the identity: its value, and the text that plugins get.
fn number(arguments: &Arguments, option: Opt, variable: &str, default: &str) -> Result<(i64, OsString), Error> {
    let whole = |text: &OsStr| text.to_str().and_then(|text| text.trim().parse().ok());
    if let Some(text) = arguments.value(option) {
        let name = option_name(option);
        let problem = || Error::Usage(format!("`{name}` takes a whole number, not `{}`", quoted(text)));
        return Ok((whole(text).ok_or_else(problem)?, text.to_os_string()));
    }
    match filled_variable_of_lmcache(variable) {
        None => Ok((whole(OsStr::new(default)).unwrap_or_default(), default.into())),
        Some((name, text)) => match whole(&text) {
            Some(value) => Ok((value, text)),
            None => Err(Error::Usage(format!("{name}, offset 0: expected a whole number"))),
        },
    }
}

fn text_of(arguments: &Arguments, option: Opt) -> Option<String> {
    arguments.value(option).map(|value| value.to_string_lossy().into_owned())
}

fn choice<T: Copy>(arguments: &Arguments, option: Opt, choices: &[(&str, T)]) -> Result<Option<T>, Error> {
    let Some(text) = text_of(arguments, option) else { return Ok(None) };
    let problem = |problem| Error::Usage(format!("`{}` {problem}, not `{}`", option_name(option), quoted(&text)));
    choose(&text, choices).map(Some).map_err(problem)
}

/// The choice that `text` names; else what is wrong, to follow a name.
fn choose<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let found = choices.iter().find(|(name, _)| *name == text);
    found.map(|&(_, value)| value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("takes {}", names.join(" or "))
    })
}

fn within(arguments: &Arguments, option: Opt, least: i32, most: i32) -> Result<Option<i32>, Error> {
    let Some(text) = text_of(arguments, option) else { return Ok(None) };
    match text.parse() {
        Ok(value) if (least..=most).contains(&value) => Ok(Some(value)),
        _ => Err(Error::Usage(format!(
            "`{}` takes a whole number from {least} to {most}, not `{}`",
            option_name(option),
            quoted(&text)
        ))),
    }
}

fn grace_period(arguments: &Arguments) -> Result<Option<Duration>, Error> {
    let Some(text) = text_of(arguments, Opt::GracePeriod) else { return Ok(None) };
    let problem = |problem| Error::Usage(format!("`--grace-period` {problem}, not `{}`", quoted(&text)));
    duration(&text).map(Some).map_err(problem)
}

fn duration(text: &str) -> Result<Duration, String> {
    seconds(text).ok_or_else(|| "takes seconds, such as 5 or 0.5".into())
}

/// Seconds in decimal notation, at most about 30 years of them.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nanoseconds = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = nanoseconds.fold(0, |value: u32, digit| value * 10 + u32::from(digit - b'0'));
    (whole <= 1_000_000_000).then(|| Duration::new(whole, nanoseconds))
}
