//! Where records go: batches of whole ones, each written at once, and what is done when the
//! reader has gone or the disk is full: what was lost is counted and told.

#[cfg(test)]
pub mod tests;

use crate::answer::complain;
use crate::error::plain;
use crate::notice::{Look, Notice, TIME};
use crate::sys::slice::{head, tail_mut};
use crate::sys::{self, Interest};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Enough for a quiet plugin, and for one page of memory.
pub const SMALL_BUFFER: usize = 4 * 1024;
/// Enough for a busy one; input and batch of this size still fit into a core's cache.
pub const LARGE_BUFFER: usize = 256 * 1024;
/// The size of a busy pipe; the most an unprivileged user gets (pipe(7)).
pub const LARGE_PIPE: i32 = 1024 * 1024;

/// One of the launcher's own output streams.
pub struct Sink {
    /// A descriptor of our own: std's `Stdout` would write line by line.
    file: OwnedFd,
    name: &'static str,
    look: Look,
    /// The first `length` bytes are to be written; the rest is room, kept so that it is made only once.
    batch: Vec<u8>,
    length: usize,
    /// It begins within a record, the beginning of which was written.
    is_amid: bool,
    /// The rest of a record that was written in part: nothing else may follow that part.
    torn: Vec<u8>,
    lost: Lost,
    is_gone: bool,
    has_complained: bool,
    has_large_pipe: bool,
}

/// Lines that nobody took, and why.
#[derive(Default)]
struct Lost {
    /// Of which the log does not tell yet.
    untold: usize,
    /// Of which it tells when the rest of the notice is written that was begun.
    half_told: usize,
    total: usize,
    reason: String,
}

impl Sink {
    pub fn new(fd: OwnedFd, name: &'static str, look: Look) -> Sink {
        Sink {
            file: fd,
            name,
            look,
            batch: Vec::new(),
            length: 0,
            is_amid: false,
            torn: Vec::new(),
            lost: Lost::default(),
            is_gone: false,
            has_complained: false,
            has_large_pipe: false,
        }
    }

    /// Adds one record, in parts, to the batch.
    pub fn push(&mut self, parts: &[&[u8]]) {
        let room = self.room(parts.iter().map(|part| part.len()).sum());
        let mut total = 0;
        for part in parts {
            total += put(part, &mut room[total..]);
        }
        self.take(total);
    }

    /// The room behind the batch, for a record of at most `most` bytes.
    #[inline(always)]
    pub fn room(&mut self, most: usize) -> &mut [u8] {
        if self.batch.len() - self.length < most {
            self.make_room(most);
        }
        tail_mut(&mut self.batch, self.length)
    }

    /// The batch is written before it outgrows the cache. That is between two records, never within one.
    #[cold]
    fn make_room(&mut self, most: usize) {
        if self.length + most > LARGE_BUFFER {
            self.flush();
        }
        let size = (self.length + most).next_power_of_two().max(SMALL_BUFFER);
        self.batch.resize(size.max(self.batch.len()), 0);
    }

    /// Takes the first `count` bytes of the room into the batch: whole records.
    #[inline(always)]
    pub fn take(&mut self, count: usize) {
        self.length += count;
    }

    /// Writes the batch, which is whole records, and empties it. What cannot be written is lost, but for the rest of a
    /// record that was begun.
    #[inline(always)]
    pub fn flush(&mut self) {
        if self.length == 0 {
            return;
        }
        // As a rule it is taken at once. What fails is tried again.
        let is_behind = self.is_gone || self.is_behind();
        let batch = head(&self.batch, self.length);
        let written = if is_behind { 0 } else { sys::write(self.file.as_fd(), batch).unwrap_or(0) };
        if written < batch.len() {
            self.flush_rest(written);
        }
        (self.length, self.is_amid) = (0, false);
    }

    /// Writes the batch from there on.
    #[inline(never)]
    fn flush_rest(&mut self, begin: usize) {
        if self.is_gone {
            return;
        }
        if !self.catch_up() {
            self.lost.count(&self.batch[..self.length]);
            return;
        }
        let batch = &self.batch[..self.length];
        if let Err((count, error)) = write(&self.file, &batch[begin..]) {
            let (before, now) = batch.split_at(begin);
            let (done, rest) = now.split_at(count);
            let is_amid = is_amid(done, is_amid(before, self.is_amid));
            let (begun, rest) = rest.split_at(if is_amid { length_of_begun(rest) } else { 0 });
            self.torn = begun.to_vec();
            self.lost.count(rest);
            self.fail(&error);
        }
    }

