//! Processes as /proc shows them.

use std::fs;
use std::time::{Duration, Instant};

use crate::sandbox::wait_for;

/// One process that is neither a zombie nor gone.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    pub group: u32,
    pub state: char,
    pub command: String,
    /// The value of `KIND` in its environment, where a test gives one.
    pub kind: Option<String>,
}

/// Every living process whose environment has this mark.
pub fn living_with(mark: &str) -> Vec<Process> {
    let marked = |pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let environment = String::from_utf8_lossy(&environment).into_owned();
        environment.contains(mark).then_some(())?;
        let kind = environment.split('\0').find_map(|entry| entry.strip_prefix("KIND=")).map(str::to_owned);
        read(pid).map(|process| Process { kind, ..process })
    };
    pids().filter_map(marked).filter(|process| !matches!(process.state, 'Z' | 'X')).collect()
}

/// The children of a process, zombies included.
pub fn children_of(parent: u32) -> Vec<u32> {
    pids().filter_map(read).filter(|process| process.parent == parent).map(|process| process.pid).collect()
}

/// Waits for the child of this name, as ps(1) has it, and returns its pid.
pub fn child_named(parent: u32, wanted: &str) -> u32 {
    let mut found = None;
    wait_for(&format!("{parent} has a child {wanted}"), || {
        found = children_of(parent).into_iter().find(|pid| name(*pid) == wanted);
        found.is_some()
    });
    found.expect("found")
}

/// Whether the process is there and no zombie.
pub fn is_alive(pid: u32) -> bool {
    read(pid).is_some_and(|process| !matches!(process.state, 'Z' | 'X'))
}

/// One process, zombies included.
pub fn read(pid: u32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat).into_owned();
    // The name in parentheses may have spaces and parentheses of its own.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    Some(Process { pid, parent, group, state, command, kind: None })
}

/// What ps(1) calls a process; nothing once it is gone.
pub fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// A figure of /proc/PID/status, which everybody may read: how many, or how many kB.
pub fn status_figure(pid: u32, name: &str) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let figure = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a figure");
    figure.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The signals that a process has been sent and has not taken, a bit each.
pub fn pending_signals(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:")).expect("a mask");
    u64::from_str_radix(mask.trim(), 16).expect("hexadecimal")
}

/// Waits until the main threads of these processes sleep, however often one looks.
pub fn wait_for_sleep(what: &str, pids: &[u32]) {
    let is_asleep = |pid: &u32| read(*pid).is_some_and(|process| process.state == 'S');
    let mut looks = 0;
    // Who is told of the same again and again is always found running.
    wait_for(&format!("they sleep: {what}"), || {
        looks = if pids.iter().all(is_asleep) { looks + 1 } else { 0 };
        looks == 12
    });
}

/// Waits until no thread of these processes has woken up for so long.
pub fn wait_for_rest(pids: &[u32], quiet: Duration) {
    let wakeups = || pids.iter().map(|pid| context_switches(*pid)).sum::<u64>();
    let mut before = (wakeups(), Instant::now());
    wait_for(&format!("{quiet:?} without a wake-up"), || {
        let now = wakeups();
        if now != before.0 {
            before = (now, Instant::now());
        }
        before.1.elapsed() > quiet
    });
}

/// The threads of a process, the main one included.
pub fn threads_of(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// How often the threads of a process gave up the processor by themselves.
pub fn context_switches(pid: u32) -> u64 {
    let switches = |thread: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    threads_of(pid).into_iter().filter_map(switches).sum()
}

/// The processor time of a process, in ticks, of which a second has a hundred.
pub fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields = stat.rsplit_once(')').expect("a name").1.split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<u64>().expect("a number")).sum()
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc is there");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}
