//! The thread of the log: waits for pipes and orders, reads, and has whole batches written.

use super::frame::Framed;
use super::sink::{LARGE_BUFFER, LARGE_PIPE, SMALL_BUFFER, Sink};
use super::{Order, PluginId, Queue, Source, Stream};
use crate::lines::Splitter;
use crate::settings::Format;
use crate::sys::{self, Epoll};
use crate::timestamp::{self, Timestamp};
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A read of this much has seen a pipe of default capacity (64 KiB) full: its pages may each be half empty.
const FULL_PIPE: usize = 32 * 1024;
/// Quiet for so long, the large buffers are given back.
const CALM: Duration = Duration::from_secs(1);

/// The token of the pipe that says that there are orders.
pub const WAKE: u64 = 0;

struct Followed {
    source: Source,
    splitter: Splitter,
    has_large_pipe: bool,
}

pub struct Pump {
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
    /// A pump that is woken through `woken`. It writes to descriptors of its own.
    ///
    /// # Errors
    /// EMFILE, ENOMEM, ENOSPC.
    pub fn new(queue: Arc<Mutex<Queue>>, woken: PipeReader, epoll: Arc<Epoll>) -> io::Result<Pump> {
        sys::set_nonblocking(woken.as_fd())?;
        epoll.add(woken.as_fd(), WAKE)?;
        Ok(Pump {
            queue,
            woken,
            epoll,
            sources: HashMap::new(),
            input: vec![0; SMALL_BUFFER],
            stdout: Sink::open(io::stdout().as_fd(), "output")?,
            stderr: Sink::open(io::stderr().as_fd(), "error output")?,
        })
    }

    /// Works until the order to end.
    pub fn run(mut self) {
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
