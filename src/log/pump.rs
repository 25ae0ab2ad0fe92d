//! The thread of the log: waits for pipes and orders, reads, and has whole batches written.

mod alone;
mod followed;
#[cfg(test)]
mod tests;

use super::queue::{Order, Queue, Taken};
use super::sink::{LARGE_BUFFER, LARGE_PIPE, SMALL_BUFFER, Sink};
use super::{PluginId, lock};
use crate::error::plain;
use crate::notice::{Look, Notice};
use crate::numbered::Numbered;
use crate::settings::Format;
use crate::sys::{self, Epoll, Interruptible};
use crate::timestamp::Timestamp;
pub use alone::Alone;
use followed::Followed;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// A read of this much has seen a pipe of default capacity (64 KiB) full: its pages may each be half empty.
const FULL_PIPE: usize = 32 * 1024;
/// Quiet for so long, the large buffers are given back.
const CALM: Duration = Duration::from_secs(1);
/// How often to look at all pipes where neither epoll(7) nor poll(2) can be used.
const BLIND_PAUSE: Duration = Duration::from_millis(50);

/// Want of memory passes; a pipe that fails more often than this in a row is given up.
const MOST_FAILURES: u32 = 100;

/// The token of the pipe that says that there are orders.
pub const WAKE: u64 = 0;

/// See the module.
pub struct Pump {
    queue: Arc<Mutex<Queue>>,
    has_orders: Arc<AtomicBool>,
    woken: PipeReader,
    epoll: Arc<Epoll>,
    /// epoll(7) can be waited for.
    has_epoll: bool,
    /// Some source came that epoll(7) does not watch.
    has_polled: bool,
    look: Look,
    sources: Numbered<u64, Followed>,
    /// The order to end has come.
    is_over: bool,
    /// Of these sources a line is to be logged before its end, if no more comes until then.
    bars: Vec<(u64, Instant)>,
    /// When orders were taken last.
    time: Timestamp,
    input: Vec<u8>,
    output: Sink,
    errors: Sink,
    /// The thread that this is, if its calls can be interrupted; asked for when that matters first.
    thread: Option<Option<Interruptible>>,
}

/// What one read found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Got {
    Bytes(usize),
    NothingNow,
    /// It may do so the next time.
    Failed,
    End,
}

/// What was read and is not logged yet: nothing at the end, as read(2) has it.
struct Pending<'a> {
    token: u64,
    bytes: &'a [u8],
}

impl Pump {
    /// A pump that is woken through `woken` and writes to `output`, and standard error's share to standard error.
    ///
    /// # Errors
    /// EMFILE, ENOMEM.
    pub fn new(
        queue: Arc<Mutex<Queue>>,
        woken: PipeReader,
        epoll: Arc<Epoll>,
        output: OwnedFd,
        look: Look,
    ) -> io::Result<Pump> {
        sys::set_nonblocking(woken.as_fd())?;
        let has_epoll = epoll.add(woken.as_fd(), WAKE);
        let has_orders = Arc::clone(&lock(&queue).has_orders);
        let time = lock(&queue).now();
        let mut pump = Pump {
            queue,
            has_orders,
            woken,
            epoll,
            has_epoll: has_epoll.is_ok(),
            look,
            sources: Numbered::new(),
            has_polled: false,
            is_over: false,
            bars: Vec::new(),
            time,
            input: vec![0; SMALL_BUFFER],
            output: Sink::new(output, "output", look),
            errors: Sink::new(io::stderr().as_fd().try_clone_to_owned()?, "error output", look),
            thread: None,
        };
        if let Err(error) = has_epoll {
            pump.warn(&format!("plugins' output is read by poll(2): epoll_ctl: {}", plain(&error)));
        }
        Ok(pump)
    }

    /// Carries out the orders that have come, as far as that is possible without waiting; whether it was. There is nothing
    /// to read yet.
    pub fn work_at_once(&mut self) -> bool {
        self.carry_out(None);
        self.output.flush_at_once()
    }

    /// Whether the order to end has come.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Works until the order to end. Returns whether lines were lost.
    pub fn run(mut self) -> bool {
        // What was ordered before.
        self.carry_out(None);
        self.flush();
        let mut ready = Vec::new();
        while !self.is_over {
            if !self.read_alone() {
                self.turn(&mut ready);
            }
        }
        self.end()
    }

    /// Waits for news, and does what there is to do.
    fn turn(&mut self, ready: &mut Vec<u64>) {
        let is_large = self.is_large();
        let until_bar = self.bars.iter().map(|(_, due)| due.saturating_duration_since(Instant::now())).min();
        let timeout = is_large.then_some(CALM).into_iter().chain(until_bar).min();
        self.wait(ready, timeout);
        if ready.is_empty() && is_large {
            self.calm_down();
        }
        // Among the orders is what tells of a pipe that nobody knows yet.
        if ready.iter().any(|token| self.sources.get(token).is_none()) {
            self.carry_out(None);
        }
        for token in ready.iter().filter(|token| **token != WAKE) {
            if !self.is_over {
                self.read(*token);
            }
        }
        if !self.bars.is_empty() {
            self.show_bars();
        }
        self.flush();
    }

