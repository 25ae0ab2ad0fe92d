//! The process that the caller sees. It forks the supervisor before any thread exists, passes on to it what it must know,
//! and its status back. Whichever of the two is killed, the other ends everything.
//!
//! It trusts nobody: a supervisor that does not end in time is killed and its work taken over. It reads nothing but /proc,
//! and writes to nothing that could make it wait.

mod signals;
mod takeover;

use crate::answer::{complain, print};
use crate::cli::Arguments;
use crate::control::address::{self, Address};
use crate::descendants;
use crate::error::{Error, plain};
use crate::escape::quoted;
use crate::link::{Link, Order, Report};
use crate::notice::{Look, Notice};
use crate::parent::ParentWatch;
use crate::settings::Settings;
use crate::supervisor::{Above, Supervisor};
use crate::sys::{self, Change, Fork, Interest, Pid, Reaped, Signals, signal};
use crate::witness::Witness;
use signals::Gathered;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

/// What a stop may take beyond the grace period before the supervisor is held to be stuck.
const MARGIN: Duration = Duration::from_secs(3);
/// How long a witness that was killed may take to go. Held by a tracer, or frozen, it does not.
const LAST_MARGIN: Duration = Duration::from_secs(1);
/// How often to look around where the kernel denies what would tell us.
const BLIND_PAUSE: Duration = Duration::from_millis(100);

/// Runs the plugins, and PROGRAM if there is one, to their end. Returns the exit status.
///
/// # Errors
/// Usage: nothing could be started, with the reason.
pub fn run(arguments: Arguments, mut settings: Settings) -> Result<u8, Error> {
    let cannot = |error: io::Error| Error::Usage(format!("cannot start: {}", plain(&error)));
    let parent = ParentWatch::open(&settings)?;
    if parent.is_parent_gone() {
        let notice = Notice::Stopping { reason: "the parent process has ended already" };
        if let Some(record) = notice.record(&Look::plain(&settings)) {
            let _ = print(&record);
        }
        return Ok(0);
    }
    let has_program = !settings.program.is_empty();
    let control = listen(&arguments, &mut settings)?;
    let address = control.as_ref().map(|(address, _)| address.clone());
    sys::hide_from_others();
    sys::keep_closed_for_children();
    if parent.pid() == Some(sys::parent_pid()) {
        sys::wake_when_parent_ends();
    }
    // Without PROGRAM Ctrl-Z is left to the shell's job control.
    let inherited = sys::block_signals(if has_program { &[] } else { &[signal::TSTP] });
    let signals = Signals::open().map_err(cannot)?;
    // Refused by user-mode emulators. What plugins start and leave is then still found while its parents live.
    if let Err(error) = sys::become_subreaper() {
        complain(&format!("cannot adopt what plugins leave behind, it may outlive them: {}", plain(&error)));
    }
    let (link, supervisors_link) = Link::pair().map_err(cannot)?;
    let grace_period = settings.longest_grace_period();
    let guard = sys::own_pid();
    // Before there is a PROGRAM, so that it has seen all that PROGRAM has.
    let witness = if has_program { Witness::summon().ok() } else { None };
    match sys::fork_heard_when_stopped().map_err(cannot)? {
        Fork::Child => {
            drop((link, signals, witness));
            let above = Above::new(guard, supervisors_link, parent);
            Ok(Supervisor::run(arguments, settings, inherited, above, control))
        }
        Fork::Parent(supervisor) => {
            drop((supervisors_link, control));
            let guard = Guard {
                supervisor,
                signals,
                parent: Some(parent),
                link: Some(link),
                witness,
                address,
                program: None,
                program_pid: None,
                program_end: None,
                has_program,
                is_all_left_to_us: false,
                is_hang_up_ignored: inherited.ignores(signal::HUP),
                had_terminal: sys::has_terminal(),
                grace_period,
                kill_supervisor_at: None,
                gathered: Vec::new(),
                decide_at: None,
            };
            guard.watch()
        }
    }
}

/// Opens the control socket. It never keeps PROGRAM from running.
fn listen(arguments: &Arguments, settings: &mut Settings) -> Result<Option<(Address, UnixListener)>, Error> {
    let (path, place) = match (address::wanted(arguments), settings.control.take()) {
        (Some(path), _) => (path, None),
        (None, Some((path, place))) => (path, Some(place)),
        (None, None) => return Ok(None),
    };
    let problem = match Address::listen(&path) {
        Ok(control) => return Ok(Some(control)),
        Err(problem) => match place {
            None => format!("control socket `{}`: {problem}", quoted(&path)),
            // What the configuration says is not said again.
            Some(place) => format!("the control socket that {place} names: {problem}"),
        },
    };
    if settings.program.is_empty() {
        return Err(Error::Usage(problem));
    }
    settings.warnings.push(problem);
    Ok(None)
}

