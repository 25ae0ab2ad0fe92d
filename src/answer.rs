//! What a command answers on standard output, and what is wrong on standard error.

use crate::cli::NAME;
use crate::error::{Error, plain};
use crate::{escape, sys};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The most that a pipe which says that it can be written is sure to take (pipe(7)).
const PIPE_BUF: usize = 4096;

/// Writes an answer to standard output in one go.
///
/// # Errors
/// No: nobody took it.
pub fn print(text: &[u8]) -> Result<u8, Error> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text).and_then(|()| stdout.flush());
    written.map(|()| 0).map_err(|error| Error::No(format!("cannot write output: {}", plain(&error))))
}

/// What was said last found no room for its end.
static IS_TORN: AtomicBool = AtomicBool::new(false);

/// Says on standard error what is wrong, unless that takes nothing now: who has to act waits for no reader. Returns
/// whether it was said.
pub fn complain(problem: &str) -> bool {
    let glue = if IS_TORN.load(Ordering::Relaxed) { "\n" } else { "" };
    let mut line = [glue, NAME, ": "].concat().into_bytes();
    escape::one_line(problem.as_bytes(), &mut line);
    line.truncate(PIPE_BUF - 1);
    line.push(b'\n');
    let stderr = io::stderr();
    if !sys::wait_writable(stderr.as_fd(), Some(Duration::ZERO)) {
        return false;
    }
    // Others who write to the same pipe can fill it meanwhile. Through a description of our own that is an error; only
    // a pipe is the same when it is opened again.
    let own = sys::is_pipe(stderr.as_fd()).then(|| sys::open_options(false).write(true).open("/proc/self/fd/2"));
    let fd = match &own {
        Some(Ok(own)) => own.as_fd(),
        Some(Err(_)) | None => stderr.as_fd(),
    };
    let taken = sys::write_most(fd, &line);
    if taken > 0 {
        IS_TORN.store(taken < line.len(), Ordering::Relaxed);
    }
    taken == line.len()
}
