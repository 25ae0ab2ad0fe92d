//! The socket in the file system: how it is found, who has it, and that it goes with the launcher.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;

use super::{RUNS, asked, plugins, run};
use crate::processes;
use crate::sandbox::{self, Launch, PATIENCE, Running, Sandbox, wait_for};

#[test]
fn whoever_asks_nobody_is_told_the_next_step() {
    let sandbox = Sandbox::new();
    for (command, operands) in
        [("status", &[][..]), ("reload", &[]), ("stop", &["x"]), ("start", &["x"]), ("restart", &["x"])]
    {
        let refused = asked(&sandbox, 2, command, operands);
        assert!(refused.stderr.contains("no launcher answers at `s`"), "{}", refused.stderr);
        assert!(refused.stderr.contains("was it started with --control?"), "{}", refused.stderr);
        let unnamed = sandbox.launcher([command]).args(operands).output();
        assert_eq!(unnamed.status.code(), Some(2));
        assert!(unnamed.stderr.contains("--control SOCKET"), "{}", unnamed.stderr);
    }
    asked(&sandbox, 2, "stop", &[]);
    asked(&sandbox, 2, "reload", &["x"]);
    asked(&sandbox, 2, "status", &["--format", "xml"]);
}

#[test]
fn the_socket_is_found_by_option_variable_and_file() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    sandbox.write("lmcache.yaml", "extra_config: {plugin.launcher.control: s}\n");
    let running = sandbox.launcher(["run", "--config", "lmcache.yaml", "plugins"]).start();
    running.wait_for_stdout("ready");
    asked(&sandbox, 0, "status", &[]);
    let ok = |launch: Launch| assert_eq!(launch.output().status.code(), Some(0));
    ok(sandbox.launcher(["status", "--config", "lmcache.yaml"]));
    ok(sandbox.launcher(["status"]).env("LMCACHE_PLUGIN_LAUNCHER_CONTROL", "s"));
    ok(sandbox.launcher(["status", "--control", "s"]).env("LMCACHE_PLUGIN_LAUNCHER_CONTROL", "other"));
    // Who listens takes them in the same order, and an empty variable for none.
    for (option, variable, expected) in
        [("option", "variable", "option"), ("", "variable", "variable"), ("", "", "file")]
    {
        sandbox.write("other.yaml", "extra_config: {plugin.launcher.control: file}\n");
        let options: &[&str] = if option.is_empty() { &[] } else { &["--control", option] };
        let launch = sandbox.launcher(["run", "--config", "other.yaml", "plugins"]).args(options);
        let listening = launch.env("LMCACHE_PLUGIN_LAUNCHER_CONTROL", variable).start();
        listening.wait_for_stdout("ready");
        let sockets = ["option", "variable", "file"].into_iter();
        let made: Vec<&str> = sockets.filter(|name| fs::symlink_metadata(sandbox.path(name)).is_ok()).collect();
        assert_eq!(made, [expected]);
        listening.signal("TERM");
        listening.wait();
    }
}

