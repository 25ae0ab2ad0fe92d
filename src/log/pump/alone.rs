//! One pipe, and nothing else to wait for: read(2) waits by itself, as that of cat(1) does, which spares one system call
//! of three for every line. Whoever gives an order ends the wait.

use super::{Pending, Pump, grown, lock};
use crate::settings::Format;
use crate::sys::slice::head;
use crate::sys::{self, Interruptible};
use crate::timestamp::Timestamp;
use std::io::PipeReader;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The thread of the log reads from this pipe, and may wait in read(2).
pub struct Alone {
    pipe: Arc<PipeReader>,
    thread: Interruptible,
}

impl Alone {
    /// Has the thread look at its orders. A read that is about to begin finds that the pipe does not wait, and one that
    /// has begun is interrupted.
    pub fn end(self) {
        let _ = sys::set_nonblocking(self.pipe.as_fd());
        self.thread.interrupt();
    }
}

impl Pump {
    /// Reads text, where there is one pipe and nothing else to wait for, until that has changed; whether to try again.
    pub(super) fn read_alone(&mut self) -> bool {
        let Some(token) = self.only_pipe().filter(|token| self.begin_alone(*token)) else { return false };
        let last = self.forward(token);
        if let Some(alone) = lock(&self.queue).alone.take() {
            let _ = sys::set_nonblocking(alone.pipe.as_fd());
        }
        let input = std::mem::take(&mut self.input);
        let read = last.map(|count| Pending { token, bytes: &input[..count] });
        let has_work = read.is_some() || self.has_orders.load(Ordering::Acquire);
        if has_work {
            self.carry_out(read);
            self.flush();
        }
        // Much comes: it is read in larger pieces, and by the way that can do without them again.
        self.input = grown(input, last.unwrap_or(0));
        has_work
    }

    /// Reads and writes. What was read last is left if it is more than a little, the end, or younger than an order.
    fn forward(&mut self, token: u64) -> Option<usize> {
        let followed = self.sources.get_mut(&token)?;
        let sink = if followed.is_apart() { &mut self.errors } else { &mut self.output };
        while !self.has_orders.load(Ordering::Acquire) {
            // Who gave an order that was met already has seen to it that the pipe does not wait.
            let Ok(count) = sys::read(followed.source.pipe.as_fd(), &mut self.input) else { return None };
            if count == 0 || count == self.input.len() || self.has_orders.load(Ordering::Acquire) {
                return Some(count);
            }
            followed.log(head(&self.input, count), sink, &Timestamp::default());
            sink.flush();
            if followed.splitter.is_overwritten() {
                self.bars.push((token, followed.bar.due(Instant::now())));
                return None;
            }
        }
        None
    }

    /// The pipe that is the only one, if there is no deadline beside it.
    fn only_pipe(&self) -> Option<u64> {
        let is_only = self.sources.len() == 1 && !self.has_polled && self.bars.is_empty() && !self.is_large();
        self.sources.oldest().filter(|_| is_only && self.look.format == Format::Text)
    }

