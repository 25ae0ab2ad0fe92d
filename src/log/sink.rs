//! Where records go: batches of whole ones, each written at once, and what is done when nobody takes them.

use crate::cli::NAME;
use crate::sys;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// Enough for a quiet plugin, and for one page of memory.
pub const SMALL_BUFFER: usize = 4 * 1024;
/// Enough for a busy one; input and batch of this size still fit into a core's cache.
pub const LARGE_BUFFER: usize = 256 * 1024;
/// The size of a busy pipe; the most an unprivileged user gets (pipe(7)).
pub const LARGE_PIPE: i32 = 1024 * 1024;

/// One of the launcher's own output streams.
pub struct Sink {
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
    /// # Errors
    /// EMFILE.
    pub fn open(fd: BorrowedFd<'_>, name: &'static str) -> io::Result<Sink> {
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
    pub fn push(&mut self, parts: &[&[u8]]) {
        let room = self.room(parts.iter().map(|part| part.len()).sum());
        let mut total = 0;
        for part in parts {
            total += put(part, &mut room[total..]);
        }
        self.length += total;
    }

    /// The room behind the batch, for a record of at most `most` bytes.
    #[inline(always)]
    pub fn room(&mut self, most: usize) -> &mut [u8] {
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

    /// Takes the first `count` bytes of the room into the batch: whole records.
    #[inline(always)]
    pub fn take(&mut self, count: usize) {
        self.length += count;
    }

    /// Writes the batch, which is whole lines, and empties it.
    pub fn flush(&mut self) {
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

/// Copies all bytes, and returns how many. Inlined, as for a constant that is one instruction or two.
#[inline(always)]
pub fn put(from: &[u8], to: &mut [u8]) -> usize {
    to[..from.len()].copy_from_slice(from);
    from.len()
}