#[test]
fn plugins_and_program_are_told_where_to_ask() {
    let ask = "\"$LMCACHE_PLUGIN_LAUNCHER_BIN\" status --format json all_x.sh | grep -c '\"state\":\"running\"'";
    let sandbox = Sandbox::with([("all_x.sh", RUNS), ("all_y.sh", &format!("#!/bin/sh\n{ask}\nexec sleep 1000\n"))]);
    let program = format!("until {ask}; do sleep 0.05; done; cd /; {ask}; read line");
    let mut running =
        run(&sandbox, &["--quiet"]).args(["--", "sh", "-c", &program]).stdin(std::process::Stdio::piped()).start();
    running.wait_for_stdout("[all_y.sh] 1");
    wait_for("the program asked twice", || running.stdout().lines().filter(|line| *line == "1").count() == 2);
    let all = asked(&sandbox, 0, "status", &["--format", "json"]).records();
    let program = all.iter().find(|record| record.has("program")).expect("the program's pid")["program"].number();
    let children = processes::children_of(running.supervisor());
    assert!(children.iter().any(|pid| f64::from(*pid) == program), "{children:?}");
    assert!(asked(&sandbox, 0, "status", &[]).text().contains(&format!("PROGRAM has pid {program}")));
    running.write("end\n");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn a_launcher_below_another_leaves_its_socket_alone() {
    let inner = "\"$LMCACHE_PLUGIN_LAUNCHER_BIN\" run inner";
    let sandbox = Sandbox::with([("all_outer.sh", &*format!("#!/bin/sh\n{inner}\n"))]);
    sandbox.write("inner/all_inner.sh", RUNS);
    // As a plugin, and as what PROGRAM starts, with an environment of its own choice or not.
    let program = format!("{inner} --parent-pid 0 & env {inner} --parent-pid 0");
    let running = run(&sandbox, &[]).args(["--", "sh", "-c", &program]).start();
    running.wait_for_stdout("[all_outer.sh] [all_inner.sh] ready");
    wait_for("both of the program's", || {
        running.stdout().lines().filter(|line| *line == "[all_inner.sh] ready").count() == 2
    });
    let names: Vec<String> = plugins(&sandbox).iter().map(|record| record["plugin"].text()).collect();
    assert_eq!(names, ["all_outer.sh"]);
    for complaint in ["another launcher", "control socket"] {
        assert!(!(running.stdout() + &running.stderr()).contains(complaint), "{}", running.stdout());
    }
}

#[test]
fn of_all_that_start_at_once_on_a_stale_socket_one_has_it() {
    for _ in 0..5 {
        let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
        drop(UnixListener::bind(sandbox.path("s")).expect("bound"));
        let mut starting: Vec<Running> = (0..8).map(|_| run(&sandbox, &["--parent-pid", "0"]).start()).collect();
        wait_for("all but one are refused", || {
            starting.retain_mut(Running::is_running);
            starting.len() == 1
        });
        starting[0].wait_for_stdout("ready");
        asked(&sandbox, 0, "status", &["all_x.sh"]);
    }
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let other = UnixListener::bind(sandbox.path("s")).expect("bound");
    let refused = run(&sandbox, &[]).output();
    refused.assert_refused(&["another launcher answers there", "`s`"]);
    // With PROGRAM it is a warning, and the socket is the other's still.
    let done = run(&sandbox, &[]).args(["--", "sh", "-c", "echo \"[$LMCACHE_PLUGIN_LAUNCHER_CONTROL]\""]).output();
    assert_eq!(done.status.code(), Some(0));
    assert!(done.text().contains("[]\n"), "{}", done.text());
    drop(other);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    asked(&sandbox, 0, "status", &[]);
    run(&sandbox, &[]).output().assert_refused(&["another launcher answers there"]);
    asked(&sandbox, 0, "status", &[]);
}

#[test]
fn a_socket_that_cannot_be_is_status_2_and_never_keeps_program_from_running() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    sandbox.write("file", "precious");
    sandbox.link("file", "link");
    sandbox.link("nothing", "dangling");
    sandbox.mkfifo("fifo");
    let absolute = |length: usize| {
        let directory = sandbox.text("");
        format!("{directory}{}", "s".repeat(length - directory.len()))
    };
    let (longest, too_long) = (absolute(107), absolute(108));
    for (path, mention) in [
        (&*too_long, "longer than the 107 bytes"),
        ("nowhere/s", "No such file or directory"),
        ("file/s", "Not a directory"),
        ("/proc/s", "/proc/s"),
        ("file", "no socket"),
        ("link", "no socket"),
        ("dangling", "no socket"),
        ("fifo", "no socket"),
        ("plugins", "no socket"),
    ] {
        sandbox.launcher(["run", "--control", path, "plugins"]).output().assert_refused(&["control socket", mention]);
        let done =
            sandbox.launcher(["run", "--control", path, "plugins", "--", "sh", "-c", "sleep 0.3; exit 7"]).output();
        assert_eq!(done.status.code(), Some(7), "{path}");
        assert!(
            done.text().contains("[launcher] warning: control socket") && done.text().contains(mention),
            "{path}: {}",
            done.text()
        );
    }
    assert_eq!(sandbox.read("file"), "precious");
    assert!(fs::symlink_metadata(sandbox.path("link")).expect("there").is_symlink());
    assert!(fs::symlink_metadata(sandbox.path("dangling")).expect("there").is_symlink());
    assert!(fs::metadata(sandbox.path("fifo")).expect("there").file_type().is_fifo());
    // The longest that can be is one.
    let running = sandbox.launcher(["run", "--control", &longest, "plugins"]).start();
    running.wait_for_stdout("ready");
    assert_eq!(sandbox.launcher(["status", "--control", &longest]).output().status.code(), Some(0));
}

#[test]
fn the_socket_is_gone_when_the_launcher_is_however_it_ends() {
    let socket = |sandbox: &Sandbox| fs::symlink_metadata(sandbox.path("s")).is_ok();
    type End = fn(&Running);
    let ends: [(&str, End); 4] = [
        ("TERM", |running| running.signal("TERM")),
        ("guard killed", |running| running.signal("KILL")),
        ("supervisor killed", |running| sandbox::send("KILL", &[running.supervisor()])),
        ("by itself", |running| sandbox::send("USR1", &processes::children_of(running.supervisor()))),
    ];
    for (what, end) in ends {
        let plugin = "#!/bin/sh\ntrap 'exit 0' USR1\necho ready\nwhile :; do sleep 0.05; done\n";
        let sandbox = Sandbox::with([("all_x.sh", plugin)]);
        let running = run(&sandbox, &[]).start();
        running.wait_for_stdout("ready");
        assert!(socket(&sandbox));
        end(&running);
        running.wait();
        wait_for(&format!("the socket is gone: {what}"), || !socket(&sandbox));
        sandbox.assert_nothing_left(PATIENCE);
    }
    // One that is another's by then is left alone.
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    fs::remove_file(sandbox.path("s")).expect("removed");
    let _other = UnixListener::bind(sandbox.path("s")).expect("bound");
    running.signal("TERM");
    running.wait();
    assert!(fs::metadata(sandbox.path("s")).expect("there").file_type().is_socket());
    // Where PROGRAM cannot be run nothing stays, either.
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    assert_eq!(run(&sandbox, &[]).args(["--", "/nowhere/program"]).output().status.code(), Some(127));
    assert!(!socket(&sandbox));
}
