//! Thousands of lives under simulated time: random events, and after each what must hold whatever happens. The world is
//! the simplest that can be: a plugin has a first process, and a number of others that it left.

use super::backoff::Backoff;
use super::lifecycle::{Act, Event, Left, Rules, State, Wish, step};
use crate::settings::{Policy, Restart};
use crate::sys::{Change, Pid};
use std::time::{Duration, Instant};

/// How many lives are simulated, and how many events each has at most.
const LIVES: u64 = 40_000;
const EVENTS: usize = 250;

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 33) % limit
    }

    fn chance(&mut self, in_a_hundred: u64) -> bool {
        self.below(100) < in_a_hundred
    }
}

/// One plugin, what there is of it, and what was promised.
struct World {
    random: Random,
    start: Instant,
    now: Instant,
    state: State,
    backoff: Backoff,
    rules: Rules,
    leader: Option<Pid>,
    next_pid: Pid,
    left: u32,
    /// What is left ends when it is asked to.
    is_obedient: bool,
    /// SIGKILL is not due before, since what is being stopped was begun to be stopped.
    kill_from: Option<Instant>,
    /// The next start is not due before.
    start_from: Option<Instant>,
    is_forgotten: bool,
    trace: Vec<String>,
}

impl World {
    fn new(seed: u64, start: Instant) -> World {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let policy = policy(&mut random);
        World {
            is_obedient: random.chance(50),
            random,
            start,
            now: start,
            state: State::Waiting { until: start },
            backoff: Backoff::default(),
            rules: Rules { policy, is_over: false },
            leader: None,
            next_pid: 1,
            left: 0,
            kill_from: None,
            start_from: None,
            is_forgotten: false,
            trace: Vec::new(),
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let before = self.state;
            let (state, acts) = step(before, event, self.rules, &mut self.backoff, self.now);
            let at = self.now.duration_since(self.start).as_millis();
            self.trace.push(format!("{at} ms: {} and {event:?}: {} {acts:?}", before.name(), state.name()));
            self.state = state;
            let was_stopping = matches!(before, State::Stopping(_));
            match state {
                State::Stopping(_) if !was_stopping => self.kill_from = Some(self.now + self.rules.policy.grace_period),
                State::Stopping(_) => {}
                _ => self.kill_from = None,
            }
            for act in acts {
                events.extend(self.perform(act)?);
            }
        }
        self.check()
    }

    fn perform(&mut self, act: Act) -> Result<Option<Event>, String> {
        match act {
            Act::Spawn => {
                ensure(self.leader.is_none() && self.left == 0, "a start while an earlier run's process is left")?;
                ensure(!self.rules.is_over, "a start after everything was stopped")?;
                ensure(self.start_from.is_none_or(|from| from <= self.now), "a start before the backoff is over")?;
                if self.random.chance(10) {
                    return Ok(Some(Event::NotStarted { may_pass: self.random.chance(50) }));
                }
                self.leader = Some(self.next_pid);
                self.next_pid += 1;
                Ok(Some(Event::Forked(self.next_pid - 1)))
            }
            Act::SayRestarting(delay) => {
                ensure(delay >= Duration::from_secs(1), "a backoff of less than a second")?;
                self.start_from = Some(self.now + delay);
                Ok(None)
            }
            Act::Search => {
                let is_left = self.leader.is_some() || self.left > 0;
                let found = if is_left { Left::Something } else { Left::Nothing };
                if let (State::Stopping(stopping), true) = (self.state, is_left) {
                    ensure(stopping.search_at.is_some(), "a search of what is not looked after")?;
                }
                Ok(Some(Event::Found(found)))
            }
            Act::Ask => {
                if self.is_obedient {
                    self.left = 0;
                }
                Ok(None)
            }
            Act::Kill => {
                let from = self.kill_from.ok_or("SIGKILL to what is not being stopped")?;
                ensure(from <= self.now, "SIGKILL before the end of the grace period")?;
                self.left = 0;
                // The leader's end is the next news of it.
                Ok(self.leader.take().map(|_| Event::LeaderEnded(Change::Signaled(9))))
            }
            Act::Forget => {
                ensure(self.leader.is_none() && self.left == 0, "forgotten while a process is left")?;
                self.is_forgotten = true;
                Ok(None)
            }
            Act::SayStarted | Act::SayFailed | Act::Settle(_) => Ok(None),
        }
    }

    fn check(&self) -> Result<(), String> {
        if let Some(leader) = self.state.leader() {
            ensure(self.leader == Some(leader), "a leader that is not there")?;
        } else {
            ensure(self.leader.is_none(), "a leader that nobody knows of")?;
        }
        let is_settled = matches!(self.state, State::Stopped);
        ensure(!is_settled || self.left == 0, "stopped, and a process is left")
    }

