//! What `--help` says, of the program and of each command, in lines of at most eighty columns.

use crate::cli::{COMMANDS, Command, CommandRow, NAME, OPTIONS, Opt};
use crate::columns::wrap;

/// The columns of a line.
const WIDTH: usize = 80;
/// Where the meaning of an option begins.
const MEANING: usize = 30;

/// What is said of a command, beyond its row.
struct About {
    /// Paragraphs.
    text: &'static [&'static str],
    /// Lines as they are.
    examples: &'static [&'static str],
    /// Exit statuses and when.
    statuses: &'static [(&'static str, &'static str)],
}

/// Of the commands that have something done.
const CARRIED_OUT: &[(&str, &str)] =
    &[("0", "carried out"), ("1", "not carried out"), ("2", "nobody answers, or bad usage")];

fn about_command(command: Command) -> About {
    match command {
        Command::Run => About {
            text: &[
                "Run the plugins of this role and worker until the parent or PROGRAM ends, and log what they print. \
                 Without LOCATION they come from the environment or the configuration file.",
                "SIGTERM, SIGINT and SIGQUIT stop everything; a second SIGINT or SIGQUIT at once. SIGHUP reads \
                 configuration and locations again; SIGUSR1 logs the state of each plugin. With PROGRAM, signals are \
                 passed on to it instead.",
            ],
            examples: &[
                "run plugins/",
                "run --config lmcache.yaml --role worker --worker-id 0",
                "run --restart on-failure plugins/ -- vllm serve MODEL",
                "run --log-fd 3 plugins/ -- server 3>plugins.log",
            ],
            statuses: &[
                ("0", "stopped on request or with the parent, or every plugin ended well"),
                ("1", "ended by itself and a plugin or location had failed, or lines were lost"),
                ("2", "bad usage or configuration: nothing was started"),
                ("137", "the supervising process was killed; everything was stopped"),
                ("other", "PROGRAM's own; 126 and 127 where it cannot be run or found"),
            ],
        },
        Command::List => About {
            text: &[
                "Say what would run here, how, and why the rest would not. Starts nothing.",
                "It takes all other options of run, too, so that the same line can be tried; they change nothing.",
            ],
            examples: &["list plugins/", "list --config lmcache.yaml --role worker --worker-id 0"],
            statuses: &[("0", "listed"), ("2", "bad usage or configuration")],
        },
        Command::Check => About {
            text: &[
                "Say what is wrong with the plugins and the configuration, one line each.",
                "It takes all other options of run, too, so that the same line can be tried; they change nothing.",
            ],
            examples: &["check plugins/", "check --format json --config lmcache.yaml"],
            statuses: &[("0", "nothing is wrong"), ("1", "something is"), ("2", "bad usage or configuration")],
        },
        Command::Get => About {
            text: &[
                "Print one value of the configuration, by its RFC 6901 JSON Pointer: a string bare, anything else as \
                 JSON. \"\" is the whole document. Inside a plugin it reads the configuration that the plugin was given.",
            ],
            examples: &["get /extra_config/plugin.frontend.port --default 8080", "get --config lmcache.yaml \"\""],
            statuses: &[("0", "printed"), ("1", "there is no such value"), ("2", "bad usage or configuration")],
        },
        Command::Install => About {
            text: &["Copy this executable into DIR, replacing an older one even while it runs."],
            examples: &["install /usr/local/bin", "install --bridge plugins/"],
            statuses: &[("0", "installed"), ("1", "not installed: what was there is as it was"), ("2", "bad usage")],
        },
        Command::Status => About {
            text: &[
                "Say what the plugins of a running launcher do: all of them, or those named. It is the launcher that was \
                 started with the same --control, or with the same environment or configuration.",
            ],
            examples: &["status", "status --control /run/plugins.sock --format json"],
            statuses: &[
                ("0", "all are well: running, or ended well, or stopped on request"),
                ("1", "one is in backoff or has failed, or is not there"),
                ("2", "nobody answers"),
            ],
        },
        Command::Reload => About {
            text: &["Have a running launcher read configuration and locations again, and say what came of it."],
            examples: &["reload"],
            statuses: CARRIED_OUT,
        },
        Command::Start => About {
            text: &["Start plugins of a running launcher that were stopped, have ended, or wait to be restarted."],
            examples: &["start all_heartbeat.sh"],
            statuses: CARRIED_OUT,
        },
        Command::Stop => About {
            text: &[
                "Stop plugins of a running launcher, with all that they started, and wait until that is gone. They stay \
                 stopped, over reloads too, until they are started again.",
            ],
            examples: &["stop all_heartbeat.sh"],
            statuses: CARRIED_OUT,
        },
        Command::Restart => About {
            text: &["Stop plugins of a running launcher, with all that they started, and start them again."],
            examples: &["restart all_heartbeat.sh"],
            statuses: CARRIED_OUT,
        },
    }
}

