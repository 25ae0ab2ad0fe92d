//! On a terminal: Ctrl-C, job control, colours and widths.

mod names;

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use crate::processes;
use crate::sandbox::{Launch, Sandbox, wait_for};

/// The command on a pseudo-terminal of this width; what is written to its stdin is typed.
fn on_terminal<'s>(sandbox: &'s Sandbox, columns: usize, command: &[&str]) -> Launch<'s> {
    sandbox.write("terminal.py", include_str!("terminal.py"));
    let columns = columns.to_string();
    let launch = sandbox.command("python3", ["terminal.py", "24", &columns]).args(command);
    launch.stdin(Stdio::piped()).env("TERM", "xterm-256color").env("LC_ALL", "C")
}

/// A program that counts the signals it gets: ends on USR1.
const COUNTING: &str = "$| = 1; my %n;\n\
    for my $s (qw(INT QUIT TERM HUP)) { $SIG{$s} = sub { $n{$s}++; print \"$s $n{$s}\\n\" } }\n\
    $SIG{USR1} = sub { exit 10 + ($n{INT} // 0) };\n\
    print \"counting\\n\"; sleep 1 while 1;\n";

const SLEEPING: &str = "#!/bin/sh\nexec sleep 1000\n";

/// The pid of the launcher that runs in the sandbox. Only root can read the mark of a process that is
/// not dumpable, so it is looked for above what it runs.
fn launcher(sandbox: &Sandbox) -> u32 {
    let is_launcher =
        |pid| processes::read(pid).filter(|process| process.command.starts_with(crate::sandbox::LAUNCHER));
    let mut found = None;
    wait_for("the launcher runs", || {
        let living = sandbox.living();
        found = living.iter().find_map(|process| is_launcher(is_launcher(process.parent)?.parent));
        found.is_some()
    });
    found.expect("found").pid
}

#[test]
fn ctrl_c_reaches_the_program_once() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    sandbox.write("counting.pl", COUNTING);
    let command = [crate::sandbox::LAUNCHER, "run", "--quiet", "plugins", "--", "perl", "counting.pl"];
    let mut running = on_terminal(&sandbox, 80, &command).start();
    running.wait_for_stdout("counting");
    for count in 1..=5 {
        running.write("\x03");
        running.wait_for_stdout(&format!("INT {count}"));
    }
    running.write("\x1c");
    running.wait_for_stdout("QUIT 1");
    // The launcher passes it on after whatever it still had to pass on.
    crate::sandbox::send("USR1", &[launcher(&sandbox)]);
    let done = running.wait();
    assert_eq!(done.status.code(), Some(15), "five times Ctrl-C, five times INT");
    assert!(!done.text().contains("QUIT 2") && !done.text().contains("TERM"), "{}", done.text());
    sandbox.assert_nothing_left(std::time::Duration::ZERO);
}

#[test]
fn ctrl_c_ends_a_program_that_does_not_mind() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    let command = [crate::sandbox::LAUNCHER, "run", "plugins", "--", "sh", "-c", "echo begun; exec sleep 1000"];
    let mut running = on_terminal(&sandbox, 80, &command).start();
    running.wait_for_stdout("begun");
    running.write("\x03");
    assert_eq!(running.wait().status.signal(), Some(2));
    sandbox.assert_nothing_left(std::time::Duration::ZERO);
}

#[test]
fn ctrl_c_stops_a_launcher_without_a_program() {
    let plugin = "#!/bin/sh\ntrap 'echo bye; exit 0' TERM\necho ready\nwhile :; do sleep 0.05; done\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    let mut running = on_terminal(&sandbox, 80, &[crate::sandbox::LAUNCHER, "run", "plugins"]).start();
    running.wait_for_stdout("ready");
    running.write("\x03");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(0));
    assert!(done.text().contains("bye"), "{}", done.text());
    sandbox.assert_nothing_left(std::time::Duration::ZERO);
}

