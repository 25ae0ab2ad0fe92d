//! Who else got a signal? kill(2) does not tell a process whether it alone was meant, or its whole group, or everything
//! in its container. The witness is a process in our caller's group that does nothing but note all signals: what came
//! there as well came to all, and PROGRAM, which is in the same group, has had it.
//!
//! It wakes the guard when PROGRAM has ended: its parent, the supervisor, may have been stopped, and the guard as well.

use crate::sys::{self, Origin, Pid, Signals, signal};
use std::io::{self, Read, Write};
use std::iter;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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

/// In the place of a signal: not asked about, but the process that is to be watched.
const WATCH: i32 = 0;
/// The bytes of a word, and of as many of them as are taken at once.
const WORD: usize = 8;
const WORDS: usize = 512;

/// Of what questions are made, and their answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    sent: Sent,
    /// The number of the question.
    question: u8,
    /// In an answer: whether the signal has come to the witness as well.
    has_come: bool,
}

impl Word {
    fn encode(self) -> [u8; WORD] {
        let [a, b, c, d] = self.sent.1.to_ne_bytes();
        [self.sent.0 as u8, self.question, self.has_come.into(), 0, a, b, c, d]
    }

    fn decode([number, question, has_come, _, sender @ ..]: [u8; WORD]) -> Word {
        Word { sent: (number.into(), Pid::from_ne_bytes(sender)), question, has_come: has_come == 1 }
    }
}

/// The guard's end.
pub struct Witness {
    socket: UnixStream,
    pid: Pid,
    questions: u8,
}

impl Witness {
    /// Starts the witness. Without one, what comes to the whole group is passed on as if it had come to us alone.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, EAGAIN.
    pub fn summon() -> io::Result<Witness> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // Who was stopped takes nothing, either.
        socket.set_write_timeout(Some(PATIENCE))?;
        let pid = sys::start_beside(theirs.into(), testify)?;
        Ok(Witness { socket, pid, questions: 0 })
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
        let word = Word { sent: (WATCH, program), question: 0, has_come: false };
        let _ = (&self.socket).write_all(&word.encode());
    }

    /// Which of these signals the witness has had, too, which it then forgets. Those that are not answered for are missing.
    pub fn ask(&mut self, about: &[Sent]) -> Vec<bool> {
        self.questions = self.questions.wrapping_add(1);
        let word = |&sent: &Sent| Word { sent, question: self.questions, has_come: false };
        let question: Vec<u8> = about.iter().flat_map(|sent| word(sent).encode()).collect();
        if (&self.socket).write_all(&question).is_err() {
            return Vec::new();
        }
        let answers = iter::from_fn(|| {
            let mut word = [0; WORD];
            (&self.socket).read_exact(&mut word).ok().map(|()| Word::decode(word))
        });
        // One that came too late is not of this question.
        let answers = answers.filter(|answer| answer.question == self.questions && answer.sent.0 != WATCH);
        answers.map(|answer| answer.has_come).take(about.len()).collect()
    }
}

/// Answers until the guard is gone. All signals are blocked. It runs in the memory of the guard: see
/// [`sys::start_beside`] for what it must not do.
fn testify(guard: OwnedFd) {
    sys::set_name(c"plugin-witness");
    let Ok(signals) = Signals::open() else { return };
    let mut seen = Seen::new();
    let mut program = None;
    loop {
        let sources = [Some(guard.as_fd()), Some(signals.as_fd()), program.as_ref().map(AsFd::as_fd)];
        let Ok([is_asked, _, has_program_ended]) = sys::wait_readable(sources, None) else { return };
        // Taken as they come: left pending, a stop is undone by SIGCONT, and SIGCONT by a stop (signal(7)).
        while let Some(arrived) = signals.take() {
            if let Origin::Process(sender) = arrived.origin {
                seen.note((arrived.number, sender), Instant::now());
            }
        }
        if is_asked && answer(guard.as_fd(), &mut seen, &mut program).is_err() {
            return;
        }
        // It has heard all that PROGRAM has. Who was stopped with it must hear that it is over.
        if has_program_ended {
            let _ = sys::kill(sys::parent_pid(), signal::CONT);
            return;
        }
    }
}

