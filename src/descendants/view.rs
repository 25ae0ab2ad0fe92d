//! Looking for the processes below us: by /proc where it is ours and can be read, by asking the kernel for each number
//! where not.

use super::table::{Process, below, parse};
use crate::numbered::Sorted;
use crate::sys::{self, Pid};
use std::fs::{self, File};
use std::io::{self, Read};

/// The highest pid that Linux gives (PID_MAX_LIMIT of a 64-bit kernel).
const HIGHEST_PID: Pid = 1 << 22;
/// The highest it gives as a rule, or has given before it could be set higher (PID_MAX_DEFAULT).
const USUAL_HIGHEST_PID: Pid = 1 << 15;

/// How processes can be looked for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN): costs nothing for processes that are not ours.
    Children,
    /// All of /proc.
    Table,
    /// No /proc, or that of another PID namespace: our children alone, by waitid(2) on every number. Whose parent dies
    /// becomes our child.
    Numbers,
}

/// A way to look that was found to work.
pub struct View {
    source: Source,
    /// The session in which we were started, where that is known.
    callers_session: Option<Pid>,
}

impl View {
    /// Finds out which way works. `callers_session` is that in which we were started.
    pub fn open(callers_session: Option<Pid>) -> View {
        // The numbers of another namespace's /proc are other processes'.
        let is_ours = fs::read_link("/proc/self").is_ok_and(|own| own.to_str() == Some(&sys::own_pid().to_string()));
        let source = match (is_ours, children_of(sys::own_pid(), 2)) {
            (false, _) => Source::Numbers,
            (true, Some(_)) => Source::Children,
            (true, None) => Source::Table,
        };
        View { source, callers_session }
    }

    /// Why only children and groups can be found, where it is so.
    pub fn problem(&self) -> Option<&'static str> {
        match self.source {
            Source::Children | Source::Table => None,
            Source::Numbers => Some("/proc cannot be read, or is another PID namespace's"),
        }
    }

    /// Whether the group of a process holds descendants of ours alone. Groups do not reach beyond a session (setpgid(2)),
    /// and of those in which our descendants are the caller's is the only one that holds others.
    pub fn is_closed(&self, process: &Process) -> bool {
        let is_callers = self.callers_session.is_none_or(|callers| callers == process.session);
        process.group > 1 && process.group != sys::own_group() && !is_callers
    }

    /// The living processes below us, parents before their children. Where `expects_some` and none is seen, as when what
    /// is there hides from /proc, our children are found by their numbers, zombies too.
    pub fn look(&self, expects_some: bool) -> Vec<Process> {
        let mut found = match self.source {
            Source::Children => by_children(),
            Source::Table => below(&[sys::own_pid()], &table()),
            Source::Numbers => Vec::new(),
        };
        found.retain(|process| !process.is_zombie());
        if found.is_empty() && expects_some {
            found = by_numbers(self.source);
        }
        found
    }
}

/// Reads what /proc says of one process; `None` when it has gone.
pub fn process(pid: Pid) -> Option<Process> {
    let mut text = [0; 512];
    let count = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut text)).ok()?;
    parse(&text[..count])
}

/// A process that /proc hides from us (proc(5), hidepid), or that was found without it.
fn unseen(pid: Pid, parent: Pid) -> Option<Process> {
    let (group, session) = (sys::group_of(pid)?, sys::session_of(pid)?);
    Some(Process { pid, parent, group, session, state: b'?', threads: 1, started: 0 })
}

fn by_children() -> Vec<Process> {
    let mut found: Vec<Process> = Vec::new();
    let mut seen = Sorted::new();
    // Our own threads are more than one.
    let mut family = vec![(sys::own_pid(), 2)];
    while let Some((parent, threads)) = family.pop() {
        for pid in children_of(parent, threads).unwrap_or_default() {
            if seen.insert(pid)
                && let Some(process) = process(pid).or_else(|| unseen(pid, parent))
            {
                // A zombie has no children: they were given to us.
                if !process.is_zombie() {
                    family.push((pid, process.threads));
                    found.push(process);
                }
            }
        }
    }
    found
}

/// The children of all threads of a process.
fn children_of(pid: Pid, threads: u32) -> Option<Vec<Pid>> {
    let mut text = String::new();
    if threads <= 1 {
        text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    } else {
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
            let path = task.ok()?.path().join("children");
            match File::open(path).and_then(|mut file| file.read_to_string(&mut text)) {
                Ok(_) => text.push(' '),
                // That thread has ended meanwhile, and its children are another's.
                Err(error) if sys::is_no_such_process(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && !text.is_empty() => {}
                Err(_) => return None,
            }
        }
    }
    Some(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// All processes that can be seen.
fn table() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(process).collect()
}

/// Our children. Only if none is where they are as a rule all numbers are asked for, which takes a third of a microsecond
/// each.
fn by_numbers(source: Source) -> Vec<Process> {
    let parent = sys::own_pid();
    let seen = |pid: Pid| if source == Source::Numbers { None } else { process(pid) };
    let child = |pid: Pid| seen(pid).or_else(|| unseen(pid, parent));
    let is_ours = |pid: &Pid| sys::is_child(*pid);
    let newer = sys::newest_pid().into_iter().flat_map(|newest| given_since(parent, newest));
    let newer: Vec<Process> = newer.filter(is_ours).filter_map(child).collect();
    if newer.is_empty() { (1..=HIGHEST_PID).filter(is_ours).filter_map(child).collect() } else { newer }
}

/// The numbers that were given after `own`, up to that of the newest process: they are given in turn, and begin anew.
fn given_since(own: Pid, newest: Pid) -> impl Iterator<Item = Pid> {
    let (end, newer) = if newest < own { (USUAL_HIGHEST_PID, newest) } else { (newest, 0) };
    (own..=end).chain(1..=newer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_in_turn_and_begin_anew() {
        for (own, newest, given) in [
            (7, 9, vec![7, 8, 9]),
            (7, 7, vec![7]),
            (32_767, 2, vec![32_767, 32_768, 1, 2]),
            // Whoever is above us is met when all are asked for.
            (4_000_000, 2, vec![1, 2]),
        ] {
            assert_eq!(given_since(own, newest).collect::<Vec<_>>(), given, "{own} {newest}");
        }
    }

    #[test]
    fn a_group_is_closed_where_nobody_else_can_be_in_it() {
        // 0 where it is outside of our PID namespace.
        let own = sys::own_group();
        let other = own + 2;
        for (group, session, callers_session, expected) in [
            (other, 5, Some(4), true),
            (other, 4, Some(4), false),
            (other, 5, None, false),
            (own, 5, Some(4), false),
            // Which kill(2) takes for its caller's group, and for everybody.
            (0, 5, Some(4), false),
            (1, 5, Some(4), false),
        ] {
            let process = Process { pid: 7, parent: 1, group, session, state: b'S', threads: 1, started: 0 };
            let view = View { source: Source::Children, callers_session };
            assert_eq!(view.is_closed(&process), expected, "{process:?} {callers_session:?}");
        }
    }
}
