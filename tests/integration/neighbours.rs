//! Plugins as good neighbours: nicer than the server, and the first that the kernel gives up.

use crate::sandbox::{Launch, Sandbox};

const PRINT: &str = "#!/bin/sh\nread stat </proc/self/stat\nset -- ${stat##*) }\necho \"nice ${17}\"\n\
                     echo \"score $(cat /proc/self/oom_score_adj)\"\n\
                     echo \"launcher $(cat /proc/$PPID/oom_score_adj)\"\n";

#[test]
fn nice_and_oom_score_are_the_plugins_own() {
    let sandbox = Sandbox::with([("all_x.sh", PRINT)]);
    let own = |launch: Launch<'_>| {
        let done = launch.output();
        assert!(!done.text().contains("warning"), "what was granted is not worth a word: {}", done.text());
        done.lines_of("all_x.sh")
    };
    let before = own(sandbox.launcher(["run", "plugins"]));
    assert_eq!(before.len(), 3);
    let after = own(sandbox.launcher(["run", "--nice", "19", "--oom-score-adj", "500", "plugins"]));
    assert_eq!(after[1], "score 500");
    assert_eq!(after[0], "nice 19");
    assert_eq!(after[2], before[2], "the score is the plugin's alone");
    assert_ne!(after[2], "launcher 500", "the control");
}

#[test]
fn an_ordinary_user_may_give_plugins_up_sooner_too() {
    let sandbox = Sandbox::with([("all_x.sh", PRINT)]);
    let options = ["run", "--nice", "19", "--oom-score-adj", "500", "plugins"];
    let done = crate::secrets::as_an_ordinary_user(&sandbox, "exec \"$0\" \"$@\"").args(options).output();
    assert_eq!(done.lines_of("all_x.sh")[..2], ["nice 19", "score 500"], "{} {}", done.text(), done.stderr);
}

#[test]
fn the_program_is_left_as_it_is() {
    let sandbox = Sandbox::with([("all_x.sh", PRINT)]);
    let options = ["run", "--quiet", "--nice", "19", "--oom-score-adj", "500", "plugins", "--"];
    let own = "cat /proc/self/oom_score_adj; nice";
    let plain = sandbox.command("sh", ["-c", own]).output().text();
    let done = sandbox.launcher(options).args(["sh", "-c", own]).output();
    let lines: Vec<_> = done.text().lines().filter(|line| !line.starts_with('[')).map(str::to_owned).collect();
    assert_eq!(lines, plain.lines().collect::<Vec<_>>());
}

#[test]
fn what_is_not_permitted_is_a_warning_and_the_plugin_runs() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ran\n")]);
    // In a user namespace of its own even root may not become less nice, or dearer to the kernel.
    let script = "\"$LAUNCHER\" run --nice -20 --oom-score-adj -1000 --format json plugins";
    let done = sandbox.command("unshare", ["--user", "sh", "-c", script]).output();
    let warnings: Vec<_> = done.events("warning").iter().map(|record| record["reason"].text()).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("--nice -20 is not permitted; it runs with "), "{warnings:?}");
    assert!(warnings[1].starts_with("--oom-score-adj -1000 is not permitted; it runs with "), "{warnings:?}");
    assert!(done.events("output").iter().any(|record| record["message"] == "ran"));
    assert_eq!(done.status.code(), Some(0));
}
