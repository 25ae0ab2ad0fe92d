//! The command line as typed. Knows the names of things, not what they mean; reads nothing else.

use crate::error::Error;
use crate::nearest::nearest;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The name under which the program is known everywhere.
pub const NAME: &str = "lmcache-plugin-launcher";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    Help(Option<Command>),
    Version,
    Do(Command, Box<Arguments>),
}

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Run,
    List,
    Check,
    Get,
    Install,
    Status,
    Reload,
    Start,
    Stop,
    Restart,
}

/// What the command line knows about a command.
pub struct CommandRow {
    pub command: Command,
    pub name: &'static str,
    /// What follows the name.
    pub usage: &'static str,
    /// A clause for the list of commands.
    pub summary: &'static str,
    operands: Operands,
    pub options: &'static [Opt],
}

/// How many operands a command takes.
struct Operands {
    least: usize,
    most: usize,
    /// What is said where there are fewer.
    wanted: &'static str,
}

/// What names the launcher that is asked.
const OPTIONS_OF_CLIENTS: &[Opt] = &[Opt::Control, Opt::Config];

const NAMES: Operands = Operands { least: 1, most: usize::MAX, wanted: "a NAME, as `status` lists them" };

const ANY_NUMBER: Operands = Operands { least: 0, most: usize::MAX, wanted: "" };

/// `list` and `check` take what `run` takes, so that the same line can be tried without starting anything.
const OPTIONS_OF_RUN: &[Opt] = &[
    Opt::Config,
    Opt::Role,
    Opt::WorkerId,
    Opt::WorkerCount,
    Opt::ExtraConfig,
    Opt::Format,
    Opt::Quiet,
    Opt::Stderr,
    Opt::Restart,
    Opt::GracePeriod,
    Opt::ParentPid,
    Opt::ParentFd,
    Opt::Control,
    Opt::Watch,
    Opt::LogFd,
    Opt::Nice,
    Opt::OomScoreAdj,
];

pub const COMMANDS: &[CommandRow] = &[
    CommandRow {
        command: Command::Run,
        name: "run",
        usage: "[OPTIONS] [LOCATION...] [-- PROGRAM [ARG...]]",
        summary: "run the plugins of this role and worker (the default)",
        operands: ANY_NUMBER,
        options: OPTIONS_OF_RUN,
    },
    CommandRow {
        command: Command::List,
        name: "list",
        usage: "[OPTIONS] [LOCATION...]",
        summary: "say what would run here, how, and why the rest would not",
        operands: ANY_NUMBER,
        options: OPTIONS_OF_RUN,
    },
    CommandRow {
        command: Command::Check,
        name: "check",
        usage: "[OPTIONS] [LOCATION...]",
        summary: "as list, and exit 1 if anything is wrong",
        operands: ANY_NUMBER,
        options: OPTIONS_OF_RUN,
    },
    CommandRow {
        command: Command::Get,
        name: "get",
        usage: "[OPTIONS] POINTER",
        summary: "print one value of the configuration",
        operands: Operands { least: 1, most: 1, wanted: "a POINTER, such as /extra_config/key, or \"\" for all" },
        options: &[Opt::Config, Opt::ExtraConfig, Opt::Default],
    },
    CommandRow {
        command: Command::Install,
        name: "install",
        usage: "[OPTIONS] DIR",
        summary: "copy this executable into a directory",
        operands: Operands { least: 1, most: 1, wanted: "a DIR" },
        options: &[Opt::Bridge],
    },
    CommandRow {
        command: Command::Status,
        name: "status",
        usage: "[OPTIONS] [NAME...]",
        summary: "what a running launcher's plugins do",
        operands: ANY_NUMBER,
        options: &[Opt::Control, Opt::Config, Opt::Format],
    },
    CommandRow {
        command: Command::Reload,
        name: "reload",
        usage: "[OPTIONS]",
        summary: "have a running launcher read everything again",
        operands: Operands { least: 0, most: 0, wanted: "" },
        options: OPTIONS_OF_CLIENTS,
    },
    CommandRow {
        command: Command::Start,
        name: "start",
        usage: "[OPTIONS] NAME...",
        summary: "start plugins of a running launcher",
        operands: NAMES,
        options: OPTIONS_OF_CLIENTS,
    },
    CommandRow {
        command: Command::Stop,
        name: "stop",
        usage: "[OPTIONS] NAME...",
        summary: "stop plugins of a running launcher, until started again",
        operands: NAMES,
        options: OPTIONS_OF_CLIENTS,
    },
    CommandRow {
        command: Command::Restart,
        name: "restart",
        usage: "[OPTIONS] NAME...",
        summary: "stop and start plugins of a running launcher",
        operands: NAMES,
        options: OPTIONS_OF_CLIENTS,
    },
];

/// The options. Each has a row in [`OPTIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opt {
    Config,
    Role,
    WorkerId,
    WorkerCount,
    ExtraConfig,
    Format,
    Quiet,
    Stderr,
    Restart,
    GracePeriod,
    ParentPid,
    ParentFd,
    Control,
    Watch,
    LogFd,
    Nice,
    OomScoreAdj,
    Default,
    Bridge,
}

