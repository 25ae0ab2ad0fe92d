//! The launcher's own records, as text and as JSON. Never puts a value of the configuration into one.

#[cfg(test)]
pub mod tests;

use crate::escape;
use crate::plugin::name::LABEL;
use crate::record::{Record, seconds};
use crate::settings::{Format, Settings};
use crate::sys::{Change, Pid, signal};
use crate::timestamp;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// How a record of the log in JSON begins: with its time, at that place.
pub const TIME_BEGINS: &[u8] = b"{\"time\":\"";
pub const TIME: Range<usize> = TIME_BEGINS.len()..TIME_BEGINS.len() + size_of::<timestamp::Timestamp>();

/// How records are written.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub format: Format,
    /// Only problems are said.
    pub is_quiet: bool,
    pub is_terminal: bool,
    pub has_colour: bool,
    /// Columns that labels are padded to.
    pub label_width: usize,
}

impl Look {
    /// Records for a file or a pipe.
    pub fn plain(settings: &Settings) -> Look {
        Look {
            format: settings.format,
            is_quiet: settings.is_quiet,
            is_terminal: false,
            has_colour: false,
            label_width: 0,
        }
    }
}

/// What the launcher has to say.
pub enum Notice<'a> {
    Started {
        plugin: &'a OsStr,
        pid: Pid,
        command: &'a [OsString],
    },
    Exited {
        plugin: &'a OsStr,
        change: Change,
        /// We asked it to.
        is_wanted: bool,
    },
    /// PROGRAM ended.
    ProgramExited {
        program: &'a OsStr,
        change: Change,
    },
    /// A plugin could not be started, or a location not be searched.
    Failed {
        plugin: &'a OsStr,
        reason: &'a str,
    },
    Skipped {
        plugin: &'a OsStr,
        reason: &'a str,
    },
    Restarting {
        plugin: &'a OsStr,
        reason: &'a str,
        delay: Duration,
        count: u64,
    },
    Status {
        plugin: &'a OsStr,
        path: &'a Path,
        status: &'a Status,
    },
    /// What came of a reload.
    Reloaded {
        counts: &'a ReloadCounts,
    },
    Stopping {
        reason: &'a str,
    },
    /// SIGKILL, for what had not ended by the end of the grace period, or by a second signal.
    Killed {
        plugin: Option<&'a OsStr>,
        pid: Pid,
    },
    Warning {
        plugin: Option<&'a OsStr>,
        reason: &'a str,
    },
    Stopped,
}

/// How many plugins a reload did what with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReloadCounts {
    pub started: usize,
    pub restarted: usize,
    pub stopped: usize,
    pub unchanged: usize,
}

/// What is asked for by SIGUSR1, and over the control socket.
pub struct Status {
    /// `running`, `backoff`, `stopping`, `stopped`, `ended` or `failed`.
    pub state: &'static str,
    pub pid: Option<Pid>,
    pub uptime: Duration,
    pub restarts: u64,
    pub last: Option<Change>,
    pub lines: u64,
    pub bytes: u64,
}

/// How much a notice matters to who looks at a terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    Plain,
    Attention,
    Problem,
}

