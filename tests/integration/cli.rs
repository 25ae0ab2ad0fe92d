//! The command line: commands, help, near misses, and status 2 for what cannot be meant.

use crate::sandbox::Sandbox;

const COMMANDS: [&str; 5] = ["run", "list", "check", "get", "install"];

#[test]
fn the_version_is_printed() {
    let done = Sandbox::new().launcher(["--version"]).output();
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(done.text(), format!("lmcache-plugin-launcher {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_names_every_command() {
    let done = Sandbox::new().launcher(["--help"]).output();
    assert_eq!(done.status.code(), Some(0));
    for command in COMMANDS {
        assert!(done.text().contains(command), "--help names {command}: {}", done.text());
    }
    assert_eq!(done.stderr, "");
}

#[test]
fn each_command_has_help_of_its_own_and_starts_nothing() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    for command in COMMANDS {
        let done = sandbox.launcher([command, "--help"]).output();
        assert_eq!(done.status.code(), Some(0), "{command} --help");
        assert!(done.text().contains(&format!("lmcache-plugin-launcher {command}")), "usage of {command}");
    }
    assert!(!sandbox.path("started").exists());
}

#[test]
fn the_help_of_run_names_every_option() {
    let done = Sandbox::new().launcher(["run", "--help"]).output();
    let options = "--config --role --worker-id --worker-count --extra-config --format --quiet --stderr --restart \
                   --grace-period --parent-pid --parent-fd --nice --oom-score-adj";
    for option in options.split_whitespace() {
        assert!(done.text().contains(option), "run --help names {option}");
    }
}

#[test]
fn no_command_means_run() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho here\n")]);
    let locations = sandbox.text("plugins");
    let bare = sandbox.launcher([""; 0]).env("LMCACHE_PLUGIN_LOCATIONS", &locations).output();
    assert_eq!(bare.status.code(), Some(0));
    assert_eq!(bare.lines_of("all_x.sh"), ["here"]);

    let with_an_option_first = sandbox.launcher(["--role", "worker", "plugins"]).output();
    assert_eq!(with_an_option_first.status.code(), Some(0));
    assert_eq!(with_an_option_first.lines_of("all_x.sh"), ["here"]);
}

#[test]
fn a_first_argument_that_is_neither_command_nor_option_names_the_commands() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    let done = sandbox.launcher(["plugins"]).output();
    done.assert_refused(&["plugins", "run", "list", "check", "get", "install"]);
    assert!(!sandbox.path("started").exists());
}

#[test]
fn a_mistyped_command_is_told_the_nearest() {
    for (typed, meant) in [("chekc", "check"), ("lsit", "list"), ("rnu", "run"), ("isntall", "install")] {
        let done = Sandbox::new().launcher([typed]).output();
        done.assert_refused(&[typed, meant]);
    }
}

#[test]
fn a_mistyped_option_is_told_the_nearest() {
    for (typed, meant) in [
        ("--rloe", "--role"),
        ("--wroker-id=1", "--worker-id"),
        ("--worker-cout", "--worker-count"),
        ("--grace-perod=1", "--grace-period"),
        ("--formt", "--format"),
        ("--quite", "--quiet"),
    ] {
        Sandbox::new().launcher(["run", typed]).output().assert_refused(&[meant]);
    }
}

#[test]
fn values_follow_an_equals_sign_or_a_space() {
    let sandbox = Sandbox::with([("worker_3_x.sh", "#!/bin/sh\n"), ("scheduler_x.sh", "#!/bin/sh\n")]);
    assert_eq!(sandbox.names_to_run(&["--role=worker", "--worker-id=3"]), ["worker_3_x.sh"]);
    assert_eq!(sandbox.names_to_run(&["--role", "worker", "--worker-id", "3"]), ["worker_3_x.sh"]);
}

#[test]
fn options_may_follow_locations() {
    let sandbox = Sandbox::with([("worker_x.sh", "#!/bin/sh\n"), ("scheduler_x.sh", "#!/bin/sh\n")]);
    let done = sandbox.launcher(["list", "plugins", "--role", "worker", "--format=json"]).output();
    let runs: Vec<_> = done.records().into_iter().filter(|record| record["decision"] == "run").collect();
    assert_eq!(runs.len(), 1);
    assert!(runs[0]["name"] == "worker_x.sh");
}

#[test]
fn bad_usage_is_one_line_with_status_2_and_starts_nothing() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    let cases: [(&[&str], &str); 20] = [
        (&["run", "--nonsense"], "--nonsense"),
        (&["run", "plugins", "--role"], "--role"),
        (&["run", "plugins", "--worker-id", "one"], "--worker-id"),
        (&["run", "plugins", "--worker-id", "1.5"], "--worker-id"),
        (&["run", "plugins", "--worker-id="], "--worker-id"),
        (&["run", "plugins", "--worker-count", "many"], "--worker-count"),
        (&["run", "plugins", "--format", "xml"], "--format"),
        (&["run", "plugins", "--stderr", "nowhere"], "--stderr"),
        (&["run", "plugins", "--restart", "sometimes"], "--restart"),
        (&["run", "plugins", "--grace-period", "soon"], "--grace-period"),
        (&["run", "plugins", "--grace-period", "-1"], "--grace-period"),
        (&["run", "plugins", "--grace-period", "nan"], "--grace-period"),
        (&["run", "plugins", "--parent-pid", "x"], "--parent-pid"),
        (&["run", "plugins", "--parent-fd", "-1"], "--parent-fd"),
        (&["run", "plugins", "--parent-fd", "987"], "987"),
        (&["run", "plugins", "--extra-config", "{"], "--extra-config"),
        (&["run", "plugins", "--extra-config", "[]"], "--extra-config"),
        (&["run", "plugins", "--quiet=yes"], "--quiet"),
        (&["get"], "get"),
        (&["install"], "install"),
    ];
    for (arguments, mention) in cases {
        sandbox.launcher(arguments).output().assert_refused(&["lmcache-plugin-launcher: ", mention]);
    }
    assert!(!sandbox.path("started").exists());
}

#[test]
fn fractions_of_a_second_are_allowed() {
    let sandbox = Sandbox::new();
    for seconds in ["0", "0.5", "2", "1.25"] {
        let done = sandbox.launcher(["run", "plugins", "--grace-period", seconds]).output();
        assert_eq!(done.status.code(), Some(0), "--grace-period {seconds}");
    }
}

#[test]
fn a_forgotten_dash_dash_is_asked_about() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    sandbox.write("server.py", "#!/bin/sh\ntouch started\n");
    for (arguments, meant) in [
        (&["run", "sh", "server.py"][..], "did you mean `-- sh server.py`?"),
        (&["run", "plugins", "sh", "-c"], ""),
        (&["run", "plugins", "sh"], "did you mean `-- sh`?"),
        (&["run", "--role", "worker", "sh", "server.py", "1"], "did you mean `-- sh server.py 1`?"),
    ] {
        sandbox.launcher(arguments).output().assert_refused(&[meant]);
    }
    assert!(!sandbox.path("started").exists());
    // What is there is a location, whatever it is called.
    sandbox.write("sh/all_y.sh", "#!/bin/sh\necho here\n");
    assert_eq!(sandbox.launcher(["run", "sh"]).output().lines_of("all_y.sh"), ["here"]);
}
