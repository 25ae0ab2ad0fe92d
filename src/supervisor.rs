//! The supervisor: one thread that alone spawns, signals and reaps, in one loop with one wait. It waits for nothing else:
//! files are read by the loader's thread, output is moved by the log's. What happens to a plugin is decided in
//! `lifecycle`; here what came becomes events, and `perform` does what they order.

mod above;
mod backoff;
mod children;
mod job;
mod lifecycle;
mod loader;
mod orders;
mod perform;
mod plugins;
mod reading;
mod recursion;
mod reload;
mod requests;
#[cfg(test)]
mod simulation;
mod spawn;
mod starting;
mod stopping;

use crate::answer::complain;
use crate::cli::Arguments;
use crate::control::address::Address;
use crate::control::server::Server;
use crate::descendants::{Process, View};
use crate::error::plain;
use crate::escape::quoted;
use crate::link::Report;
use crate::log::{Log, PluginId};
use crate::notice::{Notice, ReloadCounts};
use crate::settings::Settings;
use crate::sys::{self, Epoll, Interest, Outcome, Pid, SignalState, Signals, Variable};
use crate::watch::{Changes, Watch};
use job::Job;
use lifecycle::{Event, State};
use loader::Loader;
use plugins::{Plugin, Plugins};
use requests::{Pending, Reloads};
use spawn::Inherited;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use stopping::Ending;

pub use above::Above;
pub use recursion::refuse_circle;

/// How often to look at everything where the kernel refuses to wait for it.
const BLIND_PAUSE: Duration = Duration::from_millis(100);

/// What the loop waits for, each with its token.
mod token {
    pub const SIGNALS: u64 = 0;
    pub const LINK: u64 = 1;
    pub const GUARD: u64 = 2;
    pub const PARENT: u64 = 3;
    pub const LOADER: u64 = 4;
    pub const LOG: u64 = 5;
    pub const PROGRAM: u64 = 6;
    pub const CONTROL: u64 = 7;
    pub const WATCH: u64 = 8;
    /// The outcome of a plugin's exec: this and its number.
    pub const PLUGINS: u64 = 1 << 32;
    /// A client of the control socket: this and its number.
    pub const CLIENTS: u64 = 1 << 48;
}

/// See the module.
pub struct Supervisor {
    arguments: Arc<Arguments>,
    settings: Settings,
    inherited: Inherited,
    /// Variables.
    about_launcher: Vec<(OsString, OsString)>,
    /// The process that plugins are told they belong to.
    attached_to: Option<Pid>,
    epoll: Epoll,
    signals: Signals,
    above: Above,
    log: Log,
    server: Option<Server>,
    /// Answers that wait for what was asked.
    pending: Vec<Pending>,
    reloads: Reloads,
    began: Instant,
    loader: Loader,
    /// When the locations are searched for the first time, beside PROGRAM.
    search_at: Option<Instant>,
    /// `None` while nothing is watched, and while the loader sets up the next.
    watch: Option<Watch>,
    changes: Changes,
    /// What was said of the configuration as it is: a reload says only what is new.
    warnings: Vec<String>,
    /// It was said that not everything is watched.
    has_said_unwatched: bool,
    /// Somebody asked for a reload while one was under way.
    wants_reload: bool,
    environment: Rc<[Variable]>,
    job: Option<Job>,
    plugins: Plugins,
    /// Plugins whose exec is under way, and until when it holds up what came of later ones.
    starting: Vec<(PluginId, Instant)>,
    view: Option<View>,
    /// What was found below us in this turn of the loop.
    census: Option<Vec<Process>>,
    ending: Option<Ending>,
    has_children: bool,
    /// A plugin or a location of the last plan cannot be used.
    has_failed: bool,
    /// PROGRAM could not be executed: the status, and nothing else was started.
    failure: Option<u8>,
}