impl Notice<'_> {
    /// The record with its line end, unless `--quiet` leaves it out.
    pub fn record(&self, look: &Look) -> Option<Vec<u8>> {
        if look.is_quiet && self.is_left_out_by_quiet() {
            return None;
        }
        Some(match look.format {
            Format::Text => self.text(look),
            Format::Json => self.json(),
        })
    }

    /// As [`Notice::record`], with the time of what it is written beside, if any.
    pub fn record_at(&self, look: &Look, time: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut record = self.record(look)?;
        if let (Format::Json, Some(time), Some(shown)) = (look.format, time, record.get_mut(TIME)) {
            shown.copy_from_slice(time);
        }
        Some(record)
    }

    fn is_left_out_by_quiet(&self) -> bool {
        match self {
            Notice::Exited { change, is_wanted, .. } => *is_wanted || *change == Change::Exited(0),
            Notice::Failed { .. } | Notice::Restarting { .. } | Notice::Killed { .. } | Notice::Warning { .. } => false,
            // Somebody asked.
            Notice::Status { .. } => false,
            // How PROGRAM ended is its caller's to see, by our status.
            Notice::ProgramExited { .. }
            | Notice::Started { .. }
            | Notice::Skipped { .. }
            | Notice::Reloaded { .. }
            | Notice::Stopping { .. }
            | Notice::Stopped => true,
        }
    }

    fn weight(&self) -> Weight {
        match self {
            Notice::Failed { .. } | Notice::Killed { .. } => Weight::Problem,
            Notice::Exited { change, is_wanted: false, .. } | Notice::ProgramExited { change, .. }
                if *change != Change::Exited(0) =>
            {
                Weight::Problem
            }
            Notice::Restarting { .. } | Notice::Warning { .. } => Weight::Attention,
            Notice::Exited { .. }
            | Notice::ProgramExited { .. }
            | Notice::Started { .. }
            | Notice::Skipped { .. }
            | Notice::Status { .. }
            | Notice::Reloaded { .. }
            | Notice::Stopping { .. }
            | Notice::Stopped => Weight::Plain,
        }
    }

    fn text(&self, look: &Look) -> Vec<u8> {
        let label = format!("[{LABEL}]");
        let padding = " ".repeat(look.label_width.saturating_sub(label.len()));
        let (bold, colour, off) = match (look.has_colour, self.weight()) {
            (false, _) => ("", "", ""),
            (true, Weight::Plain) => ("\x1b[1m", "\x1b[0m", "\x1b[0m"),
            (true, Weight::Attention) => ("\x1b[1m", "\x1b[0;33m", "\x1b[0m"),
            (true, Weight::Problem) => ("\x1b[1m", "\x1b[0;31m", "\x1b[0m"),
        };
        let line = [bold, &label, colour, " ", &padding].concat().into_bytes();
        let mut words = Words { line, is_terminal: look.is_terminal };
        self.words(&mut words);
        let Words { mut line, .. } = words;
        line.extend_from_slice(off.as_bytes());
        line.push(b'\n');
        line
    }

    fn words(&self, line: &mut Words) {
        match self {
            Notice::Started { plugin, pid, command } => {
                line.prose("started ").name(plugin).prose(&format!(" (pid {pid}):"));
                for word in *command {
                    line.prose(" ").name(word);
                }
            }
            Notice::Exited { plugin, change, .. } | Notice::ProgramExited { program: plugin, change } => {
                line.prose("exited ").name(plugin).prose(&format!(": {}", describe(*change)));
            }
            Notice::Failed { plugin, reason } => {
                line.prose("failed ").name(plugin).prose(": ").prose(reason);
            }
            Notice::Skipped { plugin, reason } => {
                line.prose("skipped ").name(plugin).prose(": ").prose(reason);
            }
            Notice::Restarting { plugin, reason, delay, count } => {
                line.prose("restarting ").name(plugin);
                line.prose(&format!(" in {} s (restart {count}): ", seconds(*delay))).prose(reason);
            }
            Notice::Status { plugin, status, .. } => {
                line.prose("status ").name(plugin).prose(": ").prose(&status.text());
            }
            Notice::Reloaded { counts } => {
                let ReloadCounts { started, restarted, stopped, unchanged } = counts;
                line.prose(&format!(
                    "reloaded: {started} started, {restarted} restarted, {stopped} stopped, {unchanged} unchanged"
                ));
            }
            Notice::Stopping { reason } => {
                line.prose("stopping: ").prose(reason);
            }
            Notice::Killed { plugin: Some(plugin), pid } => {
                line.prose("killed ").name(plugin).prose(&format!(" (pid {pid}): it had not ended"));
            }
            Notice::Killed { plugin: None, pid } => {
                line.prose(&format!("killed pid {pid}: it had not ended"));
            }
            Notice::Warning { plugin: Some(plugin), reason } => {
                line.prose("warning: ").name(plugin).prose(": ").prose(reason);
            }
            Notice::Warning { plugin: None, reason } => {
                line.prose("warning: ").prose(reason);
            }
            Notice::Stopped => {
                line.prose("stopped");
            }
        }
    }

    fn json(&self) -> Vec<u8> {
        match self {
            Notice::Started { plugin, pid, command } => {
                Record::new("started").plugin(plugin).number("pid", i64::from(*pid)).list("command", command)
            }
            Notice::Exited { plugin, change, .. } => Record::new("exited").plugin(plugin).change(*change),
            Notice::ProgramExited { program, change } => {
                Record::new("exited").bytes("program", program.as_bytes()).change(*change)
            }
            Notice::Failed { plugin, reason } => Record::new("failed").plugin(plugin).text("reason", reason),
            Notice::Skipped { plugin, reason } => Record::new("skipped").plugin(plugin).text("reason", reason),
            Notice::Restarting { plugin, reason, delay, count } => Record::new("restarting")
                .plugin(plugin)
                .text("reason", reason)
                .duration("delay", *delay)
                .count("count", *count),
            Notice::Status { plugin, path, status } => Record::new("status").status(plugin, path, status),
            Notice::Reloaded { counts } => Record::new("reloaded").counts(counts),
            Notice::Stopping { reason } => Record::new("stopping").text("reason", reason),
            Notice::Killed { plugin: Some(plugin), pid } => {
                Record::new("killed").plugin(plugin).number("pid", i64::from(*pid))
            }
            Notice::Killed { plugin: None, pid } => Record::new("killed").number("pid", i64::from(*pid)),
            Notice::Warning { plugin: Some(plugin), reason } => {
                Record::new("warning").plugin(plugin).text("reason", reason)
            }
            Notice::Warning { plugin: None, reason } => Record::new("warning").text("reason", reason),
            Notice::Stopped => Record::new("stopped"),
        }
        .end()
    }
}

