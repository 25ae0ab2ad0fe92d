//! `check`: everything that is wrong, one line each, and the status says so.

use std::process::Stdio;

use crate::sandbox::{Output, Sandbox};

const SHELL: &str = "#!/bin/sh\n";

fn check(sandbox: &Sandbox, options: &[&str]) -> Output {
    sandbox.launcher(["check"]).args(options).args(["plugins"]).output()
}

/// Asserts that the check fails with a line that has all of these.
#[track_caller]
fn assert_wrong(done: &Output, mentions: &[&str]) {
    assert_eq!(done.status.code(), Some(1), "something is wrong: {} {}", done.text(), done.stderr);
    let text = done.text();
    let found = text.lines().any(|line| mentions.iter().all(|mention| line.contains(mention)));
    assert!(found, "a line with {mentions:?}: {text}");
}

#[test]
fn nothing_wrong_is_status_0() {
    let sandbox =
        Sandbox::with([("all_x.sh", SHELL), ("worker_0_y.py", "#!/usr/bin/env python3\n"), ("notes.txt", "-")]);
    let done = check(&sandbox, &["--role", "worker"]);
    assert_eq!(done.status.code(), Some(0), "{}", done.text());
    // A plugin for another role is no mistake.
    sandbox.plugin("scheduler_z.sh", SHELL);
    assert_eq!(check(&sandbox, &["--role", "worker"]).status.code(), Some(0));
}

#[test]
fn check_starts_nothing() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    check(&sandbox, &[]);
    assert!(!sandbox.path("started").exists());
}

#[test]
fn a_missing_location() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    assert_wrong(&check(&sandbox, &["nowhere"]), &["nowhere"]);
}

#[test]
fn a_missing_interpreter_and_its_fallback() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/opt/none/zsh\n")]);
    assert_wrong(&check(&sandbox, &[]), &["all_x.sh", "/opt/none/zsh", "bash"]);
    let sandbox = Sandbox::with([("all_x.rb", "#!/opt/none/ruby\n")]);
    assert_wrong(&check(&sandbox, &[]), &["all_x.rb", "/opt/none/ruby"]);
}

#[test]
fn an_interpreter_that_env_cannot_find() {
    let sandbox = Sandbox::with([("all_x.py", "#!/usr/bin/env no-such-python\n")]);
    assert_wrong(&check(&sandbox, &[]), &["all_x.py", "no-such-python"]);
}

#[test]
fn crlf_or_a_byte_order_mark_in_the_first_line() {
    let sandbox = Sandbox::with([("all_crlf.sh", "#!/bin/sh\r\n")]);
    assert_wrong(&check(&sandbox, &[]), &["all_crlf.sh", "CR"]);
    let sandbox = Sandbox::with([("all_bom.sh", "\u{feff}#!/bin/sh\n")]);
    assert_wrong(&check(&sandbox, &[]), &["all_bom.sh", "byte order mark"]);
}

#[test]
fn no_first_line() {
    let sandbox = Sandbox::with([("all_x.sh", "echo here\n")]);
    assert_wrong(&check(&sandbox, &[]), &["all_x.sh", "#!"]);
}

#[test]
fn a_worker_id_not_below_the_worker_count() {
    let sandbox = Sandbox::with([("worker_4_x.sh", SHELL), ("worker_3_y.sh", SHELL)]);
    let done = check(&sandbox, &["--role", "worker", "--worker-count", "4"]);
    assert_wrong(&done, &["worker_4_x.sh", "4"]);
}

#[test]
fn a_first_part_that_is_nearly_a_role() {
    let sandbox = Sandbox::with([("wroker_0_x.sh", SHELL)]);
    assert_wrong(&check(&sandbox, &["--role", "worker"]), &["wroker_0_x.sh", "did you mean", "worker"]);
}

