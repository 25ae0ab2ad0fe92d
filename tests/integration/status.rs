//! SIGUSR1: one notice for each plugin, with what an operator asks first.

use crate::sandbox::{Sandbox, wait_for};

#[test]
fn one_notice_for_each_plugin() {
    let sandbox = Sandbox::with([
        ("all_runs.sh", "#!/bin/sh\necho \"pid $$\"\necho two\necho three\nexec sleep 1000\n"),
        ("all_ended.sh", "#!/bin/sh\nprintf '12345\\n'\nexit 42\n"),
    ]);
    let mut running = sandbox.launcher(["run", "plugins"]).start();
    running.wait_for_stdout("[all_runs.sh] three\n");
    wait_for("the other one has ended", || running.stdout().contains("42"));
    let before = running.stdout();
    let pid = before.lines().find_map(|line| line.strip_prefix("[all_runs.sh] pid ")).expect("its pid").to_owned();
    running.signal("USR1");
    let notices = || -> Vec<String> {
        let text = running.stdout();
        let new = text[before.len()..].lines().filter(|line| line.starts_with("[launcher] "));
        new.map(str::to_owned).collect()
    };
    let of = |name: &str| notices().into_iter().find(|line| line.contains(name));
    wait_for("a notice for each", || of("all_runs.sh").is_some() && of("all_ended.sh").is_some());
    let runs = of("all_runs.sh").expect("found").to_lowercase();
    assert!(runs.contains("running") && runs.contains(&pid), "{runs}");
    assert_counts(&runs, &[("restarts", 0), ("lines", 3), ("bytes", "pid \ntwo\nthree\n".len() + pid.len())]);
    let ended = of("all_ended.sh").expect("found").to_lowercase();
    assert!(ended.contains("ended") && ended.contains("42"), "{ended}");
    assert_counts(&ended, &[("restarts", 0), ("lines", 1), ("bytes", "12345\n".len())]);
    assert!(running.is_running(), "asking stops nothing");
}

/// Asserts that the notice has these numbers, before or behind their names.
#[track_caller]
fn assert_counts(notice: &str, counts: &[(&str, usize)]) {
    let words: Vec<_> = notice.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    for (name, count) in counts {
        let count = count.to_string();
        let found = words.windows(2).any(|pair| pair == [*name, &count] || pair == [&count, *name]);
        assert!(found, "{name} {count} in {notice}");
    }
}

#[test]
fn status_in_json_names_plugin_and_pid() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    let running = sandbox.run_json(&[]).start();
    let pid = running.wait_for_event("started", "all_x.sh")["pid"].number();
    running.wait_for_event("output", "all_x.sh");
    let count = || running.records().iter().filter(|r| r["plugin"] == "all_x.sh" && r["pid"] == pid).count();
    let before = count();
    running.signal("USR1");
    wait_for("a record of its state", || count() == before + 1);
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
