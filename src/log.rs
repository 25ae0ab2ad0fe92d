//! The log: one thread that moves what plugins print, line by line with their names, and the notices between them.
//!
//! Only this thread writes to the log, so lines never mix, and only it blocks when the reader stalls: plugins then wait
//! on their full pipes, while the supervisor goes on. An order is carried out when its turn comes.

mod bar;
mod frame;
mod pump;
mod queue;
mod sink;
#[cfg(test)]
mod tests;

use crate::answer::complain;
use crate::columns::columns;
use crate::error::{Error, plain};
use crate::escape;
use crate::notice::{Look, Notice};
use crate::plugin::name::LABEL;
use crate::settings::{Format, Settings};
use crate::sys::{self, Epoll, Interest};
use frame::Frame;
use pump::{Pump, WAKE};
use queue::{Order, Queue};
use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// What the thread's stack is asked to be. Only the pages that are touched count.
const STACK: usize = 64 * 1024;
/// Labels up to this width are aligned; longer ones stand out, as all would have little room else.
const LONGEST_ALIGNED: usize = 40;

/// Which plugin a stream or an order belongs to.
pub type PluginId = usize;

/// One of the two streams that are read apart with `--stderr separate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Both, in exact order.
    Merged,
    Stdout,
    Stderr,
}

/// How much of a plugin's output was logged.
#[derive(Debug, Default)]
pub struct Counters {
    pub lines: AtomicU64,
    pub bytes: AtomicU64,
}

/// A pipe to read from.
pub struct Source {
    pub plugin: PluginId,
    pub name: OsString,
    pub pipe: Arc<PipeReader>,
    pub stream: Stream,
    pub counters: Arc<Counters>,
}

/// The handle by which the supervisor gives orders; none of them waits.
pub struct Log {
    queue: Arc<Mutex<Queue>>,
    epoll: Arc<Epoll>,
    next_token: Cell<u64>,
    wake: PipeWriter,
    thread: Arc<Mutex<Option<Thread>>>,
    stage: Cell<Stage>,
    ended: PipeReader,
    has_lost: Arc<AtomicBool>,
}

/// How far the log has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The thread was not needed so far.
    Without,
    /// There is what only the thread can do, and none was to be had. That was said.
    Wanted,
    /// The thread works, or has ended.
    Begun,
    /// The end has come, and nothing was left to do.
    Over,
}

/// What the thread works with, until it begins: that is with the first pipe, or with what has to wait for the reader.
struct Thread {
    pump: Pump,
    has_lost: Arc<AtomicBool>,
    /// Closed when the work is done.
    _end: PipeWriter,
}

/// Claims the descriptor of this number for the log, while nothing of ours is open yet: PROGRAM does not get it.
/// Standard output is taken as it is: who closes it wants no log.
///
/// # Errors
/// Usage: it is not open, or not for writing.
pub fn claim_descriptor(number: i32) -> Result<(), Error> {
    let problem = match sys::is_open_for_writing(number) {
        Ok(true) if sys::keep_from_children(number).is_ok() => return Ok(()),
        _ if number == 1 => return Ok(()),
        Ok(_) => "is not open for writing",
        Err(_) => "is not open",
    };
    Err(Error::Usage(format!("`--log-fd {number}`: descriptor {number} {problem}; the shell opens it: {number}>FILE")))
}

/// How records look where they go to a terminal, or do not.
fn look(plain: Look, is_terminal: bool, variable: impl Fn(&str) -> OsString) -> Look {
    let is_terminal = is_terminal && plain.format == Format::Text;
    let has_colour = is_terminal && variable("TERM") != "dumb" && variable("NO_COLOR").is_empty();
    Look { is_terminal, has_colour, ..plain }
}

