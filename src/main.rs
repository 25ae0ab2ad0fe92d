//! Launches LMCache plugins beside a process, and leaves nothing behind.

#[cfg(not(target_os = "linux"))]
compile_error!("lmcache-plugin-launcher runs on Linux only: it needs child subreapers, signalfd and /proc");

mod answer;
mod cli;
mod columns;
mod configuration;
mod control;
mod descendants;
mod document;
mod error;
mod escape;
mod guard;
mod help;
mod install;
mod lines;
mod link;
mod lmcache;
mod log;
mod nearest;
mod notice;
mod numbered;
mod parent;
mod plugin;
mod record;
mod report;
mod settings;
mod supervisor;
mod sys;
mod timestamp;
mod watch;
mod witness;

use answer::print;
use cli::{Command, Opt, Request};
use error::Error;
use settings::Settings;
use std::io::{self, Write};

fn main() -> ! {
    let outcome = run();
    if let Err(error) = &outcome {
        let mut line = [cli::NAME, ": "].concat().into_bytes();
        escape::one_line(error.message().as_bytes(), &mut line);
        line.push(b'\n');
        let _ = io::stderr().write_all(&line);
    }
    sys::exit(outcome.unwrap_or_else(|error| error.status()))
}

fn run() -> Result<u8, Error> {
    let (command, arguments) = match cli::parse(std::env::args_os().skip(1))? {
        Request::Help(command) => return print(help::help(command).as_bytes()),
        Request::Version => {
            return print(concat!("lmcache-plugin-launcher ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
        }
        Request::Do(command, arguments) => (command, arguments),
    };
    match command {
        Command::Run => {
            plugin::missing::refuse_program(&arguments.operands)?;
            let settings = Settings::resolve(&arguments)?;
            log::claim_descriptor(settings.log_fd)?;
            supervisor::refuse_circle(&settings)?;
            guard::run(*arguments, settings)
        }
        Command::List => report::list(&Settings::resolve(&arguments)?),
        Command::Check => report::check(&Settings::resolve(&arguments)?),
        Command::Get => print(&configuration::get(&arguments)?),
        Command::Status | Command::Reload | Command::Start | Command::Stop | Command::Restart => {
            control::client::ask(command, &arguments)
        }
        Command::Install => install::install(&arguments.operands[0], arguments.value(Opt::Bridge).is_some()),
    }
}
