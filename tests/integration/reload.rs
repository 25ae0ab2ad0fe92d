//! SIGHUP: the configuration and the locations are read again, and only what changed is touched.

mod locations;

use std::fs;

use crate::json::Json;
use crate::processes;
use crate::sandbox::{self, Running, Sandbox, wait_for};

/// Says who it is and which version, and stays.
fn plugin(version: &str) -> String {
    format!(
        "#!/bin/sh\nexec 2>/dev/null\ntrap 'echo \"bye {version}\"; exit 0' TERM\necho \"{version} $$\"\nwhile :; do sleep 0.05; done\n"
    )
}

/// Waits until the plugin says that this version of it runs, and returns its pid.
fn runs(running: &Running, name: &str, version: &str) -> u32 {
    let prefix = format!("[{name}] {version} ");
    let mut pid = None;
    wait_for(&format!("{name} runs as {version}"), || {
        let text = running.stdout();
        pid = text.lines().rev().find_map(|line| line.strip_prefix(&prefix)?.parse().ok());
        pid.is_some()
    });
    pid.expect("found")
}

#[test]
fn new_ones_start_removed_ones_stop_changed_ones_restart_the_rest_is_left_alone() {
    let sandbox = Sandbox::new();
    for name in ["all_same.sh", "all_changed.sh", "all_removed.sh"] {
        sandbox.plugin(name, plugin("v1"));
    }
    let running = sandbox.launcher(["run", "--grace-period", "20", "plugins"]).start();
    let [same, changed, removed] =
        ["all_same.sh", "all_changed.sh", "all_removed.sh"].map(|name| runs(&running, name, "v1"));
    sandbox.plugin("all_changed.sh", plugin("v2"));
    sandbox.plugin("all_new.sh", plugin("v1"));
    fs::remove_file(sandbox.path("plugins/all_removed.sh")).expect("removed");
    running.signal("HUP");
    runs(&running, "all_new.sh", "v1");
    assert_ne!(runs(&running, "all_changed.sh", "v2"), changed);
    wait_for("the removed one is gone", || !processes::is_alive(removed));
    wait_for("the old one is gone", || !processes::is_alive(changed));
    assert!(processes::is_alive(same));
    let text = running.stdout();
    assert_eq!(text.matches("[all_same.sh] ").count(), 1, "{text}");
    assert!(text.contains("[all_removed.sh] bye v1") && text.contains("[all_changed.sh] bye v1"), "{text}");
    running.signal("TERM");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn a_file_that_was_only_touched_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.plugin("all_same.sh", plugin("v1"));
    let running = sandbox.launcher(["run", "--grace-period", "20", "plugins"]).start();
    let pid = runs(&running, "all_same.sh", "v1");
    // Replaced by a file of the same content, as an editor or a package does.
    sandbox.write("copy", plugin("v1"));
    fs::rename(sandbox.path("copy"), sandbox.path("plugins/all_same.sh")).expect("replaced");
    sandbox.plugin("all_new.sh", plugin("v1"));
    running.signal("HUP");
    runs(&running, "all_new.sh", "v1");
    assert!(processes::is_alive(pid));
    assert_eq!(running.stdout().matches("[all_same.sh] ").count(), 1);
}

#[test]
fn the_configuration_is_read_again() {
    let sandbox = Sandbox::new();
    for name in ["one", "two"] {
        sandbox.write(format!("{name}/all_{name}.sh"), plugin("v1"));
    }
    sandbox.write("lmcache.yaml", "plugin_locations: [one]\n");
    let running = sandbox.launcher(["run", "--grace-period", "20", "--config", "lmcache.yaml"]).start();
    let one = runs(&running, "all_one.sh", "v1");
    sandbox.write("lmcache.yaml", "plugin_locations: [two]\n");
    running.signal("HUP");
    runs(&running, "all_two.sh", "v1");
    wait_for("the one no longer named is gone", || !processes::is_alive(one));
}

