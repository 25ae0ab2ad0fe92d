//! SIGUSR1: one notice for each plugin, with what an operator asks first.

use crate::sandbox::{self, Sandbox, wait_for};

#[test]
fn one_notice_for_each_plugin() {
    let sandbox = Sandbox::with([
        ("all_runs.sh", "#!/bin/sh\necho \"pid $$\"\necho two\necho three\nexec sleep 1000\n"),
        ("all_ended.sh", "#!/bin/sh\nprintf '12345\\n'\nexit 42\n"),
        ("all_unfinished.sh", "#!/bin/sh\nprintf 'one\\ntwo'\n"),
    ]);
    let mut running = sandbox.launcher(["run", "plugins"]).start();
    running.wait_for_stdout("[all_runs.sh] three\n");
    running.wait_for_stdout("[launcher] exited all_ended.sh: status 42\n");
    running.wait_for_stdout("[launcher] exited all_unfinished.sh: status 0\n");
    let before = running.stdout();
    let pid = before.lines().find_map(|line| line.strip_prefix("[all_runs.sh] pid ")).expect("its pid").to_owned();
    running.signal("USR1");
    let notice = |name: &str| {
        let prefix = format!("[launcher] status {name}: ");
        let found: Vec<_> =
            running.stdout().lines().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect();
        assert!(found.len() <= 1, "one for each: {found:?}");
        found.into_iter().next()
    };
    wait_for("a notice for each", || notice("all_runs.sh").is_some() && notice("all_unfinished.sh").is_some());
    let runs = notice("all_runs.sh").expect("found");
    let (state, rest) = runs.split_once(" s, ").expect("how long it is up");
    let up = state.strip_prefix(&format!("running, pid {pid}, up ")).unwrap_or_else(|| panic!("{runs}"));
    assert!(up.parse::<f64>().is_ok_and(|up| up > 0.0 && up < sandbox::PATIENCE.as_secs_f64()), "{runs}");
    assert_eq!(rest, format!("restarts 0, 3 lines, {} bytes", "pid \ntwo\nthree\n".len() + pid.len()));
    let ended = notice("all_ended.sh").expect("found");
    assert_eq!(ended, "failed, restarts 0, last status 42, 1 lines, 6 bytes");
    let unfinished = notice("all_unfinished.sh").expect("found");
    assert_eq!(unfinished, "ended, restarts 0, last status 0, 2 lines, 7 bytes");
    assert!(running.is_running(), "asking stops nothing");
}

#[test]
fn status_in_json_names_plugin_and_pid() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    let running = sandbox.run_json(&[]).start();
    let pid = running.wait_for_event("started", "all_x.sh")["pid"].number();
    running.wait_for_event("output", "all_x.sh");
    running.signal("USR1");
    let status = running.wait_for_event("status", "all_x.sh");
    assert!(status["state"] == "running" && status["pid"] == pid, "{status:?}");
    assert!(status["restarts"] == 0.0 && status["lines"] == 1.0 && status["bytes"] == 6.0, "{status:?}");
    assert!(status["path"].text().ends_with("plugins/all_x.sh") && status["uptime"].number() > 0.0, "{status:?}");
}

#[test]
fn with_a_program_usr1_is_the_programs() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nexec sleep 1000\n")]);
    let script = "trap 'exit 5' USR1; echo begun; while :; do sleep 0.02; done";
    let running = sandbox.launcher(["run", "--quiet", "plugins", "--", "sh", "-c", script]).start();
    running.wait_for_stdout("begun");
    running.signal("USR1");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(5));
    assert_eq!(done.text(), "begun\n");
}
