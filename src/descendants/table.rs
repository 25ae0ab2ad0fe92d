//! What /proc says of processes, and who is below whom. Pure: reads nothing itself.

use crate::numbered::Sorted;
use crate::sys::Pid;

/// One process, as /proc/PID/stat has it (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: Pid,
    pub parent: Pid,
    pub group: Pid,
    pub session: Pid,
    pub state: u8,
    pub threads: u32,
    /// Clock ticks from boot to its start: with the pid, the identity of a process.
    pub started: u64,
}

impl Process {
    /// Ended, and waiting only to be reaped. A process whose main thread has ended while others run is in state Z, too.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }

    /// Stopped, so that it hears no signal but SIGKILL and SIGCONT.
    pub fn is_stopped(&self) -> bool {
        self.state == b'T'
    }

    /// In the kernel, where no signal reaches it.
    pub fn is_uninterruptible(&self) -> bool {
        self.state == b'D'
    }
}

/// Reads a stat file: the fields behind the command name, which may itself hold blanks and parentheses.
pub fn parse(stat: &[u8]) -> Option<Process> {
    let text = std::str::from_utf8(stat.get(..stat.iter().position(|&byte| byte == b' ')?)?).ok()?;
    let pid = text.parse().ok()?;
    let behind = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[behind..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    let mut number = || fields.next()?.parse::<Pid>().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    // Six fields were taken; 20 is the number of threads, 22 the start time.
    let threads = fields.nth(13)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some(Process { pid, parent, group, session, state, threads, started })
}

/// The processes of `all` below any of `roots`, parents before their children, without the roots.
pub fn below(roots: &[Pid], all: &[Process]) -> Vec<Process> {
    let mut family: Sorted<Pid> = roots.iter().copied().collect();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for process in all {
            if family.contains(process.parent) && family.insert(process.pid) {
                found.push(*process);
            }
        }
        // Mostly parents come before their children, and the second pass finds nothing new.
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: Pid, parent: Pid, state: u8) -> Process {
        Process { pid, parent, group: pid, session: pid, state, threads: 1, started: 0 }
    }

    #[test]
    fn a_command_name_may_hold_anything() {
        let stat = b"42 (a) b (c) R 7 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 12345 99 0\n";
        let expected = Process { pid: 42, parent: 7, group: 40, session: 39, state: b'R', threads: 3, started: 12345 };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse(b"42 (x"), None);
        assert_eq!(parse(b"42 (x) R 7 40 39 0"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_process_lives_as_long_as_one_of_its_threads() {
        for (state, threads, expected) in
            [(b'Z', 1, true), (b'Z', 2, false), (b'X', 1, true), (b'S', 1, false), (b'T', 1, false)]
        {
            assert_eq!(Process { threads, ..process(1, 0, state) }.is_zombie(), expected, "{state} {threads}");
        }
    }

    #[test]
    fn a_state_tells_what_reaches_a_process() {
        for (state, is_stopped, is_uninterruptible) in
            [(b'T', true, false), (b'D', false, true), (b'S', false, false), (b'?', false, false)]
        {
            let process = process(1, 0, state);
            assert_eq!(process.is_stopped(), is_stopped, "{state}");
            assert_eq!(process.is_uninterruptible(), is_uninterruptible, "{state}");
        }
    }

    #[test]
    fn descendants_are_found_at_any_depth_and_in_any_order() {
        let all = [
            process(1, 0, b'S'),
            process(5, 1, b'S'),
            process(3, 9, b'R'),
            process(9, 5, b'Z'),
            process(8, 1, b'S'),
            process(4, 3, b'T'),
        ];
        let found: Vec<Pid> = below(&[5], &all).iter().map(|process| process.pid).collect();
        assert_eq!(found, [9, 3, 4]);
        assert_eq!(below(&[77], &all), []);
    }
}
