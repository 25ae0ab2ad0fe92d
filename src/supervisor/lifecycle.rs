//! One plugin's life, as a total function: every state with every event, and what is to be done then, such as to
//! start it again. Knows no process, no clock and no plugin; what it orders is carried out by `perform`.
//!
//! What "cannot happen" is asserted in debug builds and changes nothing in release.

mod state;
#[cfg(test)]
mod tests;

use super::backoff::Backoff;
use crate::settings::{Policy, Restart};
use crate::sys::{Change, Pid};
pub use state::State;
use state::{Pressure, Stopping, Then};
use std::time::{Duration, Instant};

/// From the end of a process to the search for others of its plugin, at least: one search serves many ends.
const SEARCH_DELAY: Duration = Duration::from_millis(10);
/// How often to look for what is left of a plugin that is being stopped.
const SEARCH_PAUSE: Duration = Duration::from_millis(50);

/// What can happen to a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The time that [`State::deadline`] names has come.
    Due,
    /// It was forked.
    Forked(Pid),
    /// Its interpreter runs.
    Executed,
    /// It could not be forked, or executed; the same may work later, or not.
    NotStarted { may_pass: bool },
    /// Its first process has ended.
    LeaderEnded(Change),
    /// Another process below us has ended: perhaps the last that a plugin left.
    OtherEnded,
    /// A search has found this of it.
    Found(Left),
    /// No process is left below us.
    NothingLeft,
    /// Somebody wants this.
    Asked(Wish),
    /// Everything below us was sent SIGTERM, and will be sent SIGKILL at this time.
    EverythingStops { last: Instant },
}

/// What a search has found of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    Something,
}

/// What can be wanted of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Start,
    Stop,
    Restart,
    /// Its file, or what it is told, has changed: as a restart, but who was stopped on request stays so.
    Renew,
    /// It is no longer to be there.
    Forget,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Fork it. The answer is [`Event::Forked`] or [`Event::NotStarted`].
    Spawn,
    /// Log that it runs.
    SayStarted,
    /// Log that it will be started after this time.
    SayRestarting(Duration),
    /// Log that it cannot be started.
    SayFailed,
    /// Log what it wrote until now, and that its first process has ended.
    Settle(Change),
    /// Look for what is left of it. The answer is [`Event::Found`].
    Search,
    /// SIGTERM to what was found.
    Ask,
    /// SIGKILL to what was found.
    Kill,
    Forget,
}

/// By what rules a plugin lives at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub policy: Policy,
    /// Everything is being stopped: nothing starts any more.
    pub is_over: bool,
}

/// What becomes of `state` by `event`, and what is to be done, in that order.
pub fn step(state: State, event: Event, rules: Rules, backoff: &mut Backoff, now: Instant) -> (State, Vec<Act>) {
    match state {
        State::Waiting { until } => waiting(until, event, rules, backoff, now),
        State::Forking => forking(event, rules, backoff, now),
        State::Starting { leader, since } => starting(leader, since, event, rules, backoff, now),
        State::Running { leader, since } => running(leader, since, event, rules, backoff, now),
        State::Stopping(stopping) => ending(stopping, event, rules, backoff, now),
        State::Stopped | State::Ended | State::Failed => at_rest(state, event, rules, backoff, now),
    }
}

/// What cannot happen here.
fn impossible(state: State, event: Event) -> (State, Vec<Act>) {
    debug_assert!(false, "{event:?} in {state:?}");
    (state, Vec::new())
}

fn waiting(until: Instant, event: Event, rules: Rules, backoff: &mut Backoff, now: Instant) -> (State, Vec<Act>) {
    let state = State::Waiting { until };
    match event {
        Event::Due | Event::Asked(Wish::Start | Wish::Restart | Wish::Renew) if rules.is_over => (state, Vec::new()),
        Event::Due if now < until => (state, Vec::new()),
        Event::Due => (State::Forking, vec![Act::Spawn]),
        Event::Asked(Wish::Start | Wish::Restart) => (State::Waiting { until: now }, Vec::new()),
        Event::Asked(Wish::Renew) => {
            *backoff = Backoff::default();
            (State::Waiting { until: now }, Vec::new())
        }
        Event::Asked(Wish::Stop) => (State::Stopped, Vec::new()),
        Event::Asked(Wish::Forget) => (state, vec![Act::Forget]),
        // It will not be started: it ends as it last did, or as one that never ran.
        Event::EverythingStops { .. } => (State::Ended, Vec::new()),
        Event::OtherEnded | Event::NothingLeft => (state, Vec::new()),
        // The process of a start that failed ends after the failure was told.
        Event::LeaderEnded(_) => (state, Vec::new()),
        Event::Forked(_) | Event::Executed | Event::NotStarted { .. } | Event::Found(_) => impossible(state, event),
    }
}

