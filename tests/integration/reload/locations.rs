//! Locations, and directories in them, that are there and cannot be searched now: what runs from there is left alone.

use std::fs;

use super::{plugin, runs};
use crate::processes;
use crate::sandbox::Sandbox;
use crate::secrets::as_an_ordinary_user;

#[test]
fn below_a_directory_that_cannot_be_searched_all_runs_on() {
    let sandbox = Sandbox::new();
    sandbox.plugin("all_x.sh", plugin("v1"));
    sandbox.plugin("deep/all_y.sh", plugin("v1"));
    let running = as_an_ordinary_user(&sandbox, "exec \"$0\" run --grace-period 20 plugins").start();
    runs(&running, "all_x.sh", "v1");
    let pid = runs(&running, "all_y.sh", "v1");
    sandbox.mode("plugins/deep", 0);
    running.signal("HUP");
    running.wait_for_stdout("[launcher] failed plugins/deep: cannot be searched: Permission denied\n");
    running.wait_for_stdout("reloaded: 0 started, 0 restarted, 0 stopped, 2 unchanged");
    assert!(processes::is_alive(pid));
    // The control: who is gone from there is stopped.
    sandbox.mode("plugins/deep", 0o755);
    fs::remove_file(sandbox.path("plugins/deep/all_y.sh")).expect("removed");
    running.signal("HUP");
    running.wait_for_stdout("reloaded: 0 started, 0 restarted, 1 stopped, 1 unchanged");
}

#[test]
fn a_location_that_became_something_else_leaves_its_plugins_alone() {
    let sandbox = Sandbox::new();
    sandbox.plugin("all_x.sh", plugin("v1"));
    let running = sandbox.launcher(["run", "--grace-period", "20", "plugins"]).start();
    let pid = runs(&running, "all_x.sh", "v1");
    fs::rename(sandbox.path("plugins"), sandbox.path("aside")).expect("moved");
    sandbox.mkfifo("plugins");
    running.signal("HUP");
    running.wait_for_stdout("[launcher] failed plugins: neither a file nor a directory\n");
    running.wait_for_stdout("reloaded: 0 started, 0 restarted, 0 stopped, 1 unchanged");
    assert!(processes::is_alive(pid));
    // The control: of one that is gone they are stopped.
    fs::remove_file(sandbox.path("plugins")).expect("removed");
    running.signal("HUP");
    running.wait_for_stdout("reloaded: 0 started, 0 restarted, 1 stopped, 0 unchanged");
}
