//! The log tells the whole truth: what is lost is counted, what is said by whom is seen, and in which order.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use crate::json::Json;
use crate::processes;
use crate::sandbox::{Sandbox, wait_for};

/// Writes numbered lines until the file `go` is there, then a last one; once the file `more` is there, more than its pipe
/// holds, and says when that was taken.
const COUNTING: &str = "#!/usr/bin/perl\n$| = 1;\nmy ($n, $more) = (0, 0);\n\
    sub count { print 'line ', $n++, \"\\n\" for 1 .. shift }\n\
    until (-e 'go') {\n    \
        count(1);\n    \
        if (-e 'more' and !$more++) { count(10_000); open F, '>', 'taken'; print F \"yes\\n\"; close F; }\n    \
        select undef, undef, undef, 0.002;\n\
    }\n\
    print \"last\\n\";\n";

/// The launcher and its supervisor may write files of this size.
fn limit_file_size(pid: u32, limit: &str) {
    let pids = [vec![pid], processes::children_of(pid)].concat();
    for pid in pids {
        let mut prlimit = Command::new("prlimit");
        assert!(prlimit.args(["--pid", &pid.to_string(), limit]).status().expect("prlimit runs").success());
    }
}

#[test]
fn after_a_torn_write_the_next_record_begins_on_a_new_line() {
    for format in ["json", "text"] {
        let sandbox = Sandbox::with([("all_x.pl", COUNTING)]);
        let log = OpenOptions::new().create(true).append(true).open(sandbox.path("log")).expect("a log");
        // Without notices, whose length varies, it is known that the last line does not fit.
        let script = "ulimit -S -f 4; exec \"$LAUNCHER\" run --quiet --format \"$0\" plugins";
        let running = sandbox.command("bash", ["-c", script, format]).stdout(log).start();
        wait_for("the disk is full", || running.stderr().contains("File too large"));
        assert_eq!(sandbox.read("log").len(), 4096, "the last record was written in part");
        assert!(!sandbox.read("log").ends_with('\n'));
        sandbox.write("more", "");
        sandbox.wait_for_file("taken");
        limit_file_size(running.pid(), "--fsize=unlimited:");
        wait_for("lines are logged again", || sandbox.read("log").contains(" lost: "));
        sandbox.write("go", "");
        let done = running.wait();
        assert_eq!(done.status.code(), Some(1), "lines were lost");
        assert_eq!(done.stderr.lines().count(), 1, "said once: {}", done.stderr);
        assert!(!done.stderr.contains("os error"), "{}", done.stderr);

        // Every line is a whole record, and the numbers that are missing are as many as the warning says.
        let log = sandbox.read("log");
        let (mut next, mut missing, mut told) = (0, 0, 0);
        for line in log.lines() {
            let text = if format == "json" {
                let record = Json::parse(line);
                let key = if record["event"] == "warning" { "reason" } else { "message" };
                if record.has(key) { record[key].text() } else { String::new() }
            } else {
                let (_, text) = line.split_once("] ").unwrap_or_else(|| panic!("a whole record: {line:?}"));
                text.strip_prefix("warning: ").unwrap_or(text).to_string()
            };
            if let Some(number) = text.strip_prefix("line ").and_then(|number| number.parse::<usize>().ok()) {
                missing += number - next;
                next = number + 1;
            } else if let Some((count, _)) = text.split_once(" lines lost: File too large") {
                told += count.parse::<usize>().expect("a number");
            }
        }
        assert!(told > 0 && told == missing, "{told} told, {missing} missing: {log}");
        assert!(log.contains("last"));
    }
}

#[test]
fn what_finds_no_room_until_the_end_is_counted_to_the_line() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nfor i in $(seq 1000); do echo line $i; done\n")]);
    let log = OpenOptions::new().create(true).append(true).open(sandbox.path("log")).expect("a log");
    let done =
        sandbox.command("bash", ["-c", "ulimit -f 4; exec \"$LAUNCHER\" run --quiet plugins"]).stdout(log).output();
    assert_eq!(done.status.code(), Some(1));
    let log = sandbox.read("log");
    assert!(log.len() == 4096 && !log.ends_with('\n'), "the last record was written in part: {log}");
    let lost = 1000 - log.matches('\n').count();
    assert!(done.stderr.ends_with(&format!(": lines lost at the end: {lost}\n")), "{lost}: {}", done.stderr);
}