struct Guard {
    supervisor: Pid,
    signals: Signals,
    /// `None` once it is gone.
    parent: Option<ParentWatch>,
    /// `None` once the supervisor is on its way out.
    link: Option<Link>,
    /// Until it has ended.
    witness: Option<Witness>,
    /// The control socket, to be removed at the end.
    address: Option<Address>,
    /// Readable when PROGRAM has ended.
    program: Option<OwnedFd>,
    program_pid: Option<Pid>,
    program_end: Option<Change>,
    has_program: bool,
    /// The supervisor could not begin.
    is_all_left_to_us: bool,
    is_hang_up_ignored: bool,
    had_terminal: bool,
    /// The longest that any plugin has.
    grace_period: Duration,
    /// A stop is under way, and the supervisor is killed if it is there then.
    kill_supervisor_at: Option<Instant>,
    gathered: Vec<Gathered>,
    decide_at: Option<Instant>,
}

/// What may have news.
struct News {
    signals: bool,
    link: bool,
    /// It has: PROGRAM has ended.
    program: bool,
    parent: bool,
}

impl Guard {
    fn watch(mut self) -> Result<u8, Error> {
        loop {
            let news = self.wait();
            if news.signals {
                while let Some(arrived) = self.signals.take() {
                    self.take_signal(arrived);
                }
                // Nothing else matters any more.
                if let Some(change) = self.reap() {
                    return Ok(self.end(change));
                }
            }
            if news.link {
                self.take_reports();
            }
            if news.parent {
                self.look_at_parent();
            }
            if news.program {
                self.note_end_of_program();
            }
            if let Some(change) = self.keep_deadlines() {
                return Ok(self.end(change));
            }
        }
    }

    /// Waits for news of any kind, or the next deadline. Where the kernel denies that, all is looked at now and then.
    fn wait(&self) -> News {
        let tick = self.parent.as_ref().and_then(ParentWatch::tick);
        // Of its end SIGCONT tells, which a stop takes back (signal(7)).
        let is_leaving = self.link.is_none();
        let looks = [tick, is_leaving.then_some(BLIND_PAUSE)].map(|look| look.map(|after| Instant::now() + after));
        let own = [self.decide_at, self.kill_supervisor_at];
        let deadline = looks.into_iter().chain(own).flatten().min();
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let readable = |fd| (fd, Interest::Readable);
        let [process, pipe] = self.parent.as_ref().map_or([None; 2], ParentWatch::sources);
        let [link, program] = [self.link.as_ref().map(AsFd::as_fd), self.program.as_ref().map(AsFd::as_fd)];
        let sources = [Some(readable(self.signals.as_fd())), link.map(readable), program.map(readable), process, pipe];
        match sys::wait_for(sources, timeout) {
            Ok([signals, link, program, process, pipe]) => {
                News { signals: signals || is_leaving, link, program, parent: process || pipe || tick.is_some() }
            }
            Err(_) => {
                thread::sleep(timeout.map_or(BLIND_PAUSE, |timeout| timeout.min(BLIND_PAUSE)));
                let program = program.is_some_and(|fd| sys::is_ready(fd, Interest::Readable));
                News { signals: true, link: true, program, parent: true }
            }
        }
    }

    // ------------------------------------------------------------ what is above and below

    fn look_at_parent(&mut self) {
        if self.parent.take_if(|parent| parent.is_parent_gone()).is_some() {
            self.tell(Order::ParentGone);
            self.begin_stop();
        }
    }

    fn note_end_of_program(&mut self) {
        self.program = None;
        // The supervisor, whose child it is, may have been stopped.
        let _ = sys::kill(self.supervisor, signal::CONT);
        self.begin_stop();
    }

    fn take_reports(&mut self) {
        let Some(link) = &mut self.link else { return };
        let received = link.receive::<Report>();
        // It is on its way out, which may take a while where one of its threads is stuck in the kernel.
        if received.is_over {
            self.link = None;
            self.begin_stop();
        }
        for report in received.messages {
            match report {
                Report::GracePeriod(longest) => self.grace_period = longest,
                Report::Program(pid) => {
                    self.program_pid = Some(pid);
                    self.program = sys::pidfd_open(pid).ok();
                    if let Some(witness) = &self.witness {
                        witness.watch(pid);
                    }
                }
                Report::ProgramStopped(number) => self.stop_as_program_did(number),
                Report::ProgramEnded(change) => {
                    self.program_end = Some(change);
                    self.begin_stop();
                }
                Report::Stopping(rest) => self.kill_supervisor_at = Some(Instant::now() + rest + MARGIN),
                Report::CannotBegin => self.is_all_left_to_us = true,
            }
        }
    }

