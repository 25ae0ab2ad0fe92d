//! The command line as typed, and the usage texts. Knows the names of things, not what they mean; reads nothing else.

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
}

const COMMANDS: [(&str, Command); 5] = [
    ("run", Command::Run),
    ("list", Command::List),
    ("check", Command::Check),
    ("get", Command::Get),
    ("install", Command::Install),
];

/// The options, each an index into [`OPTIONS`].
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
    Nice,
    OomScoreAdj,
    Default,
    Bridge,
}

/// Name, placeholder of the value (empty: a switch), and one line of help for every [`Opt`], in its order.
const OPTIONS: [(&str, &str, &str); 16] = [
    ("--config", "FILE", "lmcache.yaml, or strict JSON if the name ends in .json [LMCACHE_CONFIG_FILE]"),
    ("--role", "ROLE", "role of this process, empty for none [LMCACHE_RUNTIME_PLUGIN_ROLE]"),
    ("--worker-id", "N", "id of this worker [LMCACHE_RUNTIME_PLUGIN_WORKER_ID, else 0]"),
    ("--worker-count", "N", "workers in all [LMCACHE_RUNTIME_PLUGIN_WORKER_COUNT, else 1]"),
    ("--extra-config", "JSON", "object whose members replace those of extra_config"),
    ("--format", "text|json", "format of the log, of list and of check [text]"),
    ("--quiet", "", "no notices of the launcher's own but problems"),
    ("--stderr", "merged|separate", "one stream in exact order, or two labelled ones [merged]"),
    ("--restart", "never|on-failure|always", "what to do when a plugin ends [never]"),
    ("--grace-period", "SECONDS", "from SIGTERM to SIGKILL, fractions allowed [5]"),
    ("--parent-pid", "PID", "the process whose end ends us, 0 for none [the parent]"),
    ("--parent-fd", "FD", "a pipe whose end of file means that the parent is gone"),
    ("--nice", "N", "scheduling priority of plugins, -20 to 19"),
    ("--oom-score-adj", "N", "how readily the kernel sacrifices plugins, -1000 to 1000"),
    ("--default", "VALUE", "printed when the value is not there, instead of an error"),
    ("--bridge", "", "install: all_launcher.sh as well, the plugin by which LMCache runs this launcher"),
];

/// Everything that was typed after the command.
#[derive(Debug, Default, PartialEq)]
pub struct Arguments {
    values: [Option<OsString>; OPTIONS.len()],
    /// LOCATION..., POINTER or DIR.
    pub operands: Vec<OsString>,
    /// PROGRAM and its arguments; empty without `--`.
    pub program: Vec<OsString>,
}

impl Arguments {
    /// The value of an option as typed, the last one where it was given twice; empty for a switch.
    pub fn value(&self, option: Opt) -> Option<&OsStr> {
        self.values[option as usize].as_deref()
    }
}

/// The name of an option, with its dashes.
pub fn option_name(option: Opt) -> &'static str {
    OPTIONS[option as usize].0
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// Usage: an unknown command or option, with the nearest known one; a value that is missing or too many.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, Error> {
    let mut words = words.into_iter().peekable();
    let command = match words.peek().map(|word| word.to_string_lossy()).as_deref() {
        Some("--help" | "-h") => return Ok(Request::Help(None)),
        Some("--version" | "-V") => return Ok(Request::Version),
        Some(word) if !word.starts_with('-') => command(word)?,
        Some(_) | None => return run(words),
    };
    words.next();
    arguments(command, words)
}

/// Reads the arguments of `run` where the command is left out.
fn run(words: impl Iterator<Item = OsString>) -> Result<Request, Error> {
    let request = arguments(Command::Run, words)?;
    if let Request::Do(_, arguments) = &request
        && let Some(word) = arguments.operands.first()
        && COMMANDS.iter().any(|(name, _)| *word == **name)
    {
        let word = word.to_string_lossy();
        return Err(Error::Usage(format!(
            "the command comes before all options: {NAME} {word} ... (a location: ./{word})"
        )));
    }
    Ok(request)
}

