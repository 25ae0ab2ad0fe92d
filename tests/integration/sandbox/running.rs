//! A command in a sandbox: how it is started, what it writes meanwhile, and what it has done.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{PATIENCE, Sandbox, send, wait_for, within};
use crate::json::Json;
use crate::processes;

/// The longest piece of output that is quoted when a test fails.
const QUOTED: usize = 4000;

/// A command that is about to be started.
pub struct Launch<'s> {
    pub(super) sandbox: &'s Sandbox,
    pub(super) command: Command,
    pub(super) reads: bool,
}

impl<'s> Launch<'s> {
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.command.stdin(stdin);
        self
    }

    /// Sends the output there: nothing is captured.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.command.stdout(stdout);
        self
    }

    /// Leaves the output in its pipe, until `Running::read_on` or `Running::hang_up`.
    pub fn unread(mut self) -> Self {
        self.reads = false;
        self
    }

    pub fn start(mut self) -> Running<'s> {
        let line = format!("{:?}", self.command);
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        let (stdout, stderr) = (Capture::default(), Capture::default());
        let mut unread = child.stdout.take();
        match unread.take_if(|_| self.reads) {
            Some(pipe) => stdout.follow(pipe),
            None => stdout.ended.store(unread.is_none(), Ordering::Release),
        }
        stderr.follow(child.stderr.take().expect("stderr is a pipe"));
        self.sandbox.launched.borrow_mut().push((line, stdout.clone(), stderr.clone()));
        let stdin = child.stdin.take();
        Running { sandbox: self.sandbox, child, stdin, unread, stdout, stderr }
    }

    pub fn output(self) -> Output {
        self.start().wait()
    }
}

/// A command that was started; it is killed when dropped.
pub struct Running<'s> {
    sandbox: &'s Sandbox,
    child: Child,
    stdin: Option<ChildStdin>,
    unread: Option<std::process::ChildStdout>,
    stdout: Capture,
    stderr: Capture,
}

impl Running<'_> {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        send(name, &[self.pid()]);
    }

    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// What was logged so far, as records.
    pub fn records(&self) -> Vec<Json> {
        let text = self.stdout();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(Json::parse).collect()
    }

    pub fn wait_for_stdout(&self, expected: &str) {
        wait_for(&format!("stdout has {expected:?}"), || self.stdout().contains(expected));
    }

    /// Waits for this many records for which the condition holds, and returns them.
    pub fn wait_for_records(&self, what: &str, count: usize, condition: impl Fn(&Json) -> bool) -> Vec<Json> {
        let mut found = Vec::new();
        wait_for(what, || {
            found = self.records().into_iter().filter(|record| condition(record)).collect();
            found.len() >= count
        });
        found
    }

    /// Waits for this event of this plugin.
    pub fn wait_for_event(&self, event: &str, plugin: &str) -> Json {
        let matches = |record: &Json| record["event"] == event && record["plugin"] == plugin;
        self.wait_for_records(&format!("{event} of {plugin}"), 1, matches).remove(0)
    }

    pub fn write(&mut self, text: &str) {
        self.stdin.as_mut().expect("stdin is a pipe").write_all(text.as_bytes()).expect("stdin is read");
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Begins to read what `unread` left in the pipe.
    pub fn read_on(&mut self) {
        self.stdout.follow(self.unread.take().expect("stdout was left unread"));
    }

    /// Closes the reading end of stdout.
    pub fn hang_up(&mut self) {
        self.unread = None;
        self.stdout.ended.store(true, Ordering::Release);
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// The child of the launcher that runs the plugins.
    pub fn supervisor(&self) -> u32 {
        processes::child_named(self.pid(), "plugin-supervis")
    }

    /// With PROGRAM, its other child.
    pub fn witness(&self) -> u32 {
        processes::child_named(self.pid(), "plugin-witness")
    }

    pub fn wait(self) -> Output {
        self.wait_within(PATIENCE)
    }

    /// Waits for the end, then for the end of its output.
    pub fn wait_within(mut self, limit: Duration) -> Output {
        let mut status = None;
        within(limit, "the command ends", || {
            status = self.child.try_wait().expect("our child");
            status.is_some()
        });
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        let reads = self.unread.is_none();
        within(PATIENCE, "nobody holds its output", || {
            stderr.ended.load(Ordering::Acquire) && (!reads || stdout.ended.load(Ordering::Acquire))
        });
        Output { status: status.expect("waited for"), stdout: stdout.bytes(), stderr: stderr.text() }
    }

    pub fn sandbox(&self) -> &Sandbox {
        self.sandbox
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command did.
pub struct Output {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Output {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn records(&self) -> Vec<Json> {
        std::str::from_utf8(&self.stdout).expect("JSON output is UTF-8").lines().map(Json::parse).collect()
    }

    /// The records of this event.
    pub fn events(&self, event: &str) -> Vec<Json> {
        self.records().into_iter().filter(|record| record["event"] == event).collect()
    }

    /// What this plugin wrote, as one text, from the text log.
    pub fn lines_of(&self, name: &str) -> Vec<String> {
        let prefix = format!("[{name}] ");
        self.text().lines().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect()
    }

    /// Fails unless this was refused before anything started: status 2, one line on stderr that has all of these.
    pub fn assert_refused(&self, mentions: &[&str]) {
        assert_eq!(self.status.code(), Some(2), "bad usage or configuration has status 2");
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "one clear line on stderr: {:?}", self.stderr);
        assert_eq!(self.text(), "", "nothing was started");
        for mention in mentions {
            assert!(self.stderr.contains(mention), "the message names {mention:?}: {:?}", self.stderr);
        }
    }
}

/// The bytes of a pipe, read by a thread of its own.
#[derive(Clone, Default)]
pub struct Capture {
    bytes: Arc<Mutex<Vec<u8>>>,
    ended: Arc<AtomicBool>,
}

impl Capture {
    fn follow(&self, mut pipe: impl Read + Send + 'static) {
        let capture = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                capture.bytes.lock().expect("no reader panics").extend_from_slice(&buffer[..count]);
            }
            capture.ended.store(true, Ordering::Release);
        });
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().expect("no reader panics").clone()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    pub fn quoted(&self) -> String {
        let bytes = self.bytes();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED)]).into_owned();
        if bytes.len() > QUOTED { format!("{text}... ({} bytes)", bytes.len()) } else { text }
    }
}
