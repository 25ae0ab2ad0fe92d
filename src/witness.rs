//! Who else got a signal? kill(2) does not tell a process whether it alone was meant, or its whole group, or everything
//! in its container. The witness is a process in our caller's group that does nothing but note all signals: what came
//! there as well came to all, and PROGRAM, which is in the same group, has had it.
//!
//! It wakes the guard when PROGRAM has ended: its parent, the supervisor, may have been stopped, and the guard as well.

use crate::sys::{self, Fork, Origin, Pid, Signals, signal};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long an answer may take, also where many processes wait for a processor. Nobody waits longer for a witness that
/// was stopped.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long after one another signals may come of which the last alone is seen.
const SHORTLY: Duration = Duration::from_millis(200);
/// How many signals are remembered about which nobody has asked.
const MEMORY: usize = 64;

/// A signal and its sender: who signals a group, or one process after the other, is the same for all of them.
pub type Sent = (i32, Pid);
/// In a question and its answer: the signal, the number of the question and, in the answer, whether the signal has come.
const WORD: usize = 8;
const HAS_COME: u64 = 1 << 16;
/// In the place of a signal: not asked about, but the process that is to be watched.
const WATCH: i32 = 0;

/// The guard's end.
pub struct Witness {
    socket: UnixStream,
    pid: Pid,
    questions: u8,
}

impl Witness {
    /// Forks the witness. Without one, what comes to the whole group is passed on as if it had come to us alone.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, EAGAIN.
    pub fn summon() -> io::Result<Witness> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // Who was stopped takes nothing, either.
        socket.set_write_timeout(Some(PATIENCE))?;
        let guard = sys::own_pid();
        match sys::fork()? {
            Fork::Child => {
                sys::die_when_parent_ends();
                sys::close_all_but(theirs.as_fd());
                if sys::parent_pid() == guard {
                    testify(theirs);
                }
                std::process::exit(0);
            }
            Fork::Parent(pid) => Ok(Witness { socket, pid, questions: 0 }),
        }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Has it end. That it has is heard like the end of any child.
    pub fn dismiss(&self) {
        let _ = sys::kill(self.pid, signal::KILL);
    }

    /// Has it wake us when this process has ended, unless it is dismissed before.
    pub fn watch(&self, program: Pid) {
        let _ = (&self.socket).write_all(&encode(&(WATCH, program), 0).to_ne_bytes());
    }

    /// Which of these signals the witness has had, too, which it then forgets. Those that are not answered for are missing.
    pub fn ask(&mut self, about: &[Sent]) -> Vec<bool> {
        self.questions = self.questions.wrapping_add(1);
        let question: Vec<u8> = about.iter().flat_map(|sent| encode(sent, self.questions).to_ne_bytes()).collect();
        let mut answers = Vec::new();
        let mut word = [0; WORD];
        let mut answered = self.socket.write_all(&question);
        while answered.is_ok() && answers.len() < about.len() {
            answered = self.socket.read_exact(&mut word);
            let answer = u64::from_ne_bytes(word);
            // One that came too late is not of this question.
            if answered.is_ok() && (answer >> 8) as u8 == self.questions {
                answers.push(answer & HAS_COME != 0);
            }
        }
        answers
    }
}

/// Answers until the guard is gone. All signals are blocked.
fn testify(mut guard: UnixStream) {
    sys::set_name(c"plugin-witness");
    let Ok(signals) = Signals::open() else { return };
    let mut seen: Vec<(Sent, Instant)> = Vec::new();
    let mut program = None;
    loop {
        let sources = [Some(guard.as_fd()), Some(signals.as_fd()), program.as_ref().map(AsFd::as_fd)];
        let Ok([is_asked, _, has_program_ended]) = sys::wait_readable(sources, None) else { return };
        // Taken as they come: left pending, a stop is undone by SIGCONT, and SIGCONT by a stop (signal(7)).
        while let Some(arrived) = signals.take() {
            if let Origin::Process(sender) = arrived.origin {
                let sent = (arrived.number, sender);
                seen.retain(|(other, _)| *other != sent);
                seen.push((sent, Instant::now()));
            }
        }
        seen.drain(..seen.len().saturating_sub(MEMORY));
        if is_asked && answer(&mut guard, &mut seen, &mut program).is_err() {
            return;
        }
        // It has heard all that PROGRAM has. Who was stopped with it must hear that it is over.
        if has_program_ended {
            let _ = sys::kill(sys::parent_pid(), signal::CONT);
            return;
        }
    }
}

/// One word for each signal that was asked about.
fn answer(guard: &mut UnixStream, seen: &mut Vec<(Sent, Instant)>, program: &mut Option<OwnedFd>) -> io::Result<()> {
    let mut question = [0; MEMORY * WORD];
    let count = match guard.read(&mut question)? {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        count => count,
    };
    let words = question[..count].chunks_exact(WORD).filter_map(|word| Some(u64::from_ne_bytes(word.try_into().ok()?)));
    let (watched, words): (Vec<u64>, Vec<u64>) = words.partition(|word| decode(*word).0 == WATCH);
    if let Some(word) = watched.last() {
        *program = sys::pidfd_open(decode(*word).1).ok();
    }
    let now = Instant::now();
    let answer = |word: &u64| if has_come(decode(*word), seen, now) { *word | HAS_COME } else { *word };
    let answers: Vec<u8> = words.iter().flat_map(|word| answer(word).to_ne_bytes()).collect();
    seen.retain(|(sent, _)| !words.iter().any(|word| decode(*word) == *sent));
    guard.write_all(&answers)
}

/// Whether all have had a signal. A stop takes a pending SIGCONT back, and SIGCONT a stop (signal(7)): of several that come
/// shortly after one another, who is short of a processor has the last alone.
fn has_come((number, sender): Sent, seen: &[(Sent, Instant)], now: Instant) -> bool {
    let is_of_job_control = |number: i32| number == signal::CONT || signal::SUSPENDS.contains(&number);
    seen.iter().any(|&((other, by), at)| {
        let stands_for_it = is_of_job_control(number) && is_of_job_control(other) && now < at + SHORTLY;
        (other, by) == (number, sender) || stands_for_it
    })
}

fn encode((number, sender): &Sent, question: u8) -> u64 {
    *number as u64 | u64::from(question) << 8 | (*sender as u64) << 32
}

fn decode(word: u64) -> Sent {
    ((word & 0xff) as i32, (word >> 32) as Pid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::signal::{CONT, INT, TERM, TSTP};

    #[test]
    fn of_stops_and_continuations_the_last_stands_for_those_shortly_before() {
        let (now, long_ago) = (Instant::now() + SHORTLY, Instant::now() - SHORTLY);
        for (asked, seen, at, expected) in [
            ((TERM, 7), (TERM, 7), now, true),
            ((TERM, 7), (TERM, 7), long_ago, true),
            ((TERM, 7), (TERM, 8), now, false),
            ((TERM, 7), (INT, 7), now, false),
            ((TERM, 7), (CONT, 7), now, false),
            ((CONT, 7), (TERM, 7), now, false),
            ((CONT, 7), (TSTP, 8), now, true),
            ((TSTP, 7), (CONT, 8), now, true),
            ((CONT, 7), (CONT, 8), now, true),
            ((CONT, 7), (TSTP, 7), long_ago, false),
            ((CONT, 7), (CONT, 7), long_ago, true),
        ] {
            assert_eq!(has_come(asked, &[(seen, at)], now), expected, "{asked:?} {seen:?}");
        }
    }
}
