//! One plugin's life, as a total function: every state with every event, and what is to be done then, such as to
//! start it again. Knows no process, no clock and no plugin; what it orders is carried out by `perform`.
//!
//! What "cannot happen" is asserted in debug builds and changes nothing in release.

use super::backoff::Backoff;
use crate::settings::{Policy, Restart};
use crate::sys::{Change, Pid};
use std::time::{Duration, Instant};

/// From the end of a process to the search for others of its plugin, at least: one search serves many ends.
const SEARCH_DELAY: Duration = Duration::from_millis(10);
/// How often to look for what is left of a plugin that is being stopped.
const SEARCH_PAUSE: Duration = Duration::from_millis(50);

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

impl State {
    /// When [`Event::Due`] is due.
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

    fn stopping(leader: Option<Pid>, is_wanted: bool, kill_at: Instant, search_at: Instant, then: Then) -> State {
        let (pressure, search_at) = (Pressure::None, Some(search_at));
        State::Stopping(Stopping { leader, is_wanted, pressure, kill_at, search_at, then })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const SECOND: Duration = Duration::from_secs(1);
    const GRACE: Duration = Duration::from_secs(5);

    /// A moment to count from, with room before it.
    fn noon() -> Instant {
        Instant::now() + Duration::from_secs(1000)
    }

    /// A stop of which nothing was sent yet, five seconds from SIGKILL, that is looked after now.
    fn stopping(leader: Option<Pid>, then: Then, noon: Instant) -> State {
        State::stopping(leader, true, noon + GRACE, noon, then)
    }

    fn rules(restart: Restart, is_over: bool) -> Rules {
        Rules { policy: Policy { restart, grace_period: GRACE }, is_over }
    }

    /// A state in words, times as seconds from noon.
    fn words(state: State, noon: Instant) -> String {
        let at = |at: Instant| at.saturating_duration_since(noon).as_secs_f64();
        match state {
            State::Waiting { until } => format!("waiting {}", at(until)),
            State::Forking => "forking".into(),
            State::Starting { leader, .. } => format!("starting {leader}"),
            State::Running { leader, .. } => format!("running {leader}"),
            State::Stopping(Stopping { leader, pressure, kill_at, search_at, then, .. }) => {
                let leader = leader.map_or("gone".into(), |leader| leader.to_string());
                let search = search_at.map_or("never".into(), |search_at| at(search_at).to_string());
                let then = match then {
                    Then::StartAt(until) => format!("start {}", at(until)),
                    other => format!("{other:?}").to_lowercase(),
                };
                format!("stopping {leader} {pressure:?} kill {} search {search} then {then}", at(kill_at))
            }
            State::Stopped => "stopped".into(),
            State::Ended => "ended".into(),
            State::Failed => "failed".into(),
        }
    }

    /// What becomes of a state by an event at noon, in words; acts behind it.
    fn cell(state: State, event: Event, rules: Rules, noon: Instant) -> String {
        let mut backoff = Backoff::default();
        match catch_unwind(AssertUnwindSafe(|| step(state, event, rules, &mut backoff, noon))) {
            Err(_) => "impossible".into(),
            Ok((state, acts)) => acts.iter().fold(words(state, noon), |text, act| format!("{text}; {act:?}")),
        }
    }

    /// Every event, with its name in the table.
    fn events(noon: Instant) -> Vec<(&'static str, Event)> {
        vec![
            ("due", Event::Due),
            ("forked", Event::Forked(9)),
            ("executed", Event::Executed),
            ("not started, may pass", Event::NotStarted { may_pass: true }),
            ("not started", Event::NotStarted { may_pass: false }),
            ("leader ended well", Event::LeaderEnded(Change::Exited(0))),
            ("leader ended badly", Event::LeaderEnded(Change::Signaled(9))),
            ("other ended", Event::OtherEnded),
            ("found nothing", Event::Found(Left::Nothing)),
            ("found something", Event::Found(Left::Something)),
            ("nothing left", Event::NothingLeft),
            ("start", Event::Asked(Wish::Start)),
            ("stop", Event::Asked(Wish::Stop)),
            ("restart", Event::Asked(Wish::Restart)),
            ("renew", Event::Asked(Wish::Renew)),
            ("forget", Event::Asked(Wish::Forget)),
            ("everything stops", Event::EverythingStops { last: noon + GRACE * 2 }),
        ]
    }

    /// Every state, with its name in the table.
    fn states(noon: Instant) -> Vec<(&'static str, State)> {
        vec![
            ("waiting", State::Waiting { until: noon }),
            ("waiting for later", State::Waiting { until: noon + SECOND }),
            ("forking", State::Forking),
            ("starting", State::Starting { leader: 7, since: noon - SECOND }),
            ("running", State::Running { leader: 7, since: noon - SECOND }),
            ("stopping, leader alive", stopping(Some(7), Then::Stop, noon)),
            ("stopping, leader gone", stopping(None, Then::StartAt(noon + SECOND), noon)),
            ("stopped", State::Stopped),
            ("ended", State::Ended),
            ("failed", State::Failed),
        ]
    }

    /// The whole table as text: a row for each state with each event.
    fn table(rules: Rules) -> String {
        let noon = noon();
        let mut table = String::new();
        for (state_name, state) in states(noon) {
            for (event_name, event) in events(noon) {
                table += &format!("{state_name} | {event_name} | {}\n", cell(state, event, rules, noon));
            }
        }
        table
    }

    #[test]
    fn every_state_with_every_event() {
        let rules = rules(Restart::Always, false);
        assert_same(&table(rules), include_str!("lifecycle/always.txt"));
    }

    #[test]
    fn every_state_with_every_event_when_all_is_over() {
        let rules = rules(Restart::Always, true);
        assert_same(&table(rules), include_str!("lifecycle/over.txt"));
    }

    fn assert_same(found: &str, expected: &str) {
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(found, expected);
        }
        assert_eq!(found.lines().count(), expected.lines().count());
    }

