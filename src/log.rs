//! The log: one thread that moves what plugins print, line by line with their names, and the notices between them.
//!
//! Only this thread writes to standard output, so lines never mix, and only it blocks when the reader stalls: plugins
//! then wait on their full pipes, while the supervisor goes on. An order is carried out when its turn comes.

mod frame;
mod pump;
mod sink;

pub use frame::{Frame, Paint};

use crate::sys::{self, Epoll};
use pump::{Pump, WAKE};
use std::cell::Cell;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

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
        let epoll = Arc::new(Epoll::new()?);
        let pump = Pump::new(Arc::clone(&queue), woken, Arc::clone(&epoll))?;
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