    /// Has the pipe wait, and says so to all who may give orders. Not where there are some.
    fn begin_alone(&mut self, token: u64) -> bool {
        let thread = *self.thread.get_or_insert_with(|| Interruptible::this_thread().ok());
        let pipe = self.sources.get(&token).map(|followed| Arc::clone(&followed.source.pipe));
        let (Some(thread), Some(pipe)) = (thread, pipe) else { return false };
        let mut queue = lock(&self.queue);
        let is_idle = !self.has_orders.load(Ordering::Acquire);
        if is_idle && sys::set_blocking(pipe.as_fd()).is_ok() {
            queue.alone = Some(Alone { pipe, thread });
        }
        queue.alone.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{self, follow, pipe};
    use super::super::*;
    use crate::log::Stream;
    use crate::notice::tests::LOOK;
    use std::io::{BufRead, BufReader, PipeWriter, Write};

    /// A pump that works on a thread of its own and has one pipe, and its other ends.
    struct Bench {
        plugin: PipeWriter,
        epoll: Arc<Epoll>,
        queue: Arc<Mutex<Queue>>,
        wake: PipeWriter,
        logged: BufReader<PipeReader>,
        works: thread::JoinHandle<bool>,
    }

    fn within_patience(mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "it waits, and has not been told");
            thread::yield_now();
        }
    }

    impl Bench {
        fn new() -> Bench {
            let mut bench = tests::Bench::new(Format::Text);
            let (_, plugin) = bench.plugin(1, Stream::Merged, false);
            let tests::Bench { pump, queue, wake, logged, .. } = bench;
            let epoll = Arc::clone(&pump.epoll);
            let works = thread::spawn(move || pump.run());
            Bench { plugin, epoll, queue, wake, logged: BufReader::new(logged), works }
        }

        /// As the handle does it: by a byte, which a thread that waits in read(2) does not see.
        fn order(&mut self, order: Order) {
            let mut queue = self.queue.lock().unwrap();
            queue.push(order);
            if !std::mem::replace(&mut queue.is_woken, true) {
                self.wake.write_all(&[0]).unwrap();
            }
        }

        fn wait_until_alone(&self) {
            within_patience(|| self.queue.lock().unwrap().alone.is_some());
        }

        fn next_line(&mut self) -> String {
            let mut line = String::new();
            within_patience(|| self.logged.read_line(&mut line).is_ok());
            line
        }

        fn finish(mut self) {
            self.order(Order::Finish { time: Timestamp::default() });
            assert!(!self.works.join().unwrap(), "nothing is lost");
        }
    }

    #[test]
    fn orders_end_the_wait_whenever_they_come() {
        let mut bench = Bench::new();
        for time in 0..3000 {
            if time % 3 == 0 {
                bench.plugin.write_all(b"line\n").unwrap();
            }
            if time % 2 == 0 {
                bench.wait_until_alone();
            }
            let notice = format!("notice {time}\n");
            bench.order(Order::Write(notice.clone().into_bytes()));
            while bench.next_line() != notice {}
        }
        bench.wait_until_alone();
        bench.finish();
    }

    #[test]
    fn a_line_that_is_overwritten_is_shown_without_another() {
        let mut bench = Bench::new();
        for (written, logged) in [("one\n", "[1] one\n"), ("50 %\r", "[1] 50 %\r\n"), ("100 %\n", "[1] 100 %\n")] {
            bench.wait_until_alone();
            bench.plugin.write_all(written.as_bytes()).unwrap();
            assert_eq!(bench.next_line(), logged);
        }
        // Its time is kept when something else was to be done meanwhile.
        bench.wait_until_alone();
        bench.plugin.write_all(b"75 %\r").unwrap();
        bench.order(Order::Write(b"notice\n".to_vec()));
        assert_eq!([bench.next_line(), bench.next_line()], ["notice\n", "[1] 75 %\r\n"]);
        bench.finish();
    }

    #[test]
    fn another_pipe_is_heard_beside_it_and_alone_when_it_has_ended() {
        let mut bench = Bench::new();
        bench.wait_until_alone();
        let (reader, mut other) = pipe();
        bench.epoll.add(reader.as_fd(), WAKE + 2).unwrap();
        bench.queue.lock().unwrap().push(follow(WAKE + 2, 2, Stream::Merged, reader, &LOOK));
        for _ in 0..3 {
            other.write_all(b"there\n").unwrap();
            assert_eq!(bench.next_line(), "[2] there\n");
            bench.plugin.write_all(b"here\n").unwrap();
            assert_eq!(bench.next_line(), "[1] here\n");
        }
        bench.plugin = other;
        bench.wait_until_alone();
        bench.plugin.write_all(b"alone\n").unwrap();
        assert_eq!(bench.next_line(), "[2] alone\n");
        bench.finish();
    }

    #[test]
    fn much_at_once_comes_whole_and_in_order() {
        let mut bench = Bench::new();
        // The second time it has come to rest again: large buffers are given back.
        for _ in 0..2 {
            bench.wait_until_alone();
            let lines: Vec<String> = (0..1000).map(|number| format!("line {number}\n")).collect();
            bench.plugin.write_all(lines.concat().as_bytes()).unwrap();
            for line in lines {
                assert_eq!(bench.next_line(), format!("[1] {line}"));
            }
        }
        bench.finish();
    }

    #[test]
    fn a_last_line_is_logged_when_nobody_writes_any_more() {
        let mut bench = Bench::new();
        bench.wait_until_alone();
        bench.plugin.write_all(b"last").unwrap();
        // Nothing else ends the wait.
        bench.plugin = io::pipe().unwrap().1;
        assert_eq!(bench.next_line(), "[1] last\n");
        bench.finish();
    }
}
