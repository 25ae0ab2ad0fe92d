//! Signals that come to the launcher: which of them are its own, which PROGRAM has had already, and what is waited for
//! until that can be told.

use super::Guard;
use crate::descendants::{self, Process};
use crate::link::Order;
use crate::sys::{self, Arrived, Origin, Pid, signal};
use crate::witness::Sent;
use std::time::{Duration, Instant};

/// Signals of a kind that come within so long are one: timeout(1) signals its child and then the group, its child among
/// it, and a service manager signals every process of a container one by one.
const TOGETHER: Duration = Duration::from_millis(50);
/// For so long is a sender waited for who has not come to rest, and may be about to signal the next process.
const AT_WORK: Duration = Duration::from_millis(500);
/// As long as that for one of whom nothing can be known: he is in another PID namespace, as who stops a container is.
const UNSEEN: Duration = Duration::from_millis(200);
impl Guard {
    pub(super) fn take_signal(&mut self, arrived: Arrived) {
        let Arrived { number, origin } = arrived;
        match origin {
            // Of our children, or to wake us.
            Origin::Kernel => {}
            Origin::Process(pid) if pid == self.supervisor || self.is_witness(pid) => {}
            Origin::Terminal if self.has_program => {
                // What PROGRAM reads from the terminal fails from now on: it hears at once why.
                if number == signal::HUP && sys::session_of(0) == Some(sys::own_pid()) {
                    self.tell(Order::TerminalGone);
                }
            }
            Origin::Timer => self.tell(Order::Signal(number)),
            Origin::Process(sender) if self.has_program => self.gather((number, sender), Instant::now()),
            Origin::Process(_) | Origin::Terminal if signal::IMPATIENT.contains(&number) => {
                self.gather((number, 0), Instant::now());
            }
            Origin::Process(_) | Origin::Terminal if number == signal::HUP && self.is_hang_up() => {
                if !self.is_hang_up_ignored {
                    self.tell(Order::TerminalGone);
                    self.begin_stop(self.grace_period);
                }
            }
            Origin::Process(_) | Origin::Terminal => self.obey(number),
        }
    }

    /// Without PROGRAM a signal is the launcher's own.
    fn obey(&mut self, number: i32) {
        if signal::STOPS.contains(&number) {
            self.begin_stop(self.grace_period);
        }
        self.tell(Order::Signal(number));
    }

    fn gather(&mut self, signal: Sent, at: Instant) {
        self.gathered.push((signal, at));
        self.decide_at.get_or_insert_with(|| Instant::now() + TOGETHER);
    }

    /// Acts on what has come together.
    pub(super) fn decide(&mut self) {
        self.decide_at = None;
        let gathered = std::mem::take(&mut self.gathered);
        if self.has_program {
            return self.pass_on(gathered);
        }
        let came = |number: &i32| gathered.iter().any(|((gathered, _), _)| gathered == number);
        signal::IMPATIENT.into_iter().filter(came).for_each(|number| self.obey(number));
    }

    /// With PROGRAM: passes on what did not come to the whole group, so that PROGRAM has had everything once.
    fn pass_on(&mut self, gathered: Vec<(Sent, Instant)>) {
        let about: Vec<Sent> = gathered.iter().map(|(signal, _)| *signal).collect();
        let came_to_all = self.witness.as_mut().map_or(Vec::new(), |witness| witness.ask(&about));
        for (index, ((number, sender), at)) in gathered.into_iter().enumerate() {
            if came_to_all.get(index) == Some(&true) {
                continue;
            }
            if at.elapsed() < patience_with(sender) {
                self.gather((number, sender), at);
            } else {
                self.tell(Order::Signal(number));
            }
        }
    }

    /// Whether the terminal that controlled us is gone.
    fn is_hang_up(&self) -> bool {
        self.had_terminal && !sys::has_terminal()
    }
}

/// How long it may take until a signal of this sender has reached all that he means.
fn patience_with(sender: Pid) -> Duration {
    let is_at_work = |process: Process| matches!(process.state, b'R' | b'D');
    match sender {
        0 => UNSEEN,
        pid if descendants::process(pid).is_some_and(is_at_work) => AT_WORK,
        _ => TOGETHER,
    }
}
