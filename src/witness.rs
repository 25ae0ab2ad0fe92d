//! Who else got a signal? kill(2) does not tell a process whether it alone was meant, or its whole group, or everything
//! in its container. The witness is a process in our caller's group that does nothing but note all signals: what came
//! there as well came to all, and PROGRAM, which is in the same group, has had it.

use crate::sys::{self, Fork, Interest, Origin, Pid, Signals, signal};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long an answer may take, also where many processes wait for a processor. Nobody waits longer for a witness that
/// was stopped.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many signals are remembered about which nobody has asked.
const MEMORY: usize = 64;

/// A signal and its sender: who signals a group, or one process after the other, is the same for all of them.
pub type Sent = (i32, Pid);
/// Number and pid.
const SENT: usize = 8;

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

    /// Which of these signals the witness has had, too, which it then forgets. None where it is gone.
    pub fn ask(&self, about: &[Sent]) -> Vec<bool> {
        let mut answer = vec![0; about.len()];
        // An answer that came too late is not of this question.
        while sys::is_ready(self.socket.as_fd(), Interest::Readable) {
            if !matches!((&self.socket).read(&mut [0; MEMORY]), Ok(1..)) {
                break;
            }
        }
        let question: Vec<u8> = about.iter().flat_map(encode).collect();
        let answered = (&self.socket).write_all(&question).and_then(|()| (&self.socket).read_exact(&mut answer));
        answer.into_iter().map(|has_come| answered.is_ok() && has_come == 1).collect()
    }
}

/// Answers until the guard is gone. All signals are blocked.
fn testify(mut guard: UnixStream) {
    sys::set_name(c"plugin-witness");
    let Ok(signals) = Signals::open() else { return };
    let mut seen: Vec<Sent> = Vec::new();
    // Taken as they come: left pending, a stop is undone by SIGCONT, and SIGCONT by a stop (signal(7)).
    while let Ok([is_asked, _]) = sys::wait_readable([Some(guard.as_fd()), Some(signals.as_fd())], None) {
        while let Some(arrived) = signals.take() {
            if let Origin::Process(sender) = arrived.origin {
                seen.retain(|sent| *sent != (arrived.number, sender));
                seen.push((arrived.number, sender));
            }
        }
        seen.drain(..seen.len().saturating_sub(MEMORY));
        if is_asked && answer(&mut guard, &mut seen).is_err() {
            return;
        }
    }
}

/// One byte for each signal that was asked about.
fn answer(guard: &mut UnixStream, seen: &mut Vec<Sent>) -> io::Result<()> {
    let mut question = [0; MEMORY * SENT];
    let count = match guard.read(&mut question)? {
        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        count => count,
    };
    let about: Vec<Sent> = question[..count].chunks_exact(SENT).map(decode).collect();
    let answer: Vec<u8> = about.iter().map(|sent| u8::from(seen.contains(sent))).collect();
    seen.retain(|sent| !about.contains(sent));
    guard.write_all(&answer)
}

fn encode((number, sender): &Sent) -> [u8; SENT] {
    (*number as u64 | (*sender as u64) << 32).to_ne_bytes()
}

fn decode(bytes: &[u8]) -> Sent {
    let both = bytes.try_into().map_or(0, u64::from_ne_bytes);
    (both as i32, (both >> 32) as Pid)
}