#[test]
fn what_a_torn_notice_was_to_tell_is_told_when_there_is_room_again_or_at_the_end() {
    let plugin = "#!/usr/bin/perl\n$| = 1;\nmy $n = 0;\n\
                  until (-e 'go') { print 'line ', $n++, \"\\n\"; select undef, undef, undef, 0.002; }\n\
                  open F, '>', 'count'; print F \"$n\\n\";\n";
    for gets_room in [false, true] {
        let sandbox = Sandbox::with([("all_x.pl", plugin)]);
        let log = OpenOptions::new().create(true).append(true).open(sandbox.path("log")).expect("a log");
        let script = "ulimit -S -f 4; exec \"$LAUNCHER\" run --quiet plugins";
        let running = sandbox.command("bash", ["-c", script]).stdout(log).start();
        wait_for("the disk is full", || running.stderr().contains("File too large"));
        // Room for the rest of a record, and for the beginning of a notice.
        limit_file_size(running.pid(), "--fsize=4130:");
        wait_for("it is full again", || sandbox.read("log").len() == 4130);
        if gets_room {
            limit_file_size(running.pid(), "--fsize=1000000:");
            wait_for("it is told", || sandbox.read("log").matches(" lines lost: ").count() == 2);
        }
        sandbox.write("go", "");
        let done = running.wait();
        assert_eq!(done.status.code(), Some(1));
        let log = sandbox.read("log");
        let is_notice = |line: &str| line.starts_with("[launcher] warning: ") && line.ends_with("lost: File too large");
        let number = |line: &str| line.split(' ').nth(2).and_then(|word| word.parse::<usize>().ok());
        let told: usize = log.lines().filter(|line| is_notice(line)).filter_map(number).sum();
        let count = sandbox.read("count").trim().parse::<usize>().expect("a number");
        let lost = count - told - log.lines().filter(|line| line.starts_with("[all_x.pl] line ")).count();
        if gets_room {
            assert_eq!(lost, 0, "{log}");
            let is_whole = |line: &str| line.starts_with("[all_x.pl] line ") || is_notice(line);
            assert!(log.lines().all(is_whole) && !done.stderr.contains("at the end"), "{log}{}", done.stderr);
        } else {
            assert!(log.lines().last().is_some_and(|line| "[launcher] warning: ".starts_with(&line[..14])), "{log}");
            assert!(done.stderr.ends_with(&format!(": lines lost at the end: {lost}\n")), "{lost}: {}", done.stderr);
        }
    }
}

#[test]
fn a_full_device_is_said_once_and_gives_status_1() {
    for options in [&["--format", "text"][..], &["--format", "json"], &["--log-fd", "1"]] {
        let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nfor i in 1 2 3 4 5; do echo $i; sleep 0.02; done\n")]);
        let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let done = sandbox.launcher(["run"]).args(options).args(["plugins"]).stdout(full).output();
        assert_eq!(done.status.code(), Some(1), "{options:?}");
        assert_eq!(done.stderr.matches("No space left on device").count(), 1, "said once: {}", done.stderr);
        assert!(done.stderr.contains("lines lost at the end: 8"), "{}", done.stderr);
        assert!(!done.stderr.contains("os error"));
    }
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho lost >&2\necho kept\n")]);
    let script = "exec \"$LAUNCHER\" run --quiet --stderr separate plugins 2>/dev/full";
    let done = sandbox.command("sh", ["-c", script]).output();
    assert_eq!((done.text(), done.status.code()), ("[all_x.sh] kept\n".into(), Some(1)), "standard error is full");
}

#[test]
fn a_complaint_that_was_torn_is_said_again_on_a_line_of_its_own() {
    let sandbox = Sandbox::with([("all_x.pl", COUNTING)]);
    let script = "exec prlimit --fsize=10: \"$LAUNCHER\" run plugins >/dev/full 2>err";
    let running = sandbox.command("bash", ["-c", script]).start();
    wait_for("there is room for its beginning", || sandbox.read("err") == "lmcache-pl");
    limit_file_size(running.pid(), "--fsize=unlimited:");
    wait_for("it is said again", || sandbox.read("err").ends_with("lines are lost\n"));
    sandbox.write("go", "");
    assert_eq!(running.wait().status.code(), Some(1));
    let said = "lmcache-pl\nlmcache-plugin-launcher: cannot write output: No space left on device; lines are lost\n";
    assert!(sandbox.read("err").starts_with(said), "{}", sandbox.read("err"));
}