    /// What the shell sees of us is what it would see of PROGRAM.
    fn stop_as_program_did(&self, number: i32) {
        // It may have given us the terminal that PROGRAM wanted since, not knowing of a stop that we had yet to follow.
        if matches!(number, signal::TTIN | signal::TTOU) && sys::is_in_foreground() {
            let _ = sys::kill_group(sys::own_group(), signal::CONT);
        } else {
            sys::deliver(number, || self.is_supervisor_there() && self.is_program_stopped());
        }
    }

    /// Its end closes the link before it wakes us: once that is so, nobody may be left to do so.
    fn is_supervisor_there(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !sys::is_ready(link.as_fd(), Interest::HangUp))
    }

    /// It may have been continued since that was reported. Where /proc cannot say, or is another namespace's, it was not.
    fn is_program_stopped(&self) -> bool {
        let process = self.program_pid.and_then(descendants::process);
        process.is_none_or(|process| process.parent != self.supervisor || matches!(process.state, b'T' | b't'))
    }

    /// A supervisor that somebody stopped must hear it too. If it is gone already, its end is about to be reaped.
    fn tell(&self, order: Order) {
        self.link.iter().for_each(|link| link.send(&order));
        let _ = sys::kill(self.supervisor, signal::CONT);
    }

    /// The supervisor is to be gone after the grace period.
    fn begin_stop(&mut self) {
        self.kill_supervisor_at.get_or_insert(Instant::now() + self.grace_period + MARGIN);
    }

    /// Does what is due, and says what became of the supervisor if that was its end. Whether it goes is not waited for:
    /// held by a tracer, or frozen, it does not.
    fn keep_deadlines(&mut self) -> Option<Change> {
        let is_due = |at: Instant| at <= Instant::now();
        if self.decide_at.is_some_and(is_due) {
            self.decide();
        }
        self.kill_supervisor_at.filter(|at| is_due(*at)).map(|_| {
            let _ = sys::kill(self.supervisor, signal::KILL);
            Change::Signaled(signal::KILL)
        })
    }

    /// Reaps whatever ended, as PID 1 must, and says what became of the supervisor if it was among them.
    fn reap(&mut self) -> Option<Change> {
        loop {
            match sys::reap() {
                Reaped::Ended(pid, change) if pid == self.supervisor => return Some(change),
                Reaped::Ended(pid, _) => drop(self.witness.take_if(|witness| witness.pid() == pid)),
                Reaped::Stopped(..) | Reaped::Continued(_) => {}
                Reaped::Nothing | Reaped::NoChildren => return None,
            }
        }
    }

    /// The supervisor has ended: the status that the caller is to see.
    fn end(mut self, change: Change) -> u8 {
        // Its last words may be there still.
        self.take_reports();
        self.witness.iter().for_each(Witness::dismiss);
        let status = match change {
            Change::Exited(status) => {
                self.see_witness_go();
                if self.is_all_left_to_us {
                    takeover::stop_everything(None, self.grace_period, &self.signals);
                }
                status as u8
            }
            Change::Signaled(number) => {
                takeover::stop_everything(Some(number), self.grace_period, &self.signals);
                self.see_witness_go();
                128 + number as u8
            }
        };
        if let Some(address) = &self.address {
            address.remove();
        }
        match self.program_end {
            Some(Change::Exited(status)) => status as u8,
            Some(Change::Signaled(number)) => {
                sys::die_of(number);
                // As PID 1, which the kernel spares.
                128 + number as u8
            }
            None => status,
        }
    }

    /// It was killed, and is gone before we are; unless a tracer or a frozen control group holds it.
    fn see_witness_go(&mut self) {
        let Some(witness) = self.witness.take() else { return };
        let deadline = Instant::now() + LAST_MARGIN;
        loop {
            // Its end may have been told of together with the supervisor's.
            self.reap();
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() || !sys::is_child(witness.pid()) {
                return;
            }
            let _ = sys::wait_readable([Some(self.signals.as_fd())], Some(rest));
            while self.signals.take().is_some() {}
        }
    }
}