    #[test]
    fn each_state_answers_every_question() {
        let noon = noon();
        let unwanted = |then| State::stopping(None, false, noon + GRACE, noon, then);
        let all = [
            (State::Waiting { until: noon }, "backoff, works, on its way"),
            (State::Waiting { until: noon + SECOND }, "backoff, works"),
            (State::Forking, "running, works, on its way"),
            (State::Starting { leader: 7, since: noon }, "running, works, on its way"),
            (State::Running { leader: 7, since: noon }, "running, works"),
            (unwanted(Then::StartAt(noon)), "backoff, works, on its way"),
            (stopping(Some(7), Then::StartAt(noon), noon), "stopping, works, on its way"),
            (stopping(None, Then::End, noon), "stopping, works, on its way"),
            (stopping(None, Then::Forget, noon), "stopping, works, on its way, leaving"),
            (stopping(None, Then::Stop, noon), "stopping, works, on its way, on request"),
            (State::Stopped, "stopped, works, on request"),
            (State::Ended, "ended"),
            (State::Failed, "failed, badly"),
        ];
        for (state, expected) in all {
            let questions = [
                (state.has_work(), "works"),
                (state.is_on_its_way(noon), "on its way"),
                (state.is_leaving(), "leaving"),
                (state.is_stopped_on_request(), "on request"),
                (state.has_failed(), "badly"),
            ];
            let yes = questions.into_iter().filter_map(|(answer, word)| answer.then_some(word));
            let words: Vec<&str> = std::iter::once(state.name()).chain(yes).collect();
            assert_eq!(words.join(", "), expected, "{state:?}");
        }
    }