/// What the command line knows about an option.
pub struct OptionRow {
    pub option: Opt,
    pub name: &'static str,
    /// Stands for the value; empty for a switch.
    pub placeholder: &'static str,
    pub meaning: &'static str,
}

const fn row(option: Opt, name: &'static str, placeholder: &'static str, meaning: &'static str) -> OptionRow {
    OptionRow { option, name, placeholder, meaning }
}

pub const OPTIONS: &[OptionRow] = &[
    row(
        Opt::Config,
        "--config",
        "FILE",
        "lmcache.yaml, or strict JSON if the name ends in .json [LMCACHE_CONFIG_FILE]",
    ),
    row(Opt::Role, "--role", "ROLE", "role of this process, empty for none [LMCACHE_RUNTIME_PLUGIN_ROLE]"),
    row(Opt::WorkerId, "--worker-id", "N", "id of this worker [LMCACHE_RUNTIME_PLUGIN_WORKER_ID, else 0]"),
    row(Opt::WorkerCount, "--worker-count", "N", "workers in all [LMCACHE_RUNTIME_PLUGIN_WORKER_COUNT, else 1]"),
    row(Opt::ExtraConfig, "--extra-config", "JSON|@FILE", "object whose members replace those of extra_config"),
    row(Opt::Format, "--format", "text|json", "format of the log, of list and of check [text]"),
    row(Opt::Quiet, "--quiet", "", "no notices of the launcher's own but problems"),
    row(Opt::Stderr, "--stderr", "merged|separate", "one stream in exact order, or two labelled ones [merged]"),
    row(Opt::Restart, "--restart", "never|on-failure|always", "what to do when a plugin ends [never]"),
    row(Opt::GracePeriod, "--grace-period", "SECONDS", "from SIGTERM to SIGKILL, fractions allowed [5]"),
    row(
        Opt::ParentPid,
        "--parent-pid",
        "PID",
        "the process whose end ends us, 0 for none [the parent; none with PROGRAM]",
    ),
    row(Opt::ParentFd, "--parent-fd", "FD", "a pipe whose end of file means that the parent is gone"),
    row(
        Opt::Control,
        "--control",
        "SOCKET",
        "Unix socket on which a running launcher answers [LMCACHE_PLUGIN_LAUNCHER_CONTROL]",
    ),
    row(Opt::Watch, "--watch", "", "reload when a location or the configuration file changes"),
    row(Opt::LogFd, "--log-fd", "FD", "descriptor that takes the log [1]"),
    row(Opt::Nice, "--nice", "N", "scheduling priority of plugins, -20 to 19"),
    row(Opt::OomScoreAdj, "--oom-score-adj", "N", "how readily the kernel sacrifices plugins, -1000 to 1000"),
    row(Opt::Default, "--default", "VALUE", "printed when the value is not there, instead of an error"),
    row(Opt::Bridge, "--bridge", "", "also all_launcher.sh, the plugin by which LMCache starts the launcher"),
];

/// Everything that was typed after the command.
#[derive(Debug, Default, PartialEq)]
pub struct Arguments {
    values: Vec<(Opt, OsString)>,
    /// LOCATION..., POINTER or DIR.
    pub operands: Vec<OsString>,
    /// PROGRAM and its arguments; empty without `--`.
    pub program: Vec<OsString>,
}

impl Arguments {
    /// The value of an option as typed, the last one where it was given twice; empty for a switch.
    pub fn value(&self, option: Opt) -> Option<&OsStr> {
        self.values.iter().rfind(|(given, _)| *given == option).map(|(_, value)| value.as_os_str())
    }
}

/// The name of an option, with its dashes.
pub fn option_name(option: Opt) -> &'static str {
    OPTIONS.iter().find(|row| row.option == option).map_or("", |row| row.name)
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// Usage: an unknown command or option, with the nearest known one; a value that is missing or too many.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, Error> {
    let mut words = words.into_iter().peekable();
    let row = match words.peek().map(|word| word.to_string_lossy()).as_deref() {
        Some("--help" | "-h") => return Ok(Request::Help(None)),
        Some("--version" | "-V") => return Ok(Request::Version),
        Some("help") => {
            let named = words.nth(1).map(|word| command(&word.to_string_lossy())).transpose()?;
            return Ok(Request::Help(named.map(|row| row.command)));
        }
        Some(word) if !word.starts_with('-') => command(word)?,
        Some(_) | None => return run(words),
    };
    words.next();
    arguments(row, words)
}

/// Reads the arguments of `run` where the command is left out.
fn run(words: impl Iterator<Item = OsString>) -> Result<Request, Error> {
    let request = arguments(command("run")?, words)?;
    if let Request::Do(_, arguments) = &request
        && let Some(word) = arguments.operands.first()
        && COMMANDS.iter().any(|row| *word == *row.name)
    {
        let word = word.to_string_lossy();
        return Err(Error::Usage(format!(
            "the command comes before all options: {NAME} {word} ... (a location: ./{word})"
        )));
    }
    Ok(request)
}