impl Log {
    /// The log goes to the descriptor of that number, which no child inherits unless it is one of the standard streams. How
    /// records are written is settled here: a log does not change its format half-way.
    ///
    /// # Errors
    /// EBADF, EMFILE, ENOMEM.
    pub fn open(number: i32, settings: &Settings) -> io::Result<Log> {
        let output = sys::duplicate_descriptor(number)?;
        let variable = |name: &str| std::env::var_os(name).unwrap_or_default();
        let [look, look_of_errors] = [output.is_terminal(), io::stderr().is_terminal()]
            .map(|is_terminal| look(Look::plain(settings), is_terminal, variable));
        let log = Log::new(output, look)?;
        lock(&log.queue).look_of_errors = look_of_errors;
        Ok(log)
    }

    fn new(output: OwnedFd, look: Look) -> io::Result<Log> {
        let queue = Arc::new(Mutex::new(Queue::new(look)));
        let (woken, wake) = io::pipe()?;
        let (ended, end) = io::pipe()?;
        let epoll = Arc::new(Epoll::new()?);
        let has_lost = Arc::new(AtomicBool::new(false));
        let pump = Pump::new(Arc::clone(&queue), woken, Arc::clone(&epoll), output, look)?;
        let thread = Thread { pump, has_lost: Arc::clone(&has_lost), _end: end };
        Ok(Log {
            queue,
            epoll,
            next_token: Cell::new(WAKE + 1),
            wake,
            thread: Arc::new(Mutex::new(Some(thread))),
            stage: Cell::new(Stage::Without),
            ended,
            has_lost,
        })
    }

    /// Has done what was ordered, where the thread has not begun: at once, if that is to say a little and whoever reads
    /// takes it now, else by the thread, which begins. Where that fails, the next call tries again.
    ///
    /// To be called before waiting.
    pub fn begin(&self) {
        match self.stage.get() {
            Stage::Without if self.is_done_at_once() => {}
            Stage::Without | Stage::Wanted => self.start(),
            Stage::Begun | Stage::Over => {}
        }
    }

    /// Does in this thread what was ordered, if that is a little, as far as it is possible without waiting; whether nothing
    /// is left to do.
    fn is_done_at_once(&self) -> bool {
        let is_little = {
            let queue = lock(&self.queue);
            if !queue.has_orders.load(Ordering::Acquire) {
                return true;
            }
            queue.is_little()
        };
        let mut thread = lock(&self.thread);
        let is_done = is_little && thread.as_mut().is_some_and(|thread| thread.pump.work_at_once());
        // The order to end was among it.
        thread.take_if(|thread| is_done && thread.pump.is_over()).into_iter().for_each(Thread::work);
        is_done
    }

    fn start(&self) {
        let thread = Arc::clone(&self.thread);
        let work = move || {
            // The lock is not held while it works.
            let taken = lock(&thread).take();
            taken.into_iter().for_each(Thread::work);
        };
        match sys::start_thread(thread::Builder::new().stack_size(STACK), work) {
            Ok(()) => self.stage.set(Stage::Begun),
            Err(error) if self.stage.replace(Stage::Wanted) != Stage::Wanted => {
                complain(&format!("the log waits for a thread: {}", plain(&error)));
            }
            Err(_) => {}
        }
    }

    /// Says something, unless `--quiet` leaves it out.
    pub fn say(&self, notice: &Notice<'_>) {
        let mut queue = lock(&self.queue);
        // Its time is taken under the lock, as those of output are: times in the log never go back.
        if let Some(record) = notice.record(&queue.look) {
            queue.push(Order::Write(record));
            self.wake(queue);
        }
    }

    /// Whether an earlier report of the plugins' states still waits for its turn: another would say the same.
    pub fn is_status_pending(&self) -> bool {
        lock(&self.queue).has_status
    }