/// One word for each, be it a signal that was asked about or not.
fn answer(guard: BorrowedFd<'_>, seen: &mut Seen, program: &mut Option<OwnedFd>) -> io::Result<()> {
    let mut bytes = [0; WORD * WORDS];
    let count = sys::read(guard, &mut bytes)?;
    let words = bytes.get_mut(..count).unwrap_or_default().as_chunks_mut().0;
    if words.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let sent = words.iter().map(|word| Word::decode(*word).sent);
    if let Some((_, pid)) = sent.rev().find(|sent| sent.0 == WATCH) {
        *program = sys::pidfd_open(pid).ok();
    }
    seen.answer(words, Instant::now());
    let answers = words.as_flattened();
    if sys::write_most(guard, answers) < answers.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(())
}

/// The signals that have come, and when each did so last.
struct Seen([Option<(Sent, Instant)>; MEMORY]);

impl Seen {
    const fn new() -> Seen {
        Seen([None; MEMORY])
    }

    /// In the place of the same, or where nothing is, or else of what came longest ago.
    fn note(&mut self, sent: Sent, at: Instant) {
        let preference = |place: &&mut Option<(Sent, Instant)>| match place {
            Some((other, _)) if *other == sent => (0, None),
            None => (1, None),
            Some((_, at)) => (2, Some(*at)),
        };
        if let Some(place) = self.0.iter_mut().min_by_key(preference) {
            *place = Some((sent, at));
        }
    }

    /// Says in each word whether that has come. What was asked about is forgotten: the next of its kind is another.
    fn answer(&mut self, words: &mut [[u8; WORD]], now: Instant) {
        for bytes in words.iter_mut() {
            let word = Word::decode(*bytes);
            *bytes = Word { has_come: self.has(word.sent, now), ..word }.encode();
        }
        let is_answered = |sent: Sent| words.iter().any(|word| Word::decode(*word).sent == sent);
        for place in &mut self.0 {
            place.take_if(|(sent, _)| is_answered(*sent));
        }
    }

