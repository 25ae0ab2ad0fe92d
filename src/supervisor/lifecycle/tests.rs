//! Every state with every event, and the rules that decide between them.

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
    let at = |at: Instant| at.saturating_duration_since(noon).as_secs_f64() - (noon - at).as_secs_f64();
    match state {
        State::Waiting { until } => format!("waiting {}", at(until)),
        State::Forking => "forking".into(),
        State::Starting { leader, .. } => format!("starting {leader}"),
        State::Running { leader, .. } => format!("running {leader}"),
        State::Stopping(Stopping { leader, is_wanted, pressure, kill_at, search_at, then }) => {
            let stopping = if is_wanted { "stopping" } else { "clearing" };
            let leader = leader.map_or("gone".into(), |leader| leader.to_string());
            let search = search_at.map_or("never".into(), |search_at| at(search_at).to_string());
            let then = match then {
                Then::StartAt(until) => format!("start {}", at(until)),
                other => format!("{other:?}").to_lowercase(),
            };
            format!("{stopping} {leader} {pressure:?} kill {} search {search} then {then}", at(kill_at))
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
    assert_same(&table(rules), include_str!("always.txt"));
}

#[test]
fn every_state_with_every_event_when_all_is_over() {
    let rules = rules(Restart::Always, true);
    assert_same(&table(rules), include_str!("over.txt"));
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
            "clearing gone None kill 5 search 0.01 then start 1; Settle(Exited(1)); SayRestarting(1s)",
        ),
        (
            Restart::Always,
            well,
            "clearing gone None kill 5 search 0.01 then start 1; Settle(Exited(0)); SayRestarting(1s)",
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
fn a_stop_under_way_heeds_what_happens_meanwhile() {
    let noon = noon();
    let kill_at = noon + GRACE;
    let (later, never) = (Some(noon + SECOND), None);
    let stop = Stopping {
        leader: Some(7),
        is_wanted: true,
        pressure: Pressure::Asked,
        kill_at,
        search_at: later,
        then: Then::Stop,
    };
    let end = Stopping { then: Then::End, ..stop };
    let clear = Stopping { leader: None, is_wanted: false, then: Then::StartAt(noon + SECOND), ..stop };
    let [well, badly] = [Change::Exited(0), Change::Signaled(9)].map(Event::LeaderEnded);
    let everything_by = |last| Event::EverythingStops { last: noon + last };
    for (stopping, event, expected) in [
        // Not yet looked for, or not by this plugin's own stop.
        (stop, Event::Due, "stopping 7 Asked kill 5 search 1 then stop"),
        (Stopping { search_at: never, ..stop }, Event::Due, "stopping 7 Asked kill 5 search never then stop"),
        // Whose end may have been the last is looked for soon.
        (stop, Event::OtherEnded, "stopping 7 Asked kill 5 search 0.01 then stop"),
        (Stopping { search_at: never, ..stop }, Event::OtherEnded, "stopping 7 Asked kill 5 search never then stop"),
        (clear, Event::OtherEnded, "clearing gone Asked kill 5 search 0.01 then start 1"),
        (stop, well, "stopping gone Asked kill 5 search 0.01 then stop; Settle(Exited(0))"),
        (stop, badly, "stopping gone Asked kill 5 search 0.01 then stop; Settle(Signaled(9))"),
        // How it ended decides what it has come to, where everything stops.
        (end, well, "stopping gone Asked kill 5 search 0.01 then end; Settle(Exited(0))"),
        (end, badly, "stopping gone Asked kill 5 search 1 then fail; Settle(Signaled(9))"),
        (
            Stopping { then: Then::Fail, ..stop },
            well,
            "stopping gone Asked kill 5 search 0.01 then fail; Settle(Exited(0))",
        ),
        (clear, badly, "clearing gone Asked kill 5 search 1 then start 1"),
        // The later wish counts, but what is to be forgotten is.
        (
            Stopping { then: Then::Forget, ..stop },
            Event::Asked(Wish::Stop),
            "stopping 7 Asked kill 5 search 1 then forget",
        ),
        (clear, Event::Asked(Wish::Stop), "stopping gone Asked kill 5 search 1 then stop"),
        (clear, Event::Asked(Wish::Restart), "stopping gone Asked kill 5 search 1 then start 0"),
        (clear, Event::Asked(Wish::Renew), "stopping gone Asked kill 5 search 1 then start 0"),
        // The stop of everything kills with the last, and looks after all but who is due before.
        (stop, everything_by(GRACE * 2), "stopping 7 Asked kill 5 search 5 then stop"),
        (stop, everything_by(GRACE), "stopping 7 Asked kill 5 search never then stop"),
        (stop, everything_by(SECOND), "stopping 7 Asked kill 1 search never then stop"),
        (
            Stopping { kill_at: noon - SECOND, pressure: Pressure::Killed, ..stop },
            everything_by(GRACE),
            "stopping 7 Killed kill -1 search 0 then stop",
        ),
        (clear, everything_by(GRACE), "clearing gone Asked kill 5 search never then end"),
    ] {
        let found = cell(State::Stopping(stopping), event, rules(Restart::Never, false), noon);
        assert_eq!(found, expected, "{stopping:?} {event:?}");
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
            assert_eq!((found(false), found(true)), (expected.into(), when_all_is_over.into()), "{then:?} {event:?}");
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

#[test]
fn a_run_of_a_minute_begins_the_backoff_anew() {
    let noon = noon();
    for (ran, delay) in [(59, 2), (60, 1)] {
        let mut backoff = Backoff::default();
        backoff.delay(Duration::ZERO);
        let running = State::Running { leader: 7, since: noon - ran * SECOND };
        let ended = Event::LeaderEnded(Change::Exited(0));
        let (_, acts) = step(running, ended, rules(Restart::Always, false), &mut backoff, noon);
        assert!(acts.contains(&Act::SayRestarting(delay * SECOND)), "{ran}: {acts:?}");
    }
}