#[test]
fn a_complaint_never_waits_for_who_reads_standard_error() {
    let plugin = "#!/usr/bin/perl\n$| = 1;\nprint 'x' x 99, \"\\n\" for 1..50000;\nopen F, '>', 'written';\nprint F \"yes\\n\";\n";
    let sandbox = Sandbox::with([("all_x.pl", plugin)]);
    sandbox.mkfifo("err");
    // Both ends of the FIFO are held open by the launcher itself: nobody reads it, and it is full.
    let script = "exec 9<>err; dd if=/dev/zero of=/dev/fd/9 bs=4096 count=16 oflag=nonblock 2>/dev/null\n\
                  { \"$LAUNCHER\" run plugins; echo $? >status; } 2>&9 | head -n 1 >/dev/null";
    sandbox.command("bash", ["-c", script]).output();
    assert_eq!(sandbox.read("written"), "yes\n");
    assert_eq!(sandbox.read("status"), "0\n");
}

#[test]
fn what_a_plugin_prints_stands_behind_its_start() {
    let sandbox = Sandbox::new();
    for number in 0..50 {
        sandbox.plugin(format!("all_{number}.sh"), "#!/bin/sh\necho here\n");
    }
    let mut started = std::collections::HashSet::new();
    for record in sandbox.run_json(&[]).output().records() {
        if record["event"] == "started" {
            started.insert(record["plugin"].text());
        } else if record["event"] == "output" {
            assert!(started.contains(&record["plugin"].text()), "{record:?} before its start");
        }
    }
    assert_eq!(started.len(), 50);
}

#[test]
fn what_was_read_after_the_stop_began_stands_behind_it() {
    // Busy until the signal, and quick to answer it.
    let plugin = "#!/usr/bin/perl\n$| = 1;\n$SIG{TERM} = sub { syswrite STDOUT, \"bye\\n\"; exit 0 };\n\
                  for (1..100) { syswrite STDOUT, \"ready $_\\n\"; }\n\
                  while (1) { syswrite STDOUT, \"tick\\n\"; select undef, undef, undef, 0.0005; }\n";
    for round in 0..20 {
        let sandbox = Sandbox::with([("all_x.pl", plugin), ("all_y.pl", plugin), ("all_z.pl", plugin)]);
        let running = sandbox.run_json(&[]).start();
        wait_for("all are ready", || running.stdout().matches("\"ready 100\"").count() == 3);
        running.signal("TERM");
        let records = running.wait().records();
        let place = |what: &dyn Fn(&Json) -> bool| records.iter().position(what).expect("it is there");
        let stopping = place(&|record| record["event"] == "stopping");
        let bye = place(&|record| record["message"] == "bye");
        assert!(stopping < bye, "round {round}: {stopping} {bye}");
        let times: Vec<String> = records.iter().map(|record| record["time"].text()).collect();
        assert!(times.is_sorted(), "round {round}: times go back: {times:#?}");
    }
}

#[test]
fn the_log_goes_to_the_descriptor_that_is_named() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nls -l /proc/self/fd\necho here\n")]);
    let script = "\"$LAUNCHER\" run --format json --log-fd 3 plugins -- sh -c 'printf no-newline; ls -l /proc/self/fd >fds; \
                  until grep -q here log; do sleep 0.02; done' 3>log";
    let done = sandbox.command("sh", ["-c", script]).output();
    assert_eq!(done.text(), "no-newline", "standard output is PROGRAM's alone");
    let log = sandbox.read("log");
    assert!(log.lines().map(Json::parse).any(|record| record["message"] == "here"), "{log}");
    assert!(!log.contains("/log"), "no plugin has the log open: {log}");
    assert!(!sandbox.read("fds").contains("/log"), "nor has PROGRAM: {}", sandbox.read("fds"));
}

#[test]
fn a_descriptor_that_takes_no_log_is_refused() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    for (redirection, fd, mention) in [
        ("3>&-", "3", "not open"),
        ("3</dev/null", "3", "not open for writing"),
        ("", "77", "not open"),
        ("<&-", "0", "not open"),
    ] {
        let script = format!("exec \"$LAUNCHER\" run --log-fd {fd} plugins {redirection}");
        sandbox.command("sh", ["-c", &script]).output().assert_refused(&["--log-fd", mention]);
    }
    sandbox.launcher(["run", "--log-fd", "x", "plugins"]).output().assert_refused(&["--log-fd"]);
    assert!(!sandbox.path("started").exists());
}

