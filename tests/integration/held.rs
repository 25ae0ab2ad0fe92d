//! Who holds on to the launcher's own processes: by their descriptors, as a tracer. It takes the rights of root, which
//! every test has in namespaces of its own; without them it is refused. Each script says first that it holds, or cannot.

use crate::namespace;
use crate::sandbox::{Sandbox, wait_for};

const PLUGIN: &str = "#!/bin/sh\n(setsid sleep 1000 &)\necho $$ >leader\nexec sleep 1000\n";

/// What the scripts have in common. They are PID 1 of the namespace, so that all that is left is theirs to find, and lead a
/// session, so that their group, and the launcher's, is nobody's job: SIGTSTP stops nothing there.
const COMMON: &str = "import ctypes, os, signal, subprocess, sys, time\n\
    libc = ctypes.CDLL(None, use_errno=True)\n\
    os.setsid()\n\
    def stat(pid):\n    \
        try: text = open(f'/proc/{pid}/stat').read()\n    \
        except OSError: return None\n    \
        name, _, rest = text.partition('(')[2].rpartition(')')\n    \
        state, parent = rest.split()[:2]\n    \
        return name, state, int(parent)\n\
    def pids(): return [int(pid) for pid in os.listdir('/proc') if pid.isdigit()]\n\
    def living(but): return [pid for pid in pids() if pid not in but and (stat(pid) or ('', 'Z'))[1] != 'Z']\n\
    def wait(condition, seconds):\n    \
        end = time.monotonic() + seconds\n    \
        while not condition() and time.monotonic() < end: time.sleep(0.02)\n    \
        return condition()\n\
    command = [os.environ['LAUNCHER'], 'run', '--quiet', '--parent-pid', '0', '--grace-period', '0.3', 'plugins']\n\
    launcher = subprocess.Popen(command + sys.argv[1:])\n\
    guard = launcher.pid\n\
    assert wait(lambda: os.path.exists('leader'), 60)\n\
    def child(name): return next((pid for pid in pids() if (stat(pid) or ('', '', 0))[::2] == (name, guard)), None)\n\
    supervisor = child('plugin-supervis')\n";

/// Runs the script after what is common to all, and returns what it said.
fn holding(script: &str) -> String {
    holding_beside(&[], script)
}

/// The same, the launcher having this PROGRAM.
fn holding_beside(program: &[&str], script: &str) -> String {
    let sandbox = Sandbox::with([("all_x.sh", PLUGIN)]);
    sandbox.write("holding.py", [COMMON, script].concat());
    let kinds = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let mut running = namespace::command(&sandbox, &kinds, &["python3", "holding.py"]).args(program).start();
    // Of one that failed there is no more to come.
    wait_for("it has ended", || running.stdout().contains("status ") || !running.is_running());
    // What it said may still be on its way.
    if running.is_running() { running.stdout() } else { running.wait().text() }
}

#[test]
fn descriptors_that_another_process_holds_open_hide_no_death() {
    for (victim, status) in [("guard", "-9"), ("supervisor", "137")] {
        let text = holding(&format!(
            "PIDFD_GETFD = 438\n\
             held = 0\n\
             for pid in guard, supervisor:\n    \
                 pidfd = os.pidfd_open(pid)\n    \
                 held += sum(libc.syscall(PIDFD_GETFD, pidfd, int(fd), 0) >= 0 for fd in os.listdir(f'/proc/{{pid}}/fd'))\n\
             print('control: holds', held > 20, flush=True)\n\
             os.kill({victim}, signal.SIGKILL)\n\
             status = launcher.wait()\n\
             print('gone', wait(lambda: not living([1]), 10), 'status', status, flush=True)\n"
        ));
        assert!(text.contains("control: holds True"), "{text}");
        assert!(text.contains(&format!("gone True status {status}\n")), "{text}");
    }
}

