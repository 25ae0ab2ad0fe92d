//! The supervisor: one thread that alone spawns, signals and reaps, in one loop with one wait. Before the first spawn an
//! error ends it; after that nothing does but its own end: a plugin's failure is a notice.

mod descendants;
mod ending;
mod guard;
mod job;
mod parent;
mod reload;
mod restart;
mod spawn;
mod start;
mod stop;

use crate::answer::complain;
use crate::cli::Arguments;
use crate::configuration::Location;
use crate::document::{Value, json};
use crate::error::{Error, plain};
use crate::log::{self, Counters, Log, PluginId};
use crate::notice::{Notice, Status, describe};
use crate::settings::{Policy, Settings};
use crate::sys::{self, Change, Pid, Reaped, SignalState, Signals, signal};
use job::Job;
use restart::Backoff;
use spawn::Inherited;
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::io::{PipeReader, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use stop::Stop;

/// From the end of a process to the search for others of its plugin, at least: one search serves many ends.
const SEARCH_DELAY: Duration = Duration::from_millis(10);

/// Runs the plugins, and PROGRAM if there is one, to their end. Returns the exit status.
///
/// # Errors
/// Usage: nothing was started, with the reason.
pub fn run(arguments: Arguments, settings: Settings) -> Result<u8, Error> {
    if settings.locations.is_none() && settings.program.is_empty() {
        return Err(Error::Usage(settings.no_locations));
    }
    log::check_descriptor(settings.log_fd)?;
    if let Some(location) = above_us(settings.locations.as_deref().unwrap_or_default()) {
        return Err(Error::Usage(format!(
            "`{}` is run already by the launcher that started this one; give other locations",
            location.display()
        )));
    }
    guard::run(arguments, settings)
}

/// The first of `locations` that a launcher above us runs already: a plugin that starts a launcher on its own directory
/// would do so for ever.
fn above_us(locations: &[Location]) -> Option<&Path> {
    let text = std::env::var_os(spawn::LOCATIONS_VARIABLE)?;
    let Ok(Value::Array(taken)) = json::parse(text.as_encoded_bytes()) else { return None };
    let is_taken = |location: &&Path| {
        let canonical = canonical(location);
        taken.iter().any(|taken| matches!(taken, Value::String(path) if *path == *canonical))
    };
    locations.iter().map(|location| location.path.as_path()).find(is_taken)
}

fn canonical(location: &Path) -> String {
    location.canonicalize().unwrap_or_else(|_| location.to_path_buf()).to_string_lossy().into_owned()
}

/// What connects the supervisor to the guard.
struct Link {
    pipe: PipeReader,
    guard: Pid,
    /// The process group that the caller started us in.
    group: Pid,
}

/// What the loop waits for, besides deadlines and children.
enum Event {
    Signal(i32),
    /// To this process itself, beside the guard: from who signals all processes of a group, of a cgroup, or of a name.
    Direct(i32),
    ParentGone,
    GuardGone,
}

/// One plugin that is meant to run.
struct Plugin {
    name: OsString,
    path: PathBuf,
    command: Vec<OsString>,
    policy: Policy,
    /// A digest of the file as it was when found.
    content: u64,
    state: State,
    backoff: Backoff,
    restarts: u64,
    last: Option<Change>,
    has_failed: bool,
    counters: Arc<Counters>,
}

/// Where a plugin is in its life.
#[derive(Clone, Copy, Debug)]
enum State {
    /// To be started at this time; at once, or after a backoff.
    Waiting {
        until: Instant,
    },
    Running {
        leader: Pid,
        since: Instant,
    },
    /// What it started is being stopped, and looked for at `search_at`; never, when the stop of everything does it.
    Stopping {
        leader: Pid,
        is_leader_gone: bool,
        pressure: Pressure,
        kill_at: Instant,
        search_at: Option<Instant>,
        then: Then,
    },
    Ended,
}

/// What the processes of a stopping plugin were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressure {
    None,
    Asked,
    Killing,
}

/// What follows when all of a plugin's processes are gone.
#[derive(Clone, Copy, Debug)]
enum Then {
    End,
    StartAt(Instant),
    Forget,
}

/// The stop of everything.
struct Stopping {
    stop: Stop,
    /// Somebody asked for it, so that a stalled reader is not waited for.
    is_requested: bool,
    /// By a signal: the next one skips the grace period.
    was_signalled: bool,
    has_given_up: bool,
}