fn command(word: &str) -> Result<Command, Error> {
    if let Some(&(_, command)) = COMMANDS.iter().find(|(name, _)| *name == word) {
        return Ok(command);
    }
    let names = "the commands are run, list, check, get and install";
    Err(Error::Usage(match nearest(word, COMMANDS.iter().map(|(name, _)| *name)) {
        Some(known) => format!("unknown command `{word}`; did you mean `{known}`? ({names})"),
        None => format!("unknown command `{word}`; {names}"),
    }))
}

fn arguments(command: Command, mut words: impl Iterator<Item = OsString>) -> Result<Request, Error> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        match word.as_bytes() {
            b"--" if command == Command::Run => {
                arguments.program = words.collect();
                if arguments.program.is_empty() {
                    return Err(Error::Usage("`--` wants a PROGRAM after it".into()));
                }
                break;
            }
            b"--" if matches!(command, Command::List | Command::Check) => {
                return Err(Error::Usage("`--` and a PROGRAM belong to `run`; this command starts nothing".into()));
            }
            b"--" => {
                arguments.operands.extend(words);
                break;
            }
            b"--help" | b"-h" => return Ok(Request::Help(Some(command))),
            b"--version" | b"-V" => return Ok(Request::Version),
            [b'-', _, ..] => option(command, &word, &mut words, &mut arguments)?,
            _ => arguments.operands.push(word),
        }
    }
    match (command, arguments.operands.len()) {
        (Command::Get, 0) => {
            Err(Error::Usage("get wants a POINTER, such as /extra_config/key, or \"\" for all".into()))
        }
        (Command::Install, 0) => Err(Error::Usage("install wants a DIR".into())),
        (Command::Get | Command::Install, 2..) => {
            Err(Error::Usage(format!("one argument too many: `{}`", arguments.operands[1].to_string_lossy())))
        }
        _ => Ok(Request::Do(command, Box::new(arguments))),
    }
}

/// Takes `--name`, `--name value` or `--name=value`.
fn option(
    command: Command,
    word: &OsStr,
    words: &mut impl Iterator<Item = OsString>,
    arguments: &mut Arguments,
) -> Result<(), Error> {
    let mut halves = word.as_bytes().splitn(2, |&byte| byte == b'=');
    let name = String::from_utf8_lossy(halves.next().unwrap_or_default());
    let attached = halves.next().map(|value| OsString::from_vec(value.to_vec()));
    let Some(index) = OPTIONS.iter().position(|(known, ..)| *known == name) else {
        return Err(Error::Usage(match nearest(&name, OPTIONS.iter().map(|(known, ..)| *known)) {
            Some(known) => format!("unknown option `{name}`; did you mean `{known}`?"),
            None => format!("unknown option `{name}`; see `{NAME} --help`"),
        }));
    };
    if !takes(command, index) {
        return Err(Error::Usage(format!("`{name}` is not an option of this command; see its --help")));
    }
    let (_, placeholder, _) = OPTIONS[index];
    let value = match (placeholder, attached) {
        ("", None) => OsString::new(),
        ("", Some(_)) => return Err(Error::Usage(format!("`{name}` takes no value"))),
        (_, Some(value)) => value,
        (placeholder, None) => {
            words.next().ok_or_else(|| Error::Usage(format!("`{name}` wants a value: {name} {placeholder}")))?
        }
    };
    arguments.values[index] = Some(value);
    Ok(())
}

/// `list` and `check` take what `run` takes, so that the same line can be tried without starting anything.
fn takes(command: Command, index: usize) -> bool {
    match command {
        Command::Run | Command::List | Command::Check => {
            ![Opt::Default as usize, Opt::Bridge as usize].contains(&index)
        }
        Command::Get => [Opt::Config as usize, Opt::ExtraConfig as usize, Opt::Default as usize].contains(&index),
        Command::Install => index == Opt::Bridge as usize,
    }
}