fn command(word: &str) -> Result<&'static CommandRow, Error> {
    if let Some(row) = COMMANDS.iter().find(|row| row.name == word) {
        return Ok(row);
    }
    let known = || COMMANDS.iter().map(|row| row.name);
    let names = ["the commands are ", &known().collect::<Vec<_>>().join(", "), " and help"].concat();
    Err(Error::Usage(match nearest(word, known().chain(["help"])) {
        Some(near) => format!("unknown command `{word}`; did you mean `{near}`? ({names})"),
        None => format!("unknown command `{word}`; {names}"),
    }))
}

fn arguments(row: &CommandRow, mut words: impl Iterator<Item = OsString>) -> Result<Request, Error> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        match word.as_bytes() {
            b"--" if row.command == Command::Run => {
                arguments.program = words.collect();
                if arguments.program.is_empty() {
                    return Err(Error::Usage("`--` wants a PROGRAM after it".into()));
                }
                break;
            }
            b"--" if matches!(row.command, Command::List | Command::Check) => {
                return Err(Error::Usage("`--` and a PROGRAM belong to `run`; this command starts nothing".into()));
            }
            b"--" => {
                arguments.operands.extend(words);
                break;
            }
            b"--help" | b"-h" => return Ok(Request::Help(Some(row.command))),
            b"--version" | b"-V" => return Ok(Request::Version),
            [b'-', _, ..] => option(row, &word, &mut words, &mut arguments)?,
            _ => arguments.operands.push(word),
        }
    }
    let Operands { least, most, wanted } = row.operands;
    if arguments.operands.len() < least {
        return Err(Error::Usage(format!("{} wants {wanted}", row.name)));
    }
    if let Some(surplus) = arguments.operands.get(most) {
        return Err(Error::Usage(format!("one argument too many: `{}`", surplus.to_string_lossy())));
    }
    Ok(Request::Do(row.command, Box::new(arguments)))
}

/// Takes `--name`, `--name value` or `--name=value`.
fn option(
    row: &CommandRow,
    word: &OsStr,
    words: &mut impl Iterator<Item = OsString>,
    arguments: &mut Arguments,
) -> Result<(), Error> {
    let mut halves = word.as_bytes().splitn(2, |&byte| byte == b'=');
    let name = String::from_utf8_lossy(halves.next().unwrap_or_default());
    let attached = halves.next().map(|value| OsString::from_vec(value.to_vec()));
    let Some(known) = OPTIONS.iter().find(|known| known.name == name) else {
        return Err(Error::Usage(match nearest(&name, OPTIONS.iter().map(|known| known.name)) {
            Some(near) => format!("unknown option `{name}`; did you mean `{near}`?"),
            None => format!("unknown option `{name}`; see `{NAME} --help`"),
        }));
    };
    if !row.options.contains(&known.option) {
        return Err(Error::Usage(format!("`{name}` is not an option of this command; see its --help")));
    }
    let value = match (known.placeholder, attached) {
        ("", None) => OsString::new(),
        ("", Some(_)) => return Err(Error::Usage(format!("`{name}` takes no value"))),
        (_, Some(value)) => value,
        (placeholder, None) => {
            words.next().ok_or_else(|| Error::Usage(format!("`{name}` wants a value: {name} {placeholder}")))?
        }
    };
    arguments.values.push((known.option, value));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<Request, Error> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn no_command_means_run() {
        assert_eq!(typed(""), typed("run"));
        assert_eq!(typed("--role worker"), typed("run --role worker"));
        assert_eq!(typed("-- sleep 1"), typed("run -- sleep 1"));
    }

    #[test]
    fn help_is_a_word_too() {
        for (line, command) in [("help", None), ("help get", Some(Command::Get)), ("get --help", Some(Command::Get))] {
            assert_eq!(typed(line), Ok(Request::Help(command)), "{line}");
        }
        assert!(typed("help gte").is_err_and(|error| error.message().contains("did you mean `get`")));
    }

    #[test]
    fn a_value_is_attached_or_follows() {
        assert_eq!(typed("run --role=worker plugins"), typed("run plugins --role worker"));
        assert_eq!(typed("run --worker-id -1"), typed("run --worker-id=-1"));
    }

    #[test]
    fn errors_name_the_next_step() {
        for (line, words) in [
            ("--role worker list plugins", ["comes before all options", "list ..."]),
            ("rnu", ["unknown command `rnu`", "did you mean `run`"]),
            ("plugins/", ["unknown command `plugins/`", "run, list, check, get, install, status, "]),
            ("run --rol worker", ["unknown option `--rol`", "did you mean `--role`"]),
            ("run --role", ["`--role` wants a value", "--role ROLE"]),
            ("run --quiet=yes", ["`--quiet` takes no value", ""]),
            ("list --default 1", ["`--default` is not an option", ""]),
            ("run x --", ["wants a PROGRAM", ""]),
            ("get", ["wants a POINTER", ""]),
            ("install a b", ["too many: `b`", ""]),
        ] {
            let error = typed(line).expect_err(line);
            assert_eq!(error.status(), 2, "{line}");
            for word in words {
                assert!(error.message().contains(word), "{line}: {}", error.message());
            }
        }
    }
}