/// See the module.
pub struct Supervisor {
    arguments: Arguments,
    settings: Settings,
    inherited: Inherited,
    attached_to: Option<Pid>,
    link: Option<Link>,
    guard: Pid,
    signals: Signals,
    log: Log,
    plugins: BTreeMap<PluginId, Plugin>,
    next_id: PluginId,
    environment: Arc<[CString]>,
    job: Option<Job>,
    stopping: Option<Stopping>,
    /// Longer where a search takes long, as on a machine with many processes.
    search_delay: Duration,
    has_children: bool,
    has_failed: bool,
}

impl Supervisor {
    /// Lives until nothing is left to do. Returns the exit status.
    fn run(arguments: Arguments, settings: Settings, signals: SignalState, attached_to: Option<Pid>, link: Link) -> u8 {
        // Where that is refused, the guard has said so.
        let _ = sys::become_subreaper();
        let opened = Signals::open().and_then(|signals| Ok((signals, Log::start(settings.log_fd, &settings)?)));
        let (own_signals, log) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                complain(&format!("cannot start: {}", plain(&error)));
                return 2;
            }
        };
        let mut supervisor = Supervisor {
            inherited: Inherited { signals, descriptors: sys::raise_descriptor_limit() },
            attached_to,
            guard: link.guard,
            signals: own_signals,
            log,
            plugins: BTreeMap::new(),
            next_id: 0,
            environment: Arc::default(),
            job: None,
            stopping: None,
            search_delay: SEARCH_DELAY,
            has_children: false,
            has_failed: false,
            arguments,
            settings,
            link: Some(link),
        };
        if let Err(status) = supervisor.start_program() {
            return status;
        }
        supervisor.prepare();
        supervisor.work();
        supervisor.end()
    }

    fn say(&self, notice: &Notice<'_>) {
        self.log.say(notice);
    }

    // ------------------------------------------------------------ the loop

    fn work(&mut self) {
        loop {
            self.reap();
            let now = Instant::now();
            self.keep_deadlines(now);
            if self.is_done() {
                return;
            }
            for event in self.wait(self.next_deadline()) {
                self.take(event);
            }
        }
    }

    /// Waits for news, at most until the deadline, and returns what came but from children.
    fn wait(&mut self, deadline: Option<Instant>) -> Vec<Event> {
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let link = self.link.as_ref().map(|link| link.pipe.as_fd());
        let ready = sys::wait_readable([Some(self.signals.as_fd()), link], timeout);
        let mut events = Vec::new();
        while let Some(arrived) = self.signals.take() {
            // SIGCONT is how the guard wakes us; what is meant for PROGRAM comes over the link.
            if arrived.number != signal::CHLD && arrived.number != signal::CONT {
                let is_beside = self.link.is_some();
                events.push(if is_beside { Event::Direct(arrived.number) } else { Event::Signal(arrived.number) });
            }
        }
        if let (Ok([_, true]), Some(link)) = (ready, &mut self.link) {
            let mut bytes = [0; 64];
            let count = link.pipe.read(&mut bytes).unwrap_or(0);
            events.extend(bytes[..count].iter().map(|&byte| match byte {
                guard::PARENT_GONE => Event::ParentGone,
                number => Event::Signal(i32::from(number)),
            }));
            if count == 0 {
                self.link = None;
                events.push(Event::GuardGone);
            }
        }
        events
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::ParentGone => self.stop("the parent process ended"),
            Event::GuardGone => self.stop("the guard was killed"),
            Event::Signal(number) => match &mut self.job {
                Some(job) if job.is_running() => job.pass_on(number),
                Some(_) | None => self.obey(number),
            },
            // What else it can mean is said by the guard, once.
            Event::Direct(number) => {
                if signal::STOPS.contains(&number) && !self.job.as_ref().is_some_and(Job::is_running) {
                    self.stop(&signal::name(number));
                }
            }
        }
    }

    /// Acts on a signal that is meant for the launcher itself.
    fn obey(&mut self, number: i32) {
        match number {
            number if signal::STOPS.contains(&number) => {
                self.stop(&signal::name(number));
                if let Some(stopping) = &mut self.stopping
                    && std::mem::replace(&mut stopping.was_signalled, true)
                {
                    self.skip_grace_period();
                }
            }
            signal::HUP if self.stopping.is_none() => self.reload(),
            signal::USR1 => self.report_status(),
            _ => {}
        }
    }

    fn report_status(&self) {
        if self.log.is_status_pending() {
            return;
        }
        let now = Instant::now();
        let statuses: Vec<Status> = self.plugins.values().map(|plugin| status(plugin, now)).collect();
        self.log.say_status(self.plugins.values().zip(&statuses).map(|(plugin, status)| Notice::Status {
            plugin: &plugin.name,
            path: &plugin.path,
            status,
        }));
    }

    fn reap(&mut self) {
        loop {
            match sys::reap() {
                Reaped::Child(pid, change) => self.note_change(pid, change),
                Reaped::Nothing => {
                    self.has_children = true;
                    return;
                }
                Reaped::NoChildren => {
                    self.has_children = false;
                    return;
                }
            }
        }
    }

    fn note_change(&mut self, pid: Pid, change: Change) {
        let now = Instant::now();
        if let Some(job) = self.job.as_mut().filter(|job| job.pid() == pid) {
            job.note_change(change);
            if !job.is_running() {
                self.stop("the program ended");
            }
            return;
        }
        if matches!(change, Change::Stopped(_)) {
            return;
        }
        for id in self.plugins.keys().copied().collect::<Vec<_>>() {
            let Some(plugin) = self.plugins.get_mut(&id) else { continue };
            match &mut plugin.state {
                State::Running { leader, since } if *leader == pid => {
                    let ran = now.saturating_duration_since(*since);
                    return self.note_end(id, pid, change, ran, now);
                }
                State::Stopping { leader, is_leader_gone, search_at, .. } => {
                    // Anything that ended may have been the last that it left behind.
                    if self.stopping.is_none() {
                        let soon = now + self.search_delay;
                        *search_at = Some(search_at.map_or(soon, |at| at.min(soon)));
                    }
                    if *leader == pid && !*is_leader_gone {
                        *is_leader_gone = true;
                        plugin.last = Some(change);
                        return self.settle(id, change, true);
                    }
                }
                State::Running { .. } | State::Waiting { .. } | State::Ended => {}
            }
        }
    }

    /// A plugin's first process has ended by itself.
    fn note_end(&mut self, id: PluginId, leader: Pid, change: Change, ran: Duration, now: Instant) {
        self.settle(id, change, self.stopping.is_some());
        let is_stopping = self.stopping.is_some();
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        plugin.last = Some(change);
        plugin.has_failed = change != Change::Exited(0);
        if is_stopping || !restart::is_wanted(plugin.policy.restart, change) {
            plugin.state = State::Ended;
            return;
        }
        let delay = plugin.backoff.delay(ran);
        plugin.restarts += 1;
        // What it left behind goes first.
        plugin.state = State::Stopping {
            leader,
            is_leader_gone: true,
            pressure: Pressure::None,
            kill_at: now + plugin.policy.grace_period,
            search_at: Some(now + self.search_delay),
            then: Then::StartAt(now + delay),
        };
        let (name, count) = (plugin.name.clone(), plugin.restarts);
        self.say(&Notice::Restarting { plugin: &name, reason: &describe(change), delay, count });
    }

    /// Logs what a plugin wrote before its end, and then the end.
    fn settle(&self, id: PluginId, change: Change, is_wanted: bool) {
        let Some(plugin) = self.plugins.get(&id) else { return };
        let notice = Notice::Exited { plugin: &plugin.name, change, is_wanted };
        self.log.settle(id, &notice);
    }

    // ------------------------------------------------------------ deadlines

    fn next_deadline(&self) -> Option<Instant> {
        let of_plugins = self.plugins.values().filter_map(|plugin| match plugin.state {
            State::Waiting { until } => Some(until),
            State::Stopping { search_at, .. } => search_at,
            State::Running { .. } | State::Ended => None,
        });
        of_plugins.chain(self.stopping.as_ref().map(|stopping| stopping.stop.deadline())).min()
    }

    /// Does all that is due. At most one plugin is started before the next look at signals.
    fn keep_deadlines(&mut self, now: Instant) {
        let is_due = |plugin: &Plugin| matches!(plugin.state, State::Waiting { until } if until <= now);
        if let Some(id) = self.plugins.iter().find(|(_, plugin)| is_due(plugin)).map(|(&id, _)| id) {
            self.start(id, now);
        }
        self.search_due(now);
        self.step_stop(now);
    }

    /// What all processes of a plugin carry in their environment.
    fn mark(&self, id: PluginId) -> String {
        format!("{}.{id}", std::process::id())
    }
}

fn status(plugin: &Plugin, now: Instant) -> Status {
    let (state, pid, since) = match plugin.state {
        State::Waiting { .. } => ("backoff", None, now),
        State::Running { leader, since } => ("running", Some(leader), since),
        State::Stopping { .. } => ("stopping", None, now),
        State::Ended => ("ended", None, now),
    };
    Status {
        state,
        pid,
        uptime: now.saturating_duration_since(since),
        restarts: plugin.restarts,
        last: plugin.last,
        lines: plugin.counters.lines.load(Ordering::Relaxed),
        bytes: plugin.counters.bytes.load(Ordering::Relaxed),
    }
}
