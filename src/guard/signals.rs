//! Signals that come to the launcher: which of them are its own, which PROGRAM has had already, and what is waited for
//! until that can be told.

use super::Guard;
use crate::descendants::{Process, process};
use crate::link::Order;
use crate::sys::{self, Arrived, Origin, Pid, signal};
use crate::witness::{Sent, Witness};
use std::iter;
use std::time::{Duration, Instant};

/// Signals of a kind that come within so long are one: timeout(1) signals its child and then the group, its child among
/// it, and a service manager signals every process of a container one by one.
const TOGETHER: Duration = Duration::from_millis(50);
/// For so long is a sender waited for who has not come to rest, and may be about to signal the next process.
const AT_WORK: Duration = Duration::from_millis(500);
/// As long as that for one of whom nothing can be known: he is in another PID namespace, as who stops a container is.
const UNSEEN: Duration = Duration::from_millis(200);

/// A signal that may still turn out to have come twice, or to others as well, and when it came.
pub(super) type Gathered = (Sent, Instant);

/// What is to be done about a signal.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Nothing,
    Tell(Order),
    Gather(Sent),
}

/// What SIGHUP means beside a reload. All is false for other signals.
#[derive(Clone, Copy, Default)]
struct HangUp {
    /// We lead our session: where the kernel sends it, it comes to nobody else.
    is_of_leader: bool,
    /// The terminal that controlled us is gone.
    has_terminal_gone: bool,
    /// Our caller ignored it.
    is_ignored: bool,
}

impl Guard {
    pub(super) fn take_signal(&mut self, arrived: Arrived) {
        let hang_up = if arrived.number == signal::HUP { self.hang_up() } else { HangUp::default() };
        let witness = self.witness.as_ref().map_or(self.supervisor, Witness::pid);
        match meaning(arrived, [self.supervisor, witness], self.has_program, hang_up) {
            Meaning::Nothing => {}
            Meaning::Tell(order) => self.pass(order),
            Meaning::Gather(sent) => self.gather((sent, Instant::now())),
        }
    }

    fn hang_up(&self) -> HangUp {
        HangUp {
            is_of_leader: sys::session_of(0) == Some(sys::own_pid()),
            has_terminal_gone: self.had_terminal && !sys::has_terminal(),
            is_ignored: self.is_hang_up_ignored,
        }
    }

    /// Tells the supervisor.
    fn pass(&mut self, order: Order) {
        if is_stop(order, self.has_program) {
            self.begin_stop();
        }
        self.tell(order);
    }

    fn gather(&mut self, signal: Gathered) {
        self.gathered.push(signal);
        self.decide_at.get_or_insert_with(|| Instant::now() + TOGETHER);
    }

    /// Acts on what has come together.
    pub(super) fn decide(&mut self) {
        self.decide_at = None;
        let gathered = std::mem::take(&mut self.gathered);
        let about: Vec<Sent> = gathered.iter().map(|(sent, _)| *sent).collect();
        if !self.has_program {
            return together(&about).into_iter().for_each(|number| self.pass(Order::Signal(number)));
        }
        // What came to the whole group PROGRAM has had.
        let came_to_all = self.witness.as_mut().map_or(Vec::new(), |witness| witness.ask(&about));
        let patience = |sender: Pid| patience_with(sender, process(sender));
        let (waits, ours) = came_to_us(gathered, &came_to_all, Instant::now(), patience);
        waits.into_iter().for_each(|signal| self.gather(signal));
        ours.into_iter().for_each(|number| self.pass(Order::Signal(number)));
    }
}

