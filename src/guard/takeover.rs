//! The supervisor was killed, or could not begin, and what it ran is ours now.

use crate::answer;
use crate::descendants::{Step, Stop, View};
use crate::sys::{self, Reaped, Signals, signal};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Stops all that is below us. `number` is the signal by which the supervisor was killed, if it was.
pub fn stop_everything(number: Option<i32>, grace_period: Duration, signals: &Signals) {
    let mut view = None;
    let now = Instant::now();
    let mut stop = Stop::begin(now, now + grace_period, &[]);
    let mut has_spoken = false;
    loop {
        loop {
            match sys::reap() {
                Reaped::Ended(pid, _) => stop.note_end(pid, Instant::now()),
                Reaped::Stopped(..) | Reaped::Continued(_) => {}
                Reaped::Nothing => break,
                Reaped::NoChildren => return,
            }
        }
        let view = view.get_or_insert_with(|| View::open(sys::session_of(0)));
        if let Step::Stuck(left) = stop.step(Instant::now(), view) {
            let pids: Vec<String> = left.iter().map(|process| process.pid.to_string()).collect();
            answer::complain(&format!("cannot kill, and leaves behind: pid {}", pids.join(", ")));
            return;
        }
        // Not before everything was asked to end.
        if let Some(number) = number
            && !std::mem::replace(&mut has_spoken, true)
        {
            answer::complain(&format!("the supervisor was killed by {}; stopping what it ran", signal::name(number)));
        }
        let timeout = stop.deadline().saturating_duration_since(Instant::now());
        let _ = sys::wait_readable([Some(signals.as_fd())], Some(timeout));
        while let Some(arrived) = signals.take() {
            if signal::IMPATIENT.contains(&arrived.number) {
                stop.lose_patience(Instant::now());
            }
        }
    }
}