    /// Waits for the tokens of pipes that are ready.
    fn wait(&mut self, ready: &mut Vec<u64>, timeout: Option<Duration>) {
        if self.has_epoll && !self.has_polled {
            let Err(error) = self.epoll.wait(ready, timeout) else { return };
            self.has_epoll = false;
            self.warn(&format!("plugins' output is read by poll(2): epoll_wait: {}", plain(&error)));
        }
        // epoll(7) can itself be polled, for what it watches: for a pipe that nobody knows yet, too, which wakes no other way.
        let polled = self.sources.iter().filter(|(_, followed)| followed.is_polled || !self.has_epoll);
        let (mut tokens, mut fds): (Vec<u64>, Vec<_>) =
            polled.map(|(token, followed)| (token, followed.source.pipe.as_fd())).unzip();
        tokens.extend([WAKE; 2]);
        fds.extend([self.epoll.as_fd(), self.woken.as_fd()]);
        ready.clear();
        match sys::wait_any_readable(&fds, timeout) {
            Ok(is_ready) => {
                let _ = self.epoll.wait(ready, Some(Duration::ZERO));
                ready.extend(tokens.iter().zip(is_ready).filter(|(_, is_ready)| *is_ready).map(|(token, _)| *token));
            }
            Err(_) => {
                // No pipe of ours blocks.
                thread::sleep(BLIND_PAUSE);
                ready.extend(self.sources.numbers());
                ready.push(WAKE);
            }
        }
    }

    /// Carries out the orders that have come, what was read before that among them where it belongs.
    ///
    /// Order is that of one clock: what was said before the bytes are looked at stands before them, as they may be the
    /// answer to it. Only a plugin's end stands behind all that it wrote.
    fn carry_out(&mut self, mut pending: Option<Pending<'_>>) {
        let Taken { orders, dropped, time } = self.take_orders();
        for order in orders {
            match order {
                Order::Write(record) | Order::Status(record) => self.output.push(&[&record]),
                Order::Follow { token, source, frame } => self.sources.push(token, Followed::new(source, frame)),
                Order::Poll { token } => {
                    if let Some(followed) = self.sources.get_mut(&token) {
                        followed.is_polled = true;
                        self.has_polled = true;
                    }
                }
                Order::Settle { plugin, time, record } => {
                    let is_its_own = |token| self.sources.get(&token).is_some_and(|it| it.source.plugin == plugin);
                    if let Some(read) = pending.take_if(|read| is_its_own(read.token)) {
                        self.log(&read, &time);
                    }
                    self.settle(|of| of == plugin, &time);
                    self.output.push(&[&record]);
                }
                Order::Finish { time } => {
                    if let Some(read) = pending.take() {
                        self.log(&read, &time);
                    }
                    self.settle(|_| true, &time);
                    self.is_over = true;
                }
            }
        }
        if dropped > 0 {
            self.warn(&format!("{dropped} notices lost: nobody read the log"));
        }
        if let Some(read) = pending {
            self.log(&read, &time);
        }
    }

    /// Takes the orders that have come. Under the lock nobody gives one: what is taken is older than its time, what comes
    /// later is not.
    fn take_orders(&mut self) -> Taken {
        let mut queue = lock(&self.queue);
        // A byte that could not be read would wake us for ever.
        queue.is_woken = queue.is_woken && self.woken.read(&mut [0; 8]).is_err();
        let taken = queue.take();
        self.time = taken.time;
        taken
    }

    /// Says something in the midst of what was taken last: what stands before it is not younger, nor is what follows older.
    fn warn(&mut self, reason: &str) {
        let record = Notice::Warning { plugin: None, reason }.record_at(&self.look, Some(&self.time));
        self.output.push(&[&record.unwrap_or_default()]);
    }

    /// Reads once from one source and batches the lines.
    fn read(&mut self, token: u64) {
        let time = self.time;
        match self.read_into_input(token, &time) {
            Got::Bytes(count) => {
                let input = std::mem::take(&mut self.input);
                let read = Pending { token, bytes: &input[..count] };
                // In text, where lines have no time, it takes no lock to see that nothing was said before them.
                match self.look.format {
                    Format::Text if !self.has_orders.load(Ordering::Acquire) => self.log(&read, &Timestamp::default()),
                    _ => self.carry_out(Some(read)),
                }
                self.input = grown(input, count);
            }
            Got::NothingNow | Got::Failed => {}
            Got::End => self.carry_out(Some(Pending { token, bytes: &[] })),
        }
    }