fn meaning(arrived: Arrived, children: [Pid; 2], has_program: bool, hang_up: HangUp) -> Meaning {
    let Arrived { number, origin } = arrived;
    match origin {
        // Of our children, or to wake us.
        Origin::Kernel => Meaning::Nothing,
        Origin::Process(sender) if children.contains(&sender) => Meaning::Nothing,
        // What PROGRAM reads from the terminal fails from now on: it hears at once why.
        Origin::Terminal if has_program && hang_up.is_of_leader => Meaning::Tell(Order::TerminalGone),
        // To the whole group, PROGRAM among it.
        Origin::Terminal if has_program => Meaning::Nothing,
        Origin::Timer => Meaning::Tell(Order::Signal(number)),
        Origin::Process(sender) if has_program => Meaning::Gather((number, sender)),
        Origin::Process(_) | Origin::Terminal => match number {
            _ if signal::IMPATIENT.contains(&number) => Meaning::Gather((number, 0)),
            _ if hang_up.has_terminal_gone && hang_up.is_ignored => Meaning::Nothing,
            _ if hang_up.has_terminal_gone => Meaning::Tell(Order::TerminalGone),
            _ => Meaning::Tell(Order::Signal(number)),
        },
    }
}

/// Whether the launcher stops for this. With PROGRAM it is that which does, or does not.
fn is_stop(order: Order, has_program: bool) -> bool {
    match order {
        _ if has_program => false,
        Order::Signal(number) => signal::STOPS.contains(&number),
        Order::ParentGone | Order::TerminalGone => true,
    }
}

/// Those of which the second counts, each once, however often it came.
fn together(gathered: &[Sent]) -> Vec<i32> {
    signal::IMPATIENT.into_iter().filter(|number| gathered.iter().any(|(gathered, _)| gathered == number)).collect()
}

/// What may still come to others as well, and what came to us alone.
fn came_to_us(
    gathered: Vec<Gathered>,
    came_to_all: &[bool],
    now: Instant,
    patience: impl Fn(Pid) -> Duration,
) -> (Vec<Gathered>, Vec<i32>) {
    let came_to_all = came_to_all.iter().copied().chain(iter::repeat(false));
    let not_to_all = gathered.into_iter().zip(came_to_all).filter(|(_, to_all)| !to_all).map(|(signal, _)| signal);
    let (waits, ours): (Vec<Gathered>, Vec<Gathered>) =
        not_to_all.partition(|((_, sender), at)| now < *at + patience(*sender));
    (waits, ours.into_iter().map(|((number, _), _)| number).collect())
}

