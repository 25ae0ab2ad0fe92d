//! What the supervisor is told: by the guard, by the parent's end, or by a signal to it itself.

use super::Supervisor;
use super::above::News;
use crate::link::Order;
use crate::notice::{Notice, Status};
use crate::sys::signal;
use std::time::Instant;

impl Supervisor {
    /// Signals to this process itself: from who signals all processes of a container, or of a name. What else such a
    /// signal can mean is said by the guard, once; SIGCONT is how we are woken.
    pub(super) fn take_signals(&mut self) {
        while let Some(arrived) = self.signals.take() {
            if signal::STOPS.contains(&arrived.number) && !self.is_program_running() {
                self.stop(&signal::name(arrived.number));
            }
        }
    }

    /// Takes what came from above, `ready` being the tokens that were reported.
    pub(super) fn take_orders(&mut self, ready: &[u64]) {
        for news in self.above.news(ready, &self.epoll) {
            match news {
                News::GuardGone => self.stop("the guard was killed"),
                News::Order(Order::ParentGone) => self.stop("the parent process ended"),
                News::Order(Order::TerminalGone) => match &mut self.job {
                    Some(job) => job.note_hang_up(),
                    None => self.stop("the terminal hung up"),
                },
                News::Order(Order::Signal(number)) => match &self.job {
                    Some(job) if job.is_running() => job.pass_on(number),
                    // It was for PROGRAM, which has ended since.
                    Some(_) if !signal::STOPS.contains(&number) => {}
                    Some(_) | None => self.obey(number),
                },
            }
        }
    }

    /// Acts on a signal that is meant for the launcher itself.
    fn obey(&mut self, number: i32) {
        match number {
            number if signal::STOPS.contains(&number) => {
                self.stop(&signal::name(number));
                if signal::IMPATIENT.contains(&number) {
                    self.lose_patience();
                }
            }
            signal::HUP => self.reload(),
            signal::USR1 => self.report_status(),
            _ => {}
        }
    }

    fn report_status(&self) {
        if self.log.is_status_pending() {
            return;
        }
        let now = Instant::now();
        let statuses: Vec<Status> = self.plugins.values().map(|plugin| plugin.status(now)).collect();
        let all = self.plugins.values().zip(&statuses);
        self.log.say_status(all.map(|(plugin, status)| Notice::Status {
            plugin: &plugin.name,
            path: &plugin.path,
            status,
        }));
    }
}
