//! Who else got a signal? kill(2) does not tell a process whether it alone was meant, or its whole group, or everything
//! in its container. The witness is a process in our caller's group that does nothing but note all signals: what came
//! there as well came to all, and PROGRAM, which is in the same group, has had it.

use crate::sys::{self, Interest, Signals};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long an answer may take. Nobody waits for a witness that was stopped.
const PATIENCE: Duration = Duration::from_millis(100);

/// The guard's end.
pub struct Witness(UnixStream);

/// What becomes the witness, in a process of its own.
pub struct Stand(UnixStream);

/// Both ends.
///
/// # Errors
/// EMFILE, ENFILE, ENOMEM.
pub fn pair() -> io::Result<(Witness, Stand)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_read_timeout(Some(PATIENCE))?;
    Ok((Witness(ours), Stand(theirs)))
}

impl Witness {
    /// The signals that have come to the witness since it was asked last, a bit each from 1 on. None where it is gone.
    pub fn ask(&self) -> u64 {
        let mut answer = [0; 8];
        // An answer that came too late is not of this question.
        while sys::is_ready(self.0.as_fd(), Interest::Readable) {
            match (&self.0).read(&mut answer) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return 0,
            }
        }
        let asked = (&self.0).write_all(&[0]).and_then(|()| (&self.0).read_exact(&mut answer));
        asked.map_or(0, |()| u64::from_ne_bytes(answer))
    }
}

impl Stand {
    /// Answers until the guard is gone. All signals are blocked.
    pub fn testify(mut self) {
        sys::die_when_parent_ends();
        sys::set_name(c"plugin-witness");
        let Ok(signals) = Signals::open() else { return };
        let mut seen: u64 = 0;
        // Taken as they come: left pending, a stop is undone by SIGCONT, and SIGCONT by a stop (signal(7)).
        while let Ok([is_asked, _]) = sys::wait_readable([Some(self.0.as_fd()), Some(signals.as_fd())], None) {
            while let Some(arrived) = signals.take() {
                seen |= 1 << (arrived.number - 1);
            }
            if is_asked {
                let answered = self.0.read_exact(&mut [0]).and_then(|()| self.0.write_all(&seen.to_ne_bytes()));
                if answered.is_err() {
                    return;
                }
                seen = 0;
            }
        }
    }
}
