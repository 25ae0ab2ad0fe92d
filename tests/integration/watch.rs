//! `--watch`: what changes on disk is a reload, however it changes, and what does not matter is none.

use std::fs;
use std::time::{Duration, Instant};

use crate::namespace;
use crate::processes;
use crate::sandbox::{self, Launch, Running, Sandbox, wait_for};

/// Says which version it is, and stays.
fn plugin(version: &str) -> String {
    format!("#!/bin/sh\necho '{version} here'\nexec sleep 1000\n")
}

/// `run --watch`, these words.
fn watch<'s>(sandbox: &'s Sandbox, words: &[&str]) -> Launch<'s> {
    sandbox.launcher(["run", "--watch", "--grace-period", "20"]).args(words)
}

/// Waits until the plugin has said that this version of it runs.
#[track_caller]
fn runs(running: &Running, name: &str, version: &str) {
    running.wait_for_stdout(&format!("[{name}] {version} here\n"));
}

fn reloads(running: &Running) -> usize {
    running.stdout().matches("[launcher] reloaded: ").count()
}

/// Waits until the launcher has not woken up for as long as a change needs to become a reload.
fn wait_for_rest(running: &Running) {
    processes::wait_for_rest(&[running.pid(), running.supervisor()], Duration::from_millis(1300));
}

/// Another content by another name, which then takes the place.
fn rename_over(sandbox: &Sandbox, relative: &str, content: &str) {
    sandbox.write(format!("{relative}.new~"), content);
    fs::rename(sandbox.path(format!("{relative}.new~")), sandbox.path(relative)).expect("renamed");
}

