//! Signals with PROGRAM: which come to it, and how often; with whom the launcher stops and goes on.

use std::time::Duration;

use crate::processes;
use crate::sandbox::{self, Launch, Sandbox, wait_for};

const SLEEPING: &str = "#!/bin/sh\nexec sleep 1000\n";

/// Says what signals come, and how many of each, until the third SIGRTMAX.
const COUNTING: &str = "import os, signal, sys, time\n\
    got = {}\n\
    def count(number, frame):\n    \
    name = signal.Signals(number).name\n    \
    got[name] = got.get(name, 0) + 1\n    \
    os.write(1, f'{name} {got[name]}\\n'.encode())\n    \
    if name == 'SIGRTMAX' and got[name] == 3:\n        \
    sys.exit(5)\n\
    for name in os.environ['SIGNALS'].split():\n    \
    signal.signal(getattr(signal, 'SIG' + name), count)\n\
    os.write(1, b'counting\\n')\n\
    while True:\n    \
    time.sleep(1)\n";

/// The launcher with that program, in a process group that has a job's place in its session.
fn alone_in_its_group(sandbox: &Sandbox) -> Launch<'_> {
    let launch = sandbox.command("perl", ["-e", "setpgrp(0, 0); exec @ARGV or die", sandbox::LAUNCHER]);
    launch.args(["run", "--quiet", "plugins", "--", "python3", "program.py"])
}

fn is_stopped(pid: u32) -> bool {
    processes::read(pid).is_some_and(|process| process.state == 'T')
}

#[test]
fn every_catchable_signal_reaches_the_program_exactly_once() {
    let signals = "HUP INT QUIT USR1 USR2 ALRM TERM CONT WINCH VTALRM PROF URG IO PWR RTMIN RTMAX";
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    sandbox.write("program.py", COUNTING);
    let launch = sandbox.launcher(["run", "--quiet", "plugins", "--", "python3", "program.py"]);
    let running = launch.env("SIGNALS", signals).start();
    running.wait_for_stdout("counting");
    for round in 1..=3 {
        for name in signals.split(' ') {
            // Real-time signals have no name that every `kill` knows.
            running.signal(match name {
                "RTMIN" => "34",
                "RTMAX" => "64",
                other => other,
            });
            running.wait_for_stdout(&format!("SIG{name} {round}\n"));
        }
    }
    let done = running.wait();
    assert_eq!(done.status.code(), Some(5));
    assert_eq!(done.text().lines().count(), 1 + 3 * signals.split(' ').count(), "none came twice: {}", done.text());
}

#[test]
fn a_signal_to_the_whole_group_is_not_passed_on() {
    let signals = "USR1 TERM INT ALRM";
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    sandbox.write("program.py", COUNTING);
    let running = alone_in_its_group(&sandbox).env("SIGNALS", format!("{signals} RTMAX")).start();
    running.wait_for_stdout("counting");
    for name in signals.split(' ') {
        sandbox::send_to_group(name, running.pid());
        running.wait_for_stdout(&format!("SIG{name} 1\n"));
    }
    // What is passed on is so in order: one that came twice would be there by now.
    for round in 1..=3 {
        running.signal("64");
        running.wait_for_stdout(&format!("SIGRTMAX {round}\n"));
    }
    let done = running.wait();
    assert_eq!(done.status.code(), Some(5));
    assert_eq!(done.text().lines().count(), 1 + 4 + 3, "none came twice: {}", done.text());
}

#[test]
fn a_program_that_goes_on_before_the_launcher_has_stopped_as_well_keeps_it_running() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    sandbox.write("program.py", COUNTING);
    let running = alone_in_its_group(&sandbox).env("SIGNALS", "USR1 RTMAX").start();
    running.wait_for_stdout("counting");
    let (guard, supervisor) = (running.pid(), running.supervisor());
    let program = processes::child_named(supervisor, "python3");
    // The control: it stops with PROGRAM.
    sandbox::send("TSTP", &[program]);
    wait_for("the launcher is stopped", || is_stopped(guard));
    sandbox::send("CONT", &[program]);
    wait_for("the launcher goes on", || !is_stopped(guard));
    // It hears of the stop when that is over already.
    stop_behind_the_guard(guard, supervisor, program);
    sandbox::send("CONT", &[program]);
    running.signal("USR1");
    running.wait_for_stdout("SIGUSR1 1\n");
    for round in 1..=3 {
        running.signal("64");
        running.wait_for_stdout(&format!("SIGRTMAX {round}\n"));
    }
    assert_eq!(running.wait().status.code(), Some(5));
}

