//! The launcher's own records, as text and as JSON. Never puts a value of the configuration into one.

use crate::escape;
use crate::settings::{Format, Settings};
use crate::sys::{Change, Pid, signal};
use crate::timestamp;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

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
        status: &'a Status,
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

/// What SIGUSR1 asks for.
pub struct Status {
    /// `running`, `stopping`, `backoff` or `ended`.
    pub state: &'static str,
    pub pid: Option<Pid>,
    pub uptime: Duration,
    pub restarts: u64,
    pub last: Option<Change>,
    pub lines: u64,
    pub bytes: u64,
}

impl Notice<'_> {
    /// The record with its line end, unless `--quiet` leaves it out.
    pub fn record(&self, settings: &Settings) -> Option<Vec<u8>> {
        if settings.is_quiet && self.is_left_out_by_quiet() {
            return None;
        }
        Some(match settings.format {
            Format::Text => self.text(),
            Format::Json => self.json(),
        })
    }

    fn is_left_out_by_quiet(&self) -> bool {
        match self {
            Notice::Exited { change, is_wanted, .. } => *is_wanted || *change == Change::Exited(0),
            Notice::Failed { .. } | Notice::Restarting { .. } | Notice::Killed { .. } | Notice::Warning { .. } => false,
            // Somebody asked.
            Notice::Status { .. } => false,
            Notice::Started { .. } | Notice::Skipped { .. } | Notice::Stopping { .. } | Notice::Stopped => true,
        }
    }

    fn text(&self) -> Vec<u8> {
        let mut line = b"[launcher] ".to_vec();
        let mut say =
            |words: &[&dyn AsRef<[u8]>]| words.iter().for_each(|word| escape::one_line((*word).as_ref(), &mut line));
        match self {
            Notice::Started { plugin, pid, command } => {
                say(&[&"started ", &plugin.as_bytes(), &" (pid ", &pid.to_string(), &"):"]);
                for word in *command {
                    say(&[&" ", &word.as_bytes()]);
                }
            }
            Notice::Exited { plugin, change, .. } => say(&[&"exited ", &plugin.as_bytes(), &": ", &describe(*change)]),
            Notice::Failed { plugin, reason } => say(&[&"failed ", &plugin.as_bytes(), &": ", reason]),
            Notice::Skipped { plugin, reason } => say(&[&"skipped ", &plugin.as_bytes(), &": ", reason]),
            Notice::Restarting { plugin, reason, delay, count } => {
                let (delay, count) = (seconds(*delay), count.to_string());
                say(&[&"restarting ", &plugin.as_bytes(), &" in ", &delay, &" s (restart ", &count, &"): ", reason]);
            }
            Notice::Status { plugin, status } => {
                say(&[&"status ", &plugin.as_bytes(), &": ", &status.state]);
                if let Some(pid) = status.pid {
                    say(&[&", pid ", &pid.to_string(), &", up ", &seconds(status.uptime), &" s"]);
                }
                say(&[&", restarts ", &status.restarts.to_string()]);
                if let Some(change) = status.last {
                    say(&[&", last ", &describe(change)]);
                }
                say(&[&", ", &status.lines.to_string(), &" lines, ", &status.bytes.to_string(), &" bytes"]);
            }
            Notice::Stopping { reason } => say(&[&"stopping: ", reason]),
            Notice::Killed { plugin: Some(plugin), pid } => {
                say(&[&"killed ", &plugin.as_bytes(), &" (pid ", &pid.to_string(), &"): it had not ended"]);
            }
            Notice::Killed { plugin: None, pid } => {
                say(&[&"killed pid ", &pid.to_string(), &": it had not ended"]);
            }
            Notice::Warning { plugin: Some(plugin), reason } => {
                say(&[&"warning: ", &plugin.as_bytes(), &": ", reason]);
            }
            Notice::Warning { plugin: None, reason } => say(&[&"warning: ", reason]),
            Notice::Stopped => say(&[&"stopped"]),
        }
        line.push(b'\n');
        line
    }

    fn json(&self) -> Vec<u8> {
        match self {
            Notice::Started { plugin, pid, command } => {
                Record::new("started").plugin(plugin).number("pid", i64::from(*pid)).list("command", command)
            }
            Notice::Exited { plugin, change, .. } => Record::new("exited").plugin(plugin).change(*change),
            Notice::Failed { plugin, reason } => Record::new("failed").plugin(plugin).text("reason", reason),
            Notice::Skipped { plugin, reason } => Record::new("skipped").plugin(plugin).text("reason", reason),
            Notice::Restarting { plugin, reason, delay, count } => Record::new("restarting")
                .plugin(plugin)
                .text("reason", reason)
                .raw("delay", &seconds(*delay))
                .raw("count", &count.to_string()),
            Notice::Status { plugin, status } => {
                let mut record = Record::new("status").plugin(plugin).text("state", status.state);
                if let Some(pid) = status.pid {
                    record = record.number("pid", i64::from(pid)).raw("uptime", &seconds(status.uptime));
                }
                record = record.raw("restarts", &status.restarts.to_string());
                if let Some(change) = status.last {
                    record = record.change(change);
                }
                record.raw("lines", &status.lines.to_string()).raw("bytes", &status.bytes.to_string())
            }
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

/// One JSON object under construction.
pub struct Record(Vec<u8>);

impl Record {
    /// A record of the log: time and event first.
    pub fn new(event: &str) -> Record {
        Record::empty().bytes("time", &timestamp::now()).text("event", event)
    }

    /// An object without members.
    pub fn empty() -> Record {
        Record(b"{".to_vec())
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// Adds a string of any bytes.
    pub fn bytes(mut self, name: &str, value: &[u8]) -> Record {
        self.name(name);
        self.quoted(value);
        self
    }

    fn quoted(&mut self, value: &[u8]) {
        self.0.push(b'"');
        escape::json(value, &mut self.0);
        self.0.push(b'"');
    }

    /// Adds a string.
    pub fn text(self, name: &str, value: &str) -> Record {
        self.bytes(name, value.as_bytes())
    }

    fn plugin(self, value: &OsStr) -> Record {
        self.bytes("plugin", value.as_bytes())
    }

    fn number(self, name: &str, value: i64) -> Record {
        self.raw(name, &value.to_string())
    }

    fn change(self, change: Change) -> Record {
        match change {
            Change::Exited(code) => self.number("code", i64::from(code)),
            Change::Signaled(number) | Change::Stopped(number) => self.number("signal", i64::from(number)),
        }
    }

    fn raw(mut self, name: &str, value: &str) -> Record {
        self.name(name);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// Adds an array of strings.
    pub fn list<T: AsRef<OsStr>>(mut self, name: &str, values: &[T]) -> Record {
        self.name(name);
        self.0.push(b'[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            self.quoted(value.as_ref().as_bytes());
        }
        self.0.push(b']');
        self
    }

    /// The object as one line.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}

/// `status 3`, or `signal 15 (SIGTERM)`.
pub fn describe(change: Change) -> String {
    match change {
        Change::Exited(code) => format!("status {code}"),
        Change::Signaled(number) | Change::Stopped(number) => format!("signal {number} ({})", signal::name(number)),
    }
}

/// Seconds with at most three decimals, as a JSON number.
fn seconds(duration: Duration) -> String {
    let text = format!("{}.{:03}", duration.as_secs(), duration.subsec_millis());
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}