#[test]
fn every_way_to_save_a_plugin_is_taken_up() {
    let sandbox = Sandbox::with([("all_x.sh", &*plugin("v1")), ("all_same.sh", &plugin("same"))]);
    let running = watch(&sandbox, &["plugins"]).start();
    runs(&running, "all_x.sh", "v1");
    // In place.
    sandbox.plugin("all_x.sh", plugin("v2"));
    runs(&running, "all_x.sh", "v2");
    rename_over(&sandbox, "plugins/all_x.sh", &plugin("v3"));
    runs(&running, "all_x.sh", "v3");
    // The old one is kept as a backup, and a new file is written.
    fs::rename(sandbox.path("plugins/all_x.sh"), sandbox.path("plugins/all_x.sh~")).expect("renamed");
    sandbox.plugin("all_x.sh", plugin("v4"));
    runs(&running, "all_x.sh", "v4");
    // By a link to elsewhere, and that is changed.
    sandbox.write("elsewhere/x", plugin("v5"));
    sandbox.link("../elsewhere/x", "plugins/link");
    fs::rename(sandbox.path("plugins/link"), sandbox.path("plugins/all_x.sh")).expect("renamed");
    runs(&running, "all_x.sh", "v5");
    sandbox.write("elsewhere/x", plugin("v6"));
    runs(&running, "all_x.sh", "v6");
    sandbox.plugin("all_new.sh", plugin("new"));
    runs(&running, "all_new.sh", "new");
    fs::remove_file(sandbox.path("plugins/all_new.sh")).expect("removed");
    running.wait_for_stdout("[launcher] exited all_new.sh");
    // To elsewhere, as a whole.
    sandbox.plugin("all_away.sh", plugin("here"));
    runs(&running, "all_away.sh", "here");
    fs::rename(sandbox.path("plugins/all_away.sh"), sandbox.path("away")).expect("moved");
    running.wait_for_stdout("[launcher] exited all_away.sh");
    // What makes a program a plugin is its mode.
    let echo = ["/bin/echo", "/usr/bin/echo"].into_iter().find_map(|path| fs::read(path).ok()).expect("echo is there");
    let before = reloads(&running);
    sandbox.plugin("all_tool", echo);
    wait_for("it is no plugin yet", || reloads(&running) > before);
    assert!(!running.stdout().contains("started all_tool"));
    sandbox.mode("plugins/all_tool", 0o755);
    running.wait_for_stdout("[launcher] started all_tool");
    assert_eq!(running.stdout().matches("[all_same.sh] same").count(), 1);
    running.signal("TERM");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn changes_that_the_kernel_had_to_leave_out_are_taken_up() {
    let sandbox = Sandbox::with([("all_x.sh", &*plugin("v1"))]);
    sandbox.plugin(".a", "");
    let running = watch(&sandbox, &["plugins"]).start();
    runs(&running, "all_x.sh", "v1");
    let supervisor = running.supervisor();
    sandbox::send("STOP", &[supervisor]);
    wait_for("it is stopped", || processes::read(supervisor).is_some_and(|process| process.state == 'T'));
    // More than the kernel keeps, none of which matters: two for each of these.
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("a figure");
    let most: usize = most.trim().parse().expect("a number");
    let [a, b] = ["plugins/.a", "plugins/.b"].map(|name| sandbox.path(name));
    for _ in 0..most / 4 + 1 {
        fs::rename(&a, &b).and_then(|()| fs::rename(&b, &a)).expect("renamed");
    }
    sandbox.plugin("all_x.sh", plugin("v2"));
    sandbox::send("CONT", &[supervisor]);
    runs(&running, "all_x.sh", "v2");
}

#[test]
fn without_it_nothing_is_taken_up_until_somebody_asks() {
    let sandbox = Sandbox::with([("all_x.sh", &*plugin("v1"))]);
    let plain = sandbox.launcher(["run", "plugins"]).start();
    let running = watch(&sandbox, &["plugins"]).start();
    runs(&plain, "all_x.sh", "v1");
    runs(&running, "all_x.sh", "v1");
    sandbox.plugin("all_x.sh", plugin("v2"));
    runs(&running, "all_x.sh", "v2");
    assert_eq!(reloads(&plain), 0);
    plain.signal("HUP");
    runs(&plain, "all_x.sh", "v2");
}

#[test]
fn the_configuration_and_what_it_names_are_watched() {
    let sandbox = Sandbox::new();
    sandbox.write("one/all_one.sh", plugin("v1"));
    sandbox.write("two.sh", plugin("v1"));
    sandbox.write("etc/lmcache.yaml", "runtime_plugin_locations: [one]\nextra_config: {plugin.launcher.watch: true}\n");
    sandbox.write("etc/extra.json", "{\"a\": 1}");
    let launch = sandbox.launcher(["run", "--extra-config", "@etc/extra.json"]);
    let running = launch.env("LMCACHE_CONFIG_FILE", "etc/lmcache.yaml").start();
    runs(&running, "all_one.sh", "v1");
    // A broken one is told, twice as well, and the next is taken up.
    sandbox.write("etc/lmcache.yaml", "runtime_plugin_locations: [one\n");
    running.wait_for_stdout("not reloaded, nothing was changed");
    sandbox.write("etc/lmcache.yaml", "runtime_plugin_locations: [one,\n");
    let times_refused = || running.stdout().matches("not reloaded, nothing was changed").count();
    wait_for("it is told again", || times_refused() == 2);
    // Meanwhile the locations from before are watched.
    rename_over(&sandbox, "one/all_one.sh", &plugin("v2"));
    wait_for("it is told once more", || times_refused() == 3);
    let text = "runtime_plugin_locations: [two.sh]\nextra_config: {plugin.launcher.watch: true}\n";
    rename_over(&sandbox, "etc/lmcache.yaml", text);
    runs(&running, "two.sh", "v1");
    // A file that is a location, and the file of the option.
    rename_over(&sandbox, "two.sh", &plugin("v2"));
    runs(&running, "two.sh", "v2");
    sandbox.write("etc/extra.json", "{\"a\": 2}");
    wait_for("all restart", || running.stdout().matches("[two.sh] v2 here").count() == 2);
    // Nobody else's files in those directories matter.
    let before = reloads(&running);
    sandbox.write("etc/other.yaml", "");
    sandbox.write("other.sh", plugin("v1"));
    wait_for_rest(&running);
    assert_eq!(reloads(&running), before);
}

/// What kubelet does to update the files of a volume.
fn swap_data(sandbox: &Sandbox, volume: &str, generation: &str, files: &[(&str, &str)]) {
    for (name, content) in files {
        sandbox.write(format!("{volume}/..{generation}/{name}"), content);
        if fs::symlink_metadata(sandbox.path(format!("{volume}/{name}"))).is_err() {
            sandbox.link(format!("..data/{name}"), format!("{volume}/{name}"));
        }
    }
    let before = fs::read_link(sandbox.path(format!("{volume}/..data"))).ok();
    sandbox.link(format!("..{generation}"), format!("{volume}/..data_tmp"));
    fs::rename(sandbox.path(format!("{volume}/..data_tmp")), sandbox.path(format!("{volume}/..data")))
        .expect("swapped");
    if let Some(before) = before {
        fs::remove_dir_all(sandbox.path(volume).join(before)).expect("the old one is removed");
    }
}

#[test]
fn a_swap_of_kubernetes_data_is_taken_up_under_program() {
    let sandbox = Sandbox::new();
    let [v1, v2, v3] = ["v1", "v2", "v3"].map(plugin);
    let config = |size: u32| format!("chunk_size: {size}\n");
    swap_data(&sandbox, "volume", "1", &[("all_x.sh", &v1)]);
    swap_data(&sandbox, "single", "1", &[("all_y.sh", &v1)]);
    swap_data(&sandbox, "etc", "1", &[("lmcache.yaml", &config(1))]);
    let words = ["--config", "etc/lmcache.yaml", "volume", "single/all_y.sh", "--", "sh", "-c", "echo begun; read end"];
    let mut running = watch(&sandbox, &words).stdin(std::process::Stdio::piped()).start();
    runs(&running, "all_x.sh", "v1");
    runs(&running, "all_y.sh", "v1");
    swap_data(&sandbox, "volume", "2", &[("all_x.sh", &v2), ("all_new.sh", &v2)]);
    runs(&running, "all_x.sh", "v2");
    runs(&running, "all_new.sh", "v2");
    assert_eq!(running.stdout().matches("[all_y.sh] v1").count(), 1);
    swap_data(&sandbox, "single", "2", &[("all_y.sh", &v3)]);
    runs(&running, "all_y.sh", "v3");
    swap_data(&sandbox, "etc", "2", &[("lmcache.yaml", &config(2))]);
    wait_for("all restart", || running.stdout().matches("[all_y.sh] v3 here").count() == 2);
    // And again: what is watched now is what is there now.
    swap_data(&sandbox, "volume", "3", &[("all_x.sh", &v3), ("all_new.sh", &v2)]);
    runs(&running, "all_x.sh", "v3");
    assert_eq!(running.stdout().matches("begun").count(), 1);
    running.write("end\n");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn new_directories_are_watched_with_all_below_them() {
    let sandbox = Sandbox::new();
    sandbox.plugin("all_x.sh", plugin("v1"));
    let running = watch(&sandbox, &["plugins"]).start();
    runs(&running, "all_x.sh", "v1");
    sandbox.plugin("a/b/all_deep.sh", plugin("v1"));
    runs(&running, "all_deep.sh", "v1");
    sandbox.plugin("a/b/all_deep.sh", plugin("v2"));
    runs(&running, "all_deep.sh", "v2");
    // Moved here as a whole.
    sandbox.write("other/c/all_moved.sh", plugin("v1"));
    fs::rename(sandbox.path("other"), sandbox.path("plugins/other")).expect("moved");
    runs(&running, "all_moved.sh", "v1");
    rename_over(&sandbox, "plugins/other/c/all_moved.sh", &plugin("v2"));
    runs(&running, "all_moved.sh", "v2");
    // What is hidden is not searched.
    let before = reloads(&running);
    sandbox.plugin(".git/all_y.sh", plugin("v1"));
    sandbox.plugin(".all_x.sh.swp", "");
    wait_for_rest(&running);
    assert_eq!(reloads(&running), before);
}

#[test]
fn a_location_that_comes_back_runs_again() {
    let sandbox = Sandbox::new();
    sandbox.write("deep/down/plugins/all_x.sh", plugin("v1"));
    let mut running = watch(&sandbox, &["deep/down/plugins"]).start();
    runs(&running, "all_x.sh", "v1");
    fs::remove_dir_all(sandbox.path("deep/down")).expect("removed");
    running.wait_for_stdout("[launcher] exited all_x.sh");
    // Nothing runs, and it waits for more.
    wait_for("it has reloaded", || reloads(&running) > 0);
    wait_for_rest(&running);
    assert!(running.is_running());
    sandbox.write("deep/down/plugins/all_x.sh", plugin("v2"));
    runs(&running, "all_x.sh", "v2");
    fs::rename(sandbox.path("deep"), sandbox.path("away")).expect("moved");
    sandbox.write("deep/down/plugins/all_x.sh", plugin("v3"));
    runs(&running, "all_x.sh", "v3");
    running.signal("TERM");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn nothing_to_run_is_no_reason_to_end() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho over\n")]);
    let mut running = watch(&sandbox, &["plugins"]).start();
    running.wait_for_stdout("exited all_x.sh");
    wait_for_rest(&running);
    assert!(running.is_running());
    sandbox.plugin("all_x.sh", plugin("v2"));
    runs(&running, "all_x.sh", "v2");
}

#[test]
fn a_storm_among_ten_thousand_files_is_few_reloads() {
    let sandbox = Sandbox::with([("all_x.sh", &*plugin("v1"))]);
    for index in 0..10_000 {
        sandbox.plugin(format!("data/{index}.txt"), "");
    }
    let running = watch(&sandbox, &["--quiet", "--control", "s", "plugins"]).start();
    runs(&running, "all_x.sh", "v1");
    // Longer than the ten seconds after which it is time in any case.
    let begun = Instant::now();
    let mut index = 0;
    let uptime = || {
        let status = sandbox.launcher(["status", "--control", "s", "--format", "json", "all_x.sh"]).output();
        status.records()[0]["uptime"].number()
    };
    let before = uptime();
    sandbox.plugin("all_new.sh", plugin("new"));
    wait_for("it is taken up although it is never quiet", || {
        for _ in 0..100 {
            index = (index + 1) % 10_000;
            sandbox.plugin(format!("data/{index}.txt"), "changed");
        }
        running.stdout().contains("[all_new.sh] new here")
    });
    assert!(begun.elapsed() > Duration::from_secs(9), "{:?}", begun.elapsed());
    // Whoever did not change was left alone, and the launcher answered all the while.
    assert!(uptime() > before + 9.0);
}

#[test]
fn out_of_watches_it_warns_once_and_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.plugin("all_x.sh", plugin("v1"));
    for index in 0..20 {
        sandbox.plugin(format!("d{index}/all_{index}.sh"), plugin("v1"));
    }
    let script = "echo 5 >/proc/sys/user/max_inotify_watches && exec \"$LAUNCHER\" run --watch plugins";
    let running = namespace::command(&sandbox, &["--user", "--map-root-user"], &["sh", "-c", script]).start();
    runs(&running, "all_x.sh", "v1");
    running.wait_for_stdout("[launcher] warning: --watch sees not every change: ");
    // What it has is watched on.
    sandbox.plugin("all_x.sh", plugin("v2"));
    runs(&running, "all_x.sh", "v2");
    assert_eq!(running.stdout().matches("--watch sees not every change").count(), 1);
}

#[test]
fn at_rest_nothing_wakes_up() {
    let sandbox = Sandbox::with([("all_x.sh", &*plugin("v1"))]);
    let running = watch(&sandbox, &["--control", "s", "plugins"]).start();
    runs(&running, "all_x.sh", "v1");
    assert_eq!(sandbox.launcher(["status", "--control", "s"]).output().status.code(), Some(0));
    wait_for_rest(&running);
    // A change of what matters is what wakes it.
    let seen = processes::context_switches(running.supervisor());
    sandbox.plugin("all_x.sh", plugin("v2"));
    wait_for("it has woken up", || processes::context_switches(running.supervisor()) > seen);
}

#[test]
fn a_reload_switches_it_on_and_off() {
    let sandbox = Sandbox::with([("all_x.sh", &*plugin("v1"))]);
    let configuration = |is_watching: bool| format!("extra_config: {{plugin.launcher.watch: {is_watching}}}\n");
    sandbox.write("lmcache.yaml", configuration(false));
    let words = ["run", "--config", "lmcache.yaml", "--grace-period", "20", "--control", "s", "plugins"];
    let running = sandbox.launcher(words).start();
    runs(&running, "all_x.sh", "v1");
    let reload = || assert_eq!(sandbox.launcher(["reload", "--control", "s"]).output().status.code(), Some(0));
    let runs_again = |line: &str| wait_for(line, || running.stdout().matches(line).count() == 2);
    sandbox.write("lmcache.yaml", configuration(true));
    reload();
    runs_again("[all_x.sh] v1 here");
    rename_over(&sandbox, "plugins/all_x.sh", &plugin("v2"));
    runs(&running, "all_x.sh", "v2");
    rename_over(&sandbox, "lmcache.yaml", &configuration(false));
    runs_again("[all_x.sh] v2 here");
    assert_eq!(reloads(&running), 3);
    rename_over(&sandbox, "plugins/all_x.sh", &plugin("v3"));
    wait_for_rest(&running);
    assert_eq!(reloads(&running), 3);
}

#[test]
fn a_location_may_be_behind_many_links() {
    // As many as the kernel follows, each of which may be changed.
    let sandbox = Sandbox::with([("all_x.sh", &*plugin("v1"))]);
    sandbox.link("plugins", "0");
    (1..40).for_each(|n| sandbox.link(format!("{}", n - 1), format!("{n}")));
    let running = watch(&sandbox, &["39"]).start();
    runs(&running, "all_x.sh", "v1");
    sandbox.write("other/all_x.sh", plugin("v2"));
    sandbox.link("other", "new");
    fs::rename(sandbox.path("new"), sandbox.path("0")).expect("another target");
    runs(&running, "all_x.sh", "v2");
}
