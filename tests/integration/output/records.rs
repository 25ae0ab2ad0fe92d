//! The form of the log: JSON records, notices, and what `--quiet` leaves.

use super::{PIECE, assert_same, joined};
use crate::json::Json;
use crate::sandbox::{Sandbox, wait_for};

#[test]
fn json_records_have_time_event_plugin_and_their_own_fields() {
    let plugin = "#!/bin/sh\necho hello\necho \"child of $PPID\"\nexit 3\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin), ("worker_y.sh", "#!/bin/sh\nkill -TERM $$\n")]);
    sandbox.plugin("scheduler_z.sh", "#!/bin/sh\n");
    let done = sandbox.run_json(&["--role", "worker"]).output();
    assert_eq!(done.stderr, "");
    let records = done.records();
    for record in &records {
        let time = record["time"].text();
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000Z");
        let events = "started output exited failed skipped restarting stopping killed warning stopped";
        assert!(events.split(' ').any(|event| record["event"] == event), "{record:?}");
    }
    let of = |event: &str, plugin: &str| {
        let found = records.iter().find(|r| r["event"] == event && r["plugin"] == plugin);
        found.unwrap_or_else(|| panic!("{event} of {plugin}: {records:#?}")).clone()
    };
    assert!(of("started", "all_x.sh")["pid"].number() > 1.0);
    assert_eq!(of("started", "all_x.sh")["command"].texts()[0], "/bin/sh");
    assert!(of("output", "all_x.sh")["message"] == "hello");
    assert!(of("exited", "all_x.sh")["code"] == 3.0);
    assert!(of("exited", "worker_y.sh")["signal"] == 15.0);
    assert_eq!(of("skipped", "scheduler_z.sh")["reason"], "for role scheduler; this is worker");
    let at = |event: &str| records.iter().rposition(|r| r["event"] == event && r["plugin"] == "all_x.sh");
    assert!(at("started") < at("output") && at("output") < at("exited"));
}

#[test]
fn json_is_valid_for_any_bytes() {
    let plugin = "#!/usr/bin/perl\nbinmode STDOUT;\nprint pack('C', $_), \"|\\n\" for 0..255;\n\
                  print \"\\\"\\\\/\\b\\f\\t\\r \\xe2\\x82\\xac \\xf0\\x9f\\x98\\x80 \\xed\\xa0\\x80 \\xe2\\x82|\\n\";\n";
    let sandbox = Sandbox::with([("all_\"x\"\t.pl", plugin)]);
    let done = sandbox.run_json(&[]).output();
    // Python's reader is the second opinion.
    sandbox.write("log", &done.stdout);
    let judge = "import json\nfor line in open('log', 'rb'):\n    json.loads(line.decode('utf-8'))\n";
    assert_eq!(sandbox.command("python3", ["-c", judge]).output().stderr, "");

    let messages: Vec<_> = done.events("output").iter().map(|record| record["message"].text()).collect();
    for byte in (0..=255_u8).filter(|byte| *byte != b'\n') {
        let expected = String::from_utf8_lossy(&[byte]).into_owned() + "|";
        assert!(messages.contains(&expected), "byte {byte}");
    }
    let last = messages.last().expect("lines");
    assert!(last.starts_with("\"\\/\u{8}\u{c}\t\r € 😀 \u{fffd}") && last.ends_with("\u{fffd}|"), "{last:?}");
    assert!(done.events("started")[0]["plugin"] == "all_\"x\"\t.pl");
}

#[test]
fn json_marks_pieces_with_more_to_come() {
    // The euro sign lies across the border of the first two pieces.
    let plugin =
        format!("#!/usr/bin/perl\nprint 'x' x {}, \"\\xe2\\x82\\xac\", 'y' x 70000, \"\\nend\\n\";\n", PIECE - 1);
    let done = Sandbox::with([("all_x.pl", plugin.as_str())]).run_json(&[]).output();
    let records = done.events("output");
    let partial: Vec<_> = records.iter().map(|record| record["partial"] == Json::Bool(true)).collect();
    assert_eq!(partial, [true, true, false, false]);
    let expected = format!("{}€{}\nend\n", "x".repeat(PIECE - 1), "y".repeat(70000));
    assert_same(joined(&records).as_bytes(), expected.as_bytes());
}

#[test]
fn quiet_leaves_only_output_and_problems() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho here\n"), ("scheduler_y.sh", "#!/bin/sh\n")]);
    let options = ["run", "--quiet", "--role", "worker", "plugins"];
    assert_eq!(sandbox.launcher(options).output().text(), "[all_x.sh] here\n");
    sandbox.plugin("all_z.rb", "#!/opt/none/ruby\n");
    let text = sandbox.launcher(options).output().text();
    let notices: Vec<_> = text.lines().filter(|line| line.starts_with("[launcher] ")).collect();
    assert!(notices.len() == 1 && notices[0].contains("all_z.rb"), "{text}");
}

#[test]
fn quiet_says_nothing_of_what_was_asked_for() {
    let plugin = "#!/bin/sh\nexec 2>/dev/null\ntrap 'exit 9' TERM\necho ready\nwhile :; do sleep 0.02; done\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin), ("all_y.sh", plugin)]);
    let running = sandbox.launcher(["run", "--quiet", "--control", "s", "plugins"]).start();
    wait_for("both are ready", || running.stdout().matches("] ready\n").count() == 2);
    let ask = |words: &[&str]| {
        let done = sandbox.launcher(words).args(["--control", "s"]).output();
        assert_eq!(done.status.code(), Some(0), "{words:?}: {}", done.stderr);
    };
    ask(&["restart", "all_x.sh"]);
    wait_for("it is ready again", || running.stdout().matches("[all_x.sh] ready\n").count() == 2);
    ask(&["stop", "all_x.sh"]);
    sandbox.plugin("scheduler_z.sh", "#!/bin/sh\n");
    ask(&["reload"]);
    running.signal("TERM");
    let done = running.wait();
    assert!(done.text().lines().all(|line| line.ends_with(".sh] ready")), "{}", done.text());
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn notices_are_in_the_same_stream() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho here\nexit 4\n")]);
    let done = sandbox.launcher(["run", "plugins"]).output();
    assert_eq!(done.stderr, "");
    let text = done.text();
    assert!(text.lines().all(|line| line.starts_with("[launcher] ") || line.starts_with("[all_x.sh] ")), "{text}");
    assert!(text.contains("[launcher] exited all_x.sh: status 4\n"), "{text}");
}
