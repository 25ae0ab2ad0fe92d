//! The log: one thread that moves what plugins print, line by line with their names, and the notices between them.
//!
//! Only this thread writes to standard output, so lines never mix, and only it blocks when the reader stalls: plugins
//! then wait on their full pipes, while the supervisor goes on. An order is carried out when its turn comes.

use crate::cli::NAME;
use crate::escape;
use crate::lines::copy::{self, Newline, Special};
use crate::lines::{self, Lines, Piece, Splitter};
use crate::settings::Format;
use crate::sys::{self, Epoll};
use crate::timestamp::{self, Timestamp};
use std::cell::Cell;
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
/// Enough for a busy one; input and batch of this size still fit into a core's cache.
const LARGE_BUFFER: usize = 256 * 1024;
/// The size of a busy pipe; the most an unprivileged user gets (pipe(7)).
const LARGE_PIPE: i32 = 1024 * 1024;
/// A read of this much has seen a pipe of default capacity (64 KiB) full: its pages may each be half empty.
const FULL_PIPE: usize = 32 * 1024;
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
    Follow(u64, Source),
    /// Log all that a plugin wrote until now, then this.
    Settle(PluginId, Vec<u8>),
    /// Log all that is left, and end.
    Finish,
}

/// What the thread is to do.
#[derive(Default)]
struct Queue {
    orders: Vec<Order>,
    /// A byte is in the pipe that wakes the thread, or it is awake and about to take the orders.
    is_woken: bool,
}

/// The handle by which the supervisor gives orders; none of them waits.
pub struct Log {
    queue: Arc<Mutex<Queue>>,
    epoll: Arc<Epoll>,
    next_token: Cell<u64>,
    wake: PipeWriter,
    ended: PipeReader,
}

impl Log {
    /// Starts the thread.
    ///
    /// # Errors
    /// EMFILE, EAGAIN, ENOMEM.
    pub fn start() -> io::Result<Log> {
        let queue = Arc::new(Mutex::new(Queue::default()));
        let (woken, wake) = io::pipe()?;
        let (ended, end) = io::pipe()?;
        sys::set_nonblocking(woken.as_fd())?;
        let epoll = Arc::new(Epoll::new()?);
        epoll.add(woken.as_fd(), WAKE)?;
        let pump = Pump {
            queue: Arc::clone(&queue),
            woken,
            epoll: Arc::clone(&epoll),
            sources: HashMap::new(),
            input: vec![0; SMALL_BUFFER],
            stdout: Sink::open(io::stdout().as_fd(), "output")?,
            stderr: Sink::open(io::stderr().as_fd(), "error output")?,
        };
        thread::Builder::new().stack_size(STACK).spawn(move || {
            pump.run();
            drop(end);
        })?;
        Ok(Log { queue, epoll, next_token: Cell::new(WAKE + 1), wake, ended })
    }

    /// Logs one record.
    pub fn write(&self, record: Vec<u8>) {
        self.order(Order::Write(record));
    }

    /// Reads a pipe from now on, until its end. The first news of the pipe wakes the thread, nothing else need.
    pub fn follow(&self, source: Source) {
        let token = self.next_token.replace(self.next_token.get() + 1);
        // The thread that meets the token waits for the lock, and then finds the order.
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // Both fail only for want of kernel memory; the plugin then meets a closed pipe instead of a silent one.
        let pipe = source.pipe.as_fd();
        if sys::set_nonblocking(pipe).and_then(|()| self.epoll.add(pipe, token)).is_ok() {
            queue.orders.push(Order::Follow(token, source));
        }
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
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.orders.push(order);
        if !std::mem::replace(&mut queue.is_woken, true) {
            let _ = (&self.wake).write(&[0]);
        }
    }
}

/// The bytes around each line of one source.
#[derive(Clone, Debug)]
pub struct Frame {
    format: Format,
    before: Label,
    before_continuation: Label,
}