#[test]
fn a_program_reads_from_the_terminal() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    let script = "test -t 0 && test -t 1 && test -t 2 && read line && echo \"got $line\"";
    let command = [crate::sandbox::LAUNCHER, "run", "--quiet", "plugins", "--", "sh", "-c", script];
    let mut running = on_terminal(&sandbox, 80, &command).start();
    running.write("hello\n");
    running.wait_for_stdout("got hello");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn job_control_does_not_wedge_the_program() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    let script = "#!/bin/sh\necho $$ >program\necho begun\nread line\necho \"got $line\"\nread line\nexit 7\n";
    sandbox.write("program.sh", script);
    let mut running =
        on_terminal(&sandbox, 80, &["bash", "--norc", "--noprofile", "-i"]).env("PS1", "prompt> ").start();
    running.wait_for_stdout("prompt> ");
    running.write("\"$LAUNCHER\" run --quiet plugins -- sh program.sh\n");
    running.wait_for_stdout("begun");
    let program: u32 = sandbox.wait_for_file("program").trim().parse().expect("a pid");
    for round in 1..=2 {
        running.write("\x1a");
        wait_for("the program is stopped", || processes::read(program).is_some_and(|p| p.state == 'T'));
        wait_for("the shell has the terminal", || running.stdout().matches("Stopped").count() >= round);
        running.write("echo shell $((40 + 2))\n");
        wait_for("the shell answers", || running.stdout().matches("shell 42").count() == round);
        running.write("fg\n");
        wait_for("the program goes on", || processes::read(program).is_some_and(|p| p.state != 'T'));
        running.write(&format!("line {round}\n"));
        if round == 1 {
            running.wait_for_stdout("got line 1");
        }
    }
    running.write("echo status $?\n");
    running.wait_for_stdout("status 7");
    running.write("exit\n");
    running.wait();
    sandbox.assert_nothing_left(std::time::Duration::ZERO);
}

#[test]
fn a_program_that_is_stopped_and_continued_takes_the_launcher_along() {
    let sandbox = Sandbox::new();
    let program = "echo $$; until [ -e go ]; do sleep 0.02; done; exit 3";
    let running = sandbox.launcher(["run", "--", "sh", "-c", program]).start();
    wait_for("it runs", || running.stdout().ends_with('\n'));
    let program = running.stdout().trim().parse().expect("a pid");
    let is_stopped = || processes::read(running.pid()).is_some_and(|process| process.state == 'T');
    for _ in 0..3 {
        crate::sandbox::send("STOP", &[program]);
        wait_for("the launcher is stopped, too", is_stopped);
        crate::sandbox::send("CONT", &[program]);
        wait_for("the launcher goes on, too", || !is_stopped());
    }
    sandbox.write("go", "");
    assert_eq!(running.wait().status.code(), Some(3));
}

#[test]
fn a_job_in_the_background_comes_to_the_foreground() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    sandbox.write("program.sh", "#!/bin/sh\necho begun\nread line\necho \"got $line\"\nexit 8\n");
    let mut running =
        on_terminal(&sandbox, 80, &["bash", "--norc", "--noprofile", "-i"]).env("PS1", "prompt> ").start();
    running.wait_for_stdout("prompt> ");
    running.write("\"$LAUNCHER\" run --quiet plugins -- sh program.sh &\n");
    running.wait_for_stdout("begun");
    running.write("fg\n");
    // It may have been stopped for reading the terminal from the background; `fg` continues it.
    running.write("hello\n");
    running.wait_for_stdout("got hello");
    running.write("echo status $?\n");
    running.wait_for_stdout("status 8");
    running.write("exit\n");
    running.wait();
}

const ESCAPE: char = '\u{1b}';