#[test]
fn a_supervisor_that_its_tracer_holds_even_when_it_is_dead_is_taken_over() {
    let text = holding(
        "PTRACE_SEIZE = 0x4206\n\
         assert libc.ptrace(PTRACE_SEIZE, supervisor, 0, 0) == 0, ctypes.get_errno()\n\
         os.kill(supervisor, signal.SIGKILL)\n\
         wait(lambda: stat(supervisor)[1] == 'Z', 10)\n\
         print('gone', wait(lambda: not living([1, guard]), 10), flush=True)\n\
         launcher.wait(20)\n\
         print('control:', stat(supervisor)[1], 'status', launcher.returncode, flush=True)\n",
    );
    assert!(text.contains("gone True\ncontrol: Z status 137\n"), "{text}");
}

#[test]
fn a_stop_that_takes_back_what_tells_of_the_supervisors_end_delays_no_end() {
    let text = holding(
        "PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207\n\
         tracer = os.fork()\n\
         if tracer == 0:\n    \
             for request in PTRACE_SEIZE, PTRACE_INTERRUPT: assert libc.ptrace(request, guard, 0, 0) == 0\n    \
             signal.pause()\n\
         assert wait(lambda: stat(guard)[1] == 't', 60)\n\
         os.kill(supervisor, signal.SIGTERM)\n\
         assert wait(lambda: stat(supervisor)[1] == 'Z', 60)\n\
         pending = [line for line in open(f'/proc/{guard}/status') if line.startswith('ShdPnd')][0]\n\
         os.kill(guard, signal.SIGTSTP)\n\
         os.kill(tracer, signal.SIGKILL)\n\
         launcher.wait(60)\n\
         is_told = int(pending.split()[1], 16) >> signal.SIGCONT - 1 & 1\n\
         print('control: told', is_told, 'status', launcher.returncode, flush=True)\n",
    );
    // Not 137, as where it is killed for not ending in time.
    assert!(text.contains("control: told 1 status 0\n"), "{text}");
}

/// Ends when it is told to.
const PROGRAM: [&str; 4] =
    ["--", "sh", "-c", "trap 'exit 3' USR1; echo $$ >begun; mv begun program; while :; do sleep 0.05; done"];
const END_OF_PROGRAM: &str = "assert wait(lambda: child('plugin-witness') and os.path.exists('program'), 60)\n\
    witness = child('plugin-witness')\n\
    def end_program(): os.kill(int(open('program').read()), signal.SIGUSR1)\n";

#[test]
fn the_launcher_ends_after_its_witness_and_leaves_no_child_to_be_reaped() {
    let held_for_a_moment = "PTRACE_SEIZE = 0x4206\n\
        tracer = os.fork()\n\
        if tracer == 0:\n    \
            open('held', 'w').write(str(libc.ptrace(PTRACE_SEIZE, witness, 0, 0)))\n    \
            signal.pause()\n\
        assert wait(lambda: os.path.exists('held') and open('held').read() == '0', 60)\n\
        began = time.monotonic()\n\
        end_program()\n\
        looks = []\n\
        def rests(): return stat(witness)[1] == 'Z' and not stat(supervisor) and stat(guard)[1] in 'SZ'\n\
        assert wait(lambda: looks.append(rests()) or looks[-4:] == [True] * 4, 60)\n\
        os.kill(tracer, signal.SIGKILL)\n\
        os.waitpid(tracer, 0)\n\
        is_late = time.monotonic() - began > 0.8\n\
        launcher.wait(60)\n\
        try: left = os.waitpid(-1, os.WNOHANG)\n\
        except ChildProcessError: left = None\n\
        print('late' if is_late else f'left {left}', 'status', launcher.returncode, flush=True)\n";
    let mut text = String::new();
    // It waits for a second.
    wait_for("the witness is let go in time", || {
        text = holding_beside(&PROGRAM, &[END_OF_PROGRAM, held_for_a_moment].concat());
        !text.contains("late status")
    });
    assert!(text.contains("left None status 3\n"), "{text}");
}

