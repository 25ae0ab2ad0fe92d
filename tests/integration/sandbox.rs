//! A directory of its own for every test, the real executable in it, and an eye on /proc.
//! What a test starts here carries a mark in its environment, so that whatever survives is found and named,
//! and ended when the sandbox is dropped.

mod running;

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::json::Json;
use crate::processes::{self, Process};
use running::Capture;
pub use running::{Launch, Output, Running};

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
