//! The command line as typed. Knows the names of things, not what they mean; reads nothing else.

mod rows;

use crate::error::Error;
use crate::escape::quoted;
use crate::nearest::nearest;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

pub use rows::*;

/// The name under which the program is known everywhere.
pub const NAME: &str = "lmcache-plugin-launcher";

/// What the command line asks for.
#[derive(Debug, PartialEq)]
pub enum Request {
    Help(Option<Command>),
    Version,
    Do(Command, Box<Arguments>),
}

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
    let row = match words.peek().map(|word| word.as_bytes()) {
        Some(b"--help" | b"-h") => return Ok(Request::Help(None)),
        Some(b"--version" | b"-V") => return Ok(Request::Version),
        Some(b"help") => {
            let is_itself = |word: &OsString| word == "help" || word == "--help" || word == "-h";
            let named = words.nth(1).filter(|word| !is_itself(word)).map(|word| command(&word)).transpose()?;
            return Ok(Request::Help(named.map(|row| row.command)));
        }
        Some(word) if !word.starts_with(b"-") => command(OsStr::from_bytes(word))?,
        Some(_) | None => return run(words),
    };
    words.next();
    arguments(row, words)
}

/// Reads the arguments of `run` where the command is left out.
fn run(words: impl Iterator<Item = OsString>) -> Result<Request, Error> {
    let request = arguments(command(OsStr::new("run"))?, words)?;
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

fn command(word: &OsStr) -> Result<&'static CommandRow, Error> {
    if let Some(row) = COMMANDS.iter().find(|row| word == row.name) {
        return Ok(row);
    }
    let known = || COMMANDS.iter().map(|row| row.name);
    let names = ["the commands are ", &known().collect::<Vec<_>>().join(", "), " and help"].concat();
    let near = nearest(&word.to_string_lossy(), known().chain(["help"]));
    let word = quoted(word);
    Err(Error::Usage(match near {
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
        return Err(Error::Usage(format!("one argument too many: `{}`", quoted(surplus))));
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
    let name = OsStr::from_bytes(halves.next().unwrap_or_default());
    let attached = halves.next().map(|value| OsString::from_vec(value.to_vec()));
    let Some(known) = OPTIONS.iter().find(|known| name == known.name) else {
        let known = OPTIONS.iter().map(|known| known.name).chain(["--help", "--version"]);
        let near = nearest(&name.to_string_lossy(), known);
        let name = quoted(name);
        return Err(Error::Usage(match near {
            Some(near) => format!("unknown option `{name}`; did you mean `{near}`?"),
            None => format!("unknown option `{name}`; see `{NAME} --help`"),
        }));
    };
    let (name, command) = (known.name, row.name);
    if !row.options.contains(&known.option) {
        return Err(Error::Usage(format!("`{name}` is not an option of {command}; see `{NAME} {command} --help`")));
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
        for (line, command) in [
            ("help", None),
            ("help help", None),
            ("help -h", None),
            ("help --help", None),
            ("help get", Some(Command::Get)),
            ("get --help", Some(Command::Get)),
        ] {
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
            ("run --versoin", ["did you mean `--version`", ""]),
            ("list --default 1", ["`--default` is not an option of list", "list --help`"]),
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
