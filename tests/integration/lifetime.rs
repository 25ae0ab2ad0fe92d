//! Nothing survives: every death of the parent and of the launcher's own processes, times every kind of plugin.
//! Each row has a negative control: under a plain shell the same death leaves the same plugins running.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::plugins::{self, KINDS};
use crate::processes;
use crate::sandbox::{self, Running, Sandbox, wait_for};

const GRACE: Duration = Duration::from_millis(700);

/// The host: it starts its arguments, and ends as it is told. Above it stands a reaper, as in any good container: not
/// every PID 1 is quick to reap the many orphans of the control.
const HOST: &str = "import ctypes, os, subprocess, sys\n\
    PR_SET_CHILD_SUBREAPER = 36\n\
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)\n\
    host = os.fork()\n\
    if host == 0:\n    \
        child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)\n    \
        with open('started', 'w') as file:\n        \
            file.write(f'{os.getpid()} {child.pid}\\n')\n    \
        sys.stdin.readline()\n    \
        os._exit(3)\n\
    try:\n    \
        while True:\n        \
            os.wait()\n\
    except ChildProcessError:\n    \
        pass\n";

/// What plain shells do: one starts the plugins, as our supervisor would; the other one starts that one.
const SHELLS: &str = "sh -c 'for plugin in plugins/*; do\n\
    case $plugin in *.py) python3 $plugin;; *.pl) perl $plugin;; *) bash $plugin;; esac &\n\
    done; wait' & wait\n";