#[test]
fn a_new_policy_holds_from_the_reload_on() {
    let stays = "#!/bin/sh\necho here\nexec sleep 1000\n";
    let sandbox = Sandbox::with([("all_anew.sh", stays), ("all_kept.rb", stays)]);
    let policy = |restart: &str| format!("extra_config:\n  plugin.launcher.restart: {restart}\n");
    sandbox.write("lmcache.yaml", policy("never"));
    let running = sandbox.run_json(&["--grace-period", "20", "--config", "lmcache.yaml"]).start();
    let [_, kept] = ["all_anew.sh", "all_kept.rb"].map(|name| {
        running.wait_for_event("output", name);
        running.wait_for_event("started", name)["pid"].number() as u32
    });
    // What could not be started now runs on as it is.
    sandbox.plugin("all_kept.rb", "#!/opt/none/ruby\n");
    sandbox.write("lmcache.yaml", policy("always"));
    running.signal("HUP");
    let is_start = |record: &Json| record["event"] == "started" && record["plugin"] == "all_anew.sh";
    let anew = running.wait_for_records("it is started anew", 2, is_start)[1]["pid"].number() as u32;
    running.wait_for_event("failed", "all_kept.rb");
    sandbox::send("KILL", &[anew, kept]);
    for name in ["all_anew.sh", "all_kept.rb"] {
        let is_restart = |record: &Json| record["event"] == "restarting" && record["plugin"] == name;
        let is_of_this_end = |record: &Json| is_restart(record) && record["reason"] == "signal 9 (SIGKILL)";
        running.wait_for_records("it is started again", 1, is_of_this_end);
    }
}

#[test]
fn what_was_removed_is_no_longer_reported() {
    let sandbox = Sandbox::with([("all_removed.sh", &*plugin("v1")), ("all_stays.sh", &*plugin("v1"))]);
    let running = sandbox.launcher(["run", "--grace-period", "20", "plugins"]).start();
    let removed = runs(&running, "all_removed.sh", "v1");
    runs(&running, "all_stays.sh", "v1");
    fs::remove_file(sandbox.path("plugins/all_removed.sh")).expect("removed");
    running.signal("HUP");
    wait_for("it is gone", || !processes::is_alive(removed));
    // Forgotten when its end was seen: the first report without it is the last with anything of it.
    let reports = || running.stdout().matches("status all_stays.sh: ").count();
    wait_for("a report without it", || {
        let (before, text) = (reports(), running.stdout());
        running.signal("USR1");
        wait_for("a report", || reports() > before);
        !running.stdout()[text.len()..].contains("status all_removed.sh: ")
    });
}

#[test]
fn a_configuration_that_does_not_parse_changes_nothing_and_says_so() {
    let sandbox = Sandbox::new();
    sandbox.plugin("all_x.sh", plugin("v1"));
    sandbox.write("lmcache.yaml", "plugin_locations: [plugins]\n");
    let mut running = sandbox.launcher(["run", "--grace-period", "20", "--config", "lmcache.yaml"]).start();
    let pid = runs(&running, "all_x.sh", "v1");
    sandbox.write("lmcache.yaml", "plugin_locations: [plugins\n");
    sandbox.plugin("all_new.sh", plugin("v1"));
    running.signal("HUP");
    wait_for("it says so", || {
        running.stdout().lines().any(|line| line.starts_with("[launcher] ") && line.contains("lmcache.yaml:"))
    });
    assert!(running.is_running() && processes::is_alive(pid));
    // The next reload that parses is carried out: the failed one has changed nothing.
    assert!(!running.stdout().contains("[all_new.sh]"));
    sandbox.write("lmcache.yaml", "plugin_locations: [plugins]\n");
    running.signal("HUP");
    runs(&running, "all_new.sh", "v1");
    assert!(processes::is_alive(pid));
}

#[test]
fn a_location_that_is_gone_stops_its_plugins_and_is_a_failure() {
    let sandbox = Sandbox::new();
    sandbox.plugin("all_x.sh", plugin("v1"));
    let running = sandbox.launcher(["run", "--grace-period", "20", "plugins"]).start();
    runs(&running, "all_x.sh", "v1");
    fs::rename(sandbox.path("plugins"), sandbox.path("elsewhere")).expect("moved");
    running.signal("HUP");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(1));
    let log = done.text();
    assert!(log.contains("[launcher] failed plugins: ") && log.ends_with("[launcher] stopped\n"), "{log}");
}

