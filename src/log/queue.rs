//! What the thread of the log is to do, in the order in which things happened. Bounded: a reader that stalls for ever
//! costs no more memory than a reader that stalls for an hour.

use super::frame::Frame;
use super::pump::Alone;
use super::{PluginId, Source};
use crate::notice::Look;
use crate::settings::Format;
use crate::timestamp::{self, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of records that wait for their turn, at most. A directory of fifty thousand files says less about them.
const MOST_WAITING: usize = 8 << 20;

/// Bytes of records that are written without a thread for them, at most.
const LITTLE: usize = 4096;

/// One thing to do.
pub enum Order {
    Write(Vec<u8>),
    /// How the plugins do, in one.
    Status(Vec<u8>),
    Follow {
        token: u64,
        source: Source,
        frame: Frame,
    },
    /// What is followed under this token epoll(7) does not watch.
    Poll {
        token: u64,
    },
    /// Log all that a plugin wrote until now, then this.
    Settle {
        plugin: PluginId,
        time: Timestamp,
        record: Vec<u8>,
    },
    /// Log all that is left, and end.
    Finish {
        time: Timestamp,
    },
}

/// See the module.
pub struct Queue {
    pub look: Look,
    /// The same of what goes to standard error instead.
    pub look_of_errors: Look,
    /// A byte is in the pipe that wakes the thread.
    pub is_woken: bool,
    /// A report of the plugins' states is among the orders.
    pub has_status: bool,
    /// There are orders. For who looks without the lock.
    pub has_orders: Arc<AtomicBool>,
    /// The thread may wait in read(2), which the next order ends.
    pub alone: Option<Alone>,
    orders: Vec<Order>,
    waiting: usize,
    dropped: usize,
}

/// What was taken from the queue.
pub struct Taken {
    pub orders: Vec<Order>,
    /// How many records came after these and found no room.
    pub dropped: usize,
    /// When they were taken: nothing that is said later is older.
    pub time: Timestamp,
}

impl Queue {
    pub fn new(look: Look) -> Queue {
        Queue {
            look,
            look_of_errors: look,
            is_woken: false,
            has_status: false,
            has_orders: Arc::default(),
            alone: None,
            orders: Vec::new(),
            waiting: 0,
            dropped: 0,
        }
    }

    /// The present moment, where records show it.
    pub fn now(&self) -> Timestamp {
        match self.look.format {
            Format::Text => Timestamp::default(),
            Format::Json => timestamp::now(),
        }
    }

    /// Adds an order, unless too much waits already: then records are dropped and counted. Pipes never are.
    pub fn push(&mut self, order: Order) {
        let record: &[u8] = match &order {
            Order::Write(record) | Order::Status(record) | Order::Settle { record, .. } => record,
            Order::Follow { .. } | Order::Poll { .. } | Order::Finish { .. } => &[],
        };
        let size = record.len();
        self.has_orders.store(true, Ordering::Release);
        self.alone.take().into_iter().for_each(Alone::end);
        // So much never waits already that what is no record finds no room.
        if self.waiting + size > MOST_WAITING {
            self.dropped += record.iter().filter(|&&byte| byte == b'\n').count();
            return;
        }
        self.has_status |= matches!(order, Order::Status(_));
        self.waiting += size;
        self.orders.push(order);
    }

    /// Whether what waits is a few records, and nothing that is to be read.
    pub fn is_little(&self) -> bool {
        self.waiting <= LITTLE && !self.orders.iter().any(|order| matches!(order, Order::Follow { .. }))
    }

    /// Takes all orders.
    pub fn take(&mut self) -> Taken {
        self.waiting = 0;
        self.has_status = false;
        self.has_orders.store(false, Ordering::Release);
        Taken { orders: std::mem::take(&mut self.orders), dropped: std::mem::take(&mut self.dropped), time: self.now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Stream;
    use crate::notice::tests::LOOK;

    #[test]
    fn what_waits_for_a_stalled_reader_is_bounded_and_what_is_dropped_is_counted() {
        let mut queue = Queue::new(LOOK);
        let record = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..2 * MOST_WAITING / record.len() {
            queue.push(Order::Write(record.clone()));
        }
        queue.push(Order::Settle { plugin: 1, time: Timestamp::default(), record });
        queue.push(Order::Finish { time: Timestamp::default() });
        let taken = queue.take();
        assert_eq!(taken.orders.len(), MOST_WAITING / 1024 + 1);
        assert!(matches!(taken.orders.last(), Some(Order::Finish { .. })), "what is no record is never dropped");
        assert_eq!(taken.dropped, MOST_WAITING / 1024 + 1);
        assert_eq!(queue.take().dropped, 0, "told once");
    }

    #[test]
    fn a_few_records_are_little_and_a_pipe_is_not() {
        let mut queue = Queue::new(LOOK);
        assert!(queue.is_little());
        queue.push(Order::Write(vec![b'x'; 4095]));
        queue.push(Order::Settle { plugin: 1, time: Timestamp::default(), record: b"\n".to_vec() });
        queue.push(Order::Finish { time: Timestamp::default() });
        assert!(queue.is_little());
        queue.push(Order::Status(b"\n".to_vec()));
        assert!(!queue.is_little());
        queue.take();
        assert!(queue.is_little());
        let source = Source {
            plugin: 1,
            name: "x".into(),
            pipe: Arc::new(std::io::pipe().unwrap().0),
            stream: Stream::Merged,
            counters: Arc::default(),
        };
        let frame = Frame::new(&source, &LOOK);
        queue.push(Order::Follow { token: 1, source, frame });
        assert!(!queue.is_little());
    }

    #[test]
    fn a_report_of_states_is_pending_until_it_is_taken() {
        let mut queue = Queue::new(LOOK);
        assert!(!queue.has_status);
        for order in [Order::Write(b"a\n".to_vec()), Order::Finish { time: Timestamp::default() }] {
            queue.push(order);
            assert!(!queue.has_status);
        }
        for order in [Order::Status(b"one\n".to_vec()), Order::Status(b"two\n".to_vec()), Order::Write(b"a\n".to_vec())]
        {
            queue.push(order);
            assert!(queue.has_status);
        }
        queue.take();
        assert!(!queue.has_status);
    }

    #[test]
    fn only_records_that_show_the_time_ask_for_it() {
        for (format, shows) in [(Format::Text, false), (Format::Json, true)] {
            let mut queue = Queue::new(Look { format, ..LOOK });
            assert_eq!(queue.now() != Timestamp::default(), shows, "{format:?}");
            assert_eq!(queue.take().time != Timestamp::default(), shows, "{format:?}");
        }
    }
}