fn forking(event: Event, rules: Rules, backoff: &mut Backoff, now: Instant) -> (State, Vec<Act>) {
    match event {
        Event::Forked(leader) => (State::Starting { leader, since: now }, Vec::new()),
        Event::NotStarted { may_pass } => not_started(may_pass, rules, backoff, now),
        // The answer to a fork comes before anything else is looked at.
        Event::Due
        | Event::Executed
        | Event::LeaderEnded(_)
        | Event::OtherEnded
        | Event::Found(_)
        | Event::NothingLeft
        | Event::Asked(_)
        | Event::EverythingStops { .. } => impossible(State::Forking, event),
    }
}

fn not_started(may_pass: bool, rules: Rules, backoff: &mut Backoff, now: Instant) -> (State, Vec<Act>) {
    if rules.is_over || !may_pass || rules.policy.restart == Restart::Never {
        return (State::Failed, vec![Act::SayFailed]);
    }
    let delay = backoff.delay(Duration::ZERO);
    (State::Waiting { until: now + delay }, vec![Act::SayRestarting(delay)])
}

fn starting(
    leader: Pid,
    since: Instant,
    event: Event,
    rules: Rules,
    backoff: &mut Backoff,
    now: Instant,
) -> (State, Vec<Act>) {
    let state = State::Starting { leader, since };
    match event {
        Event::Executed => (State::Running { leader, since }, vec![Act::SayStarted]),
        Event::NotStarted { may_pass } => not_started(may_pass, rules, backoff, now),
        Event::Asked(wish) => wished(leader, state, wish, rules, backoff, now),
        Event::EverythingStops { last } => (going_with_all(leader, rules, last, now), Vec::new()),
        Event::OtherEnded => (state, Vec::new()),
        // How the exec went is asked before the end is told, and who starts is still there.
        Event::LeaderEnded(_) | Event::NothingLeft | Event::Due | Event::Forked(_) | Event::Found(_) => {
            impossible(state, event)
        }
    }
}

fn running(
    leader: Pid,
    since: Instant,
    event: Event,
    rules: Rules,
    backoff: &mut Backoff,
    now: Instant,
) -> (State, Vec<Act>) {
    let state = State::Running { leader, since };
    match event {
        Event::LeaderEnded(change) => {
            let settle = Act::Settle(change);
            if rules.is_over || !is_restarted(rules.policy.restart, change) {
                let state = if change == Change::Exited(0) { State::Ended } else { State::Failed };
                return (state, vec![settle]);
            }
            let delay = backoff.delay(now.saturating_duration_since(since));
            let (kill_at, search_at) = (now + rules.policy.grace_period, now + SEARCH_DELAY);
            let state = State::stopping(None, false, kill_at, search_at, Then::StartAt(now + delay));
            (state, vec![settle, Act::SayRestarting(delay)])
        }
        Event::Asked(wish) => wished(leader, state, wish, rules, backoff, now),
        Event::EverythingStops { last } => (going_with_all(leader, rules, last, now), Vec::new()),
        Event::OtherEnded => (state, Vec::new()),
        Event::Due
        | Event::Forked(_)
        | Event::Executed
        | Event::NotStarted { .. }
        | Event::Found(_)
        | Event::NothingLeft => impossible(state, event),
    }
}

/// A wish about a plugin whose first process lives.
fn wished(
    leader: Pid,
    state: State,
    wish: Wish,
    rules: Rules,
    backoff: &mut Backoff,
    now: Instant,
) -> (State, Vec<Act>) {
    let then = match wish {
        Wish::Start => return (state, Vec::new()),
        Wish::Restart | Wish::Renew if rules.is_over => return (state, Vec::new()),
        Wish::Restart | Wish::Renew => {
            *backoff = Backoff::default();
            Then::StartAt(now)
        }
        Wish::Stop => Then::Stop,
        Wish::Forget => Then::Forget,
    };
    (State::stopping(Some(leader), true, now + rules.policy.grace_period, now, then), Vec::new())
}

/// Everything is asked at once, and killed with the last; only who is due earlier is looked for before.
fn going_with_all(leader: Pid, rules: Rules, last: Instant, now: Instant) -> State {
    let kill_at = now + rules.policy.grace_period;
    State::Stopping(Stopping {
        leader: Some(leader),
        is_wanted: true,
        pressure: Pressure::Asked,
        kill_at,
        search_at: (kill_at < last).then_some(kill_at),
        then: Then::End,
    })
}