/// A notice in text under construction.
struct Words {
    line: Vec<u8>,
    is_terminal: bool,
}

impl Words {
    fn prose(&mut self, text: &str) -> &mut Words {
        escape::one_line(text.as_bytes(), &mut self.line);
        self
    }

    fn name(&mut self, name: &OsStr) -> &mut Words {
        escape::name(name.as_bytes(), self.is_terminal, &mut self.line);
        self
    }
}

impl Status {
    fn text(&self) -> String {
        let mut text = self.state.to_string();
        if let Some(pid) = self.pid {
            text += &format!(", pid {pid}, up {} s", seconds(self.uptime));
        }
        text += &format!(", restarts {}", self.restarts);
        if let Some(change) = self.last {
            text += &format!(", last {}", describe(change));
        }
        text + &format!(", {} lines, {} bytes", self.lines, self.bytes)
    }
}

impl Record {
    /// A record of the log: time and event first.
    pub fn new(event: &str) -> Record {
        Record::empty().bytes("time", &timestamp::now()).text("event", event)
    }

    fn plugin(self, value: &OsStr) -> Record {
        self.bytes("plugin", value.as_bytes())
    }

    /// Adds what a reload did.
    pub fn counts(self, counts: &ReloadCounts) -> Record {
        self.count("started", counts.started as u64)
            .count("restarted", counts.restarted as u64)
            .count("stopped", counts.stopped as u64)
            .count("unchanged", counts.unchanged as u64)
    }

    /// Adds what a plugin does and did, for the log and over the control socket.
    pub fn status(self, plugin: &OsStr, path: &Path, status: &Status) -> Record {
        let mut record = self.plugin(plugin).bytes("path", path.as_os_str().as_bytes()).text("state", status.state);
        if let Some(pid) = status.pid {
            record = record.number("pid", i64::from(pid)).duration("uptime", status.uptime);
        }
        record = record.count("restarts", status.restarts);
        if let Some(change) = status.last {
            record = record.change(change);
        }
        record.count("lines", status.lines).count("bytes", status.bytes)
    }

    fn change(self, change: Change) -> Record {
        match change {
            Change::Exited(code) => self.number("code", i64::from(code)),
            Change::Signaled(number) => self.number("signal", i64::from(number)),
        }
    }
}

/// `status 3`, or `signal 15 (SIGTERM)`.
pub fn describe(change: Change) -> String {
    match change {
        Change::Exited(code) => format!("status {code}"),
        Change::Signaled(number) => format!("signal {number} ({})", signal::name(number)),
    }
}
