//! The process that the caller sees. It forks the supervisor before any thread exists, passes signals and the end of the
//! parent on to it, and its status back. Whichever of the two is killed, the other ends everything.

use super::parent::ParentWatch;
use super::stop::{Step, Stop};
use super::{Link, Supervisor};
use crate::answer::complain;
use crate::cli::{Arguments, NAME};
use crate::error::{Error, plain};
use crate::notice::{Look, Notice};
use crate::settings::Settings;
use crate::sys::{self, Arrived, Change, Fork, Pid, Reaped, Signals, signal};
use std::io::{self, PipeWriter, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

/// On the link to the supervisor: the parent is gone. Any other byte is a signal number; the end, that the guard is gone.
pub const PARENT_GONE: u8 = 0xff;

/// Signals that come within so long come together. Who sends two may lose the processor between them.
const TOGETHER: Duration = Duration::from_millis(10);

/// Runs the plugins, and PROGRAM if there is one, to their end. Returns the exit status.
///
/// # Errors
/// Usage: nothing could be started, with the reason.
pub fn run(arguments: Arguments, settings: Settings) -> Result<u8, Error> {
    let cannot = |error: io::Error| Error::Usage(format!("cannot start: {}", plain(&error)));
    let mut parent = ParentWatch::open(&settings)?;
    if parent.is_parent_gone() {
        let notice = Notice::Stopping { reason: "the parent process has ended already" };
        if let Some(record) = notice.record(&Look::plain(&settings)) {
            let _ = crate::answer::print(&record);
        }
        return Ok(0);
    }
    // Without PROGRAM the terminal's stop signals are left to the shell's job control.
    let open: &[i32] = if settings.program.is_empty() { &[signal::TSTP, signal::TTIN, signal::TTOU] } else { &[] };
    let inherited = sys::block_signals(open);
    let signals = Signals::open().map_err(cannot)?;
    // Refused by user-mode emulators. What plugins start and leave is then still found while its parents live.
    if let Err(error) = sys::become_subreaper() {
        complain(&format!("cannot adopt what plugins leave behind, it may outlive them: {}", plain(&error)));
    }
    let (link, to_supervisor) = io::pipe().map_err(cannot)?;
    let guard = std::process::id() as Pid;
    let group = sys::own_group();
    match sys::fork().map_err(cannot)? {
        Fork::Child => {
            drop(to_supervisor);
            // Out of reach of a signal to the caller's process group, which must not hit both of us.
            let _ = sys::lead_own_group();
            let attached_to = parent.pid();
            drop(parent);
            drop(signals);
            let link = Link { pipe: link, guard, group };
            Ok(Supervisor::run(arguments, settings, inherited, attached_to, link))
        }
        Fork::Parent(supervisor) => {
            drop(link);
            let guard = Guard {
                supervisor,
                signals,
                parent: Some(parent),
                to_supervisor,
                has_program: !settings.program.is_empty(),
            };
            Ok(guard.watch(settings.grace_period()))
        }
    }
}

struct Guard {
    supervisor: Pid,
    signals: Signals,
    /// `None` once it is gone.
    parent: Option<ParentWatch>,
    to_supervisor: PipeWriter,
    has_program: bool,
}

impl Guard {
    fn watch(mut self, grace_period: Duration) -> u8 {
        loop {
            match self.reap() {
                None => {}
                Some(Change::Exited(status)) => return status as u8,
                Some(Change::Signaled(number) | Change::Stopped(number)) => {
                    return self.take_over(number, grace_period);
                }
            }
            let [process, pipe] = self.parent.as_ref().map(ParentWatch::descriptors).unwrap_or_default();
            let tick = self.parent.as_ref().and_then(ParentWatch::tick);
            let _ = sys::wait_readable([Some(self.signals.as_fd()), process, pipe], tick);
            for number in self.arrived() {
                self.tell(number as u8);
            }
            if self.parent.as_mut().is_some_and(ParentWatch::is_parent_gone) {
                self.parent = None;
                self.tell(PARENT_GONE);
            }
        }
    }

    /// The signals that have come. Of a kind that stops, those that come together are one: timeout(1) signals its child
    /// and then the group, its child among it.
    fn arrived(&self) -> Vec<i32> {
        let mut numbers = Vec::new();
        self.take_signals(&mut numbers);
        if numbers.iter().any(|number| signal::STOPS.contains(number)) {
            thread::sleep(TOGETHER);
            self.take_signals(&mut numbers);
        }
        numbers
    }

    fn take_signals(&self, numbers: &mut Vec<i32>) {
        while let Some(Arrived { number, is_from_user }) = self.signals.take() {
            let is_the_same = signal::STOPS.contains(&number) && numbers.contains(&number);
            if (number != signal::CHLD || is_from_user) && !is_the_same {
                numbers.push(number);
            }
        }
    }

    /// Reaps whatever ended, as PID 1 must, and says what became of the supervisor if it was among them.
    fn reap(&mut self) -> Option<Change> {
        loop {
            match sys::reap() {
                Reaped::Child(pid, Change::Exited(_) | Change::Signaled(_)) if pid != self.supervisor => {}
                Reaped::Child(pid, change @ (Change::Exited(_) | Change::Signaled(_))) => {
                    debug_assert_eq!(pid, self.supervisor);
                    return Some(change);
                }
                Reaped::Child(_, Change::Stopped(_)) => {}
                Reaped::Nothing | Reaped::NoChildren => return None,
            }
        }
    }

    /// A supervisor that somebody stopped must hear it too. If it is gone already, its end is about to be reaped.
    fn tell(&mut self, byte: u8) {
        let _ = self.to_supervisor.write_all(&[byte]);
        let _ = sys::kill(self.supervisor, signal::CONT);
    }

    /// The supervisor was killed, and what it ran is ours now.
    fn take_over(&mut self, number: i32, grace_period: Duration) -> u8 {
        let problem = format!("{NAME}: the supervisor was killed by {}; stopping what it ran\n", signal::name(number));
        let _ = io::stderr().write_all(problem.as_bytes());
        if self.has_program && sys::foreground_group().is_some() {
            sys::set_foreground_group(sys::own_group());
        }
        let now = Instant::now();
        let mut stop = Stop::begin(now, now + grace_period);
        loop {
            loop {
                match sys::reap() {
                    Reaped::Child(..) => {}
                    Reaped::Nothing => break,
                    Reaped::NoChildren => return 128 + number as u8,
                }
            }
            if let Some(Step::Stuck(_) | Step::Blind { is_killing: true }) = stop.step(Instant::now()) {
                return 128 + number as u8;
            }
            let timeout = stop.deadline().saturating_duration_since(Instant::now());
            let _ = sys::wait_readable([Some(self.signals.as_fd())], Some(timeout));
            while let Some(arrived) = self.signals.take() {
                if signal::STOPS.contains(&arrived.number) {
                    stop.skip_grace_period(Instant::now());
                }
            }
        }
    }
}