    fn read_into_input(&mut self, token: u64, time: &Timestamp) -> Got {
        let Some(followed) = self.sources.get_mut(&token) else { return Got::NothingNow };
        if self.input.is_empty() {
            self.input = vec![0; SMALL_BUFFER];
        }
        let count = match sys::read(followed.source.pipe.as_fd(), &mut self.input) {
            Ok(0) => return Got::End,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Got::NothingNow;
            }
            Err(_) if followed.failures < MOST_FAILURES => {
                followed.failures += 1;
                return Got::Failed;
            }
            Err(error) => {
                let reason = format!("its output cannot be read: {}; what follows is lost", plain(&error));
                let warning = Notice::Warning { plugin: Some(&followed.source.name), reason: &reason };
                self.output.push(&[&warning.record_at(&self.look, Some(time)).unwrap_or_default()]);
                return Got::End;
            }
        };
        followed.failures = 0;
        // Grown only when seen full, as pipe memory is a share of the user's: pipe(7).
        if count >= FULL_PIPE && !followed.has_large_pipe {
            followed.has_large_pipe = true;
            sys::grow_pipe(followed.source.pipe.as_fd(), LARGE_PIPE);
            self.output.grow_pipe();
        }
        Got::Bytes(count)
    }

    /// Batches the lines of what was read.
    fn log(&mut self, read: &Pending<'_>, time: &Timestamp) {
        let Pending { token, bytes } = *read;
        if bytes.is_empty() {
            return self.close(token, time);
        }
        let Some(followed) = self.sources.get_mut(&token) else { return };
        let sink = if followed.is_apart() { &mut self.errors } else { &mut self.output };
        followed.log(bytes, sink, time);
        if !self.bars.is_empty() {
            self.bars.retain(|(of, _)| *of != token);
        }
        if followed.splitter.is_overwritten() {
            self.bars.push((token, followed.bar.due(Instant::now())));
        }
    }

    /// Logs the lines that are overwritten, where no more came.
    fn show_bars(&mut self) {
        let now = Instant::now();
        for (token, _) in self.bars.extract_if(.., |(_, due)| *due <= now) {
            let Some(followed) = self.sources.get_mut(&token) else { continue };
            let sink = if followed.is_apart() { &mut self.errors } else { &mut self.output };
            followed.pass(sink, &self.time, |splitter, lines| splitter.show(lines));
            followed.bar.note_shown(now);
        }
    }

    /// Batches a last line that has no newline.
    fn log_unfinished(&mut self, token: u64, time: &Timestamp) {
        let Some(followed) = self.sources.get_mut(&token) else { return };
        let sink = if followed.is_apart() { &mut self.errors } else { &mut self.output };
        followed.pass(sink, time, |splitter, lines| splitter.finish(lines));
    }

    /// Nobody will write to the pipe any more.
    fn close(&mut self, token: u64, time: &Timestamp) {
        self.log_unfinished(token, time);
        let Some(followed) = self.sources.remove(&token) else { return };
        self.bars.retain(|(of, _)| *of != token);
        self.epoll.remove(followed.source.pipe.as_fd());
    }

    /// Logs what plugins wrote until now. Bounded by what its pipes hold: something it left behind may write for ever.
    fn settle(&mut self, is_meant: impl Fn(PluginId) -> bool, time: &Timestamp) {
        let meant = self.sources.iter().filter(|(_, followed)| is_meant(followed.source.plugin));
        let waiting: Vec<(u64, usize)> =
            meant.map(|(token, followed)| (token, sys::bytes_waiting(followed.source.pipe.as_fd()))).collect();
        for (token, mut waiting) in waiting {
            while waiting > 0 {
                match self.read_into_input(token, time) {
                    Got::Bytes(count) => {
                        let input = std::mem::take(&mut self.input);
                        self.log(&Pending { token, bytes: &input[..count] }, time);
                        self.input = input;
                        waiting = waiting.saturating_sub(count);
                    }
                    Got::Failed => {}
                    Got::NothingNow => break,
                    Got::End => {
                        self.close(token, time);
                        break;
                    }
                }
            }
            self.log_unfinished(token, time);
        }
    }

    /// Logs all that is left. Returns whether lines were lost.
    fn end(mut self) -> bool {
        let has_lost = self.output.finish();
        self.errors.finish() || has_lost
    }

    fn flush(&mut self) {
        self.output.flush();
        self.errors.flush();
    }

    /// Whether it holds more memory than a quiet log needs.
    fn is_large(&self) -> bool {
        self.input.len() > SMALL_BUFFER || self.output.is_large() || self.errors.is_large()
    }

    fn calm_down(&mut self) {
        self.input = vec![0; SMALL_BUFFER];
        self.output.calm_down();
        self.errors.calm_down();
    }
}

/// The buffer of the next read, `count` bytes of this one having been filled: who fills one whole has more.
fn grown(input: Vec<u8>, count: usize) -> Vec<u8> {
    if count == input.len() && count < LARGE_BUFFER { vec![0; count * 4] } else { input }
}
