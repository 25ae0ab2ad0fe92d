//! Where a plugin is in its life, and what each state says of it.

use crate::sys::Pid;
use std::time::Instant;

/// Where a plugin is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// To be started at this time: at once, or after a backoff.
    Waiting {
        until: Instant,
    },
    /// Being forked: the answer is the next event.
    Forking,
    /// Forked, and not yet known to run its interpreter.
    Starting {
        leader: Pid,
        since: Instant,
    },
    Running {
        leader: Pid,
        since: Instant,
    },
    /// What it started is being stopped.
    Stopping(Stopping),
    /// On request. Nothing of it is left.
    Stopped,
    /// With status 0, and not to be restarted. What it left behind runs on.
    Ended,
    /// Badly, or it could not be started.
    Failed,
}

/// The end of a plugin with all that it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// Its first process, while that lives.
    pub leader: Option<Pid>,
    /// It was asked for; else the leader ended by itself, and what it left goes before the next start.
    pub is_wanted: bool,
    pub pressure: Pressure,
    pub kill_at: Instant,
    /// `None` where the stop of everything looks after it until then.
    pub search_at: Option<Instant>,
    pub then: Then,
}

/// What the processes of a stopping plugin were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    None,
    Asked,
    Killed,
}

/// What follows when all of a plugin's processes are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Stop,
    End,
    Fail,
    StartAt(Instant),
    Forget,
}

impl State {
    /// When [`super::Event::Due`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            State::Waiting { until } => Some(*until),
            State::Stopping(stopping) => stopping.search_at,
            State::Forking
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopped
            | State::Ended
            | State::Failed => None,
        }
    }

    /// Its first process, while that lives.
    pub fn leader(&self) -> Option<Pid> {
        match self {
            State::Starting { leader, .. } | State::Running { leader, .. } => Some(*leader),
            State::Stopping(stopping) => stopping.leader,
            State::Waiting { .. } | State::Forking | State::Stopped | State::Ended | State::Failed => None,
        }
    }

    /// Whether it runs, or will: the launcher stays for it.
    pub fn has_work(&self) -> bool {
        match self {
            State::Waiting { .. }
            | State::Forking
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping(_)
            // It may be started again.
            | State::Stopped => true,
            State::Ended | State::Failed => false,
        }
    }

    /// The word for it in `status` and in the log.
    pub fn name(&self) -> &'static str {
        match self {
            State::Waiting { .. } => "backoff",
            State::Stopping(stopping) if !stopping.is_wanted => "backoff",
            State::Forking | State::Starting { .. } | State::Running { .. } => "running",
            State::Stopping(_) => "stopping",
            State::Stopped => "stopped",
            State::Ended => "ended",
            State::Failed => "failed",
        }
    }

    /// Whether it ended badly, or could not be started.
    pub fn has_failed(&self) -> bool {
        *self == State::Failed
    }

    /// Whether it is about to be in another state: neither at rest, nor running, nor waiting for a backoff to pass.
    pub fn is_on_its_way(&self, now: Instant) -> bool {
        match self {
            State::Waiting { until } => *until <= now,
            State::Forking | State::Starting { .. } | State::Stopping(_) => true,
            State::Running { .. } | State::Stopped | State::Ended | State::Failed => false,
        }
    }

    /// Whether it is being stopped and will not start again.
    pub fn is_leaving(&self) -> bool {
        matches!(self, State::Stopping(Stopping { then: Then::Forget, .. }))
    }

    /// Whether it is, or will be, stopped because somebody asked for that.
    pub fn is_stopped_on_request(&self) -> bool {
        matches!(self, State::Stopped | State::Stopping(Stopping { then: Then::Stop, .. }))
    }

    pub fn stopping(leader: Option<Pid>, is_wanted: bool, kill_at: Instant, search_at: Instant, then: Then) -> State {
        let (pressure, search_at) = (Pressure::None, Some(search_at));
        State::Stopping(Stopping { leader, is_wanted, pressure, kill_at, search_at, then })
    }
}