/// The help text of the program, or of one command.
pub fn help(command: Option<Command>) -> String {
    let (usage, about) = match command {
        None => return overview(),
        Some(Command::Run) => (
            "run [OPTIONS] [LOCATION...] [-- PROGRAM [ARG...]]",
            "Run the plugins of this role and worker until the parent or PROGRAM ends, and log what they print.\n\
             Without LOCATION they come from the environment or the configuration file.\n\n\
             SIGTERM, SIGINT, SIGQUIT stop everything (twice: at once); SIGHUP reads configuration and locations\n\
             again; SIGUSR1 logs the state of each plugin. With PROGRAM, signals are passed on to it instead.",
        ),
        Some(Command::List) => (
            "list [OPTIONS] [LOCATION...]",
            "Say what would run here, how, and why the rest would not. Starts nothing.",
        ),
        Some(Command::Check) => (
            "check [OPTIONS] [LOCATION...]",
            "Say what is wrong with the plugins, one line each, and exit 1 if anything is.",
        ),
        Some(Command::Get) => (
            "get [OPTIONS] POINTER",
            "Print one value of the configuration, by its RFC 6901 JSON Pointer: a string bare, anything else as JSON.\n\
             \"\" is the whole document. Inside a plugin it reads the configuration that the plugin was given.\n\n\
             Example: get /extra_config/plugin.frontend.port --default 8080",
        ),
        Some(Command::Install) => {
            ("install [--bridge] DIR", "Copy this executable into DIR, replacing an older one even while it runs.")
        }
    };
    let mut text = format!("Usage: {NAME} {usage}\n\n{about}\n\nOptions:\n");
    for (index, (name, placeholder, meaning)) in OPTIONS.iter().enumerate() {
        if command.is_some_and(|command| takes(command, index)) {
            option_line(&mut text, name, placeholder, meaning);
        }
    }
    option_line(&mut text, "--help", "", "this text");
    text
}

fn overview() -> String {
    let mut text = format!(
        "Runs LMCache plugins beside a process, logs every line they print, and leaves nothing behind.\n\n\
         Usage: {NAME} [run] [OPTIONS] [LOCATION...] [-- PROGRAM [ARG...]]\n"
    );
    for usage in [
        "list    [OPTIONS] [LOCATION...]",
        "check   [OPTIONS] [LOCATION...]",
        "get     [OPTIONS] POINTER",
        "install [--bridge] DIR",
    ] {
        text.push_str(&format!("       {NAME} {usage}\n"));
    }
    text.push_str(
        "\nCommands:\n\
         \x20 run      run the plugins of this role and worker (the default)\n\
         \x20 list     say what would run here, how, and why the rest would not\n\
         \x20 check    as list, and exit 1 if anything is wrong\n\
         \x20 get      print one value of the configuration\n\
         \x20 install  copy this executable into a directory\n\n\
         Options:\n",
    );
    for (name, placeholder, meaning) in &OPTIONS {
        option_line(&mut text, name, placeholder, meaning);
    }
    option_line(&mut text, "--help, --version", "", "also: COMMAND --help");
    text
}

fn option_line(text: &mut String, name: &str, placeholder: &str, meaning: &str) {
    let option = if placeholder.is_empty() { name.to_string() } else { [name, " ", placeholder].concat() };
    text.push_str("  ");
    text.push_str(&option);
    if option.len() > 26 {
        text.push_str("\n  ");
    }
    let padding = if option.len() > 26 { 28 } else { 28 - option.len() };
    text.extend(std::iter::repeat_n(' ', padding));
    text.push_str(meaning);
    text.push('\n');
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
    fn a_value_is_attached_or_follows() {
        assert_eq!(typed("run --role=worker plugins"), typed("run plugins --role worker"));
        assert_eq!(typed("run --worker-id -1"), typed("run --worker-id=-1"));
    }

    #[test]
    fn errors_name_the_next_step() {
        for (line, words) in [
            ("--role worker list plugins", ["comes before all options", "list ..."]),
            ("rnu", ["unknown command `rnu`", "did you mean `run`"]),
            ("plugins/", ["unknown command `plugins/`", "run, list, check, get and install"]),
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