    /// Says how the plugins do, somebody having asked.
    pub fn say_status<'a>(&self, statuses: impl Iterator<Item = Notice<'a>>) {
        let mut queue = lock(&self.queue);
        let look = queue.look;
        queue.push(Order::Status(statuses.filter_map(|notice| notice.record(&look)).flatten().collect()));
        self.wake(queue);
    }

    /// Aligns the labels of these plugins, where there is a terminal.
    pub fn align<'a>(&self, names: impl Iterator<Item = &'a OsStr>) {
        let mut queue = lock(&self.queue);
        if queue.look.is_terminal || queue.look_of_errors.is_terminal {
            let width = |name: &OsStr| {
                let mut shown = Vec::new();
                escape::name(name.as_bytes(), true, &mut shown);
                columns(&shown) + 2
            };
            let widths = names.chain([OsStr::new(LABEL)]).map(width);
            let width = widths.filter(|&width| width <= LONGEST_ALIGNED).max().unwrap_or(0);
            let Queue { look, look_of_errors, .. } = &mut *queue;
            for look in [look, look_of_errors] {
                look.label_width = if look.is_terminal { width } else { 0 };
            }
        }
    }

    /// Reads a pipe from now on, until its end. The first news of the pipe wakes the thread, nothing else need.
    pub fn follow(&self, source: Source) {
        let token = self.next_token.replace(self.next_token.get() + 1);
        let (pipe, name) = (Arc::clone(&source.pipe), source.name.clone());
        let mut queue = lock(&self.queue);
        let look = if source.stream == Stream::Stderr { queue.look_of_errors } else { queue.look };
        let frame = Frame::new(&source, &look);
        // The thread that meets the token finds the order.
        queue.push(Order::Follow { token, source, frame });
        drop(queue);
        // Both fail only for want of kernel memory, or where system calls are filtered.
        let watched = sys::set_nonblocking(pipe.as_fd()).and_then(|()| self.epoll.add(pipe.as_fd(), token));
        if let Err(error) = watched {
            let reason = format!("its output is read by poll(2), epoll(7) does not watch it: {}", plain(&error));
            self.say(&Notice::Warning { plugin: Some(&name), reason: &reason });
            let mut queue = lock(&self.queue);
            queue.push(Order::Poll { token });
            self.wake(queue);
        }
    }

    /// Logs what the plugin wrote until now, a last line without newline included, and then says that it ended.
    pub fn settle(&self, plugin: PluginId, end: &Notice<'_>) {
        let mut queue = lock(&self.queue);
        let time = queue.now();
        let record = end.record(&queue.look).unwrap_or_default();
        queue.push(Order::Settle { plugin, time, record });
        self.wake(queue);
    }

    /// Logs all that is left and ends the thread; [`Log::is_over`] and [`Log::ended`] tell when. Where nothing was ordered
    /// there is nothing to do.
    pub fn finish(&self) {
        let mut queue = lock(&self.queue);
        if self.stage.get() == Stage::Without && !queue.has_orders.load(Ordering::Acquire) {
            return self.stage.set(Stage::Over);
        }
        let time = queue.now();
        queue.push(Order::Finish { time });
        self.wake(queue);
        self.begin();
        if self.stage.get() == Stage::Wanted {
            self.has_lost.store(true, Ordering::Release);
            // With what it would have worked with ends what tells of its end.
            drop(lock(&self.thread).take());
        }
    }

    /// Whether nothing is left to log, once [`Log::finish`] was called.
    pub fn is_over(&self) -> bool {
        self.stage.get() == Stage::Over || sys::is_ready(self.ended(), Interest::Readable)
    }

    /// Becomes readable when the thread has ended.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    /// Whether lines could not be written, once the thread has ended; a reader that has gone or that nobody waits for
    /// loses none.
    pub fn has_lost_lines(&self) -> bool {
        self.has_lost.load(Ordering::Acquire)
    }

    /// Wakes the thread, unless it is about to look. Not under the lock, for which it would have to wait.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        let has_to = self.stage.get() == Stage::Begun && !std::mem::replace(&mut queue.is_woken, true);
        drop(queue);
        if has_to && (&self.wake).write(&[0]).is_err() {
            // The next order tries again.
            lock(&self.queue).is_woken = false;
        }
    }
}

impl Thread {
    fn work(self) {
        self.has_lost.store(self.pump.run(), Ordering::Release);
    }
}

fn lock<T>(of_both: &Mutex<T>) -> MutexGuard<'_, T> {
    of_both.lock().unwrap_or_else(PoisonError::into_inner)
}