#[test]
fn an_ended_plugin_that_changed_runs_again() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho v1\nexit 1\n")]);
    sandbox.plugin("all_stays.sh", plugin("v1"));
    let running = sandbox.run_json(&[]).start();
    running.wait_for_event("exited", "all_x.sh");
    sandbox.plugin("all_x.sh", "#!/bin/sh\necho fixed\nexit 0\n");
    running.signal("HUP");
    running.wait_for_records("the new one", 1, |record| record["message"] == "fixed");
}

#[test]
fn with_a_program_hup_is_the_programs() {
    let sandbox = Sandbox::new();
    sandbox.plugin("all_x.sh", plugin("v1"));
    let script = "trap 'echo hup; exit 5' HUP; echo begun; while :; do sleep 0.02; done";
    let running = sandbox.launcher(["run", "plugins", "--", "sh", "-c", script]).start();
    running.wait_for_stdout("begun");
    runs(&running, "all_x.sh", "v1");
    sandbox.plugin("all_new.sh", plugin("v1"));
    running.signal("HUP");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(5));
    assert!(!done.text().contains("all_new.sh"));
}

#[test]
fn what_can_be_read_once_only_stays() {
    let sandbox = Sandbox::with([("all_x.sh", &*plugin("v1"))]);
    for (number, config) in ["- < lmcache.yaml", "<(cat lmcache.yaml)"].into_iter().enumerate() {
        sandbox.write("lmcache.yaml", "plugin_locations: [plugins]\n");
        let script = format!("exec \"$LAUNCHER\" run --parent-pid 0 --config {config}");
        let running = sandbox.command("bash", ["-c", &script]).start();
        let pid = runs(&running, "all_x.sh", "v1");
        running.signal("HUP");
        running.wait_for_stdout("reloaded: 0 started, 0 restarted, 0 stopped, 1 unchanged");
        assert!(processes::is_alive(pid), "{number}: it is left alone");
        running.signal("TERM");
        running.wait();
    }
}

/// A link to itself: it is there, and cannot be read.
fn make_unreadable(sandbox: &Sandbox, path: &str) {
    fs::rename(sandbox.path(path), sandbox.path("aside")).expect("moved");
    sandbox.link(sandbox.path(path), path);
}

#[test]
fn what_cannot_be_read_for_now_runs_on() {
    let sandbox = Sandbox::with([("all_x.sh", &*plugin("v1")), ("all_tool", &*plugin("v1"))]);
    for (number, name) in ["all_x.sh", "all_tool"].into_iter().enumerate() {
        let running = sandbox.launcher(["run", "--grace-period", "20", "plugins"]).start();
        let pid = runs(&running, name, "v1");
        let other = runs(&running, ["all_tool", "all_x.sh"][number], "v1");
        make_unreadable(&sandbox, &format!("plugins/{name}"));
        running.signal("HUP");
        running.wait_for_stdout("reloaded: 0 started, 0 restarted, 0 stopped, 2 unchanged");
        assert!(processes::is_alive(pid), "{name}");
        // The control: what is gone is stopped.
        fs::remove_file(sandbox.path(format!("plugins/{name}"))).expect("removed");
        running.signal("HUP");
        running.wait_for_stdout("reloaded: 0 started, 0 restarted, 1 stopped, 1 unchanged");
        wait_for("it is gone", || !processes::is_alive(pid));
        assert!(processes::is_alive(other));
        fs::rename(sandbox.path("aside"), sandbox.path(format!("plugins/{name}"))).expect("moved back");
    }
}

