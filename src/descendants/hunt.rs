//! Signals to processes that were found: SIGTERM for each once, SIGKILL until they are gone; and which of them cannot be
//! killed.

use super::table::Process;
use super::view::View;
use crate::numbered::Sorted;
use crate::sys::{self, Pid, signal};

/// How far above the number of a process that has just ended its children are likely to be.
const NEAR: Pid = 64;

/// Who was sent what. A process is known by its pid and its start.
#[derive(Default)]
pub struct Hunt {
    asked: Sorted<(Pid, u64)>,
    asked_groups: Sorted<Pid>,
    killed: Sorted<(Pid, u64)>,
    /// All that was there when the first were asked has been asked, too.
    has_asked_all: bool,
}

/// What SIGKILL came to.
pub struct Killed {
    /// Those that had not been sent it before.
    pub new: Vec<Process>,
    /// Those that may not be signalled, or are where no signal reaches them.
    pub unreachable: Vec<Process>,
}

impl Killed {
    /// Whether all of it was sent to those whom it does not reach, and not for the first time.
    pub fn is_in_vain(&self, prey: &[Process]) -> bool {
        !prey.is_empty() && self.new.is_empty() && self.unreachable.len() == prey.len()
    }
}

impl Hunt {
    /// Sends SIGTERM to a whole group without looking who is in it. What its processes start from now on is theirs.
    /// A leader that was just forked may not be in it yet: it is not asked, but found by the next search.
    pub fn ask_group(&mut self, group: Pid) {
        if sys::group_of(group).is_none_or(|of_leader| of_leader == group) {
            self.asked_groups.insert(group);
            let _ = sys::kill_group(group, signal::TERM);
        }
    }

    /// Sends SIGTERM to every process that has not had it, and wakes those that are stopped. What a process starts after
    /// it was asked is left to it while it lives: that is how it cleans up. `prey` has parents before their children.
    pub fn ask(&mut self, prey: &[Process]) {
        let mut cleaning_up = Sorted::new();
        let mut new = Vec::new();
        let has_asked_all = std::mem::replace(&mut self.has_asked_all, true);
        for process in prey {
            let was_asked = self.asked.contains(identity(process)) || self.asked_groups.contains(process.group);
            if was_asked || has_asked_all && cleaning_up.contains(process.parent) {
                cleaning_up.insert(process.pid);
            } else {
                new.push(*process);
            }
        }
        for process in &new {
            self.asked.insert(identity(process));
            let _ = sys::kill(process.pid, signal::TERM);
        }
        for process in prey.iter().filter(|process| process.is_stopped()) {
            let _ = sys::kill(process.pid, signal::CONT);
        }
    }

    /// Sends SIGKILL to every process, and to whole groups where all are descendants of ours: no fork slips through that.
    pub fn kill(&mut self, prey: &[Process], view: &View) -> Killed {
        let mut groups = Sorted::new();
        for process in prey.iter().filter(|process| view.is_closed(process)) {
            if groups.insert(process.group) {
                let _ = sys::kill_group(process.group, signal::KILL);
            }
        }
        let mut killed = Killed { new: Vec::new(), unreachable: Vec::new() };
        for process in prey {
            // A zombie that is still there is a tracer's, who does not reap it.
            let is_killed = sys::kill(process.pid, signal::KILL).is_ok();
            if !is_killed || process.is_uninterruptible() || process.is_zombie() {
                killed.unreachable.push(*process);
            }
            if self.killed.insert(identity(process)) {
                killed.new.push(*process);
            }
        }
        killed
    }

    /// A child of ours has ended while all were being killed: what it forked last is likely to be near, and is ours now.
    /// Who forks and ends, again and again, is seldom met by a search.
    pub fn chase(ended: Pid) {
        // Its own number is nobody's, or one of ours has it by now.
        for pid in (ended..=ended.saturating_add(NEAR)).filter(|&pid| sys::is_child(pid)) {
            let _ = sys::kill(pid, signal::KILL);
        }
    }
}

fn identity(process: &Process) -> (Pid, u64) {
    (process.pid, process.started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn killing_is_in_vain_where_none_is_reached_though_all_were_tried_before() {
        let process = |pid| Process { pid, parent: 1, group: 1, session: 1, state: b'S', threads: 1, started: 1 };
        let (one, two) = (process(2), process(3));
        for (prey, new, unreachable, expected) in [
            (&[one, two][..], &[][..], &[one, two][..], true),
            (&[one, two], &[], &[one], false),
            (&[one, two], &[two], &[one, two], false),
            (&[], &[], &[], false),
        ] {
            let killed = Killed { new: new.to_vec(), unreachable: unreachable.to_vec() };
            assert_eq!(killed.is_in_vain(prey), expected, "{prey:?} {new:?} {unreachable:?}");
        }
    }
}
