//! Every process below us, found by walking /proc. Descendants of a subreaper stay its descendants, whatever they do.

use crate::sys::{self, Pid, signal};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};

/// One process, as /proc/PID/stat has it (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: Pid,
    pub parent: Pid,
    pub group: Pid,
    pub session: Pid,
    pub state: u8,
    /// Clock ticks from boot to its start: with the pid, the identity of a process.
    pub started: u64,
}

impl Process {
    /// Ended, and waiting only to be reaped.
    pub fn is_zombie(&self) -> bool {
        self.state == b'Z' || self.state == b'X'
    }

    /// Sends SIGTERM, and SIGCONT to a process that is stopped and would not hear it.
    pub fn ask_to_end(&self) {
        let _ = sys::kill(self.pid, signal::TERM);
        self.wake();
    }

    fn wake(&self) {
        if self.state == b'T' {
            let _ = sys::kill(self.pid, signal::CONT);
        }
    }
}

/// Reads what /proc says of one process; `None` when it has gone.
pub fn process(pid: Pid) -> Option<Process> {
    let mut text = [0; 512];
    let count = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut text)).ok()?;
    parse(&text[..count])
}

/// Reads the fields behind the command name, which may itself hold blanks and parentheses.
fn parse(stat: &[u8]) -> Option<Process> {
    let text = std::str::from_utf8(stat.get(..stat.iter().position(|&byte| byte == b' ')?)?).ok()?;
    let pid = text.parse().ok()?;
    let behind = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[behind..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    let mut number = || fields.next()?.parse::<Pid>().ok();
    let (parent, group, session) = (number()?, number()?, number()?);
    // Field 22 is the start time; 6 were taken.
    let started = fields.nth(15)?.parse().ok()?;
    Some(Process { pid, parent, group, session, state, started })
}

/// The processes below us at one moment, and the mark that each inherited.
pub struct Census {
    all: Vec<Process>,
    ours: Vec<(Process, Option<Vec<u8>>)>,
}

impl Census {
    /// Counts everything. `variable` is the environment variable that holds the mark.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn take(variable: &str) -> io::Result<Census> {
        let all = snapshot()?;
        let ours = below(&[own_pid()], &all);
        let ours = ours.into_iter().map(|process| (process, mark(process.pid, variable))).collect();
        Ok(Census { all, ours })
    }

    /// The processes that carry `mark`, and those below them. A process that cleared its environment is known by the
    /// group or session of its leader.
    pub fn marked(&self, mark: &str, leader: Pid) -> Vec<Process> {
        let is_marked = |(process, found): &&(Process, Option<Vec<u8>>)| match found {
            Some(found) => found == mark.as_bytes(),
            None => process.group == leader || process.session == leader,
        };
        let mut found: Vec<Process> = self.ours.iter().filter(is_marked).map(|(process, _)| *process).collect();
        let roots: Vec<Pid> = found.iter().map(|process| process.pid).collect();
        found.extend(below(&roots, &self.all));
        found
    }

    /// Sends SIGKILL to `processes`.
    pub fn kill(&self, processes: &[Process]) {
        kill_each(processes, &self.all);
    }
}

/// The value of `variable` in the environment that a process was started with, if it can be read and has it.
fn mark(pid: Pid, variable: &str) -> Option<Vec<u8>> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = |entry: &[u8]| entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec);
    environment.split(|&byte| byte == 0).find_map(value)
}

/// All processes that can be seen.
///
/// # Errors
/// Where /proc is not mounted.
pub fn snapshot() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) {
            processes.extend(process(pid));
        }
    }
    if processes.is_empty() { Err(sys::invalid_argument()) } else { Ok(processes) }
}

/// The processes of `all` below any of `roots`, parents first, without the roots and without zombies.
pub fn below(roots: &[Pid], all: &[Process]) -> Vec<Process> {
    let mut family: HashSet<Pid> = roots.iter().copied().collect();
    let mut found = Vec::new();
    loop {
        let before = family.len();
        for process in all {
            if family.contains(&process.parent) && family.insert(process.pid) && !process.is_zombie() {
                found.push(*process);
            }
        }
        // Mostly parents come before their children, and the second pass finds nothing new.
        if family.len() == before {
            return found;
        }
    }
}