impl Frame {
    /// `[NAME] line`, `[NAME]+ continuation`.
    pub fn text(name: &OsStr, paint: &Paint) -> Frame {
        let mut label = b"[".to_vec();
        escape::one_line(name.as_bytes(), &mut label);
        label.push(b']');
        let padding = vec![b' '; paint.width.saturating_sub(label.len())];
        let before = |mark: &[u8]| Label::new([paint.on, &label, paint.off, mark, &padding].concat());
        Frame { format: Format::Text, before: before(b" "), before_continuation: before(b"+ ") }
    }

    /// One object a line.
    pub fn json(name: &OsStr, stream: Stream) -> Frame {
        let mut before = TIME_BEGINS.to_vec();
        before.extend_from_slice(&Timestamp::default());
        before.extend_from_slice(b"\",\"event\":\"output\",\"plugin\":\"");
        escape::json(name.as_bytes(), &mut before);
        before.extend_from_slice(match stream {
            Stream::Merged => b"\",\"message\":\"",
            Stream::Stdout => b"\",\"stream\":\"stdout\",\"message\":\"",
            Stream::Stderr => b"\",\"stream\":\"stderr\",\"message\":\"",
        });
        let before = Label::new(before);
        Frame { format: Format::Json, before_continuation: before.clone(), before }
    }

    /// Sets the time of the lines that follow.
    fn set_time(&mut self, time: &Timestamp) {
        if self.format == Format::Json {
            for label in [&mut self.before, &mut self.before_continuation] {
                label.padded[TIME_BEGINS.len()..][..time.len()].copy_from_slice(time);
            }
        }
    }
}

/// How a record in JSON begins: with its time.
const TIME_BEGINS: &[u8] = b"{\"time\":\"";
/// How a record ends.
const TEXT_ENDS: &[u8; 1] = b"\n";
const JSON_ENDS: &[u8; 3] = b"\"}\n";
const JSON_ENDS_PARTIAL: &[u8] = b"\",\"partial\":true}\n";

/// What stands before a line. It holds no newline.
#[derive(Clone, Debug)]
struct Label {
    /// With newlines behind it, one at least, up to a whole number of sixteen bytes: [`copy::until`] is quick with that.
    padded: Vec<u8>,
    length: usize,
}

impl Label {
    fn new(mut bytes: Vec<u8>) -> Label {
        let length = bytes.len();
        bytes.resize((length / 16 + 1) * 16, b'\n');
        Label { padded: bytes, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.padded[..self.length]
    }
}

/// Lines on their way from one source into a batch.
struct Framed<'a> {
    frame: &'a Frame,
    sink: &'a mut Sink,
    /// How many lines have ended.
    count: u64,
}

impl Lines for Framed<'_> {
    fn take(&mut self, line: &[u8], piece: Piece) {
        let Framed { frame, sink, .. } = self;
        let before = if piece.is_continuation { &frame.before_continuation } else { &frame.before };
        match frame.format {
            Format::Text => sink.push(&[before.bytes(), line, TEXT_ENDS]),
            Format::Json => {
                let most = before.length + escape::JSON_GROWTH * line.len() + JSON_ENDS_PARTIAL.len();
                let room = sink.room(most);
                let mut total = put(before.bytes(), room);
                total += escape::json_into(line, &mut room[total..]);
                total += put(if piece.is_partial { JSON_ENDS_PARTIAL } else { JSON_ENDS }, &mut room[total..]);
                sink.length += total;
            }
        }
        self.count += u64::from(!piece.is_partial);
    }

    /// All there is to do for most lines: one pass, and no call.
    fn copy(&mut self, bytes: &[u8]) -> Option<usize> {
        let Frame { format, before, .. } = self.frame;
        let room = self.sink.room(before.padded.len() + bytes.len() + JSON_ENDS.len());
        let mut total = copy::until::<Newline>(&before.padded, room);
        let end = match format {
            Format::Text => {
                let end = copy::until::<Newline>(bytes, &mut room[total..]);
                total += lines::without_carriage_return(&bytes[..end]).len();
                total += put(TEXT_ENDS, &mut room[total..]);
                end
            }
            Format::Json => {
                let length = copy::until::<Special>(bytes, &mut room[total..]);
                total += length;
                total += put(JSON_ENDS, &mut room[total..]);
                length + usize::from(bytes[length..].starts_with(b"\r\n"))
            }
        };
        // Else there is no end, or more to escape: what was copied does not count.
        if bytes.get(end) != Some(&b'\n') {
            return None;
        }
        self.sink.length += total;
        self.count += 1;
        Some(end)
    }
}