/// The options that say something to a command; `list` and `check` take those of `run` as well.
fn options_of(row: &CommandRow) -> impl Fn(Opt) -> bool {
    const OF_LIST: [Opt; 6] = [Opt::Config, Opt::Role, Opt::WorkerId, Opt::WorkerCount, Opt::ExtraConfig, Opt::Format];
    let is_limited = matches!(row.command, Command::List | Command::Check);
    move |option| row.options.contains(&option) && (!is_limited || OF_LIST.contains(&option))
}

/// The help text of the program, or of one command.
pub fn help(command: Option<Command>) -> String {
    let Some(row) = COMMANDS.iter().find(|row| Some(row.command) == command) else { return overview() };
    let About { text: paragraphs, examples, statuses } = about_command(row.command);
    let mut text = format!("Usage: {NAME} {} {}\n", row.name, row.usage);
    for paragraph in paragraphs {
        text.push('\n');
        push_wrapped(&mut text, 0, paragraph);
    }
    text.push_str("\nOptions:\n");
    let is_meant = options_of(row);
    for option in OPTIONS.iter().filter(|option| is_meant(option.option)) {
        let (placeholder, meaning) = match (row.command, option.option) {
            (Command::Status, Opt::Format) => ("text|json|prometheus", "format of the answer [text]"),
            (Command::List | Command::Check, Opt::Format) => (option.placeholder, "format of the answer [text]"),
            _ => (option.placeholder, option.meaning),
        };
        option_line(&mut text, option.name, placeholder, meaning);
    }
    option_line(&mut text, "--help, -h", "", "this text");
    text.push_str("\nExamples:\n");
    examples.iter().for_each(|example| text.push_str(&format!("  {NAME} {example}\n")));
    text.push_str("\nExit status:\n");
    for (status, meaning) in statuses {
        text.push_str(&format!("  {status:<7}"));
        push_wrapped(&mut text, 9, meaning);
    }
    text
}

fn overview() -> String {
    let mut text = String::new();
    push_wrapped(
        &mut text,
        0,
        "Runs LMCache plugins beside a process, logs every line they print, and leaves nothing behind.",
    );
    text.push_str(&format!("\nUsage: {NAME} [run] [OPTIONS] [LOCATION...]\n"));
    text.push_str(&format!("{:indent$}[-- PROGRAM [ARG...]]\n", "", indent = "Usage:  ".len() + NAME.len()));
    for row in &COMMANDS[1..] {
        text.push_str(&format!("       {NAME} {:<7} {}\n", row.name, row.usage));
    }
    text.push_str("\nCommands:\n");
    for row in COMMANDS {
        text.push_str(&format!("  {:<9}", row.name));
        push_wrapped(&mut text, 11, row.summary);
    }
    text.push_str("\nOptions:\n");
    for row in OPTIONS {
        option_line(&mut text, row.name, row.placeholder, row.meaning);
    }
    option_line(&mut text, "--help, -h", "", "this text; of a command: COMMAND --help, help COMMAND");
    option_line(&mut text, "--version, -V", "", "the version");
    text
}

fn option_line(text: &mut String, name: &str, placeholder: &str, meaning: &str) {
    let option = if placeholder.is_empty() { name.to_string() } else { [name, " ", placeholder].concat() };
    let line = format!("  {option}");
    text.push_str(&line);
    if line.len() + 2 > MEANING {
        text.push_str(&format!("\n{:MEANING$}", ""));
    } else {
        text.push_str(&" ".repeat(MEANING - line.len()));
    }
    push_wrapped(text, MEANING, meaning);
}

/// Adds a text of which the first line begins in column `indent`, where the cursor is, as do those below.
fn push_wrapped(text: &mut String, indent: usize, words: &str) {
    text.push_str(&wrap(words, WIDTH - indent).join(&format!("\n{:indent$}", "")));
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::option_name;

    #[test]
    fn every_command_and_option_is_told_of() {
        let overview = help(None);
        for row in COMMANDS {
            let own = help(Some(row.command));
            assert!(overview.contains(row.name) && own.contains(row.usage), "{}", row.name);
            let About { examples, statuses, .. } = about_command(row.command);
            assert!(!examples.is_empty() && !statuses.is_empty(), "{}", row.name);
        }
        for row in OPTIONS {
            assert!(overview.contains(row.name) && row.name == option_name(row.option), "{}", row.name);
            let is_shown = COMMANDS.iter().any(|command| options_of(command)(row.option));
            assert!(is_shown, "no command shows {}", row.name);
        }
    }

    #[test]
    fn no_line_is_wider_than_eighty_columns() {
        assert!(help(Some(Command::Status)).contains("--format text|json|prometheus"));
        for text in COMMANDS.iter().map(|row| help(Some(row.command))).chain([help(None)]) {
            for line in text.lines() {
                assert!(line.len() <= WIDTH && line.trim_end() == line, "{line:?}");
            }
        }
    }
}