/// Whose death, and how.
#[derive(Clone, Copy)]
enum Death {
    ParentExits,
    Parent(&'static str),
    Launcher(&'static str),
    Supervisor(&'static str),
}

/// Who is stopped by SIGSTOP before that.
#[derive(Clone, Copy, Debug)]
enum Who {
    Guard,
    Supervisor,
}

/// All kinds of plugins below a launcher below a host.
struct Tree<'s> {
    running: Running<'s>,
    host: u32,
    launcher: u32,
}

impl<'s> Tree<'s> {
    /// Starts it, with this command as the launcher, and waits until every plugin stands.
    fn start(sandbox: &'s Sandbox, command: &[&str]) -> Self {
        plugins::write(sandbox);
        sandbox.write("host.py", HOST);
        // In a session of its own, so that the sandbox can end the group of what survives a control.
        let running = sandbox.command("setsid", ["python3", "host.py"]).args(command).stdin(Stdio::piped()).start();
        plugins::wait_until_ready(sandbox);
        let started = sandbox.wait_for_file("started");
        let pids: Vec<u32> = started.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect();
        let standing = plugins::living(sandbox);
        assert_eq!(standing.len(), KINDS.len(), "every kind has a process: {standing:#?}");
        Self { running, host: pids[0], launcher: pids[1] }
    }

    fn pid_of(&self, who: Who) -> u32 {
        match who {
            Who::Guard => self.launcher,
            Who::Supervisor => {
                let children = processes::children_of(self.launcher);
                assert_eq!(children.len(), 1, "the launcher has one child, the supervisor");
                children[0]
            }
        }
    }

    /// Stops one of the launcher's own processes.
    fn stop(&self, who: Who) {
        let pid = self.pid_of(who);
        sandbox::send("STOP", &[pid]);
        wait_for("it is stopped", || processes::read(pid).is_some_and(|process| process.state == 'T'));
    }

    /// Lets them die; returns who must be dead by that.
    fn kill(&mut self, death: Death) -> u32 {
        let (victim, signal) = match death {
            Death::ParentExits => {
                self.running.write("end\n");
                return self.host;
            }
            Death::Parent(signal) => (self.host, signal),
            Death::Launcher(signal) => (self.launcher, signal),
            Death::Supervisor(signal) => (self.pid_of(Who::Supervisor), signal),
        };
        sandbox::send(signal, &[victim]);
        victim
    }
}

fn nothing_survives(stopped: &[Who], death: Death) {
    let sandbox = Sandbox::new();
    let grace = GRACE.as_secs_f64().to_string();
    let mut tree = Tree::start(&sandbox, &[sandbox::LAUNCHER, "run", "--grace-period", &grace, "plugins"]);
    stopped.iter().for_each(|&who| tree.stop(who));
    let deadline = Instant::now() + GRACE + sandbox::margin();
    tree.kill(death);
    let is_launcher_there = || processes::is_alive(tree.launcher);
    wait_for("all are gone, or it is too late", || {
        Instant::now() > deadline || !is_launcher_there() && plugins::living(&sandbox).is_empty()
    });
    let left = plugins::living(&sandbox);
    assert!(left.is_empty(), "left: {left:#?}");
    assert!(!is_launcher_there(), "the launcher is still there");
    if matches!(death, Death::ParentExits | Death::Parent(_)) {
        sandbox.assert_nothing_left(sandbox::margin());
    }
}

/// The control: with shells in place of the launcher every kind survives the same death.
fn everything_survives_under_a_shell(death: Death) {
    let sandbox = Sandbox::new();
    let mut tree = Tree::start(&sandbox, &["sh", "-c", SHELLS]);
    let victim = tree.kill(death);
    wait_for("the victim is dead", || !processes::is_alive(victim));
    // The dead cannot come back, so one look after the death decides.
    let survivors = plugins::living(&sandbox);
    assert_eq!(survivors.len(), KINDS.len(), "survivors: {survivors:#?}");
}

macro_rules! rows {
    ($($name:ident: $death:expr;)*) => {$(
        mod $name {
            #[test]
            fn leaves_nothing() {
                use super::Death::*;
                super::nothing_survives(&[], $death);
            }

            #[test]
            fn leaves_everything_under_a_shell() {
                use super::Death::*;
                super::everything_survives_under_a_shell($death);
            }
        }
    )*};
}

rows! {
    parent_exits: ParentExits;
    parent_gets_term: Parent("TERM");
    parent_is_killed: Parent("KILL");
    parent_crashes: Parent("SEGV");
    launcher_gets_term: Launcher("TERM");
    launcher_gets_int: Launcher("INT");
    launcher_is_killed: Launcher("KILL");
    supervisor_is_killed: Supervisor("KILL");
}

/// One death, and any number of stops. Whoever is stopped takes no part unless somebody wakes it, and the dead wakes nobody:
/// the controls are those of the deaths above.
macro_rules! stopped_rows {
    ($($name:ident: $stopped:expr, $death:expr;)*) => {$(
        #[test]
        fn $name() {
            use Death::*;
            nothing_survives(&$stopped, $death);
        }
    )*};
}

stopped_rows! {
    a_stopped_supervisor_hears_that_the_guard_is_killed: [Who::Supervisor], Launcher("KILL");
    a_stopped_guard_hears_that_the_supervisor_is_killed: [Who::Guard], Supervisor("KILL");
    a_stopped_guard_hears_that_the_parent_is_killed: [Who::Guard], Parent("KILL");
    a_stopped_supervisor_hears_that_the_parent_is_killed: [Who::Supervisor], Parent("KILL");
    both_stopped_hear_that_the_parent_is_killed: [Who::Supervisor, Who::Guard], Parent("KILL");
    both_stopped_hear_that_the_parent_exits: [Who::Guard, Who::Supervisor], ParentExits;
    a_stopped_supervisor_hears_term: [Who::Supervisor], Launcher("TERM");
    a_stopped_guard_leaves_the_supervisor_to_hear_term: [Who::Guard], Supervisor("TERM");
}

#[test]
fn no_signal_but_the_asking_and_the_uncatchable_ends_the_supervisor() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    let running = sandbox.launcher(["run", "plugins"]).start();
    running.wait_for_stdout("] ready");
    let supervisor = running.supervisor();
    // KILL and STOP, and INT, QUIT and TERM. Those that libc uses for itself, from 32 on, are among the others.
    for number in (1..=64).filter(|number| ![2, 3, 9, 15, 19].contains(number)) {
        sandbox::send(&number.to_string(), &[supervisor]);
    }
    running.signal("TERM");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn a_stopped_guard_leaves_the_supervisor_to_hear_that_a_parent_that_was_named_is_gone() {
    for option in ["--parent-pid", "--parent-fd"] {
        let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
        let host = sandbox.command("sleep", ["1000"]).start();
        let pid = host.pid().to_string();
        let parent = if option == "--parent-pid" { &*pid } else { "0" };
        let mut running = sandbox.launcher(["run", option, parent, "plugins"]).stdin(Stdio::piped()).start();
        running.wait_for_stdout("] ready");
        running.signal("STOP");
        wait_for("it is stopped", || processes::read(running.pid()).is_some_and(|process| process.state == 'T'));
        host.signal("KILL");
        running.close_stdin();
        assert_eq!(running.wait().status.code(), Some(0), "{option}");
        sandbox.assert_nothing_left(sandbox::margin());
    }
}

#[test]
fn what_has_ended_is_told_once_while_a_grace_period_passes() {
    let deaf = "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n";
    for what in ["the named parent", "the parent's pipe", "the program", "the guard"] {
        let sandbox = Sandbox::with([("all_x.sh", deaf)]);
        let host = sandbox.command("sleep", ["1000"]).start();
        let pid = host.pid().to_string();
        let (options, program): (&[&str], &[&str]) = match what {
            "the named parent" => (&["--parent-pid", &pid], &[]),
            "the parent's pipe" => (&["--parent-fd", "0"], &[]),
            "the program" => (&[], &["--", "sh", "-c", "read end"]),
            _ => (&[], &[]),
        };
        let launch = sandbox.launcher(["run", "--grace-period", "600"]).args(options).args(["plugins"]).args(program);
        let mut running = launch.stdin(Stdio::piped()).start();
        running.wait_for_stdout("] ready");
        let pids = [running.supervisor(), running.pid()];
        host.signal("KILL");
        running.close_stdin();
        if what == "the guard" {
            running.signal("KILL");
        }
        running.wait_for_stdout("[launcher] stopping: ");
        processes::wait_for_sleep(what, &pids[..if what == "the guard" { 1 } else { 2 }]);
    }
}

#[test]
fn plugins_die_with_both_of_the_launchers_processes() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho $$ >leader\nexec sleep 1000\n")]);
    let running = sandbox.launcher(["run", "plugins"]).start();
    let leader = sandbox.wait_for_file("leader").trim().parse().expect("a pid");
    let both = [running.supervisor(), running.pid()];
    // Stopped, and killed by one process in a row: neither has the time to end what the other ran.
    sandbox::send("STOP", &both);
    for pid in both {
        wait_for("it is stopped", || processes::read(pid).is_some_and(|process| process.state == 'T'));
    }
    sandbox::send("KILL", &both);
    wait_for("the plugin is dead", || !processes::is_alive(leader));
}

#[test]
fn what_a_plugin_left_behind_runs_on_until_the_launcher_stops() {
    let leaving = "#!/bin/sh\nsetsid sh -c 'echo $$ >left; exec sleep 1000' >/dev/null 2>&1 &\nexit 0\n";
    let staying = "#!/bin/sh\nexec sleep 1000\n";
    let sandbox = Sandbox::with([("all_leaving.sh", leaving), ("all_staying.sh", staying)]);
    let running = sandbox.run_json(&["--grace-period", "20"]).start();
    running.wait_for_event("exited", "all_leaving.sh");
    let left = sandbox.wait_for_file("left").trim().parse().expect("a pid");
    assert!(processes::is_alive(left));
    running.signal("TERM");
    assert_eq!(running.wait().status.code(), Some(0));
    assert!(!processes::is_alive(left));
}

#[test]
fn the_launcher_ends_when_no_plugin_runs_and_takes_what_they_left_with_it() {
    let leaving = "#!/bin/sh\nsetsid sleep 1000 >/dev/null 2>&1 &\nsleep 1000 &\nexit 0\n";
    let sandbox = Sandbox::with([("all_leaving.sh", leaving)]);
    let done = sandbox.launcher(["run", "--grace-period", "20", "plugins"]).output();
    assert_eq!(done.status.code(), Some(0));
    sandbox.assert_nothing_left(Duration::ZERO);
}

#[test]
fn without_proc_process_groups_are_stopped_and_a_notice_says_so() {
    // Beside its group, what it left to us: one of it hears SIGTERM, the other one does not.
    let left = "for answer in 'touch heard; exit' ''; do\n\
        setsid --fork bash -c \"trap '$answer' TERM; echo >>left; while :; do sleep 0.02; done\" >/dev/null 2>&1\ndone\n";
    let deaf = "trap '' TERM\n(while :; do sleep 0.1; done) &\n\
        until [ -s left ] && [ $(wc -l <left) = 2 ]; do sleep 0.02; done\necho ready\nwhile :; do sleep 0.1; done\n";
    // Runs its trap only when the other process of its group has ended.
    let patient = "#!/bin/bash\nexec 2>/dev/null\ntrap 'echo trapped; exit 0' TERM\necho ready\nsleep 1000\n";
    let sandbox = Sandbox::with([("all_deaf.sh", &*format!("#!/bin/bash\n{left}{deaf}")), ("all_patient.sh", patient)]);
    let script = "mount -t tmpfs none /proc && exec \"$LAUNCHER\" run --grace-period 0.5 plugins";
    let running = crate::namespace::command(&sandbox, &["--mount"], &["sh", "-c", script]).start();
    running.wait_for_stdout("[all_deaf.sh] ready");
    running.wait_for_stdout("[all_patient.sh] ready");
    running.signal("TERM");
    let done = running.wait_within(Duration::from_millis(500) + sandbox::margin());
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(done.text().matches(crate::hidden::NO_PROC).count(), 1, "{}", done.text());
    assert!(sandbox.path("heard").exists(), "what was left was asked to end");
    assert_eq!(done.lines_of("all_patient.sh"), ["ready", "trapped"], "the whole group was asked");
    sandbox.assert_nothing_left(Duration::ZERO);
}

#[test]
fn an_idle_launcher_does_not_wake_up() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    let plain = sandbox.launcher(["run", "plugins"]).start();
    // With everything that could tick, a parent that is watched by two ways among it, and the witness.
    let parent = std::process::id().to_string();
    let options =
        ["run", "--watch", "--control", "s", "--restart", "always", "--parent-pid", &parent, "--parent-fd", "0"];
    let program = ["--format", "json", "plugins", "--", "sleep", "1000"];
    let full = sandbox.launcher(options).args(program).stdin(Stdio::piped()).start();
    for running in [&plain, &full] {
        running.wait_for_stdout("ready");
    }
    let own = [plain.pid(), plain.supervisor(), full.pid(), full.supervisor(), full.witness()];
    // Once it has come to rest: nothing ticks, be it seldom.
    processes::wait_for_rest(&own, Duration::from_secs(4));
}