/// Stops PROGRAM, of which the guard, which is held, has been told and has yet to hear.
fn stop_behind_the_guard(guard: u32, supervisor: u32, program: u32) {
    sandbox::send("STOP", &[guard]);
    wait_for("the guard is held", || is_stopped(guard));
    sandbox::send("TSTP", &[program]);
    wait_for("the program is stopped", || is_stopped(program));
    processes::wait_for_sleep("the supervisor has told of it", &[supervisor]);
}

#[test]
fn a_launcher_whose_supervisor_is_gone_does_not_stop_with_the_program() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    sandbox.write("program.py", COUNTING);
    let running = alone_in_its_group(&sandbox).env("SIGNALS", "USR1").start();
    running.wait_for_stdout("counting");
    let (guard, supervisor) = (running.pid(), running.supervisor());
    let program = processes::child_named(supervisor, "python3");
    // It hears of the stop together with the end.
    stop_behind_the_guard(guard, supervisor, program);
    sandbox::send("KILL", &[supervisor]);
    assert_eq!(running.wait().status.code(), Some(137));
    sandbox.assert_nothing_left(Duration::ZERO);
}

/// Says which signals come to it, and ends with SIGTERM.
const NOTING: &str = "open F, '>>seen'; sub note { my $s = shift; $SIG{$s} = sub { syswrite F, \"$s\\n\" } }\n\
    note($_) for qw(HUP CONT USR1); $SIG{TERM} = sub { exit };\n\
    open P, '>started'; print P \"$$\\n\"; close P; rename 'started', 'pid'; sleep 1 while 1;\n";

#[test]
fn the_program_hears_of_a_hang_up_once_whoever_leads_the_session() {
    let hang_up = "import os, pty, sys, time\n\
        child, terminal = pty.fork()\n\
        if child == 0: os.execvp(sys.argv[1], sys.argv[1:])\n\
        while not os.path.exists('pid'): time.sleep(0.02)\n\
        os.close(terminal)\n\
        os.waitpid(child, 0)\n";
    for (leader, command) in [
        ("the guard", "exec \"$LAUNCHER\" run --quiet plugins -- perl program.pl"),
        ("a shell", "\"$LAUNCHER\" run --quiet plugins -- perl program.pl; exit"),
    ] {
        let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
        sandbox.write("program.pl", NOTING);
        let _host = sandbox.command("python3", ["-c", hang_up, "sh", "-c", command]).start();
        let program: u32 = sandbox.wait_for_file("pid").trim().parse().expect("a pid");
        let parent = |pid: u32| processes::read(pid).expect("it runs").parent;
        let guard = parent(parent(program));
        wait_for("it hears", || sandbox.read("seen").contains("HUP") && sandbox.read("seen").contains("CONT"));
        // What is passed on is so in order: what came twice would be there by then.
        sandbox::send("USR1", &[guard]);
        wait_for("it hears more", || sandbox.read("seen").contains("USR1"));
        let mut seen: Vec<_> = sandbox.read("seen").lines().map(str::to_owned).collect();
        seen.sort();
        assert_eq!(seen, ["CONT", "HUP", "USR1"], "led by {leader}");
        sandbox::send("TERM", &[guard]);
        wait_for("the launcher has ended", || !processes::is_alive(guard));
        sandbox.assert_nothing_left(sandbox::margin());
    }
}

#[test]
fn what_the_program_leaves_hears_that_the_session_is_over_where_the_launcher_led_it() {
    let leading = "import os, pty, sys\n\
        child, terminal = pty.fork()\n\
        if child == 0: os.execvp(sys.argv[1], sys.argv[1:])\n\
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n";
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    sandbox.write("program.pl", NOTING);
    let program = "perl program.pl & until [ -e pid ]; do sleep 0.02; done; exit 3";
    let command = [sandbox::LAUNCHER, "run", "--quiet", "--grace-period", "20", "plugins", "--", "sh", "-c", program];
    let done = sandbox.command("python3", ["-c", leading]).args(command).output();
    assert_eq!((&*done.text(), &*sandbox.read("seen")), ("3\n", "HUP\n"));
    sandbox.assert_nothing_left(sandbox::margin());
}