#[test]
fn each_plugin_has_a_colour_of_its_own_and_prefixes_are_aligned() {
    let sandbox = Sandbox::with([("all_a.sh", "#!/bin/sh\necho one\n"), ("all_longer.sh", "#!/bin/sh\necho two\n")]);
    let done = on_terminal(&sandbox, 80, &[crate::sandbox::LAUNCHER, "run", "plugins"]).output();
    let text = done.text();
    let line = |end: &str| {
        let line = text.lines().find(|line| line.trim_end().ends_with(end) && line.contains(".sh]"));
        line.unwrap_or_else(|| panic!("a line that ends in {end}: {text}")).trim_end().to_owned()
    };
    let (one, two) = (line("one"), line("two"));
    assert!(one.contains(ESCAPE) && two.contains(ESCAPE), "in colour: {text:?}");
    let colour = |line: &str| line[line.find(ESCAPE).expect("a colour")..].split('m').next().map(str::to_owned);
    assert_ne!(colour(&one), colour(&two));
    assert_eq!(plain(&one).find("one"), plain(&two).find("two"), "aligned: {text:?}");
}

/// The text without its colours.
fn plain(text: &str) -> String {
    let mut parts = text.split(ESCAPE);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[test]
fn labels_are_aligned_by_the_columns_that_they_take() {
    let sandbox = Sandbox::with([
        ("all_\u{76e3}\u{8996}.sh", "#!/bin/sh\necho one\n"),
        ("all_e\u{301}.sh", "#!/bin/sh\necho two\n"),
        ("all_longer_than_all.sh", "#!/bin/sh\necho three\n"),
        // So long a one stands out: the others would have little room.
        ("all_much_longer_than_any_other_name_that_there_is.sh", "#!/bin/sh\necho four\n"),
    ]);
    let text = plain(&on_terminal(&sandbox, 80, &[crate::sandbox::LAUNCHER, "run", "plugins"]).output().text());
    for line in [
        "[all_\u{76e3}\u{8996}.sh]            one",
        "[all_e\u{301}.sh]               two",
        "[all_longer_than_all.sh] three",
        "[all_much_longer_than_any_other_name_that_there_is.sh] four",
        "[launcher]               stopped",
    ] {
        assert!(text.lines().any(|found| found.trim_end() == line), "{line:?}: {text}");
    }
}

#[test]
fn what_a_plugin_leaves_coloured_ends_with_its_line() {
    let sandbox = Sandbox::with([("all_a.sh", "#!/bin/sh\nprintf '\\033[41mred\\nplain\\n\\302\\23342mgreen\\n'\n")]);
    for (name, value) in [("NO_COLOR", ""), ("NO_COLOR", "1")] {
        let launch = on_terminal(&sandbox, 80, &[crate::sandbox::LAUNCHER, "run", "--quiet", "plugins"]);
        let text = launch.env(name, value).output().text();
        let line = text.lines().find(|line| line.contains("red")).expect("a line");
        assert!(line.trim_end().ends_with("\u{1b}[41mred\u{1b}[0m"), "{line:?}");
        let line = text.lines().find(|line| line.contains("plain")).expect("a line");
        assert!(line.trim_end().ends_with(" plain"), "{line:?}");
        let line = text.lines().find(|line| line.contains("green")).expect("a line");
        assert!(line.trim_end().ends_with("\u{9b}42mgreen\u{1b}[0m"), "{line:?}");
    }
    let piped = sandbox.launcher(["run", "--quiet", "plugins"]).output().text();
    assert_eq!(piped, "[all_a.sh] \u{1b}[41mred\n[all_a.sh] plain\n[all_a.sh] \u{9b}42mgreen\n");
}

#[test]
fn notices_are_coloured_by_their_weight() {
    let sandbox = Sandbox::with([("all_a.sh", "#!/bin/sh\nexit 3\n"), ("all_b.sh", "#!/opt/none/sh\n")]);
    let text = on_terminal(&sandbox, 80, &[crate::sandbox::LAUNCHER, "run", "plugins"]).output().text();
    for (words, colour) in [
        ("started all_a.sh", "\u{1b}[0m"),
        ("exited all_a.sh: status 3", "\u{1b}[0;31m"),
        ("warning: all_b.sh", "\u{1b}[0;33m"),
    ] {
        let line = text.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {text}"));
        assert!(line.starts_with(&format!("\u{1b}[1m[launcher]{colour}")), "{line:?}");
    }
}

#[test]
fn no_color_is_respected() {
    let sandbox = Sandbox::with([("all_a.sh", "#!/bin/sh\necho one\n")]);
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let launch = on_terminal(&sandbox, 80, &[crate::sandbox::LAUNCHER, "run", "plugins"]);
        let done = launch.env(name, value).output();
        // What a plugin may have left coloured ends with its line all the same.
        let text = done.text().replace("\u{1b}[0m", "");
        assert!(text.contains("[all_a.sh] one") && !text.contains(ESCAPE), "{name}: {text:?}");
    }
}