#[test]
fn names_tell_plugins_apart_also_from_those_that_were_not_found() {
    let sandbox = Sandbox::new();
    sandbox.write("a/all_x", plugin("a"));
    sandbox.write("b/ignored.txt", "");
    let run = || sandbox.launcher(["run", "--grace-period", "20", "a", "b"]).start();
    // Of a directory that cannot be read.
    let running = run();
    let first = runs(&running, "all_x", "a");
    make_unreadable(&sandbox, "a");
    sandbox.write("b/all_x", plugin("b"));
    running.signal("HUP");
    runs(&running, "b/all_x", "b");
    assert!(processes::is_alive(first));
    running.signal("TERM");
    running.wait();
    // Of a file that cannot be run any more.
    fs::remove_file(sandbox.path("a")).expect("removed");
    fs::rename(sandbox.path("aside"), sandbox.path("a")).expect("moved back");
    fs::remove_file(sandbox.path("b/all_x")).expect("removed");
    let running = run();
    let first = runs(&running, "all_x", "a");
    sandbox.write("a/all_x", "#!/nowhere/interpreter\n");
    sandbox.write("b/all_x", plugin("b"));
    running.signal("HUP");
    runs(&running, "b/all_x", "b");
    assert!(processes::is_alive(first));
}

#[test]
fn one_that_comes_back_does_not_take_the_name_of_who_came_meanwhile() {
    let deaf = "#!/bin/sh\ntrap '' TERM\necho \"deaf $$\"\nwhile :; do sleep 0.05; done\n";
    let sandbox = Sandbox::new();
    sandbox.write("a/all_x.sh", deaf);
    sandbox.write("b/ignored.txt", "");
    let running = sandbox.launcher(["run", "--grace-period", "2", "a", "b"]).start();
    runs(&running, "all_x.sh", "deaf");
    fs::rename(sandbox.path("a/all_x.sh"), sandbox.path("aside")).expect("moved");
    sandbox.write("b/all_x.sh", plugin("b"));
    running.signal("HUP");
    runs(&running, "all_x.sh", "b");
    fs::rename(sandbox.path("aside"), sandbox.path("a/all_x.sh")).expect("moved back");
    running.signal("HUP");
    runs(&running, "a/all_x.sh", "deaf");
}

#[test]
fn a_warning_of_the_configuration_is_said_once() {
    let sandbox = Sandbox::with([("all_x.sh", &*plugin("v1"))]);
    let write = |extra: &str| {
        let text = format!("plugin_locations: [plugins]\nextra_config:\n  plugin.launcher.colour: red\n{extra}");
        sandbox.write("lmcache.yaml", text)
    };
    write("");
    let running = sandbox.launcher(["run", "--grace-period", "20", "--config", "lmcache.yaml"]).start();
    runs(&running, "all_x.sh", "v1");
    let reload = |counts: &str| {
        running.signal("HUP");
        running.wait_for_stdout(counts);
    };
    reload("reloaded: 0 started, 0 restarted, 0 stopped, 1 unchanged");
    assert_eq!(running.stdout().matches("plugin.launcher.colour").count(), 1, "{}", running.stdout());
    write("  plugin.launcher.size: small\n");
    reload("reloaded: 0 started, 1 restarted, 0 stopped, 0 unchanged");
    assert_eq!(running.stdout().matches("plugin.launcher.colour").count(), 1, "{}", running.stdout());
    assert_eq!(running.stdout().matches("plugin.launcher.size").count(), 1, "{}", running.stdout());
}

const NESTED: &str = "#!/bin/sh\necho nested\nexec \"$LAUNCHER\" run --grace-period 1 OTHER\n";

#[test]
fn two_locations_whose_plugins_run_each_other_end_at_the_second() {
    let sandbox = Sandbox::new();
    sandbox.write("a/all_a.sh", NESTED.replace("OTHER", "b"));
    sandbox.write("b/all_b.sh", NESTED.replace("OTHER", "a"));
    let done = sandbox.launcher(["run", "a"]).output();
    let text = done.text();
    assert_eq!(text.matches("] nested\n").count(), 2, "one of each: {text}");
    assert!(text.contains("`a` is run already by a launcher above this one"), "{text}");
    assert_eq!(done.status.code(), Some(1));
}

