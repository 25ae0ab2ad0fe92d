//! The log: one thread that moves what plugins print, line by line with their names, and the notices between them.
//!
//! Only this thread writes to standard output, so lines never mix, and only it blocks when the reader stalls: plugins
//! then wait on their full pipes, while the supervisor goes on. An order is carried out when its turn comes.

use crate::cli::NAME;
use crate::escape;
use crate::lines::{Piece, Splitter};
use crate::settings::Format;
use crate::sys::{self, Epoll};
use crate::timestamp;
use std::collections::{BinaryHeap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Enough for a quiet plugin, and for one page of memory.
const SMALL_BUFFER: usize = 4 * 1024;
/// The size of a busy pipe and of the buffers that serve it; the most an unprivileged user gets (pipe(7)).
const LARGE_BUFFER: usize = 1024 * 1024;
/// The default capacity of a pipe: a read of this much has seen it full.
const PIPE_CAPACITY: usize = 64 * 1024;
/// Quiet for so long, the large buffers are given back.
const CALM: Duration = Duration::from_secs(1);
/// What the thread's stack is asked to be. Only the pages that are touched count.
const STACK: usize = 64 * 1024;

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

/// A pipe to read from, and how its lines are written.
pub struct Source {
    pub plugin: PluginId,
    pub pipe: PipeReader,
    pub frame: Frame,
    pub stream: Stream,
    pub counters: Arc<Counters>,
}

enum Order {
    Write(Vec<u8>),
    Follow(Source),
    /// Log all that a plugin wrote until now, then this.
    Settle(PluginId, Vec<u8>),
    /// Log all that is left, and end.
    Finish,
}

/// The handle by which the supervisor gives orders; none of them waits.
pub struct Log {
    orders: Arc<Mutex<Vec<Order>>>,
    wake: PipeWriter,
    ended: PipeReader,
}

impl Log {
    /// Starts the thread.
    ///
    /// # Errors
    /// EMFILE, EAGAIN, ENOMEM.
    pub fn start() -> io::Result<Log> {
        let orders = Arc::new(Mutex::new(Vec::new()));
        let (woken, wake) = io::pipe()?;
        let (ended, end) = io::pipe()?;
        sys::set_nonblocking(woken.as_fd())?;
        let epoll = Epoll::new()?;
        epoll.add(woken.as_fd(), WAKE)?;
        let pump = Pump {
            orders: Arc::clone(&orders),
            woken,
            epoll,
            sources: HashMap::new(),
            next_token: WAKE + 1,
            input: vec![0; SMALL_BUFFER],
            stdout: Sink::open(io::stdout().as_fd(), "output")?,
            stderr: Sink::open(io::stderr().as_fd(), "error output")?,
        };
        thread::Builder::new().stack_size(STACK).spawn(move || {
            pump.run();
            drop(end);
        })?;
        Ok(Log { orders, wake, ended })
    }

    /// Logs one record.
    pub fn write(&self, record: Vec<u8>) {
        self.order(Order::Write(record));
    }

    /// Reads a pipe from now on, until its end.
    pub fn follow(&self, source: Source) {
        self.order(Order::Follow(source));
    }

    /// Logs what the plugin wrote until now, a last line without newline included, and then `record`.
    pub fn settle(&self, plugin: PluginId, record: Vec<u8>) {
        self.order(Order::Settle(plugin, record));
    }

    /// Logs all that is left and ends the thread; [`Log::ended`] tells when.
    pub fn finish(&self) {
        self.order(Order::Finish);
    }

    /// Becomes readable when the thread has ended.
    pub fn ended(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }

    fn order(&self, order: Order) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.push(order);
        if orders.len() == 1 {
            // One byte for a queue that was empty: the pipe never fills.
            let _ = (&self.wake).write(&[0]);
        }
    }
}

/// The bytes around each line of one source.
#[derive(Clone, Debug)]
pub struct Frame {
    format: Format,
    before: Vec<u8>,
    before_continuation: Vec<u8>,
    after: Vec<u8>,
    after_partial: Vec<u8>,
}

impl Frame {
    /// `[NAME] line`, `[NAME]+ continuation`.
    pub fn text(name: &OsStr, paint: &Paint) -> Frame {
        let mut label = b"[".to_vec();
        escape::one_line(name.as_bytes(), &mut label);
        label.push(b']');
        let padding = vec![b' '; paint.width.saturating_sub(label.len())];
        let before = |mark: &[u8]| [paint.on, &label, paint.off, mark, &padding].concat();
        Frame {
            format: Format::Text,
            before: before(b" "),
            before_continuation: before(b"+ "),
            after: b"\n".to_vec(),
            after_partial: b"\n".to_vec(),
        }
    }

