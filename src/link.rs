//! What guard and supervisor tell each other, over a pair of sockets between the two. Neither waits for the other: a
//! message for which there is no room is dropped, and who does not read is judged by the guard's deadline.

use crate::sys::{Change, Pid};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// From the guard to the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A signal that was sent to the launcher, and to nobody beside it.
    Signal(i32),
    ParentGone,
    /// The terminal that controls the launcher has hung up.
    TerminalGone,
}

/// From the supervisor to the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The longest grace period that any plugin has from now on.
    GracePeriod(Duration),
    /// PROGRAM runs.
    Program(Pid),
    /// PROGRAM was stopped by this signal.
    ProgramStopped(i32),
    ProgramEnded(Change),
    /// A stop is under way, and will be over after this time.
    Stopping(Duration),
    /// It lacks what it works with, and ends. PROGRAM may run already.
    CannotBegin,
}

/// Tag and value of a message.
const MESSAGE: usize = 9;

/// A message of one direction, as bytes.
pub trait Message: Sized {
    fn encode(&self) -> (u8, u64);
    /// `None` for what the other end, which is this very program, does not send.
    fn decode(tag: u8, value: u64) -> Option<Self>;
}

impl Message for Order {
    fn encode(&self) -> (u8, u64) {
        match self {
            Order::Signal(number) => (1, *number as u64),
            Order::ParentGone => (2, 0),
            Order::TerminalGone => (3, 0),
        }
    }

    fn decode(tag: u8, value: u64) -> Option<Order> {
        match tag {
            1 => Some(Order::Signal(value as i32)),
            2 => Some(Order::ParentGone),
            3 => Some(Order::TerminalGone),
            _ => None,
        }
    }
}

impl Message for Report {
    fn encode(&self) -> (u8, u64) {
        let milliseconds = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match self {
            Report::GracePeriod(longest) => (1, milliseconds(longest)),
            Report::Program(pid) => (2, *pid as u64),
            Report::ProgramStopped(number) => (3, *number as u64),
            Report::ProgramEnded(Change::Exited(status)) => (4, *status as u64),
            Report::ProgramEnded(Change::Signaled(number)) => (5, *number as u64),
            Report::Stopping(rest) => (6, milliseconds(rest)),
            Report::CannotBegin => (7, 0),
        }
    }

    fn decode(tag: u8, value: u64) -> Option<Report> {
        match tag {
            1 => Some(Report::GracePeriod(Duration::from_millis(value))),
            2 => Some(Report::Program(value as Pid)),
            3 => Some(Report::ProgramStopped(value as i32)),
            4 => Some(Report::ProgramEnded(Change::Exited(value as i32))),
            5 => Some(Report::ProgramEnded(Change::Signaled(value as i32))),
            6 => Some(Report::Stopping(Duration::from_millis(value))),
            7 => Some(Report::CannotBegin),
            _ => None,
        }
    }
}

/// One end of the link.
pub struct Link {
    socket: UnixStream,
    /// The beginning of a message whose end has not come yet.
    begun: Vec<u8>,
}

/// What was received.
pub struct Received<M> {
    pub messages: Vec<M>,
    /// The other end is gone.
    pub is_over: bool,
}

impl Link {
    /// Both ends. Neither is inherited over exec.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub fn pair() -> io::Result<(Link, Link)> {
        let (one, other) = UnixStream::pair()?;
        one.set_nonblocking(true)?;
        other.set_nonblocking(true)?;
        Ok((Link { socket: one, begun: Vec::new() }, Link { socket: other, begun: Vec::new() }))
    }

    /// Sends a message, if there is room for it.
    pub fn send(&self, message: &impl Message) {
        let (tag, value) = message.encode();
        let mut bytes = [tag; MESSAGE];
        bytes[1..].copy_from_slice(&value.to_ne_bytes());
        // So small a message is taken whole or not at all (unix(7)).
        let _ = (&self.socket).write(&bytes);
    }

    /// Takes what has come, without waiting.
    pub fn receive<M: Message>(&mut self) -> Received<M> {
        let mut bytes = [0; 64 * MESSAGE];
        let is_over = match self.socket.read(&mut bytes) {
            Ok(0) => true,
            Ok(count) => {
                self.begun.extend_from_slice(&bytes[..count]);
                false
            }
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        let whole = self.begun.len() / MESSAGE * MESSAGE;
        let messages = self.begun[..whole].chunks_exact(MESSAGE).filter_map(decode).collect();
        self.begun.drain(..whole);
        Received { messages, is_over }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn decode<M: Message>(bytes: &[u8]) -> Option<M> {
    let (&tag, value) = bytes.split_first()?;
    M::decode(tag, u64::from_ne_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_arrives_as_it_was_sent() {
        let (mut guard, mut supervisor) = Link::pair().unwrap();
        let orders = [Order::Signal(15), Order::Signal(64), Order::ParentGone, Order::TerminalGone];
        let reports = [
            Report::GracePeriod(Duration::from_millis(1_000_000_000_000)),
            Report::Program(4_194_304),
            Report::ProgramStopped(20),
            Report::ProgramEnded(Change::Exited(255)),
            Report::ProgramEnded(Change::Signaled(9)),
            Report::Stopping(Duration::ZERO),
            Report::CannotBegin,
        ];
        orders.iter().for_each(|order| guard.send(order));
        reports.iter().for_each(|report| supervisor.send(report));
        let received = supervisor.receive::<Order>();
        assert_eq!((received.messages, received.is_over), (orders.to_vec(), false));
        let received = guard.receive::<Report>();
        assert_eq!((received.messages, received.is_over), (reports.to_vec(), false));
        let received = guard.receive::<Report>();
        assert_eq!((received.messages, received.is_over), (Vec::new(), false), "nothing has come, and more may");
    }

    #[test]
    fn a_message_cut_in_two_is_taken_when_it_is_whole() {
        let (guard, mut supervisor) = Link::pair().unwrap();
        let bytes: Vec<u8> =
            [15_u64, 2, 3].iter().flat_map(|number| [&[1][..], &number.to_ne_bytes()].concat()).collect();
        let mut received = Vec::new();
        for part in [&bytes[..4], &bytes[4..9], &bytes[9..20], &bytes[20..]] {
            (&guard.socket).write_all(part).unwrap();
            received.push(supervisor.receive::<Order>().messages);
        }
        let [one, two, three] = [15, 2, 3].map(Order::Signal);
        assert_eq!(received, [vec![], vec![one], vec![two], vec![three]]);
    }

    #[test]
    fn an_end_that_nobody_reads_takes_no_time_and_the_other_is_told_when_it_is_gone() {
        let (guard, mut supervisor) = Link::pair().unwrap();
        for _ in 0..1_000_000 {
            guard.send(&Order::Signal(10));
        }
        drop(guard);
        let mut count = 0;
        loop {
            let received = supervisor.receive::<Order>();
            assert!(received.messages.iter().all(|order| *order == Order::Signal(10)));
            count += received.messages.len();
            if received.is_over {
                break;
            }
        }
        assert!(count > 100 && count < 1_000_000, "{count}");
    }
}