/// How long it may take until a signal of this sender has reached all that he means. `process` is what /proc has of him.
fn patience_with(sender: Pid, process: Option<Process>) -> Duration {
    match (sender, process) {
        (0, _) => UNSEEN,
        (_, Some(Process { state: b'R' | b'D', .. })) => AT_WORK,
        _ => TOGETHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::signal::{CHLD, CONT, HUP, INT, QUIT, TERM, USR1, WINCH};
    use Meaning::{Gather, Nothing, Tell};

    const CHILDREN: [Pid; 2] = [5, 6];
    const SIGALRM: i32 = 14;

    #[test]
    fn what_a_signal_means_depends_on_who_sent_it_and_whether_there_is_a_program() {
        let other = HangUp::default();
        let ignored = HangUp { is_ignored: true, ..other };
        let leader = HangUp { is_of_leader: true, ..other };
        let gone = HangUp { has_terminal_gone: true, ..leader };
        let gone_ignored = HangUp { is_ignored: true, ..gone };
        let told = |number| Tell(Order::Signal(number));
        for (number, origin, hang_up, alone, with_program) in [
            (CHLD, Origin::Kernel, other, Nothing, Nothing),
            (CONT, Origin::Process(5), other, Nothing, Nothing),
            (CONT, Origin::Process(6), other, Nothing, Nothing),
            (CONT, Origin::Process(7), other, told(CONT), Gather((CONT, 7))),
            (TERM, Origin::Process(7), other, told(TERM), Gather((TERM, 7))),
            (USR1, Origin::Process(0), other, told(USR1), Gather((USR1, 0))),
            (INT, Origin::Process(7), other, Gather((INT, 0)), Gather((INT, 7))),
            (QUIT, Origin::Process(7), other, Gather((QUIT, 0)), Gather((QUIT, 7))),
            (INT, Origin::Terminal, other, Gather((INT, 0)), Nothing),
            (QUIT, Origin::Terminal, other, Gather((QUIT, 0)), Nothing),
            (WINCH, Origin::Terminal, other, told(WINCH), Nothing),
            (SIGALRM, Origin::Timer, other, told(SIGALRM), told(SIGALRM)),
            (HUP, Origin::Process(7), other, told(HUP), Gather((HUP, 7))),
            (HUP, Origin::Process(7), ignored, told(HUP), Gather((HUP, 7))),
            (HUP, Origin::Process(7), leader, told(HUP), Gather((HUP, 7))),
            (HUP, Origin::Process(7), gone, Tell(Order::TerminalGone), Gather((HUP, 7))),
            (HUP, Origin::Process(7), gone_ignored, Nothing, Gather((HUP, 7))),
            (HUP, Origin::Terminal, other, told(HUP), Nothing),
            (HUP, Origin::Terminal, gone, Tell(Order::TerminalGone), Tell(Order::TerminalGone)),
            (HUP, Origin::Terminal, gone_ignored, Nothing, Tell(Order::TerminalGone)),
        ] {
            let arrived = Arrived { number, origin };
            assert_eq!(meaning(arrived, CHILDREN, false, hang_up), alone, "{arrived:?} without");
            assert_eq!(meaning(arrived, CHILDREN, true, hang_up), with_program, "{arrived:?} with");
        }
    }

    #[test]
    fn only_some_orders_stop_the_launcher() {
        for (order, expected) in [
            (Order::Signal(TERM), true),
            (Order::Signal(INT), true),
            (Order::Signal(HUP), false),
            (Order::ParentGone, true),
            (Order::TerminalGone, true),
        ] {
            assert_eq!(is_stop(order, false), expected, "{order:?}");
            assert!(!is_stop(order, true), "{order:?} with a program");
        }
    }

    #[test]
    fn the_same_that_came_together_is_one() {
        assert_eq!(together(&[(QUIT, 0), (INT, 0), (QUIT, 0)]), [INT, QUIT]);
        assert_eq!(together(&[(INT, 0), (INT, 0)]), [INT]);
    }

    #[test]
    fn what_came_to_all_is_not_ours_and_who_is_at_work_is_waited_for() {
        let at = Instant::now();
        let patience = |sender| if sender == 1 { AT_WORK } else { TOGETHER };
        let gathered = vec![((TERM, 7), at), ((USR1, 7), at), ((INT, 1), at), ((USR1, 8), at), ((USR1, 8), at)];
        // The last two were not answered for.
        let came_to_all = [true, false, false];
        let judge = |now| came_to_us(gathered.clone(), &came_to_all, now, patience);
        assert_eq!(judge(at + TOGETHER), (vec![((INT, 1), at)], vec![USR1, USR1, USR1]));
        assert_eq!(judge(at + AT_WORK), (vec![], vec![USR1, INT, USR1, USR1]));
        let one_left = judge(at + TOGETHER - Duration::from_nanos(1)).0;
        assert_eq!(one_left.len(), 4, "{one_left:?}");
    }

    #[test]
    fn patience_is_longest_with_who_is_at_work() {
        let in_state = |state| Process { pid: 7, parent: 1, group: 7, session: 7, state, threads: 1, started: 1 };
        for (sender, state, expected) in [
            (7, Some(b'R'), AT_WORK),
            (7, Some(b'D'), AT_WORK),
            (7, Some(b'S'), TOGETHER),
            (7, None, TOGETHER),
            (0, None, UNSEEN),
            (0, Some(b'R'), UNSEEN),
        ] {
            assert_eq!(patience_with(sender, state.map(in_state)), expected, "{sender} {state:?}");
        }
    }
}