#[test]
fn the_label_of_the_launcher_is_its_own() {
    let sandbox = Sandbox::new();
    sandbox.plugin("launcher", "#!/bin/sh\necho stopped\n");
    sandbox.plugin("x] [launcher] y.sh", "#!/bin/sh\necho stopped\n");
    sandbox.plugin("a\nb.sh", "#!/bin/sh\necho newline\n");
    sandbox.plugin("a\\nb.sh", "#!/bin/sh\necho letters\n");
    sandbox.plugin("c\u{85}\u{9b}\u{2028}\u{202e}d.sh", "#!/bin/sh\necho unseen\n");
    let text = sandbox.launcher(["run", "plugins"]).output().text();
    let of_ours: Vec<&str> = text.lines().filter(|line| line.contains("[launcher] ")).collect();
    let verbs = ["started ", "exited ", "stopped"];
    for line in &of_ours {
        let rest = line.strip_prefix("[launcher] ").unwrap_or_else(|| panic!("only at the beginning: {line}"));
        assert!(verbs.iter().any(|verb| rest.starts_with(verb)), "{line}");
    }
    assert_eq!(of_ours.iter().filter(|line| **line == "[launcher] stopped").count(), 1, "{text}");
    for line in [
        "[plugins/launcher] stopped",
        "[x\\] [launcher\\] y.sh] stopped",
        "[a\\nb.sh] newline",
        "[a\\\\nb.sh] letters",
        "[c\\u0085\\u009b\\u2028\\u202ed.sh] unseen",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    let alone = sandbox.command("sh", ["-c", "cd plugins && exec \"$LAUNCHER\" run --quiet launcher"]).output();
    assert_eq!(alone.text(), "[./launcher] stopped\n");
}

#[test]
fn a_progress_bar_is_seen_before_its_newline() {
    let plugin = "#!/usr/bin/perl\n$| = 1;\nprint \"10%\\r\";\nuntil (-e 'go') { select undef, undef, undef, 0.02; }\n\
                  print \"100%\\r\\nnext\\n\";\n";
    let sandbox = Sandbox::with([("all_x.pl", plugin)]);
    let running = sandbox.launcher(["run", "--quiet", "plugins"]).start();
    running.wait_for_stdout("[all_x.pl] 10%\r\n");
    sandbox.write("go", "");
    assert_eq!(running.wait().text(), "[all_x.pl] 10%\r\n[all_x.pl] 100%\n[all_x.pl] next\n");
}

#[test]
fn a_bar_of_a_hundred_quick_steps_is_few_lines() {
    let plugin = "#!/usr/bin/perl\n$| = 1;\nfor (1..100) { print \"$_%\\r\"; select undef, undef, undef, 0.005; }\nprint \"\\n\";\n";
    let sandbox = Sandbox::with([("all_x.pl", plugin)]);
    let text = sandbox.launcher(["run", "--quiet", "plugins"]).output().text();
    assert!(text.lines().count() <= 5, "{} lines: {text:?}", text.lines().count());
    let shown: String = text.lines().map(|line| line.replace("[all_x.pl] ", "")).collect();
    let all: String = (1..=100).map(|step| format!("{step}%\r")).collect();
    assert_eq!(shown.replace('\r', ""), all.replace('\r', ""), "no byte is lost");
}

#[test]
fn reports_that_nobody_reads_do_not_pile_up() {
    let flood = "#!/usr/bin/perl\n$| = 1;\nopen F, '>', 'flooding'; print F \"$$\\n\"; close F;\nwhile (1) { print 'x' x 99, \"\\n\"; }\n";
    let sandbox = Sandbox::with([("all_x.pl", flood)]);
    for n in 0..50 {
        sandbox.plugin(format!("all_{n}.sh"), "#!/bin/sh\nexec sleep 1000\n");
    }
    let mut running = sandbox.launcher(["run", "--grace-period", "20", "plugins"]).unread().start();
    let flooding = sandbox.wait_for_file("flooding").trim_end().parse().expect("a pid");
    let supervisor = running.supervisor();
    let stalled = [vec![flooding], processes::threads_of(supervisor)].concat();
    processes::wait_for_sleep("the plugin and the log have no room", &stalled);
    let script = "i=0; while [ $i -lt 10000 ]; do kill -USR1 $0; i=$((i + 1)); done";
    sandbox.command("sh", ["-c", script, &running.pid().to_string()]).output();
    processes::wait_for_rest(&[running.pid(), supervisor], Duration::from_millis(200));
    let kilobytes = processes::status_figure(supervisor, "VmRSS");
    assert!(kilobytes < 16_000, "{kilobytes} kB");
    running.signal("TERM");
    running.read_on();
    let log = running.wait_within(Duration::from_secs(30)).text();
    assert_eq!(log.matches("\n[launcher] status all_0.sh: running").count(), 1, "asked while an answer still waited");
    assert!(!log.contains("lost"), "nothing else was dropped");
}

#[test]
fn a_descriptor_that_others_made_non_blocking_loses_nothing() {
    let plugin = "#!/usr/bin/perl\nprint 'x' x 99, \"\\n\" for 1..20000;\n";
    let sandbox = Sandbox::with([("all_x.pl", plugin)]);
    let judge = "import fcntl, os, subprocess, sys, time\n\
                 read, write = os.pipe()\n\
                 fcntl.fcntl(write, fcntl.F_SETFL, os.O_NONBLOCK)\n\
                 child = subprocess.Popen([os.environ['LAUNCHER'], 'run', '--quiet', 'plugins'], stdout=write)\n\
                 os.close(write)\n\
                 print(len(open(read, 'rb').read().splitlines()), child.wait())\n";
    assert_eq!(sandbox.command("python3", ["-c", judge]).output().text(), "20000 0\n");
}

#[test]
fn what_is_said_before_any_plugin_runs_takes_no_thread() {
    let sandbox = Sandbox::new();
    let to_file = || File::create(sandbox.path("log")).expect("a file");
    // Of a pipe the kernel says whether a write would wait, of many a file it does not.
    let piped = sandbox.launcher(["run", "plugins", "--", "sleep", "1000"]).start();
    let filed = sandbox.launcher(["run", "plugins", "--", "sleep", "1000"]).stdout(to_file()).start();
    let skipped = "[launcher] skipped plugins: an empty directory: no plugin is there\n";
    piped.wait_for_stdout(skipped);
    wait_for("it is in the file", || sandbox.read("log") == skipped);
    // Where directories are read is a thread that ends.
    wait_for("it has one thread", || processes::status_figure(piped.supervisor(), "Threads") == 1);
    for running in [piped, filed] {
        running.signal("TERM");
        assert_eq!(running.wait().status.signal(), Some(15), "as PROGRAM ended");
    }
    assert!(sandbox.read("log").ends_with("[launcher] exited sleep: signal 15 (SIGTERM)\n"), "{}", sandbox.read("log"));
}

#[test]
fn an_end_before_any_plugin_waits_for_no_reader() {
    let sandbox = Sandbox::new();
    sandbox.mkfifo("log");
    // The launcher itself holds both ends: the pipe stays full.
    let script = "exec 9<>log; dd if=/dev/zero of=/dev/fd/9 bs=4096 count=16 oflag=nonblock 2>/dev/null\n\
                  exec \"$LAUNCHER\" run --grace-period 0.1 plugins -- sh -c 'exit 3' >&9";
    let done = sandbox.command("bash", ["-c", script]).output();
    assert_eq!(done.status.code(), Some(3));
    assert_eq!(done.stderr, "", "the supervisor has not hung");
}

#[test]
fn a_log_that_gets_no_thread_says_so_once_and_begins_when_it_gets_one() {
    for gets_one in [true, false] {
        let sandbox = Sandbox::new();
        sandbox.mkfifo("log");
        let script = "exec 9<>log; dd if=/dev/zero of=/dev/fd/9 bs=4096 count=16 oflag=nonblock 2>/dev/null\n\
                      exec \"$LAUNCHER\" run --quiet --watch --grace-period 0.1 plugins >&9";
        let running = sandbox.command("bash", ["-c", script]).start();
        let supervisor = running.supervisor();
        let rest = || processes::wait_for_rest(&[supervisor], Duration::from_millis(200));
        rest();
        let limit = |kilobytes: usize| {
            let mut prlimit = Command::new("prlimit");
            prlimit.args(["--pid", &supervisor.to_string(), &format!("--as={}:", kilobytes * 1024)]);
            assert!(prlimit.status().expect("prlimit runs").success());
        };
        // Room for what is to be said, but for no stack. Nor can anything be read, which the log is told.
        limit(processes::status_figure(supervisor, "VmSize") + 40);
        for _ in 0..3 {
            running.signal("HUP");
            wait_for("it is said", || running.stderr().contains("the log waits for a thread"));
            rest();
        }
        assert_eq!(running.stderr().lines().count(), 1, "said once: {}", running.stderr());
        if gets_one {
            limit(1_000_000);
            sandbox.plugin("all_x.sh", "#!/bin/sh\necho here\n");
            let reader = sandbox.command("cat", ["log"]).start();
            reader.wait_for_stdout("[all_x.sh] here\n");
            assert_eq!(reader.stdout().matches("warning: not reloaded").count(), 3, "{}", reader.stdout());
        }
        running.signal("TERM");
        let done = running.wait();
        assert_eq!(done.status.code(), Some(i32::from(!gets_one)), "what was not written is lost: {}", done.stderr);
    }
}
