//! Who else got a signal? kill(2) does not tell a process whether it alone was meant, or its whole group, or everything
//! in its container. The witness is a process in our caller's group that does nothing but note all signals: what came
//! there as well came to all, and PROGRAM, which is in the same group, has had it.

use crate::sys::{self, Fork, Interest, Pid, Signals, signal};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long an answer may take. Nobody waits for a witness that was stopped.
const PATIENCE: Duration = Duration::from_millis(100);

/// The guard's end.
pub struct Witness {
    socket: UnixStream,
    pid: Pid,
}

impl Witness {
    /// Forks the witness. Without one, what comes to the whole group is passed on as if it had come to us alone.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, EAGAIN.
    pub fn summon() -> io::Result<Witness> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let guard = sys::own_pid();
        match sys::fork()? {
            Fork::Child => {
                sys::die_when_parent_ends();
                sys::close_all_but(theirs.as_fd());
                if sys::parent_pid() == guard {
                    testify(theirs);
                }
                std::process::exit(0);
            }
            Fork::Parent(pid) => Ok(Witness { socket, pid }),
        }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Has it end. That it has is heard like the end of any child.
    pub fn dismiss(&self) {
        let _ = sys::kill(self.pid, signal::KILL);
    }

    /// The signals that have come to the witness since it was asked last, a bit each from 1 on. None where it is gone.
    pub fn ask(&self) -> u64 {
        let mut answer = [0; 8];
        // An answer that came too late is not of this question.
        while sys::is_ready(self.socket.as_fd(), Interest::Readable) {
            match (&self.socket).read(&mut answer) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return 0,
            }
        }
        let asked = (&self.socket).write_all(&[0]).and_then(|()| (&self.socket).read_exact(&mut answer));
        asked.map_or(0, |()| u64::from_ne_bytes(answer))
    }
}

/// Answers until the guard is gone. All signals are blocked.
fn testify(mut guard: UnixStream) {
    sys::set_name(c"plugin-witness");
    let Ok(signals) = Signals::open() else { return };
    let mut seen: u64 = 0;
    // Taken as they come: left pending, a stop is undone by SIGCONT, and SIGCONT by a stop (signal(7)).
    while let Ok([is_asked, _]) = sys::wait_readable([Some(guard.as_fd()), Some(signals.as_fd())], None) {
        while let Some(arrived) = signals.take() {
            seen |= 1 << (arrived.number - 1);
        }
        if is_asked {
            let answered = guard.read_exact(&mut [0]).and_then(|()| guard.write_all(&seen.to_ne_bytes()));
            if answered.is_err() {
                return;
            }
            seen = 0;
        }
    }
}