    /// One event that can happen now, or time that passes.
    fn go_on(&mut self) -> Result<(), String> {
        match self.random.below(12) {
            0 => {
                self.now += Duration::from_millis(self.random.below(3_000));
                Ok(())
            }
            1..=3 => self.pass_time(),
            4 => {
                if let (State::Starting { .. }, true) = (self.state, self.leader.is_some()) {
                    if self.random.chance(80) {
                        return self.happen(Event::Executed);
                    }
                    self.leader = None;
                    let may_pass = self.random.chance(50);
                    return self.happen(Event::NotStarted { may_pass });
                }
                Ok(())
            }
            5 | 6 => match self.state {
                // How the exec went is asked first.
                State::Starting { .. } => self.happen(Event::Executed),
                _ => self.end_leader(),
            },
            7 => {
                self.left = self.left.saturating_sub(1);
                self.happen(Event::OtherEnded)
            }
            8 => {
                // Only who runs can leave something.
                self.left += u32::from(self.leader.is_some() && !matches!(self.state, State::Starting { .. }));
                Ok(())
            }
            9 => {
                let wishes = [Wish::Start, Wish::Stop, Wish::Restart, Wish::Renew];
                let wish = wishes[self.random.below(4) as usize];
                // Who asks for a start waits for no backoff.
                if wish != Wish::Stop && self.state != State::Stopped && !self.rules.is_over {
                    self.start_from = None;
                }
                if self.state == State::Stopped && wish != Wish::Renew {
                    self.start_from = None;
                }
                self.happen(Event::Asked(wish))
            }
            10 => {
                self.rules.policy = policy(&mut self.random);
                Ok(())
            }
            _ => {
                if self.leader.is_none() && self.left == 0 && matches!(self.state, State::Stopping(_)) {
                    return self.happen(Event::NothingLeft);
                }
                Ok(())
            }
        }
    }

    fn end_leader(&mut self) -> Result<(), String> {
        if self.leader.take().is_none() {
            return Ok(());
        }
        let change = match self.random.below(3) {
            0 => Change::Exited(0),
            1 => Change::Exited(3),
            _ => Change::Signaled(11),
        };
        self.happen(Event::LeaderEnded(change))
    }

    /// To the next deadline.
    fn pass_time(&mut self) -> Result<(), String> {
        match self.state.deadline() {
            Some(at) => {
                self.now = self.now.max(at);
                self.happen(Event::Due)
            }
            None => Ok(()),
        }
    }

    /// Who was asked to end, ends: by deadlines alone, within the grace period and a moment.
    fn must_end(&mut self) -> Result<(), String> {
        let latest = self.now + self.rules.policy.grace_period + Duration::from_secs(61);
        for _ in 0..5_000 {
            if self.is_forgotten || matches!(self.state, State::Stopped | State::Ended | State::Failed) {
                return ensure(self.leader.is_none(), "ended, and its leader is left");
            }
            if let State::Starting { .. } = self.state {
                self.happen(Event::Executed)?;
            }
            ensure(self.state.deadline().is_some(), "it waits for nothing")?;
            self.pass_time()?;
            ensure(self.now <= latest, "it ends too late")?;
        }
        Err("it never ends".into())
    }

    /// A whole life. The last part is a stop of one kind or the other.
    fn live(&mut self) -> Result<(), String> {
        let events = self.random.below(EVENTS as u64);
        for _ in 0..events {
            self.go_on()?;
        }
        if self.random.chance(50) {
            return self.end_with_everything();
        }
        let wish = if self.random.chance(50) { Wish::Stop } else { Wish::Forget };
        self.happen(Event::Asked(wish))?;
        self.must_end()?;
        ensure(self.left == 0, "stopped, and a process is left")
    }

    fn end_with_everything(&mut self) -> Result<(), String> {
        self.rules.is_over = true;
        let last = self.now + Duration::from_millis(self.random.below(8_000));
        self.happen(Event::EverythingStops { last })?;
        for _ in 0..50 {
            self.go_on()?;
        }
        // What this engine does not look after, the other one has killed by now.
        self.now = self.now.max(last);
        self.left = 0;
        if let State::Starting { .. } = self.state {
            self.happen(Event::Executed)?;
        }
        self.end_leader()?;
        if matches!(self.state, State::Stopping(_)) {
            self.happen(Event::NothingLeft)?;
        }
        ensure(!self.state.has_work() || self.state == State::Stopped, "everything has ended, and it has not")
    }
}

fn policy(random: &mut Random) -> Policy {
    let restarts = [Restart::Never, Restart::OnFailure, Restart::Always];
    let grace_periods = [0, 1, 300, 5_000];
    Policy {
        restart: restarts[random.below(3) as usize],
        grace_period: Duration::from_millis(grace_periods[random.below(4) as usize]),
    }
}

fn ensure(holds: bool, promise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(promise.into()) }
}

/// What a life comes to, and how many events it had.
fn outcome(seed: u64, start: Instant) -> (Result<(), String>, Vec<String>) {
    let mut world = World::new(seed, start);
    let outcome = world.live();
    (outcome, world.trace)
}

#[test]
fn no_life_breaks_a_promise() {
    let start = Instant::now();
    let mut steps = 0;
    for seed in 0..LIVES {
        let (outcome, trace) = outcome(seed, start);
        steps += trace.len();
        if let Err(broken) = outcome {
            // The first event that breaks a promise is the last of the trace: no shorter prefix does.
            panic!("seed {seed}: {broken}, after {} events:\n{}", trace.len(), trace.join("\n"));
        }
    }
    assert!(steps > 2_000_000, "lives are lived: {steps} steps");
}