    /// Writes of the batch what can be written without waiting; whether that was all. What fails is tried again by
    /// [`Sink::flush`].
    pub fn flush_at_once(&mut self) -> bool {
        let written = sys::write_at_once(self.file.as_fd(), &self.batch[..self.length]).unwrap_or(0);
        self.is_amid = is_amid(&self.batch[..written], self.is_amid);
        self.batch.copy_within(written..self.length, 0);
        self.length -= written;
        self.length == 0
    }

    /// Something is to be written before the batch.
    #[inline(always)]
    fn is_behind(&self) -> bool {
        !self.torn.is_empty() || self.lost.untold > 0
    }

    /// After an error: writes the rest of the record that was begun, so that none is ever glued to another, and then how
    /// many lines are missing.
    fn catch_up(&mut self) -> bool {
        if !self.is_behind() {
            return true;
        }
        if let Err((written, error)) = write(&self.file, &self.torn) {
            self.torn.drain(..written);
            self.fail(&error);
            return false;
        }
        self.torn.clear();
        self.lost.half_told = 0;
        let notice = self.lost.notice(&self.look, head(&self.batch, self.length));
        let Err((written, error)) = write(&self.file, &notice) else {
            self.lost.untold = 0;
            return true;
        };
        if written > 0 {
            self.torn = notice[written..].to_vec();
            self.lost.half_told = std::mem::take(&mut self.lost.untold);
        }
        self.fail(&error);
        false
    }

    /// Says once what is wrong; later, if standard error takes nothing now.
    fn fail(&mut self, error: &io::Error) {
        // What a socket gives is ECONNRESET; a terminal that has hung up gives EIO, as others do.
        self.is_gone = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
            || sys::is_ready(self.file.as_fd(), Interest::HangUp);
        let fate = if self.is_gone { "plugins keep running, their output is dropped" } else { "lines are lost" };
        self.lost.reason = plain(error);
        if !self.has_complained {
            self.has_complained = complain(&format!("cannot write {}: {}; {fate}", self.name, plain(error)));
        }
    }

    /// Writes what is left, and says what was lost. Returns whether anything was:
    /// a reader that has gone misses nothing.
    pub fn finish(&mut self) -> bool {
        self.flush();
        // The disk may have room again.
        if !self.is_gone && !self.catch_up() {
            complain(&format!("lines lost at the end: {}", self.missing()));
        }
        !self.is_gone && (self.lost.total > 0 || !self.torn.is_empty())
    }

    /// How many lines are missing of which the log does not tell, with one that was begun.
    fn missing(&self) -> usize {
        let is_line_begun = !self.torn.is_empty() && self.lost.half_told == 0;
        self.lost.untold + self.lost.half_told + usize::from(is_line_begun)
    }

    /// A reader gets as much room as the plugins that fill it.
    pub fn grow_pipe(&mut self) {
        if !self.has_large_pipe {
            self.has_large_pipe = true;
            sys::grow_pipe(self.file.as_fd(), LARGE_PIPE);
        }
    }

    /// Whether it holds more memory than a quiet log needs.
    pub fn is_large(&self) -> bool {
        self.batch.len() > SMALL_BUFFER
    }

    /// Gives the room back. The batch must have been written.
    pub fn calm_down(&mut self) {
        self.batch = Vec::new();
    }
}

impl Lost {
    fn count(&mut self, records: &[u8]) {
        let lines = records.iter().filter(|&&byte| byte == b'\n').count();
        self.untold += lines;
        self.total += lines;
    }

    /// What the log is told of it, before these records: times in the log never go back.
    fn notice(&self, look: &Look, records: &[u8]) -> Vec<u8> {
        if self.untold == 0 {
            return Vec::new();
        }
        let lines = if self.untold == 1 { "line" } else { "lines" };
        let reason = format!("{} {lines} lost: {}", self.untold, self.reason);
        Notice::Warning { plugin: None, reason: &reason }.record_at(look, records.get(TIME)).unwrap_or_default()
    }
}

/// Whether a record has begun, and not ended, when this was written behind what left it so.
fn is_amid(written: &[u8], was_amid: bool) -> bool {
    written.last().map_or(was_amid, |byte| *byte != b'\n')
}

/// How long the rest is of a record that was begun.
fn length_of_begun(rest: &[u8]) -> usize {
    rest.iter().position(|&byte| byte == b'\n').map_or(0, |place| place + 1)
}

/// Writes all of `bytes`, waiting for a reader that is slow; else how much was written before the error.
fn write(file: &OwnedFd, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match sys::write(file.as_fd(), &bytes[written..]) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            // Somebody who shares the descriptor made it non-blocking.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                sys::wait_writable(file.as_fd(), None);
            }
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// Copies all bytes, and returns how many.
pub fn put(from: &[u8], to: &mut [u8]) -> usize {
    to[..from.len()].copy_from_slice(from);
    from.len()
}
