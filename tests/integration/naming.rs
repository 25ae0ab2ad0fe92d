//! `<ROLE>[_<WORKER_ID>][_<DESCRIPTION>].<EXTENSION>`: where a plugin runs, row by row of the table.

use crate::sandbox::Sandbox;

/// Asserts for each name whether it runs with these options.
#[track_caller]
fn assert_runs(options: &[&str], expected: &[(&str, bool)]) {
    let sandbox = Sandbox::with(expected.iter().map(|(name, _)| (*name, "#!/bin/sh\n")));
    let running = sandbox.names_to_run(options);
    for (name, runs) in expected {
        let found = running.iter().any(|running| running == name);
        assert_eq!(found, *runs, "{name} runs with {options:?}; of all: {running:?}");
    }
}

#[test]
fn a_role_scopes_a_plugin() {
    assert_runs(
        &["--role", "worker"],
        &[
            ("scheduler_foo_plugin.py", false),
            ("scheduler.py", false),
            ("worker_test.sh", true),
            ("worker.sh", true),
            ("all_plugin.sh", true),
            ("all.sh", true),
            ("heartbeat.py", true),
            ("my_tool.py", false),
        ],
    );
    assert_runs(
        &["--role", "scheduler", "--worker-id", "-1"],
        &[("scheduler_foo_plugin.py", true), ("scheduler.py", true), ("worker_test.sh", false), ("worker.sh", false)],
    );
}

#[test]
fn a_worker_id_scopes_a_plugin() {
    let names = ["worker_0_test.sh", "worker_0.sh", "worker_1_test.sh", "worker_2.sh", "all_0_x.sh", "all_2_x.sh"];
    let on = |id: &'static str, runs: [bool; 6]| {
        let expected: Vec<_> = names.into_iter().zip(runs).collect();
        assert_runs(&["--role", "worker", "--worker-id", id], &expected);
    };
    on("0", [true, true, false, false, true, false]);
    on("1", [false, false, true, false, false, false]);
    on("2", [false, false, false, true, false, true]);
    on("-1", [false; 6]);
}

#[test]
fn the_worker_id_is_0_unless_told() {
    assert_runs(&["--role", "worker"], &[("worker_0_x.sh", true), ("worker_1_x.sh", false)]);
}

#[test]
fn all_with_a_worker_id_means_any_role_with_that_id() {
    for role in ["worker", "scheduler", "my"] {
        assert_runs(&["--role", role, "--worker-id", "2"], &[("all_2_x.sh", true), ("all_1_x.sh", false)]);
    }
}

#[test]
fn case_does_not_matter() {
    for role in ["worker", "WORKER", "WoRkEr"] {
        let expected = [("WORKER_0_TEST.sh", true), ("Worker.sh", true), ("ALL_x.sh", true), ("Scheduler_x.sh", false)];
        assert_runs(&["--role", role], &expected);
    }
}

#[test]
fn the_role_in_force_is_known() {
    assert_runs(&["--role", "my"], &[("my_tool.py", true), ("my_0_tool.py", true), ("my_1_tool.py", false)]);
    assert_runs(&["--role", "my"], &[("my.py", true), ("worker.py", false), ("other_tool.py", false)]);
    // It is taken as it is given.
    assert_runs(&["--role", " worker"], &[("worker_x.sh", false), (" worker_x.sh", true)]);
}

#[test]
fn only_ascii_digits_are_a_worker_id() {
    let descriptions = ["worker_-1_x.sh", "worker_1a_x.sh", "worker_v2_x.sh", "worker_\u{663}_x.sh", "worker_+1.sh"];
    assert_runs(&["--role", "worker"], &descriptions.map(|name| (name, true)));
}

#[test]
fn leading_zeros_of_a_worker_id_are_allowed() {
    let expected =
        [("worker_007_x.sh", true), ("worker_7.sh", true), ("worker_0007.sh", true), ("worker_70.sh", false)];
    assert_runs(&["--role", "worker", "--worker-id", "7"], &expected);
}

#[test]
fn a_worker_id_too_large_to_be_a_number_matches_nobody_and_is_reported() {
    let name = "worker_123456789012345678901234567890_x.sh";
    let sandbox = Sandbox::with([(name, "#!/bin/sh\necho ran\n"), ("worker_x.sh", "#!/bin/sh\necho ran\n")]);
    assert_eq!(sandbox.names_to_run(&["--role", "worker"]), ["worker_x.sh"]);
    let listed = sandbox.list(&["--role", "worker"]);
    let record = listed.iter().find(|record| record["name"] == name).expect("it is listed");
    assert!(!record["reason"].text().is_empty());
    let checked = sandbox.launcher(["check", "--role", "worker", "plugins"]).output();
    assert_eq!(checked.status.code(), Some(1), "check reports it");
}

#[test]
fn without_a_role_every_plugin_runs() {
    let names = ["scheduler_x.sh", "worker_5_x.sh", "all_2_x.sh", "my_tool.sh", "heartbeat.sh"];
    assert_runs(&[], &names.map(|name| (name, true)));
    assert_runs(&["--role", ""], &names.map(|name| (name, true)));
}

#[test]
fn list_says_why_a_plugin_does_not_run_and_suggests_a_near_role() {
    let sandbox = Sandbox::with([("wroker_0_x.sh", "#!/bin/sh\n"), ("scheduler_x.sh", "#!/bin/sh\n")]);
    let listed = sandbox.list(&["--role", "worker"]);
    let reason = |name: &str| {
        let record = listed.iter().find(|record| record["name"] == name).expect("it is listed");
        assert!(record["decision"] == "skip", "{name}: {record:?}");
        record["reason"].text()
    };
    assert_eq!(reason("wroker_0_x.sh"), "for role wroker; this is worker; did you mean `worker_0_x.sh`?");
    assert_eq!(reason("scheduler_x.sh"), "for role scheduler; this is worker");
}

#[test]
fn list_as_text_has_a_row_for_each_file() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n"), ("scheduler_x.sh", "#!/bin/sh\n")]);
    let done = sandbox.launcher(["list", "--role", "worker", "plugins"]).output();
    assert_eq!(done.status.code(), Some(0));
    for (name, decision) in [("all_x.sh", "run"), ("scheduler_x.sh", "skip")] {
        let text = done.text();
        let row = text.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("a row for {name}: {text}"));
        assert!(row.contains(decision), "{row}");
    }
    assert!(!sandbox.path("started").exists(), "list starts nothing");
}