impl Supervisor {
    /// Lives until nothing is left to do. Returns the exit status.
    ///
    /// `signals` is how they were before the launcher changed them. On `control` requests are answered.
    pub fn run(
        arguments: Arguments,
        settings: Settings,
        signals: SignalState,
        above: Above,
        control: Option<(Address, UnixListener)>,
    ) -> u8 {
        sys::wake_when_parent_ends();
        // Where that is refused, the guard has said so.
        let _ = sys::become_subreaper();
        let inherited = Inherited { signals, descriptors: sys::raise_descriptor_limit() };
        let about_launcher = spawn::about_launcher(control.as_ref().map(|(address, _)| address.path.as_path()));
        // Before this process leaves the caller's session, in which both belong.
        let job = match settings.program.is_empty() {
            true => None,
            false => match spawn::program(&settings, about_launcher.clone(), &inherited) {
                Ok(spawned) => Some(Job::new(spawned.pid, spawned.outcome, &above)),
                Err(error) => return cannot_run(&settings, &error),
            },
        };
        // Plugins do not have what the caller ignores.
        sys::default_signals();
        let _ = sys::lead_own_session();
        sys::set_name(c"plugin-supervis");
        let started = Epoll::new()
            .and_then(|epoll| Ok((epoll, Signals::open()?, Log::open(settings.log_fd, &settings)?, Loader::new()?)));
        let (epoll, own_signals, log, loader) = match started {
            Ok(started) => started,
            Err(error) => return cannot_begin(&above, &error),
        };
        let mut supervisor = Supervisor {
            inherited,
            about_launcher,
            attached_to: job.as_ref().map(Job::pid).or(above.parent()),
            epoll,
            signals: own_signals,
            above,
            has_children: job.is_some(),
            log,
            server: None,
            pending: Vec::new(),
            reloads: Reloads { begun: 0, done: 0, last: Ok(ReloadCounts::default()) },
            began: Instant::now(),
            loader,
            search_at: None,
            watch: None,
            changes: Changes::default(),
            warnings: Vec::new(),
            has_said_unwatched: false,
            wants_reload: false,
            environment: Rc::default(),
            job,
            plugins: Plugins::new(),
            starting: Vec::new(),
            view: None,
            census: None,
            ending: None,
            has_failed: false,
            failure: None,
            arguments: Arc::new(arguments),
            settings,
        };
        let open = |(address, listener)| {
            let (epoll, descriptors) = (&supervisor.epoll, inherited.descriptors);
            Server::open(address, listener, epoll, token::CONTROL, token::CLIENTS, descriptors)
        };
        let server = control.map(open).transpose();
        if let Err(error) = server.map(|server| supervisor.server = server).and_then(|()| supervisor.register()) {
            return cannot_begin(&supervisor.above, &error);
        }
        supervisor.work();
        let status = supervisor.failure.unwrap_or_else(|| supervisor.end());
        // The process ends next, and the kernel lets go of everything at once.
        std::mem::forget(supervisor);
        status
    }

    /// Has everything that can have news report it.
    fn register(&mut self) -> io::Result<()> {
        self.epoll.add(self.signals.as_fd(), token::SIGNALS)?;
        self.epoll.add(self.loader.news(), token::LOADER)?;
        self.epoll.add(self.log.ended(), token::LOG)?;
        self.above.register(&self.epoll)?;
        if let Some(outcome) = self.job.as_ref().and_then(|job| job.outcome.as_ref()) {
            self.epoll.add(outcome.as_fd(), token::PROGRAM)?;
        }
        Ok(())
    }

    fn say(&self, notice: &Notice<'_>) {
        self.log.say(notice);
    }

    fn warn(&self, reason: &str) {
        self.say(&Notice::Warning { plugin: None, reason });
    }

    fn is_program_running(&self) -> bool {
        self.job.as_ref().is_some_and(Job::is_running)
    }

    // ------------------------------------------------------------ the loop

    /// Waits, takes what came, and does what is due, until nothing is left to do.
    fn work(&mut self) {
        let mut ready = Vec::new();
        if self.job.is_none() {
            self.say_what_was_noted();
            self.search();
        }
        loop {
            self.census = None;
            self.reap();
            self.keep_deadlines();
            self.answer_pending();
            self.stop_when_idle();
            if self.failure.is_some() || self.is_done() {
                return;
            }
            self.wait(&mut ready);
            ready.iter().for_each(|&token| self.take(token));
            self.take_orders(&ready);
        }
    }

    /// Waits for news, at most until something is due.
    fn wait(&self, ready: &mut Vec<u64>) {
        let tick = self.above.tick().map(|tick| Instant::now() + tick);
        let of_plugins = self.plugins.next_due().map(|(at, _)| at);
        let of_all = self.ending.as_ref().filter(|_| self.has_children).map(Ending::deadline);
        let of_server = self.server.as_ref().and_then(Server::due);
        let own = [self.search_at, self.changes.due(), self.patience_ends(), of_server];
        let deadline = [tick, of_plugins, of_all].into_iter().chain(own).flatten().min();
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        self.log.begin();
        self.wait_at_most(timeout, ready);
    }

