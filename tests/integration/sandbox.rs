//! A directory of its own for every test, the real executable in it, and an eye on /proc.
//! What a test starts here carries a mark in its environment, so that whatever survives is found and named,
//! and ended when the sandbox is dropped.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::json::Json;
use crate::processes::{self, Process};

/// The executable under test.
pub const LAUNCHER: &str = env!("CARGO_BIN_EXE_lmcache-plugin-launcher");

/// How long a condition may take on a busy machine before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a stop may take beyond the grace period: a second, also where every processor is busy. Only on a machine with
/// far more to do than that it is as much longer as everything is.
pub fn margin() -> Duration {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    Duration::from_secs_f64((load / (4 * processors) as f64).max(1.0))
}

/// The longest piece of output that is quoted when a test fails.
const QUOTED: usize = 4000;

/// Polls until the condition holds; fails the test, naming it, when it still does not after `limit`.
pub fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Polls until the condition holds, with the patience of a busy machine.
pub fn wait_for(what: &str, condition: impl FnMut() -> bool) {
    within(PATIENCE, what, condition);
}

/// Sends a signal by its name or number.
pub fn send(signal: &str, pids: &[u32]) {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -\"$0\" \"$@\"", signal]).args(pids.iter().map(u32::to_string));
    kill.stderr(Stdio::null()).status().expect("sh runs kill");
}

/// Sends a signal to all processes of a group. The shell's own kill: another takes the number of a group for a signal's
/// where it is as small.
pub fn send_to_group(signal: &str, group: u32) {
    let mut kill = Command::new("sh");
    kill.args(["-c", "kill -s \"$0\" -- \"-$1\"", signal, &group.to_string()]);
    assert!(kill.status().expect("sh runs kill").success());
}

/// A temporary directory, with `plugins/` in it, and everything that was started there.
pub struct Sandbox {
    root: PathBuf,
    launched: RefCell<Vec<(String, Capture, Capture)>>,
}

impl Sandbox {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("plugin-launcher-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().canonicalize().expect("a temporary directory").join(name);
        fs::create_dir_all(root.join("plugins")).expect("a sandbox directory");
        Self { root, launched: RefCell::default() }
    }

    /// A sandbox with these plugins: file name (below `plugins/`) and content.
    pub fn with<'a>(plugins: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let sandbox = Self::new();
        for (name, content) in plugins {
            sandbox.plugin(name, content);
        }
        sandbox
    }

    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// The same as text, for arguments and messages.
    pub fn text(&self, relative: &str) -> String {
        self.path(relative).to_str().expect("sandbox paths are UTF-8").to_owned()
    }

    /// Writes a file, mode 0644: the execute bit never matters unless a test sets it.
    pub fn write(&self, relative: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("below the root")).expect("parent directories");
        fs::write(&path, content).expect("the file is written");
        self.mode(&path, 0o644);
        path
    }

    pub fn plugin(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        self.write(Path::new("plugins").join(name), content)
    }

    pub fn mode(&self, relative: impl AsRef<Path>, mode: u32) {
        fs::set_permissions(self.path(relative), fs::Permissions::from_mode(mode)).expect("the mode is set");
    }

    pub fn link(&self, target: impl AsRef<Path>, relative: impl AsRef<Path>) {
        std::os::unix::fs::symlink(target, self.path(relative)).expect("a symbolic link");
    }

    pub fn mkfifo(&self, relative: impl AsRef<Path>) {
        assert!(Command::new("mkfifo").arg(self.path(relative)).status().expect("mkfifo runs").success());
    }

    /// The content of a file that a plugin may not have written yet.
    pub fn read(&self, relative: impl AsRef<Path>) -> String {
        String::from_utf8_lossy(&fs::read(self.path(relative)).unwrap_or_default()).into_owned()
    }

    /// Waits for a file that is written to say that something is ready, and returns its content.
    pub fn wait_for_file(&self, relative: &str) -> String {
        wait_for(&format!("{relative} is written"), || self.read(relative).ends_with('\n'));
        self.read(relative)
    }

    /// The launcher with these arguments, from the root of the sandbox.
    pub fn launcher<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Launch<'_> {
        self.command(LAUNCHER, arguments)
    }

    /// `run --format json`, these options, and `plugins`.
    pub fn run_json(&self, options: &[&str]) -> Launch<'_> {
        self.launcher(["run", "--format", "json"]).args(options).args(["plugins"])
    }

    /// The records of `list --format json`, these options, and `plugins`.
    pub fn list(&self, options: &[&str]) -> Vec<Json> {
        let listed = self.launcher(["list", "--format", "json"]).args(options).args(["plugins"]).output();
        assert_eq!(listed.status.code(), Some(0), "list ends well");
        listed.records()
    }

    /// The names that `list` would run with these options, in order.
    pub fn names_to_run(&self, options: &[&str]) -> Vec<String> {
        let records = self.list(options);
        records.iter().filter(|record| record["decision"] == "run").map(|record| record["name"].text()).collect()
    }

    /// Any program, in the sandbox, with a clean environment and the mark; `$LAUNCHER` names the launcher.
    pub fn command<A: AsRef<OsStr>>(&self, program: &str, arguments: impl IntoIterator<Item = A>) -> Launch<'_> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.root);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"LMCACHE_")) {
            command.env_remove(name);
        }
        // The system's own interpreters first: version managers put slow wrappers in front of them.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("/usr/bin:/bin:{path}"));
        command.env("SANDBOX", &self.root).env("LAUNCHER", LAUNCHER).env_remove("NO_COLOR");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Launch { sandbox: self, command, reads: true }
    }

    /// The living processes that carry the mark of this sandbox.
    pub fn living(&self) -> Vec<Process> {
        processes::living_with(&format!("SANDBOX={}\0", self.root.display()))
    }

    /// Fails when something is left after the limit, and says what. Two looks in a row must find nothing:
    /// a process in the middle of an exec shows no environment.
    pub fn assert_nothing_left(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut clear = 0;
        while clear < 2 {
            let living = self.living();
            clear = if living.is_empty() { clear + 1 } else { 0 };
            assert!(living.is_empty() || Instant::now() < deadline, "left after {limit:?}: {living:#?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let living = self.living();
            if living.is_empty() || Instant::now() > deadline {
                break;
            }
            // By whole groups: a process that forks for ever slips through one by one.
            let own = processes::read(std::process::id()).map(|process| process.group);
            let (ours, theirs): (Vec<Process>, Vec<Process>) =
                living.into_iter().partition(|process| Some(process.group) == own);
            let groups: HashSet<u32> = theirs.iter().map(|process| process.group).collect();
            let mut kill = Command::new("sh");
            kill.args(["-c", "kill -s KILL -- \"$@\"", "sh"]);
            kill.args(ours.iter().map(|process| process.pid.to_string()));
            kill.args(groups.iter().map(|group| format!("-{group}"))).stderr(Stdio::null());
            kill.status().expect("sh runs kill");
        }
        if thread::panicking() {
            for (command, stdout, stderr) in self.launched.borrow().iter() {
                eprintln!("--- command: {command}\n--- directory: {}", self.root.display());
                eprintln!("--- stdout:\n{}\n--- stderr:\n{}", stdout.quoted(), stderr.quoted());
            }
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A command that is about to be started.
pub struct Launch<'s> {
    sandbox: &'s Sandbox,
    command: Command,
    reads: bool,
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
struct Capture {
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

    fn quoted(&self) -> String {
        let bytes = self.bytes();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED)]).into_owned();
        if bytes.len() > QUOTED { format!("{text}... ({} bytes)", bytes.len()) } else { text }
    }
}