    /// Whether all have had a signal. A stop takes a pending SIGCONT back, and SIGCONT a stop (signal(7)): of several that
    /// come shortly after one another, who is short of a processor has the last alone.
    fn has(&self, sent: Sent, now: Instant) -> bool {
        let is_of_job_control = |number: i32| number == signal::CONT || signal::SUSPENDS.contains(&number);
        self.0.iter().flatten().any(|&(other, at)| {
            let stands_for_it = is_of_job_control(sent.0) && is_of_job_control(other.0) && now < at + SHORTLY;
            other == sent || stands_for_it
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::signal::{CONT, INT, TERM, TSTP};
    use std::net::Shutdown;
    use std::thread;

    fn seen_at(all: &[Sent], at: Instant) -> Seen {
        let mut seen = Seen::new();
        all.iter().for_each(|sent| seen.note(*sent, at));
        seen
    }

    fn ask(seen: &mut Seen, about: &[Sent], now: Instant) -> Vec<bool> {
        let word = |&sent: &Sent| Word { sent, question: 7, has_come: false };
        let mut words: Vec<_> = about.iter().map(|sent| word(sent).encode()).collect();
        seen.answer(&mut words, now);
        let answers: Vec<Word> = words.into_iter().map(Word::decode).collect();
        let is_of_question = |(answer, sent): (&Word, &Sent)| Word { has_come: false, ..*answer } == word(sent);
        assert!(answers.iter().zip(about).all(is_of_question), "{answers:?}");
        answers.iter().map(|answer| answer.has_come).collect()
    }

    #[test]
    fn of_stops_and_continuations_the_last_stands_for_those_shortly_before() {
        let at = Instant::now();
        let (shortly, later) = (at + SHORTLY - Duration::from_nanos(1), at + SHORTLY);
        for (asked, seen, now, expected) in [
            ((TERM, 7), (TERM, 7), shortly, true),
            ((TERM, 7), (TERM, 7), later, true),
            ((TERM, 7), (TERM, 8), shortly, false),
            ((TERM, 7), (INT, 7), shortly, false),
            ((TERM, 7), (CONT, 7), shortly, false),
            ((CONT, 7), (TERM, 7), shortly, false),
            ((CONT, 7), (TSTP, 8), shortly, true),
            ((TSTP, 7), (CONT, 8), shortly, true),
            ((CONT, 7), (CONT, 8), shortly, true),
            ((CONT, 7), (TSTP, 7), later, false),
            ((CONT, 7), (CONT, 7), later, true),
        ] {
            assert_eq!(ask(&mut seen_at(&[seen], at), &[asked], now), [expected], "{asked:?} {seen:?}");
        }
    }

    #[test]
    fn what_was_asked_about_is_forgotten_and_what_came_too_long_ago() {
        let now = Instant::now();
        let mut seen = seen_at(&[(TERM, 7), (INT, 7)], now);
        assert_eq!(ask(&mut seen, &[(TERM, 7), (TERM, 8), (TERM, 7)], now), [true, false, true]);
        assert_eq!(ask(&mut seen, &[(TERM, 7), (INT, 7)], now), [false, true]);
        // The same again and again takes the room of one.
        (0..MEMORY).for_each(|_| seen.note((TERM, 1), now));
        (2..=MEMORY as Pid).for_each(|sender| seen.note((TERM, sender), now));
        assert_eq!(ask(&mut seen, &[(TERM, 1)], now), [true]);
        let later = |sender: Pid| now + Duration::from_nanos(sender as u64);
        (0..=MEMORY as Pid).for_each(|sender| seen.note((INT, sender), later(sender)));
        assert_eq!(ask(&mut seen, &[(INT, 0), (INT, 1)], now), [false, true]);
        // So it does at different times.
        let mut seen = Seen::new();
        (0..MEMORY as Pid)
            .chain([MEMORY as Pid - 1, MEMORY as Pid - 1, MEMORY as Pid])
            .zip(0..)
            .for_each(|(sender, at)| seen.note((INT, sender), later(at)));
        assert_eq!(ask(&mut seen, &[(INT, 0), (INT, 1)], now), [false, true]);
        // That it came again makes it new.
        let mut seen = Seen::new();
        (0..MEMORY as Pid)
            .chain([0, MEMORY as Pid])
            .zip(0..)
            .for_each(|(sender, at)| seen.note((INT, sender), later(at)));
        assert_eq!(ask(&mut seen, &[(INT, 0), (INT, 1)], now), [true, false]);
    }

    /// The guard's end, and the witness'. The number of the next question is 0.
    fn both_ends() -> (Witness, UnixStream) {
        let (socket, theirs) = UnixStream::pair().unwrap();
        (Witness { socket, pid: 0, questions: u8::MAX }, theirs)
    }

    #[test]
    fn each_signal_is_answered_for_and_what_comes_too_late_is_no_answer() {
        let (mut guard, theirs) = both_ends();
        let late = Word { sent: (TERM, 7), question: u8::MAX, has_come: true };
        (&theirs).write_all(&[late.encode(), late.encode()].concat()).unwrap();
        let mut seen = seen_at(&[(INT, 1 << 22), (64, 7)], Instant::now());
        let witness = thread::spawn(move || answer(theirs.as_fd(), &mut seen, &mut None));
        let answers = guard.ask(&[(TERM, 7), (INT, 1 << 22), (INT, 7), (64, 7), (TERM, 7)]);
        assert_eq!(answers, [false, true, false, true, false]);
        witness.join().unwrap().unwrap();
    }

    #[test]
    fn who_has_ended_leaves_the_rest_without_an_answer() {
        let (mut guard, theirs) = both_ends();
        (&theirs).write_all(&Word { sent: (TERM, 7), question: 0, has_come: true }.encode()).unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        assert_eq!(guard.ask(&[(TERM, 7), (INT, 7)]), [true]);
        drop(theirs);
        assert_eq!(guard.ask(&[(TERM, 7), (INT, 7)]), []);
    }

    #[test]
    fn the_process_that_is_watched_is_the_last_that_was_named() {
        let (guard, theirs) = both_ends();
        let mut program = None;
        for (pid, is_there) in [(sys::own_pid(), true), (Pid::MAX, false)] {
            guard.watch(pid);
            answer(theirs.as_fd(), &mut Seen::new(), &mut program).unwrap();
            assert_eq!(program.is_some(), is_there, "{pid}");
        }
        drop(guard);
        assert!(answer(theirs.as_fd(), &mut Seen::new(), &mut program).is_err(), "nobody asks any more");
    }
}
