//! The commands that ask a running launcher: what they send, and what they make of the answer.

use super::request::Request;
use super::{VARIABLE, of_environment, prometheus, table};
use crate::answer::print;
use crate::cli::{Arguments, Command, Opt};
use crate::document::{Value, json};
use crate::error::{Error, plain};
use crate::escape::quoted;
use crate::settings::{self, Form, Settings};
use crate::sys;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

/// How long a launcher may take to say how it is. It may be busy, but never for long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a launcher answered: its records but the last, and that it carried out what was asked.
struct Answer {
    text: String,
}

/// Asks the launcher that the arguments, the environment or the configuration name, and prints the answer.
///
/// # Errors
/// Usage: nobody is named, or nobody answers. No: the request was not carried out.
pub fn ask(command: Command, arguments: &Arguments) -> Result<u8, Error> {
    let form = settings::status_form(arguments)?;
    let socket = socket(arguments)?;
    let names = arguments.operands.clone();
    let request = match command {
        Command::Reload => Request::Reload,
        Command::Start => Request::Start(names),
        Command::Stop => Request::Stop(names),
        Command::Restart => Request::Restart(names),
        _ => Request::Status(names),
    };
    let answer = exchange(&socket, &request)?;
    let records = answer.records();
    let limit = sys::terminal_width(io::stdout().as_fd()).unwrap_or(usize::MAX);
    match request {
        Request::Status(_) => {
            let text = match form {
                Form::Text => table::of_status(&records, limit),
                Form::Json => answer.text.clone(),
                Form::Prometheus => prometheus::of_status(&records),
            };
            print(text.as_bytes())?;
            Ok(u8::from(!records.iter().all(is_well)))
        }
        Request::Reload => print(table::of_reload(&records).as_bytes()),
        Request::Start(_) | Request::Stop(_) | Request::Restart(_) => {
            print(table::of_plugins(&records, limit).as_bytes())
        }
    }
}

/// Where to ask, and how that is called in a message.
struct Socket {
    path: PathBuf,
    name: String,
}

fn socket(arguments: &Arguments) -> Result<Socket, Error> {
    let given = arguments.value(Opt::Control).map(PathBuf::from);
    if let Some(path) = given.or_else(of_environment) {
        return Ok(Socket { name: format!("`{}`", quoted(&path)), path });
    }
    match Settings::resolve(arguments)?.control {
        // What the configuration says is not said again.
        Some((path, place)) => Ok(Socket { path, name: format!("the socket that {place} names") }),
        None => {
            let ways = format!("give --control SOCKET, or set {VARIABLE} or `plugin.launcher.control`");
            Err(Error::Usage(format!("whom to ask? {ways}")))
        }
    }
}

/// Sends a request, and waits for the answer. What takes its time, as a stop does, is waited for as long as the launcher
/// says how it is meanwhile.
fn exchange(socket: &Socket, request: &Request) -> Result<Answer, Error> {
    let nobody = |error: &io::Error| {
        Error::Usage(format!(
            "no launcher answers at {}: {}; was it started with --control?",
            socket.name,
            plain(error)
        ))
    };
    let silent = || Error::Usage(format!("the launcher at {} does not answer", socket.name));
    let is_late = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    let mut stream = sys::connect(&socket.path, PATIENCE).map_err(|error| match is_late(&error) {
        true => silent(),
        false => nobody(&error),
    })?;
    let mut answer = Vec::new();
    // Who does not take it has not answered, either.
    let _ = stream.write_all(&request.line());
    while stream.read_to_end(&mut answer).is_err_and(|error| is_late(&error)) {
        if matches!(request, Request::Status(_)) {
            return Err(silent());
        }
        if let Err(silent @ Error::Usage(_)) = exchange(socket, &Request::Status(Vec::new())) {
            return Err(silent);
        }
    }
    let mut text = String::from_utf8_lossy(&answer).into_owned();
    // The last record says whether.
    let last = text.trim_end_matches('\n').rfind('\n').map_or(0, |end| end + 1);
    let verdict = text.split_off(last);
    let verdict = json::parse(verdict.trim_end().as_bytes()).unwrap_or(Value::Null);
    match (verdict.get("ok"), verdict.get("error")) {
        (Some(Value::Bool(true)), _) => Ok(Answer { text }),
        (Some(Value::Bool(false)), Some(Value::String(problem))) => Err(Error::No(problem.to_string())),
        _ => Err(Error::Usage(format!(
            "the launcher at {} has not answered: it has ended, or is another user's",
            socket.name
        ))),
    }
}

impl Answer {
    fn records(&self) -> Vec<Value<'_>> {
        self.text.lines().filter_map(|line| json::parse(line.as_bytes()).ok()).collect()
    }
}

/// Whether a plugin runs, or ended well and is not to be restarted.
fn is_well(record: &Value<'_>) -> bool {
    !matches!(record.get("state"), Some(Value::String(state)) if state == "backoff" || state == "failed")
}