fn ending(stopping: Stopping, event: Event, rules: Rules, backoff: &mut Backoff, now: Instant) -> (State, Vec<Act>) {
    let state = State::Stopping(stopping);
    let with = |then| State::Stopping(Stopping { then, is_wanted: true, ..stopping });
    match event {
        Event::Due if stopping.search_at.is_some_and(|at| at <= now) => (state, vec![Act::Search]),
        Event::Due => (state, Vec::new()),
        Event::Found(Left::Nothing) if stopping.leader.is_none() => settled(stopping.then, rules),
        Event::Found(_) => press(stopping, now),
        Event::NothingLeft => settled(stopping.then, rules),
        Event::LeaderEnded(change) if stopping.leader.is_some() => {
            let (search_at, then) = match stopping.then {
                // Everything goes; what it would have been is said by how it ended.
                Then::End | Then::Fail if change != Change::Exited(0) => (stopping.search_at, Then::Fail),
                then => (stopping.search_at.map(|at| at.min(now + SEARCH_DELAY)), then),
            };
            let state = State::Stopping(Stopping { leader: None, search_at, then, ..stopping });
            (state, vec![Act::Settle(change)])
        }
        // Of an earlier start, which failed.
        Event::LeaderEnded(_) => (state, Vec::new()),
        Event::OtherEnded => {
            let search_at = stopping.search_at.map(|at| at.min(now + SEARCH_DELAY));
            (State::Stopping(Stopping { search_at, ..stopping }), Vec::new())
        }
        // Who is to be forgotten is so, sooner or later.
        Event::Asked(Wish::Stop) if stopping.then == Then::Forget => (state, Vec::new()),
        Event::Asked(Wish::Stop) => (with(Then::Stop), Vec::new()),
        Event::Asked(Wish::Forget) => (with(Then::Forget), Vec::new()),
        Event::Asked(Wish::Start | Wish::Restart | Wish::Renew) if rules.is_over => (state, Vec::new()),
        // Renewed while it is being stopped on request: it stays stopped.
        Event::Asked(Wish::Renew) if stopping.then == Then::Stop => (state, Vec::new()),
        Event::Asked(Wish::Start | Wish::Restart | Wish::Renew) => {
            *backoff = Backoff::default();
            (with(Then::StartAt(now)), Vec::new())
        }
        Event::EverythingStops { last } => {
            let kill_at = stopping.kill_at.min(last);
            let then = match stopping.then {
                Then::StartAt(_) => Then::End,
                then => then,
            };
            let search_at = (kill_at < last).then_some(kill_at.max(now));
            let pressure = match stopping.pressure {
                Pressure::None => Pressure::Asked,
                pressure => pressure,
            };
            (State::Stopping(Stopping { pressure, kill_at, search_at, then, ..stopping }), Vec::new())
        }
        // The exec of one that was asked to stop in between.
        Event::Executed | Event::NotStarted { .. } => (state, Vec::new()),
        Event::Forked(_) => impossible(state, event),
    }
}

/// Something is left: it is asked to end once, and killed from the end of the grace period until it is gone.
fn press(stopping: Stopping, now: Instant) -> (State, Vec<Act>) {
    let next = now + SEARCH_PAUSE;
    let (pressure, search_at, acts) = if now >= stopping.kill_at {
        (Pressure::Killed, next, vec![Act::Kill])
    } else if stopping.pressure == Pressure::None {
        (Pressure::Asked, next.min(stopping.kill_at), vec![Act::Ask])
    } else {
        (stopping.pressure, next.min(stopping.kill_at), Vec::new())
    };
    (State::Stopping(Stopping { pressure, search_at: Some(search_at), ..stopping }), acts)
}

/// All processes of a plugin are gone.
fn settled(then: Then, rules: Rules) -> (State, Vec<Act>) {
    match then {
        Then::Stop => (State::Stopped, Vec::new()),
        Then::End => (State::Ended, Vec::new()),
        Then::Fail => (State::Failed, Vec::new()),
        Then::StartAt(_) if rules.is_over => (State::Ended, Vec::new()),
        Then::StartAt(until) => (State::Waiting { until }, Vec::new()),
        Then::Forget => (State::Ended, vec![Act::Forget]),
    }
}

fn at_rest(state: State, event: Event, rules: Rules, backoff: &mut Backoff, now: Instant) -> (State, Vec<Act>) {
    let is_stopped = state == State::Stopped;
    // What it left behind goes first.
    let cleared = |then| State::stopping(None, true, now + rules.policy.grace_period, now, then);
    match event {
        Event::Asked(Wish::Start | Wish::Restart | Wish::Renew) if rules.is_over => (state, Vec::new()),
        Event::Asked(Wish::Renew) if is_stopped => (state, Vec::new()),
        Event::Asked(Wish::Start | Wish::Restart | Wish::Renew) => {
            *backoff = Backoff::default();
            (cleared(Then::StartAt(now)), Vec::new())
        }
        Event::Asked(Wish::Stop) if is_stopped => (state, Vec::new()),
        Event::Asked(Wish::Stop) => (cleared(Then::Stop), Vec::new()),
        Event::Asked(Wish::Forget) if is_stopped => (state, vec![Act::Forget]),
        Event::Asked(Wish::Forget) => (cleared(Then::Forget), Vec::new()),
        Event::OtherEnded | Event::NothingLeft | Event::EverythingStops { .. } => (state, Vec::new()),
        // Of a start that failed.
        Event::LeaderEnded(_) => (state, Vec::new()),
        Event::Due | Event::Forked(_) | Event::Executed | Event::NotStarted { .. } | Event::Found(_) => {
            impossible(state, event)
        }
    }
}

/// Whether a plugin that ended so is started again.
fn is_restarted(restart: Restart, change: Change) -> bool {
    match restart {
        Restart::Never => false,
        Restart::OnFailure => change != Change::Exited(0),
        Restart::Always => true,
    }
}