/// The end of all processes below this one: SIGTERM for each, once, and SIGKILL for what is left.
#[derive(Default)]
pub struct Sweep {
    asked: HashSet<(Pid, u64)>,
    killed: HashSet<(Pid, u64)>,
}

/// What was left when everything was sent SIGKILL.
pub struct Left {
    pub all: Vec<Process>,
    /// Those that had not been sent it before.
    pub new: Vec<Process>,
}

impl Sweep {
    /// Sends SIGTERM to every process below us that has not had it, and wakes those that are stopped. What a process
    /// starts after it was asked is left to it while it lives: that is how it cleans up.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn terminate(&mut self) -> io::Result<()> {
        let visible = snapshot()?;
        let all = below(&[own_pid()], &visible);
        let mut cleaning_up = HashSet::new();
        let mut new = Vec::new();
        for process in &all {
            if self.asked.contains(&(process.pid, process.started)) || cleaning_up.contains(&process.parent) {
                cleaning_up.insert(process.pid);
            } else {
                new.push(*process);
            }
        }
        self.asked.extend(new.iter().map(|process| (process.pid, process.started)));
        let new_pids: HashSet<Pid> = new.iter().map(|process| process.pid).collect();
        signal_each(&new, signal::TERM, &groups_of(&visible, |process| !new_pids.contains(&process.pid)));
        all.iter().for_each(Process::wake);
        Ok(())
    }

    /// Sends SIGKILL to every process below us.
    ///
    /// # Errors
    /// Where /proc is not mounted.
    pub fn kill(&mut self) -> io::Result<Left> {
        let visible = snapshot()?;
        let all = below(&[own_pid()], &visible);
        kill_each(&all, &visible);
        let new = all.iter().filter(|process| self.killed.insert((process.pid, process.started))).copied().collect();
        Ok(Left { all, new })
    }
}

/// Sends SIGKILL to processes.
fn kill_each(processes: &[Process], all: &[Process]) {
    let pids: HashSet<Pid> = processes.iter().map(|process| process.pid).collect();
    let visible: HashSet<Pid> = all.iter().map(|process| process.pid).collect();
    let family: HashSet<Pid> = pids.iter().copied().chain([own_pid()]).collect();
    // Who appeared below us after its parent was passed over in /proc has a parent that cannot be seen: no stranger.
    let is_foreign = |process: &Process| {
        !family.contains(&process.pid) && !family.contains(&process.parent) && visible.contains(&process.parent)
    };
    signal_each(processes, signal::KILL, &groups_of(all, is_foreign));
}

/// The groups of the living among `all` that are `foreign`.
fn groups_of(all: &[Process], is_foreign: impl Fn(&Process) -> bool) -> HashSet<Pid> {
    let is_foreign = |process: &&Process| !process.is_zombie() && is_foreign(process);
    all.iter().filter(is_foreign).map(|process| process.group).collect()
}

/// Signals processes, by whole groups where a group holds nothing foreign: no fork can slip through that.
fn signal_each(processes: &[Process], number: i32, foreign: &HashSet<Pid>) {
    let is_ours = |group: &Pid| *group > 1 && *group != sys::own_group() && !foreign.contains(group);
    let groups: HashSet<Pid> = processes.iter().map(|process| process.group).filter(is_ours).collect();
    for &group in &groups {
        let _ = sys::kill_group(group, number);
    }
    for process in processes.iter().filter(|process| !groups.contains(&process.group)) {
        let _ = sys::kill(process.pid, number);
    }
}

fn own_pid() -> Pid {
    std::process::id() as Pid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_may_hold_anything() {
        let stat = b"42 (a) b (c) R 7 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 0\n";
        let expected = Process { pid: 42, parent: 7, group: 40, session: 39, state: b'R', started: 12345 };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse(b"42 (x"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn descendants_are_found_at_any_depth() {
        let process = |pid, parent, state| Process { pid, parent, group: pid, session: pid, state, started: 0 };
        let all = [
            process(1, 0, b'S'),
            process(5, 1, b'S'),
            process(9, 5, b'Z'),
            process(3, 9, b'R'),
            process(8, 1, b'S'),
            process(4, 3, b'T'),
        ];
        let mut found: Vec<Pid> = below(&[5], &all).iter().map(|process| process.pid).collect();
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }
}