    /// One object a line; the time is put in as it is written.
    pub fn json(name: &OsStr, stream: Stream) -> Frame {
        let mut before = b"\",\"event\":\"output\",\"plugin\":\"".to_vec();
        escape::json(name.as_bytes(), &mut before);
        before.extend_from_slice(match stream {
            Stream::Merged => b"\",\"message\":\"",
            Stream::Stdout => b"\",\"stream\":\"stdout\",\"message\":\"",
            Stream::Stderr => b"\",\"stream\":\"stderr\",\"message\":\"",
        });
        Frame {
            format: Format::Json,
            before_continuation: before.clone(),
            before,
            after: b"\"}\n".to_vec(),
            after_partial: b"\",\"partial\":true}\n".to_vec(),
        }
    }

    /// Appends one line. `time` is that of the batch.
    fn append(&self, line: &[u8], piece: Piece, time: &timestamp::Timestamp, out: &mut Vec<u8>) {
        let before = if piece.is_continuation { &self.before_continuation } else { &self.before };
        match self.format {
            Format::Text => {
                out.extend_from_slice(before);
                out.extend_from_slice(line);
            }
            Format::Json => {
                out.extend_from_slice(b"{\"time\":\"");
                out.extend_from_slice(time);
                out.extend_from_slice(before);
                escape::json(line, out);
            }
        }
        out.extend_from_slice(if piece.is_partial { &self.after_partial } else { &self.after });
    }
}

/// How a name looks on a terminal; nothing at all elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Paint {
    on: &'static [u8],
    off: &'static [u8],
    /// Bytes that a label is padded to.
    width: usize,
}

impl Paint {
    /// The colour of the plugin with this number, labels aligned to the longest name.
    pub fn on_terminal(number: PluginId, longest_name: usize, has_colour: bool) -> Paint {
        const COLOURS: [&[u8]; 6] = [b"\x1b[36m", b"\x1b[32m", b"\x1b[33m", b"\x1b[35m", b"\x1b[34m", b"\x1b[31m"];
        let (on, off): (&[u8], &[u8]) =
            if has_colour { (COLOURS[number % COLOURS.len()], b"\x1b[0m") } else { (b"", b"") };
        Paint { on, off, width: (longest_name + 2).min(40) }
    }
}

/// The token of the pipe that says that there are orders.
const WAKE: u64 = 0;

struct Followed {
    source: Source,
    splitter: Splitter,
    has_large_pipe: bool,
}

struct Pump {
    orders: Arc<Mutex<Vec<Order>>>,
    woken: PipeReader,
    epoll: Epoll,
    sources: HashMap<u64, Followed>,
    next_token: u64,
    input: Vec<u8>,
    stdout: Sink,
    stderr: Sink,
}

/// What one read found.
enum Got {
    Bytes(usize),
    NothingNow,
    End,
}

impl Pump {
    fn run(mut self) {
        let mut ready = Vec::new();
        loop {
            let is_large = self.input.len() > SMALL_BUFFER;
            self.epoll.wait(&mut ready, is_large.then_some(CALM));
            if ready.is_empty() && is_large {
                self.calm_down();
            }
            let has_orders = ready.contains(&WAKE);
            let time = timestamp::now();
            for token in ready.iter().filter(|token| **token != WAKE) {
                self.read(*token, &time);
            }
            self.flush();
            if has_orders && !self.carry_out() {
                return;
            }
        }
    }

    /// Carries out the orders that have come; false when the last one was to end.
    fn carry_out(&mut self) -> bool {
        let _ = self.woken.read(&mut [0; 64]);
        let orders = std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        for order in orders {
            match order {
                Order::Write(record) => self.stdout.batch.extend_from_slice(&record),
                Order::Follow(source) => self.follow(source),
                Order::Settle(plugin, record) => {
                    self.settle(plugin);
                    self.stdout.batch.extend_from_slice(&record);
                }
                Order::Finish => {
                    self.finish();
                    return false;
                }
            }
        }
        self.flush();
        true
    }

    fn follow(&mut self, source: Source) {
        let token = self.next_token;
        self.next_token += 1;
        // Both fail only for want of kernel memory; the plugin then meets a closed pipe instead of a silent one.
        let is_watched =
            sys::set_nonblocking(source.pipe.as_fd()).and_then(|()| self.epoll.add(source.pipe.as_fd(), token));
        if is_watched.is_ok() {
            self.sources.insert(token, Followed { source, splitter: Splitter::default(), has_large_pipe: false });
        }
    }

