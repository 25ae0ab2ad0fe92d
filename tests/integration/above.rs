//! A plugin that starts a launcher on what a launcher above it runs would do so for ever: that is refused.

use crate::sandbox::Sandbox;

/// Starts a launcher on the location, unless it is itself below one that a plugin started.
fn starts_launcher(location: &str) -> String {
    format!(
        "#!/bin/sh\n[ -z \"$BELOW\" ] || {{ echo endless; exit 0; }}\nexport BELOW=1\n\
         \"$LMCACHE_PLUGIN_LAUNCHER_BIN\" run {location} && echo ran || echo \"status $?\"\n"
    )
}

#[test]
fn what_a_launcher_above_runs_is_refused() {
    for location in ["plugins", "./plugins/../plugins"] {
        let sandbox = Sandbox::with([("all_x.sh", &*starts_launcher(location))]);
        let done = sandbox.launcher(["run", "plugins"]).output();
        let lines = done.lines_of("all_x.sh");
        let refusal = format!("lmcache-plugin-launcher: `{location}` is run already by a launcher above this one; ");
        assert!(lines[0].starts_with(&refusal), "{lines:?}");
        assert_eq!(lines[1..], ["status 2"]);
    }
}

#[test]
fn it_is_refused_at_any_depth() {
    let sandbox = Sandbox::with([("all_x.sh", &*starts_launcher("between"))]);
    sandbox.write("between/all_y.sh", "#!/bin/sh\n\"$LMCACHE_PLUGIN_LAUNCHER_BIN\" run plugins\necho \"status $?\"\n");
    let log = sandbox.launcher(["run", "plugins"]).output().text();
    assert!(log.contains("`plugins` is run already") && log.contains("] [all_y.sh] status 2\n"), "{log}");
    assert!(!log.contains("endless"), "{log}");
}

#[test]
fn other_locations_are_run() {
    let sandbox = Sandbox::with([("all_x.sh", &*starts_launcher("other"))]);
    sandbox.write("other/all_y.sh", "#!/bin/sh\necho here\n");
    let lines = sandbox.launcher(["run", "plugins"]).output().lines_of("all_x.sh");
    assert!(
        lines.contains(&"[all_y.sh] here".to_owned()) && lines.last().is_some_and(|line| line == "ran"),
        "{lines:?}"
    );
}

#[test]
fn what_a_reload_adds_is_refused_below_from_then_on() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nexec sleep 1000\n")]);
    sandbox.write("added/all_y.sh", starts_launcher("added"));
    sandbox.write("lmcache.yaml", "plugin_locations: [plugins]\n");
    let running = sandbox.launcher(["run", "--config", "lmcache.yaml"]).start();
    running.wait_for_stdout("started all_x.sh");
    sandbox.write("lmcache.yaml", "plugin_locations: [plugins, added]\n");
    running.signal("HUP");
    running.wait_for_stdout("[all_y.sh] status 2\n");
    assert!(!running.stdout().contains("endless"), "{}", running.stdout());
}