#[test]
fn a_reload_does_not_lead_back_to_a_location_above() {
    let sandbox = Sandbox::new();
    sandbox.plugin("all_nested.sh", "#!/bin/sh\nexec \"$LAUNCHER\" run --config inner.yaml\n");
    sandbox.write("inner/all_x.sh", plugin("v1"));
    sandbox.write("inner.yaml", "plugin_locations: [inner]\n");
    let running = sandbox.launcher(["run", "plugins"]).start();
    let pid = runs(&running, "all_nested.sh] [all_x.sh", "v1");
    let nested = running
        .stdout()
        .lines()
        .find_map(|line| line.strip_prefix("[launcher] started all_nested.sh (pid ")?.split_once(')')?.0.parse().ok());
    sandbox.write("inner.yaml", "plugin_locations: [inner, plugins]\n");
    crate::sandbox::send("HUP", &[nested.expect("its pid")]);
    running.wait_for_stdout("not reloaded, nothing was changed: `plugins` is run already by a launcher above");
    assert!(processes::is_alive(pid));
    assert_eq!(running.stdout().matches("started all_nested.sh").count(), 1);
}

#[test]
fn the_last_plan_decides_whether_something_has_failed() {
    for (before, after, status) in [("#!/opt/none/ruby\n", "#!/bin/sh\n", 0), ("#!/bin/sh\n", "#!/opt/none/ruby\n", 1)]
    {
        let staying = "#!/bin/sh\necho ready\nuntil [ -e go ]; do sleep 0.02; done\n";
        let sandbox = Sandbox::with([("all_x.rb", before), ("all_staying.sh", staying)]);
        let running = sandbox.launcher(["run", "plugins"]).start();
        running.wait_for_stdout("[all_staying.sh] ready");
        sandbox.plugin("all_x.rb", after);
        running.signal("HUP");
        running.wait_for_stdout("[launcher] reloaded: ");
        sandbox.write("go", "");
        assert_eq!(running.wait().status.code(), Some(status), "{before:?}, then {after:?}");
    }
}

#[test]
fn a_changed_file_runs_as_it_is_now() {
    // Longer than what is looked at for the first line.
    let plugin = |shell: &str, version: &str| {
        format!("#!/bin/{shell}\n: {}\necho \"{version} $0\"\nexec sleep 1000\n", "x".repeat(10_000))
    };
    let sandbox = Sandbox::with([("all_end.sh", &*plugin("sh", "v1")), ("all_head.sh", &*plugin("sh", "v1"))]);
    let running = sandbox.run_json(&[]).start();
    running.wait_for_event("output", "all_end.sh");
    running.wait_for_event("output", "all_head.sh");
    sandbox.plugin("all_end.sh", plugin("sh", "v2"));
    sandbox.plugin("all_head.sh", plugin("bash", "v1"));
    running.signal("HUP");
    let is_output = |name: &'static str| move |record: &Json| record["event"] == "output" && record["plugin"] == name;
    let output = running.wait_for_records("the end has changed", 2, is_output("all_end.sh"));
    assert!(output[1]["message"].text().starts_with("v2 "), "{output:?}");
    let is_start = |record: &Json| record["event"] == "started" && record["plugin"] == "all_head.sh";
    let started = running.wait_for_records("the interpreter has changed", 2, is_start);
    assert_eq!(started[1]["command"].texts()[0], "/bin/bash", "{started:?}");
}

#[test]
fn how_the_log_is_written_stays_as_it_is_and_what_is_wrong_is_said() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho error >&2\nexec sleep 1000\n")]);
    sandbox.write("lmcache.yaml", "extra_config: {}\n");
    let running = sandbox.launcher(["run", "--config", "lmcache.yaml", "plugins"]).start();
    running.wait_for_stdout("[all_x.sh] error\n");
    let settings = ["stderr: separate", "format: json", "quiet: true", "restrat: always"];
    let lines = settings.map(|setting| format!("  plugin.launcher.{setting}\n")).concat();
    sandbox.write("lmcache.yaml", format!("extra_config:\n{lines}"));
    running.signal("HUP");
    wait_for("it runs again", || running.stdout().matches("[all_x.sh] error\n").count() == 2);
    running.wait_for_stdout("[launcher] reloaded: ");
    running.wait_for_stdout("did you mean `plugin.launcher.restart`?");
    assert_eq!(running.stderr(), "");
}