/// Copies all bytes, and returns how many. Inlined, as for a constant that is one instruction or two.
#[inline(always)]
fn put(from: &[u8], to: &mut [u8]) -> usize {
    to[..from.len()].copy_from_slice(from);
    from.len()
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
    queue: Arc<Mutex<Queue>>,
    woken: PipeReader,
    epoll: Arc<Epoll>,
    sources: HashMap<u64, Followed>,
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
            let is_large = self.input.len() > SMALL_BUFFER || self.stdout.is_large() || self.stderr.is_large();
            self.epoll.wait(&mut ready, is_large.then_some(CALM));
            if ready.is_empty() && is_large {
                self.calm_down();
            }
            let has_orders = ready.contains(&WAKE);
            let is_new = |token: &u64| *token != WAKE && !self.sources.contains_key(token);
            if ready.iter().any(is_new) && !self.carry_out() {
                return;
            }
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
        let queue = std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner));
        for order in queue.orders {
            match order {
                Order::Write(record) => self.stdout.push(&[&record]),
                Order::Follow(token, source) => {
                    let followed = Followed { source, splitter: Splitter::default(), has_large_pipe: false };
                    self.sources.insert(token, followed);
                }
                Order::Settle(plugin, record) => {
                    self.settle(plugin);
                    self.stdout.push(&[&record]);
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

    /// Reads once from one source and batches the lines.
    fn read(&mut self, token: u64, time: &Timestamp) -> Got {
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
                    self.input = vec![0; count * 4];
                }
                // Grown only when seen full, as pipe memory is a share of the user's: pipe(7).
                if count >= FULL_PIPE && !followed.has_large_pipe {
                    followed.has_large_pipe = true;
                    sys::grow_pipe(followed.source.pipe.as_fd(), LARGE_PIPE);
                    sink.grow_pipe();
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
        self.stdout.calm_down();
        self.stderr.calm_down();
    }
}

impl Followed {
    fn log(&mut self, bytes: &[u8], sink: &mut Sink, time: &Timestamp) {
        self.pass(sink, time, |splitter, lines| splitter.feed(bytes, lines));
        self.source.counters.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    fn log_unfinished(&mut self, sink: &mut Sink, time: &Timestamp) {
        self.pass(sink, time, |splitter, lines| splitter.finish(lines));
    }

    fn pass(&mut self, sink: &mut Sink, time: &Timestamp, pass: impl FnOnce(&mut Splitter, &mut Framed<'_>)) {
        let Source { frame, counters, .. } = &mut self.source;
        frame.set_time(time);
        let mut lines = Framed { frame, sink, count: 0 };
        pass(&mut self.splitter, &mut lines);
        counters.lines.fetch_add(lines.count, Ordering::Relaxed);
    }
}

/// One of the launcher's own output streams.
struct Sink {
    /// A descriptor of our own: std's `Stdout` would write line by line.
    file: File,
    name: &'static str,
    /// The first `length` bytes are to be written; the rest is room, kept so that it is made only once.
    batch: Vec<u8>,
    length: usize,
    is_gone: bool,
    has_complained: bool,
    has_large_pipe: bool,
}

impl Sink {
    fn open(fd: BorrowedFd<'_>, name: &'static str) -> io::Result<Sink> {
        let file = File::from(fd.try_clone_to_owned()?);
        Ok(Sink {
            file,
            name,
            batch: Vec::new(),
            length: 0,
            is_gone: false,
            has_complained: false,
            has_large_pipe: false,
        })
    }

    /// Adds one record, in parts, to the batch.
    fn push(&mut self, parts: &[&[u8]]) {
        let room = self.room(parts.iter().map(|part| part.len()).sum());
        let mut total = 0;
        for part in parts {
            total += put(part, &mut room[total..]);
        }
        self.length += total;
    }

    /// The room behind the batch, for a record of at most `most` bytes.
    #[inline(always)]
    fn room(&mut self, most: usize) -> &mut [u8] {
        if self.batch.len() - self.length < most {
            self.make_room(most);
        }
        &mut self.batch[self.length..]
    }

    /// The batch is written before it outgrows the cache. That is between two records, never within one.
    #[cold]
    fn make_room(&mut self, most: usize) {
        if self.length + most > LARGE_BUFFER {
            self.flush();
        }
        let size = (self.length + most).next_power_of_two().max(SMALL_BUFFER);
        if size > self.batch.len() {
            self.batch.resize(size, 0);
        }
    }

    /// Writes the batch, which is whole lines, and empties it.
    fn flush(&mut self) {
        let mut rest = &self.batch[..self.length];
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
        self.length = 0;
    }

    /// A reader gets as much room as the plugins that fill it.
    fn grow_pipe(&mut self) {
        if !self.has_large_pipe {
            self.has_large_pipe = true;
            sys::grow_pipe(self.file.as_fd(), LARGE_PIPE);
        }
    }

    fn is_large(&self) -> bool {
        self.batch.len() > SMALL_BUFFER
    }

    /// Gives the room back. The batch must have been written.
    fn calm_down(&mut self) {
        self.batch = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out for a stream that comes in chunks of this size.
    fn framed(frame: &mut Frame, stream: &[u8], chunk: usize) -> Vec<u8> {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sink = Sink::open(writer.as_fd(), "output").unwrap();
        drop(writer);
        let collector = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        frame.set_time(b"2026-11-22T07:18:30.374Z");
        let mut splitter = Splitter::default();
        for chunk in stream.chunks(chunk) {
            splitter.feed(chunk, &mut Framed { frame, sink: &mut sink, count: 0 });
        }
        splitter.finish(&mut Framed { frame, sink: &mut sink, count: 0 });
        sink.flush();
        drop(sink);
        collector.join().unwrap()
    }

    /// The same by the plainest means.
    fn naive(format: Format, stream: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        let mut lines = |line: &[u8], piece: Piece| match format {
            Format::Text => {
                all.extend_from_slice(if piece.is_continuation { b"[all_x.sh]+ " } else { b"[all_x.sh] " });
                all.extend_from_slice(line);
                all.push(b'\n');
            }
            Format::Json => {
                all.extend_from_slice(b"{\"time\":\"2026-11-22T07:18:30.374Z\",\"event\":\"output\",");
                all.extend_from_slice(b"\"plugin\":\"all_x.sh\",\"message\":\"");
                escape::json(line, &mut all);
                all.extend_from_slice(if piece.is_partial { b"\",\"partial\":true}\n" } else { b"\"}\n" });
            }
        };
        let mut splitter = Splitter::default();
        splitter.feed(stream, &mut lines);
        splitter.finish(&mut lines);
        all
    }

    #[test]
    fn copied_lines_are_framed_as_taken_ones() {
        let lines: [&[u8]; 10] = [
            b"",
            b"\r",
            b"a",
            b"a plain line",
            b"\r\rtwo\r",
            b"\0\xff",
            b"\"quoted\"",
            b"\\",
            "\u{20ac}".as_bytes(),
            b"\t",
        ];
        for end in [&b"\n"[..], b"\r\n"] {
            let mut stream = Vec::new();
            for length in
                (0..200).chain([LARGE_BUFFER / 8, lines::PIECE_LIMIT - 1, lines::PIECE_LIMIT, 70_000, 200_000])
            {
                stream.extend(std::iter::repeat_n(b'x', length));
                for line in lines {
                    stream.extend_from_slice(line);
                    stream.extend_from_slice(end);
                }
            }
            stream.extend_from_slice(b"no end");
            let (name, paint) = (OsStr::new("all_x.sh"), Paint::default());
            for mut frame in [Frame::text(name, &paint), Frame::json(name, Stream::Merged)] {
                let expected = naive(frame.format, &stream);
                for chunk in [1, 17, 4096, 65_536, stream.len()] {
                    let found = framed(&mut frame, &stream, chunk);
                    assert!(found == expected, "{:?} in chunks of {chunk}", frame.format);
                }
            }
        }
    }
}