#[test]
fn nothing_is_coloured_or_aligned_where_there_is_no_terminal() {
    let sandbox = Sandbox::with([("all_a.sh", "#!/bin/sh\necho one\n"), ("all_longer.sh", "#!/bin/sh\necho two\n")]);
    let done = sandbox.launcher(["run", "plugins"]).env("TERM", "xterm-256color").output();
    assert!(!done.text().contains(ESCAPE));
    assert!(done.text().contains("[all_a.sh] one\n"));
}

#[test]
fn json_is_never_coloured() {
    let sandbox = Sandbox::with([("all_a.sh", "#!/bin/sh\necho one\n")]);
    let done = on_terminal(&sandbox, 80, &[crate::sandbox::LAUNCHER, "run", "--format=json", "plugins"]).output();
    assert!(done.records().iter().any(|record| record["message"] == "one"));
}

#[test]
fn the_tables_of_list_and_check_fit_the_width_and_hide_nothing() {
    let sandbox = Sandbox::with([
        ("all_a.sh", "#!/bin/sh\n"),
        ("scheduler_with_quite_a_long_description_of_what_it_does.sh", "#!/bin/sh\n"),
        ("deep/deeper/deepest/all_missing_its_interpreter.rb", "#!/opt/none/of/this/exists/ruby\n"),
        ("wroker_\u{76e3}\u{8996}.sh", "#!/bin/sh\n"),
    ]);
    for columns in [40, 60, 80, 200] {
        for (table, told) in [
            (
                "list",
                &[
                    "`/opt/none/of/this/exists/ruby`doesnotexist",
                    "didyoumean`worker_\u{76e3}\u{8996}.sh`?",
                    "what_it_does.sh",
                ][..],
            ),
            ("check", &["`/opt/none/of/this/exists/ruby`doesnotexist", "didyoumean`worker_\u{76e3}\u{8996}.sh`?"]),
        ] {
            let command = [crate::sandbox::LAUNCHER, table, "--role", "worker", "plugins"];
            let text = plain(&on_terminal(&sandbox, columns, &command).output().text());
            // Wide characters are two columns each.
            let width = |line: &str| line.chars().map(|c| 1 + usize::from(c > '\u{2e80}')).sum::<usize>();
            let longest = text.lines().map(|line| width(line.trim_end())).max().unwrap_or_default();
            let whole: String = text.split_whitespace().collect();
            assert!(told.iter().all(|words| whole.contains(words)), "{columns} columns: {text}");
            // A name is never broken.
            let names = "skip   scheduler_with_quite_a_long_description_of_what_it_does.sh".len();
            assert!(longest <= columns.max(if table == "list" { names } else { 0 }), "{longest} in {columns}: {text}");
        }
    }
}

#[test]
fn a_terminal_that_stops_who_writes_from_the_background_does_not_stop_the_launcher() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    let script = "stty tostop; exec \"$LAUNCHER\" run --grace-period 5 plugins";
    let mut running = on_terminal(&sandbox, 80, &["sh", "-c", script]).start();
    running.wait_for_stdout("ready");
    running.write("\x03");
    assert_eq!(running.wait().status.code(), Some(0));
    sandbox.assert_nothing_left(std::time::Duration::ZERO);
}