#[test]
fn a_role_that_is_joined_otherwise_or_cut_short() {
    for (name, meant) in [
        ("scheduler-x.sh", "scheduler_x.sh"),
        ("worker.0.sh", "worker_0.sh"),
        ("worker0.sh", "worker_0.sh"),
        ("schedulers.sh", "scheduler.sh"),
        ("sched.sh", "scheduler.sh"),
        ("wroker_x.sh", "worker_x.sh"),
    ] {
        let sandbox = Sandbox::with([(name, SHELL)]);
        for role in ["worker", "scheduler", ""] {
            assert_wrong(&check(&sandbox, &["--role", role]), &[name, &format!("did you mean `{meant}`?")]);
        }
    }
    for name in ["docker.sh", "call_home.sh", "allocate.sh", "heartbeat.py", "all-x.sh"] {
        let sandbox = Sandbox::with([(name, "#!/bin/sh\n")]);
        let done = check(&sandbox, &["--role", "worker"]);
        assert_eq!(done.status.code(), Some(0), "{}", done.text());
    }
}

#[test]
fn copies_templates_and_parts_of_packages() {
    for name in ["x.sh.old", "x.sh.1", "x.py,v", "x.sh.j2", "x.py.sample", "all_x.sh.swo", "__init__.py"] {
        let sandbox = Sandbox::with([(name, SHELL)]);
        assert_wrong(&check(&sandbox, &[]), &[name, "elsewhere"]);
        assert!(sandbox.names_to_run(&[]).is_empty(), "{name}");
        // Who names the file itself means it.
        let done = sandbox.launcher(["run", &format!("plugins/{name}")]).output();
        assert!(done.text().contains(&format!("[launcher] started {name} (pid ")), "{name}: {}", done.text());
    }
}

#[test]
fn env_with_two_words() {
    let sandbox = Sandbox::with([("all_x.pl", "#!/usr/bin/env perl -w\n")]);
    assert_wrong(&check(&sandbox, &[]), &["all_x.pl", "write #!/usr/bin/env -S perl -w"]);
}

#[test]
fn a_worker_count_below_1() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    for count in ["0", "-3"] {
        assert_wrong(&check(&sandbox, &["--worker-count", count]), &["worker count", count]);
    }
}

#[test]
fn a_configuration_that_was_named_as_a_location() {
    let sandbox = Sandbox::with([("lmcache.yaml", "plugin_locations: [x]\n")]);
    assert_wrong(&check(&sandbox, &["plugins/lmcache.yaml"]), &["lmcache.yaml", "--config"]);
}

#[test]
fn an_empty_directory_is_said_and_no_mistake() {
    let sandbox = Sandbox::new();
    let done = check(&sandbox, &[]);
    assert_eq!((done.status.code(), done.text().as_str()), (Some(0), "0 files, 0 run here, 0 problems\n"));
    assert!(sandbox.list(&[]).is_empty(), "a record for each file, and there is none");
    let done = sandbox.launcher(["run", "plugins"]).output();
    assert!(done.text().contains("skipped plugins: an empty directory"), "{}", done.text());
}

#[test]
fn an_environment_that_the_kernel_refuses() {
    // The launcher and what it starts have the same variables in all three runs, but for the configuration.
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nwc -c </proc/$$/environ\n")]);
    let script = "ulimit -s 256; exec \"$LAUNCHER\" \"$0\" --config lmcache.json plugins";
    sandbox.write("lmcache.json", "{}");
    let done = sandbox.command("bash", ["-c", script, "run"]).output();
    let all: usize = done.lines_of("all_x.sh")[0].trim().parse().expect("a number");
    let rest = all - 2 * "{}".len();
    sandbox.write("lmcache.json", format!("{{\"extra_config\": {{\"a\": \"{}\"}}}}", "x".repeat(100_000)));
    assert_wrong(
        &sandbox.command("bash", ["-c", script, "check"]).output(),
        &["2 times 100025", "the other variables"],
    );
    let done = sandbox.command("bash", ["-c", script, "run"]).output();
    assert_eq!(done.status.code(), Some(1));
    let sizes = format!("2 times 100025, and the other variables {rest}; shorten either");
    assert!(done.text().contains(&sizes), "{rest}: {}", done.text());
}