#[test]
fn a_witness_that_its_tracer_holds_holds_up_no_end() {
    let held = "PTRACE_SEIZE = 0x4206\n\
        assert libc.ptrace(PTRACE_SEIZE, witness, 0, 0) == 0, ctypes.get_errno()\n\
        end_program()\n\
        launcher.wait(20)\n\
        print('control:', stat(witness)[1], 'status', launcher.returncode, flush=True)\n";
    let text = holding_beside(&PROGRAM, &[END_OF_PROGRAM, held].concat());
    assert!(text.contains("control: Z status 3\n"), "{text}");
}

#[test]
fn a_launcher_whose_program_cannot_be_run_leaves_no_witness_to_be_reaped() {
    let sandbox = Sandbox::new();
    let script = "import os, subprocess\n\
        status = subprocess.call([os.environ['LAUNCHER'], 'run', '--', '/nonexistent'])\n\
        try: left = os.waitpid(-1, os.WNOHANG)\n\
        except ChildProcessError: left = None\n\
        print('left', left, 'status', status)\n";
    let kinds = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let done = namespace::command(&sandbox, &kinds, &["python3", "-c", script]).output();
    assert_eq!(done.text(), "left None status 127\n");
}

#[test]
fn a_plugin_that_its_tracer_holds_when_it_is_dead_is_named_and_left_behind() {
    let text = holding(
        "PTRACE_SEIZE = 0x4206\n\
         assert wait(lambda: open('leader').read().endswith('\\n'), 10)\n\
         leader = int(open('leader').read())\n\
         assert libc.ptrace(PTRACE_SEIZE, leader, 0, 0) == 0, ctypes.get_errno()\n\
         os.kill(guard, signal.SIGTERM)\n\
         launcher.wait(60)\n\
         print('control:', stat(leader)[1], 'pid', leader, 'status', launcher.returncode, flush=True)\n",
    );
    let said = text.lines().last().and_then(|line| line.strip_prefix("control: Z pid ")?.strip_suffix(" status 1"));
    let leader = said.unwrap_or_else(|| panic!("{text}"));
    let warning = format!("[launcher] warning: pid {leader} cannot be killed; leaving it behind\n");
    assert_eq!(text.matches(&warning).count(), 1, "{text}");
}

#[test]
fn neither_of_its_processes_can_be_opened_or_traced_by_the_same_user() {
    let looking = "#!/usr/bin/env python3\n\
        import ctypes, os\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        def holds(pid):\n    \
            try: os.readlink(f'/proc/{pid}/fd/0')\n    \
            except PermissionError: opened = False\n    \
            else: opened = True\n    \
            PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17\n    \
            return opened, libc.ptrace(PTRACE_SEIZE, pid, 0, 0) == 0\n\
        child = os.fork()\n\
        if child == 0:\n    \
            os.execvp('sleep', ['sleep', '1000'])\n\
        supervisor = os.getppid()\n\
        guard = int(open(f'/proc/{supervisor}/stat').read().rpartition(')')[2].split()[1])\n\
        while open(f'/proc/{child}/comm').read() != 'sleep\\n': pass\n\
        print('guard', holds(guard), 'supervisor', holds(supervisor), 'control', holds(child), flush=True)\n";
    let sandbox = Sandbox::with([("all_x.py", looking)]);
    let ordinary = "exec setpriv --securebits +noroot,+noroot_locked --inh-caps -all --bounding-set -all";
    let script = format!("{ordinary} \"$LAUNCHER\" run --grace-period 0.3 plugins");
    let kinds = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let done = namespace::command(&sandbox, &kinds, &["sh", "-c", &script]).output();
    let said = "guard (False, False) supervisor (False, False) control (True, True)";
    assert!(done.text().contains(said), "{}", done.text());
}