    fn wait_at_most(&self, timeout: Option<Duration>, ready: &mut Vec<u64>) {
        if self.epoll.wait(ready, timeout).is_err() {
            // A filter of system calls has denied it: everything is looked at, now and then.
            let pause = timeout.map_or(BLIND_PAUSE, |timeout| timeout.min(BLIND_PAUSE));
            // With what the guard tells comes SIGCONT.
            let _ = sys::wait_readable([Some(self.signals.as_fd())], Some(pause));
            ready.extend(self.tokens());
        }
    }

    /// The tokens of all that may have news. What a program's exec came to is waited for by who takes it.
    fn tokens(&self) -> Vec<u64> {
        let is_known = |outcome: &Outcome| sys::is_ready(outcome.as_fd(), Interest::Readable);
        let mut tokens = vec![token::SIGNALS, token::LINK, token::LOADER, token::WATCH, token::CONTROL];
        tokens.extend(self.server.iter().flat_map(Server::tokens_of_clients));
        if self.job.as_ref().and_then(|job| job.outcome.as_ref()).is_some_and(is_known) {
            tokens.push(token::PROGRAM);
        }
        let outcome = |id: PluginId| self.plugins.get(id).and_then(|plugin| plugin.outcome.as_ref());
        let started = self.starting.first().map(|(id, _)| *id).filter(|id| outcome(*id).is_some_and(is_known));
        tokens.extend(started.map(|id| token::PLUGINS + id as u64));
        tokens
    }

    /// Takes the news that a token stands for.
    fn take(&mut self, token: u64) {
        match token {
            token::SIGNALS => self.take_signals(),
            token::LOADER => self.take_loaded(),
            token::WATCH => {
                if self.watch.as_ref().is_some_and(Watch::take) {
                    self.changes.note(Instant::now());
                }
            }
            token::PROGRAM => self.take_outcome_of_program(),
            // What is above is looked at in every turn, and the log when it is to end.
            token::LINK | token::GUARD | token::PARENT | token::LOG => {}
            token::CONTROL => {
                if let Some(server) = &mut self.server {
                    server.accept(&self.epoll);
                }
            }
            token::CLIENTS.. => self.take_from_client(token),
            of_plugin => self.note_outcome(of_plugin.wrapping_sub(token::PLUGINS) as PluginId),
        }
    }

    // ------------------------------------------------------------ deadlines

    /// Does all that is due. At most one plugin is started before the next look at what came.
    fn keep_deadlines(&mut self) {
        let now = Instant::now();
        if self.patience_ends().is_some_and(|at| at <= now) {
            self.take_outcomes();
        }
        while let Some((_, id)) = self.plugins.next_due().filter(|(at, _)| *at <= now) {
            let starts = |plugin: &Plugin| matches!(plugin.state(), State::Waiting { .. });
            let is_start = self.plugins.get(id).is_some_and(starts);
            self.happen(id, Event::Due);
            // A search that found something has its next time.
            if is_start {
                break;
            }
        }
        if let Some(server) = self.server.as_mut().filter(|server| server.due().is_some_and(|at| at <= now)) {
            server.open_again(&self.epoll);
        }
        if self.search_at.take_if(|at| *at <= now).is_some() {
            self.search();
        }
        if self.changes.take_due(now) {
            self.reload();
        }
        self.step_ending();
    }
}

/// Says that nothing can be done here, and leaves to the guard what was started. Returns the status.
fn cannot_begin(above: &Above, error: &io::Error) -> u8 {
    above.tell(&Report::CannotBegin);
    complain(&format!("cannot start: {}", plain(error)));
    2
}

/// Says that PROGRAM cannot be run, as a shell does. Returns the status.
fn cannot_run(settings: &Settings, error: &io::Error) -> u8 {
    let word = settings.program.first().map(OsString::as_os_str).unwrap_or_default();
    let (reason, status) = spawn::told_by_a_shell(word, error);
    complain(&format!("cannot run `{}`: {reason}", quoted(word)));
    status
}