#[test]
fn ctrl_z_stops_a_launcher_without_a_program_and_fg_continues_it() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    let mut running =
        on_terminal(&sandbox, 80, &["bash", "--norc", "--noprofile", "-i"]).env("PS1", "prompt> ").start();
    running.wait_for_stdout("prompt> ");
    running.write("\"$LAUNCHER\" run plugins\n");
    running.wait_for_stdout("ready");
    running.write("\x1a");
    running.wait_for_stdout("Stopped");
    let launcher = launcher(&sandbox);
    let is_stopped = || processes::read(launcher).is_some_and(|process| process.state == 'T');
    assert!(is_stopped());
    running.write("fg\n");
    wait_for("it goes on", || !is_stopped());
    running.write("\x03");
    running.wait_for_stdout("stopping: SIGINT");
    running.write("echo status $?\n");
    running.wait_for_stdout("status 0");
    running.write("exit\n");
    running.wait();
    sandbox.assert_nothing_left(std::time::Duration::ZERO);
}

#[test]
fn a_launcher_whose_terminal_hangs_up_stops_unless_it_was_told_to_ignore_that() {
    // The leader of the session, whose terminal goes; its status is asked for behind that.
    let hang_up = "import os, pty, signal, subprocess, sys, time\n\
        child, terminal = pty.fork()\n\
        if child == 0:\n    \
            signal.signal(signal.SIGHUP, signal.SIG_IGN if sys.argv[1] == 'nohup' else signal.SIG_DFL)\n    \
            os.dup2(os.open('log', os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)\n    \
            os.execv(sys.argv[2], sys.argv[2:])\n\
        log = lambda: open('log').read() if os.path.exists('log') else ''\n\
        def wait_for(text):\n    \
            while text not in log():\n        \
                time.sleep(0.02)\n\
        wait_for('] ready')\n\
        if sys.argv[1] == 'held':\n    \
            supervisor = open(f'/proc/{child}/task/{child}/children').read().strip()\n    \
            subprocess.Popen([sys.executable, '-c', os.environ['HOLD'], supervisor])\n    \
            while open(f'/proc/{supervisor}/stat').read().rsplit(') ')[1][0] not in 'tT':\n        \
                time.sleep(0.02)\n\
        os.close(terminal)\n\
        if sys.argv[1] == 'nohup':\n    \
            os.kill(child, signal.SIGUSR1)\n    \
            wait_for('status all_x.sh: running')\n    \
            os.kill(child, signal.SIGTERM)\n\
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n";
    for (told, reason) in [("plain", Some("the terminal hung up")), ("nohup", Some("SIGTERM")), ("held", None)] {
        let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
        let grace_period = if told == "held" { "0.3" } else { "20" };
        let command = ["-c", hang_up, told, crate::sandbox::LAUNCHER, "run", "--grace-period", grace_period, "plugins"];
        let done = sandbox.command("python3", command).env("HOLD", crate::takeover::HOLD).output();
        // Where the supervisor does not answer it is killed.
        let status = if reason.is_none() { "137\n" } else { "0\n" };
        assert_eq!(done.text(), status, "{told}: {}", done.stderr);
        let log = sandbox.read("log");
        let is_told = |reason: &str| log.contains(&format!("[launcher] stopping: {reason}\n"));
        assert!(reason.is_none_or(is_told), "{told}: {log}");
        sandbox.assert_nothing_left(std::time::Duration::ZERO);
    }
}

#[test]
fn labels_are_aligned_anew_after_a_reload() {
    let sandbox = Sandbox::with([("all_a.sh", SLEEPING)]);
    let command = [crate::sandbox::LAUNCHER, "run", "plugins"];
    let running = on_terminal(&sandbox, 80, &command).env("NO_COLOR", "1").start();
    running.wait_for_stdout("[launcher] started all_a.sh");
    sandbox.plugin("all_longer_than_all.sh", SLEEPING);
    // The terminal is there: nobody hung up.
    crate::sandbox::send("HUP", &[launcher(&sandbox)]);
    running.wait_for_stdout("[launcher]               reloaded: 1 started");
    running.signal("TERM");
}