    /// Reads once from one source and batches the lines.
    fn read(&mut self, token: u64, time: &timestamp::Timestamp) -> Got {
        let Some(followed) = self.sources.get_mut(&token) else { return Got::End };
        let got = match followed.source.pipe.read(&mut self.input) {
            Ok(0) => Got::End,
            Ok(count) => Got::Bytes(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || error.kind() == io::ErrorKind::Interrupted => {
                Got::NothingNow
            }
            Err(_) => Got::End,
        };
        let sink = match (followed.source.stream, followed.source.frame.format) {
            (Stream::Stderr, Format::Text) => &mut self.stderr,
            _ => &mut self.stdout,
        };
        match got {
            Got::Bytes(count) => {
                followed.log(&self.input[..count], sink, time);
                if count == self.input.len() && count < LARGE_BUFFER {
                    self.input = vec![0; (count * 4).min(LARGE_BUFFER)];
                }
                // Grown only when seen full, as pipe memory is a share of the user's: pipe(7).
                if count >= PIPE_CAPACITY && !followed.has_large_pipe {
                    followed.has_large_pipe = true;
                    sys::grow_pipe(followed.source.pipe.as_fd(), LARGE_BUFFER as i32);
                    sink.grow();
                }
                if sink.batch.len() >= LARGE_BUFFER {
                    sink.flush();
                }
            }
            Got::NothingNow => {}
            Got::End => {
                followed.log_unfinished(sink, time);
                self.epoll.remove(followed.source.pipe.as_fd());
                self.sources.remove(&token);
            }
        }
        got
    }

    /// Logs what a plugin wrote until now. Bounded by what its pipes hold: something it left behind may write for ever.
    fn settle(&mut self, plugin: PluginId) {
        let time = timestamp::now();
        let tokens: BinaryHeap<u64> = self.sources.keys().copied().collect();
        // In order by a heap, here and elsewhere: each `sort` of another type is 3 to 6 kB.
        let tokens = tokens.into_sorted_vec();
        for token in tokens {
            let Some(followed) = self.sources.get(&token).filter(|followed| followed.source.plugin == plugin) else {
                continue;
            };
            let mut waiting = sys::bytes_waiting(followed.source.pipe.as_fd());
            while waiting > 0 {
                match self.read(token, &time) {
                    Got::Bytes(count) => waiting = waiting.saturating_sub(count),
                    Got::NothingNow | Got::End => break,
                }
            }
            if let Some(followed) = self.sources.get_mut(&token) {
                let is_separate =
                    followed.source.stream == Stream::Stderr && followed.source.frame.format == Format::Text;
                followed.log_unfinished(if is_separate { &mut self.stderr } else { &mut self.stdout }, &time);
            }
        }
    }

    fn finish(&mut self) {
        let plugins: BinaryHeap<PluginId> = self.sources.values().map(|followed| followed.source.plugin).collect();
        let mut plugins = plugins.into_sorted_vec();
        plugins.dedup();
        for plugin in plugins {
            self.settle(plugin);
        }
        self.flush();
    }

    fn flush(&mut self) {
        self.stdout.flush();
        self.stderr.flush();
    }

    fn calm_down(&mut self) {
        self.input = vec![0; SMALL_BUFFER];
        self.stdout.batch = Vec::new();
        self.stderr.batch = Vec::new();
    }
}

impl Followed {
    fn log(&mut self, bytes: &[u8], sink: &mut Sink, time: &timestamp::Timestamp) {
        let Source { frame, counters, .. } = &self.source;
        let mut lines = 0;
        self.splitter.feed(bytes, |line, piece| {
            frame.append(line, piece, time, &mut sink.batch);
            lines += u64::from(!piece.is_partial);
        });
        counters.lines.fetch_add(lines, Ordering::Relaxed);
        counters.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    fn log_unfinished(&mut self, sink: &mut Sink, time: &timestamp::Timestamp) {
        let Source { frame, counters, .. } = &self.source;
        self.splitter.finish(|line, piece| {
            frame.append(line, piece, time, &mut sink.batch);
            counters.lines.fetch_add(1, Ordering::Relaxed);
        });
    }
}

/// One of the launcher's own output streams.
struct Sink {
    /// A descriptor of our own: std's `Stdout` would write line by line.
    file: File,
    name: &'static str,
    batch: Vec<u8>,
    is_gone: bool,
    has_complained: bool,
    is_large: bool,
}

impl Sink {
    fn open(fd: BorrowedFd<'_>, name: &'static str) -> io::Result<Sink> {
        let file = File::from(fd.try_clone_to_owned()?);
        Ok(Sink { file, name, batch: Vec::new(), is_gone: false, has_complained: false, is_large: false })
    }

    /// Writes the batch, which is whole lines, and empties it.
    fn flush(&mut self) {
        let mut rest = &self.batch[..];
        while !rest.is_empty() && !self.is_gone {
            match self.file.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares the descriptor made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sys::wait_writable(self.file.as_fd()),
                Err(error) => {
                    self.is_gone = error.kind() == io::ErrorKind::BrokenPipe;
                    if !self.has_complained {
                        self.has_complained = true;
                        let fate = if self.is_gone {
                            "plugins keep running, their output is dropped"
                        } else {
                            "lines are lost"
                        };
                        let problem = format!("{NAME}: cannot write {}: {error}; {fate}\n", self.name);
                        let _ = io::stderr().write_all(problem.as_bytes());
                    }
                    break;
                }
            }
        }
        self.batch.clear();
    }

    fn grow(&mut self) {
        if !self.is_large {
            self.is_large = true;
            sys::grow_pipe(self.file.as_fd(), LARGE_BUFFER as i32);
        }
    }
}