    #[test]
    fn the_policy_decides_by_how_it_ended() {
        let noon = noon();
        let running = State::Running { leader: 7, since: noon - SECOND };
        let [well, badly, killed] = [Change::Exited(0), Change::Exited(1), Change::Signaled(9)];
        for (restart, change, expected) in [
            (Restart::Never, well, "ended; Settle(Exited(0))"),
            (Restart::Never, badly, "failed; Settle(Exited(1))"),
            (Restart::Never, killed, "failed; Settle(Signaled(9))"),
            (Restart::OnFailure, well, "ended; Settle(Exited(0))"),
            (
                Restart::OnFailure,
                badly,
                "stopping gone None kill 5 search 0.01 then start 1; Settle(Exited(1)); SayRestarting(1s)",
            ),
            (
                Restart::Always,
                well,
                "stopping gone None kill 5 search 0.01 then start 1; Settle(Exited(0)); SayRestarting(1s)",
            ),
        ] {
            let found = cell(running, Event::LeaderEnded(change), rules(restart, false), noon);
            assert_eq!(found, expected, "{restart:?} {change:?}");
        }
        let starting = State::Starting { leader: 7, since: noon };
        let failed = Event::NotStarted { may_pass: true };
        assert_eq!(cell(starting, failed, rules(Restart::Never, false), noon), "failed; SayFailed");
        assert_eq!(cell(starting, failed, rules(Restart::OnFailure, false), noon), "waiting 1; SayRestarting(1s)");
    }

    #[test]
    fn pressure_grows_with_time() {
        let noon = noon();
        let press = |pressure, kill_in: Duration| {
            let kill_at = noon + kill_in;
            let search_at = Some(noon);
            let state = Stopping { leader: None, is_wanted: true, pressure, kill_at, search_at, then: Then::Stop };
            cell(State::Stopping(state), Event::Found(Left::Something), rules(Restart::Never, false), noon)
        };
        for (pressure, kill_in, expected) in [
            (Pressure::None, GRACE, "stopping gone Asked kill 5 search 0.05 then stop; Ask"),
            (Pressure::Asked, GRACE, "stopping gone Asked kill 5 search 0.05 then stop"),
            (Pressure::Asked, SECOND / 50, "stopping gone Asked kill 0.02 search 0.02 then stop"),
            (Pressure::None, Duration::ZERO, "stopping gone Killed kill 0 search 0.05 then stop; Kill"),
            (Pressure::Asked, Duration::ZERO, "stopping gone Killed kill 0 search 0.05 then stop; Kill"),
            (Pressure::Killed, Duration::ZERO, "stopping gone Killed kill 0 search 0.05 then stop; Kill"),
        ] {
            assert_eq!(press(pressure, kill_in), expected, "{pressure:?} {kill_in:?}");
        }
    }

    #[test]
    fn what_follows_a_stop_follows_when_nothing_is_left() {
        let noon = noon();
        for (then, expected, when_all_is_over) in [
            (Then::Stop, "stopped", "stopped"),
            (Then::End, "ended", "ended"),
            (Then::Fail, "failed", "failed"),
            (Then::StartAt(noon + SECOND), "waiting 1", "ended"),
            (Then::Forget, "ended; Forget", "ended; Forget"),
        ] {
            for event in [Event::Found(Left::Nothing), Event::NothingLeft] {
                let found = |is_over| cell(stopping(None, then, noon), event, rules(Restart::Never, is_over), noon);
                assert_eq!(
                    (found(false), found(true)),
                    (expected.into(), when_all_is_over.into()),
                    "{then:?} {event:?}"
                );
            }
        }
    }

    #[test]
    fn a_stop_of_everything_looks_after_who_is_due_later() {
        let noon = noon();
        let running = State::Running { leader: 7, since: noon - SECOND };
        for (last, search) in [(GRACE * 2, "5"), (GRACE, "never"), (SECOND, "never")] {
            let event = Event::EverythingStops { last: noon + last };
            let expected = format!("stopping 7 Asked kill 5 search {search} then end");
            assert_eq!(cell(running, event, rules(Restart::Always, true), noon), expected);
        }
    }

    #[test]
    fn a_wish_for_now_begins_the_backoff_anew() {
        let noon = noon();
        for (wish, is_new) in [(Wish::Restart, true), (Wish::Renew, true), (Wish::Start, false), (Wish::Stop, false)] {
            let mut backoff = Backoff::default();
            backoff.delay(Duration::ZERO);
            let running = State::Running { leader: 7, since: noon };
            step(running, Event::Asked(wish), rules(Restart::Always, false), &mut backoff, noon);
            assert_eq!(backoff == Backoff::default(), is_new, "{wish:?}");
        }
    }
}