#[test]
fn a_name_that_can_never_match() {
    let sandbox = Sandbox::with([("worker_99999999999999999999999_x.sh", SHELL)]);
    assert_wrong(&check(&sandbox, &["--role", "worker"]), &["worker_99999999999999999999999_x.sh"]);
}

#[test]
fn the_same_plugin_twice() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    sandbox.link("all_x.sh", "plugins/all_y.sh");
    assert_wrong(&check(&sandbox, &[]), &["all_y.sh", "the same file as plugins/all_x.sh, which comes first"]);
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    assert_wrong(&check(&sandbox, &["plugins/all_x.sh"]), &["all_x.sh"]);
}

#[test]
fn a_plugin_or_directory_that_others_can_write_while_we_are_root() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL), ("sub/all_y.sh", SHELL)]);
    let is_root = sandbox.command("id", ["-u"]).output().text().trim() == "0";
    sandbox.mode("plugins/all_x.sh", 0o666);
    let judge = |done: Output, mention: &str| match is_root {
        true => assert_wrong(&done, &[mention, "writ"]),
        false => assert_eq!(done.status.code(), Some(0), "an ordinary user's own affair"),
    };
    judge(check(&sandbox, &[]), "all_x.sh");
    sandbox.mode("plugins/all_x.sh", 0o644);
    assert_eq!(check(&sandbox, &[]).status.code(), Some(0));
    sandbox.mode("plugins/sub", 0o777);
    judge(check(&sandbox, &[]), "sub");
}

#[test]
fn a_configuration_too_large_for_the_environment() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    sandbox.write("lmcache.json", format!("{{\"extra_config\": {{\"a\": \"{}\"}}}}", "x".repeat(140_000)));
    let done = check(&sandbox, &["--config", "lmcache.json"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(done.text().replace(',', "").contains("131072"), "{}", done.text());
}

#[test]
fn a_malformed_configuration_is_status_2() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    sandbox.write("lmcache.yaml", "a: [\n");
    check(&sandbox, &["--config", "lmcache.yaml"]).assert_refused(&["lmcache.yaml:"]);
}

#[test]
fn json_for_pipelines() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL), ("all_gone.rb", "#!/opt/none/ruby\n")]);
    let done = check(&sandbox, &["--format", "json", "nowhere"]);
    assert_eq!(done.status.code(), Some(1));
    let records = done.records();
    let locations: Vec<_> = records.iter().filter(|record| record.has("location")).collect();
    assert!(locations.len() == 1 && locations[0]["location"] == "nowhere" && locations[0].has("problem"));
    let gone = records.iter().find(|record| record["name"] == "all_gone.rb").expect("a record for the file");
    assert!(gone["decision"] == "error" && gone["reason"].text().contains("/opt/none/ruby"));
    let good = records.iter().find(|record| record["name"] == "all_x.sh").expect("a record for the file");
    assert!(good["decision"] == "run" && good.has("command") && good["path"] == "plugins/all_x.sh");
}

#[test]
fn several_problems_are_all_told() {
    let sandbox = Sandbox::with([
        ("all_a.rb", "#!/opt/none/ruby\n"),
        ("all_b.sh", "#!/bin/sh\r\n"),
        ("all_c.sh", "echo here\n"),
        ("wroker_0_d.sh", SHELL),
    ]);
    let done = check(&sandbox, &["--role", "worker", "nowhere"]);
    for name in ["all_a.rb", "all_b.sh", "all_c.sh", "wroker_0_d.sh", "nowhere"] {
        assert_wrong(&done, &[name]);
    }
}

#[test]
fn a_reader_that_is_gone_is_no_crash() {
    let sandbox = Sandbox::with([("all_x.sh", SHELL)]);
    for command in ["list", "check", "--help"] {
        let mut running = sandbox.launcher([command]).args(["plugins"]).unread().stdin(Stdio::null()).start();
        running.hang_up();
        let done = running.wait();
        assert!(!done.stderr.contains("panicked"), "{command}: {}", done.stderr);
        assert_ne!(done.status.code(), Some(101), "{command}");
    }
}
