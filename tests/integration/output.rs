//! Output: every byte of every line, in order, whoever reads it and however slowly.

mod readers;
mod records;

use std::fs::OpenOptions;
use std::time::Duration;

use crate::json::Json;
use crate::processes;
use crate::sandbox::{self, Sandbox, wait_for, within};

const PIECE: usize = 65_536;

/// What the only plugin wrote, with the launcher's own notices left out.
fn logged(plugin: &str, content: &str) -> Vec<u8> {
    let sandbox = Sandbox::with([(plugin, content)]);
    let done = sandbox.launcher(["run", "--quiet", "plugins"]).output();
    assert_eq!(done.status.code(), Some(0));
    done.stdout
}

/// Asserts equality of bytes without printing megabytes.
#[track_caller]
fn assert_same(found: &[u8], expected: &[u8]) {
    if found != expected {
        let at = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
        let around = |bytes: &[u8]| {
            let near = &bytes[at.saturating_sub(40).min(bytes.len())..(at + 40).min(bytes.len())];
            String::from_utf8_lossy(near).into_owned()
        };
        let (found_length, expected_length) = (found.len(), expected.len());
        panic!("byte {at} of {found_length} and {expected_length}: {:?} is not {:?}", around(found), around(expected));
    }
}

#[test]
fn the_bytes_of_a_line_are_kept() {
    let plugin =
        "#!/usr/bin/perl\nprint \"  indented\\ttab \\n\\n\\0nul\\0\\n\\xff\\xfe not UTF-8\\n\\e[31mred\\n\";\n";
    let expected = b"[all_x.pl]   indented\ttab \n[all_x.pl] \n[all_x.pl] \0nul\0\n\
                     [all_x.pl] \xff\xfe not UTF-8\n[all_x.pl] \x1b[31mred\n";
    assert_same(&logged("all_x.pl", plugin), expected);
}

#[test]
fn only_the_line_ending_is_taken_off() {
    let plugin = "#!/usr/bin/perl\nprint \"a\\r\\nb\\r\\r\\nc\\rd\\n\\r\\ne\\r\";\n";
    let expected = b"[all_x.pl] a\n[all_x.pl] b\r\n[all_x.pl] c\rd\n[all_x.pl] \n[all_x.pl] e\r\n";
    assert_same(&logged("all_x.pl", plugin), expected);
}

#[test]
fn a_line_ending_split_over_two_writes_is_one() {
    let plugin = "#!/usr/bin/perl\n$| = 1;\nfor (1..50) { syswrite STDOUT, \"a\\r\"; select undef, undef, undef, 0.002; \
                  syswrite STDOUT, \"\\n\"; }\n";
    assert_same(&logged("all_x.pl", plugin), &b"[all_x.pl] a\n".repeat(50));
}

#[test]
fn a_last_line_without_a_newline_is_logged() {
    assert_same(&logged("all_x.sh", "#!/bin/sh\nprintf 'one\\ntwo'\n"), b"[all_x.sh] one\n[all_x.sh] two\n");
}

#[test]
fn nothing_written_is_nothing_logged() {
    assert_same(&logged("all_x.sh", "#!/bin/sh\n"), b"");
}

#[test]
fn long_lines_come_in_pieces() {
    for length in [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1, 5 * PIECE + 7] {
        for ending in ["\\n", "\\r\\n", ""] {
            let plugin =
                format!("#!/usr/bin/perl\nprint 'x' x {length}, \"{ending}\";\nprint \"next\\n\" if '{ending}';\n");
            let mut expected = Vec::new();
            for (index, piece) in "x".repeat(length).as_bytes().chunks(PIECE).enumerate() {
                expected.extend_from_slice(if index == 0 { b"[all_x.pl] " } else { b"[all_x.pl]+ " });
                expected.extend_from_slice(piece);
                expected.push(b'\n');
            }
            if !ending.is_empty() {
                expected.extend_from_slice(b"[all_x.pl] next\n");
            }
            let found = logged("all_x.pl", &plugin);
            assert!(found.len() == expected.len(), "{length}, {ending:?}: {} is not {}", found.len(), expected.len());
            assert_same(&found, &expected);
        }
    }
}

#[test]
fn a_long_line_in_small_writes_comes_in_the_same_pieces() {
    let plugin = "#!/usr/bin/perl\nfor (1..700) { syswrite STDOUT, 'y' x 101; }\nsyswrite STDOUT, \"\\n\";\n";
    let line = "y".repeat(70_700);
    let expected = format!("[all_x.pl] {}\n[all_x.pl]+ {}\n", &line[..PIECE], &line[PIECE..]);
    assert_same(&logged("all_x.pl", plugin), expected.as_bytes());
}

#[test]
fn endless_output_without_a_newline_is_passed_on() {
    let sandbox = Sandbox::with([("all_x.pl", "#!/usr/bin/perl\nwhile (1) { print 'z' x 8192; }\n")]);
    let mut running = sandbox.launcher(["run", "--grace-period", "1", "plugins"]).start();
    wait_for("a megabyte came through", || running.stdout().len() > 1 << 20);
    assert!(running.is_running());
    running.signal("TERM");
    let done = running.wait();
    let longest = done.stdout.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    assert_eq!(longest, Some(PIECE + "[all_x.pl]+ ".len()));
}

#[test]
fn random_bytes_in_random_chunks_come_out_exactly() {
    let plugin = "#!/usr/bin/env python3\n\
        import os, random, sys\n\
        random.seed(int(os.environ['SEED']))\n\
        data = bytearray()\n\
        for _ in range(3000):\n    \
            data += bytes(random.choices(range(256), k=random.choice([0, 1, 5, 80, 700])))\n    \
            data += random.choice([b'\\n', b'\\r\\n', b'\\n\\n', b'\\r'])\n\
        data += b'q' * random.choice([65535, 65536, 65537, 200000]) + b'\\n'\n\
        open('written', 'wb').write(data)\n\
        at = 0\n\
        while at < len(data):\n    \
            at += os.write(1, data[at:at + random.choice([1, 7, 100, 4096, 65536])])\n";
    let sandbox = Sandbox::with([("all_x.py", plugin)]);
    for seed in ["1", "2", "3"] {
        let done = sandbox.launcher(["run", "--quiet", "plugins"]).env("SEED", seed).output();
        let written = std::fs::read(sandbox.path("written")).expect("the plugin wrote it");
        assert_same(&done.stdout, &expected_log("all_x.py", &written));
        let json = sandbox.launcher(["run", "--format=json", "plugins"]).env("SEED", seed).output();
        assert_same(joined(&json.events("output")).as_bytes(), &lossy_lines(&written));
    }
}

/// The text log of what a plugin wrote, computed the slow way.
fn expected_log(name: &str, written: &[u8]) -> Vec<u8> {
    let mut log = Vec::new();
    for line in lines(written) {
        for (index, piece) in line.chunks(PIECE).enumerate() {
            let prefix = if index == 0 { format!("[{name}] ") } else { format!("[{name}]+ ") };
            log.extend_from_slice(&[prefix.as_bytes(), piece, b"\n"].concat());
        }
        if line.is_empty() {
            log.extend_from_slice(format!("[{name}] \n").as_bytes());
        }
    }
    log
}

fn lines(written: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<_> = written.split_inclusive(|byte| *byte == b'\n').collect();
    for line in &mut lines {
        let whole = line.strip_suffix(b"\n");
        *line = whole.map_or(*line, |line| line.strip_suffix(b"\r").unwrap_or(line));
    }
    lines
}

/// The messages as lines again, pieces put together.
fn joined(records: &[Json]) -> String {
    let line = |record: &Json| {
        let ending = if record["partial"] == Json::Bool(true) { "" } else { "\n" };
        record["message"].text() + ending
    };
    records.iter().map(line).collect()
}

fn lossy_lines(written: &[u8]) -> Vec<u8> {
    lines(written).iter().flat_map(|line| (String::from_utf8_lossy(line) + "\n").into_owned().into_bytes()).collect()
}

#[test]
fn lines_of_many_plugins_never_mix() {
    let sandbox = Sandbox::new();
    let plugin = "#!/usr/bin/perl\nmy ($n) = $0 =~ /(\\d+)\\.pl/;\n$| = 1;\nprint \"$n:$_:\", 'x' x ($_ % 300), \"\\n\" for 1..500;\n";
    for n in 0..20 {
        sandbox.plugin(format!("all_{n}.pl"), plugin);
    }
    let done = sandbox.launcher(["run", "--quiet", "plugins"]).output();
    let mut next = [1; 20];
    for line in done.text().lines() {
        let (name, text) = line.strip_prefix("[all_").and_then(|rest| rest.split_once(".pl] ")).expect("a whole line");
        let n: usize = name.parse().expect("a number");
        let expected = format!("{n}:{}:{}", next[n], "x".repeat(next[n] % 300));
        assert_eq!(text, expected);
        next[n] += 1;
    }
    assert_eq!(next, [501; 20]);
}

#[test]
fn each_write_is_of_whole_lines() {
    let sandbox = Sandbox::new();
    let lines = "#!/usr/bin/perl\n$| = 1;\nprint 'x' x 97, \"\\n\" for 1..20000;\n";
    sandbox.write("one/all_one.pl", lines);
    sandbox.write("two/all_two.pl", lines);
    // Two launchers append to one file: their lines mix unless each write ends where a line ends.
    let log = OpenOptions::new().create(true).append(true).open(sandbox.path("log")).expect("a log");
    let one = sandbox.launcher(["run", "--quiet", "one"]).stdout(log.try_clone().expect("a descriptor")).start();
    let two = sandbox.launcher(["run", "--quiet", "two"]).stdout(log).start();
    assert!(one.wait().status.success() && two.wait().status.success());
    let text = sandbox.read("log");
    assert_eq!(text.lines().count(), 40_000);
    let x = "x".repeat(97);
    let (one, two) = (format!("[all_one.pl] {x}"), format!("[all_two.pl] {x}"));
    assert!(text.lines().all(|line| line == one || line == two));
}

#[test]
fn same_named_plugins_are_told_apart() {
    let sandbox = Sandbox::with([
        ("a/all_x.sh", "#!/bin/sh\necho 1\n"),
        ("b/all_x.sh", "#!/bin/sh\necho 2\n"),
        ("a/deep/all_y.sh", "#!/bin/sh\necho 3\n"),
        ("b/deep/all_y.sh", "#!/bin/sh\necho 4\n"),
        ("b/all_z.sh", "#!/bin/sh\necho 5\n"),
    ]);
    let done = sandbox.launcher(["run", "--quiet", "plugins"]).output();
    let text = done.text();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let expected = ["[a/all_x.sh] 1", "[a/deep/all_y.sh] 3", "[all_z.sh] 5", "[b/all_x.sh] 2", "[b/deep/all_y.sh] 4"];
    assert_eq!(lines, expected);
}

#[test]
fn standard_error_is_merged_in_exact_order() {
    let plugin = "#!/usr/bin/perl\n$| = 1;\nfor (1..500) { print \"$_\\n\"; print STDERR \"$_\\n\"; }\n";
    let expected: String = (1..=500).map(|n| format!("[all_x.pl] {n}\n[all_x.pl] {n}\n")).collect();
    assert_same(&logged("all_x.pl", plugin), expected.as_bytes());
}

#[test]
fn standard_error_can_be_kept_separate() {
    let plugin = "#!/bin/sh\necho out\necho err >&2\nprintf 'last out'\nprintf 'last err' >&2\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    let text = sandbox.launcher(["run", "--quiet", "--stderr", "separate", "plugins"]).output();
    assert_eq!(text.text(), "[all_x.sh] out\n[all_x.sh] last out\n");
    assert_eq!(text.stderr, "[all_x.sh] err\n[all_x.sh] last err\n");

    let json = sandbox.run_json(&["--stderr=separate"]).output();
    let of = |stream: &str| -> Vec<String> {
        let records = json.events("output");
        records.iter().filter(|r| r["stream"] == stream).map(|record| record["message"].text()).collect()
    };
    assert_eq!(
        (of("stdout"), of("stderr")),
        (vec!["out".into(), "last out".into()], vec!["err".into(), "last err".into()])
    );
    assert_eq!(json.stderr, "", "records of both streams are in the log");
    let merged = sandbox.run_json(&[]).output();
    assert!(merged.events("output").iter().all(|record| !record.has("stream")));
}

#[test]
fn a_line_is_logged_as_soon_as_it_is_there() {
    let plugin = "#!/bin/sh\necho first\nuntil [ -e go ]; do sleep 0.05; done\necho second\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    let running = sandbox.launcher(["run", "plugins"]).start();
    running.wait_for_stdout("[all_x.sh] first\n");
    assert!(!running.stdout().contains("second"));
    sandbox.write("go", "");
    assert_eq!(running.wait().lines_of("all_x.sh"), ["first", "second"]);
}

#[test]
fn everything_written_before_the_end_is_logged_before_the_end_is() {
    let plugin = "#!/usr/bin/perl\n$| = 1;\nprint 'x' x 99, \"\\n\" for 1..600;\nprint \"last\\n\";\n";
    let sandbox = Sandbox::with([("all_x.pl", plugin)]);
    for _ in 0..5 {
        let done = sandbox.run_json(&[]).output();
        let records = done.records();
        let exited = records.iter().position(|record| record["event"] == "exited").expect("it exited");
        let last = records.iter().position(|record| record["message"] == "last").expect("it was logged");
        assert_eq!(done.events("output").len(), 601);
        assert!(last < exited);
    }
}

#[test]
fn an_end_is_noticed_while_a_child_holds_the_pipe() {
    let holding = "#!/bin/sh\n(until [ -e go ]; do sleep 0.02; done; echo later; touch done) &\necho first\n";
    let staying = "#!/bin/sh\nuntil [ -e done ]; do sleep 0.05; done\n";
    let sandbox = Sandbox::with([("all_holding.sh", holding), ("all_staying.sh", staying)]);
    let running = sandbox.run_json(&[]).start();
    running.wait_for_event("exited", "all_holding.sh");
    assert!(!running.stdout().contains("later"));
    sandbox.write("go", "");
    let done = running.wait();
    let messages: Vec<_> = done.events("output").iter().map(|record| record["message"].text()).collect();
    assert_eq!(messages, ["first", "later"], "what the child writes later is still logged");
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn last_words_are_logged_when_stopping() {
    let plugin = "#!/bin/sh\nexec 2>/dev/null\ntrap 'echo bye; printf \"no newline\"; exit 0' TERM\necho ready\nwhile :; do sleep 0.05; done\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    let running = sandbox.launcher(["run", "--grace-period", "20", "plugins"]).start();
    running.wait_for_stdout("[all_x.sh] ready\n");
    running.signal("TERM");
    let done = running.wait();
    assert_eq!(done.lines_of("all_x.sh"), ["ready", "bye", "no newline"]);
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn what_a_killed_plugin_wrote_is_logged_to_the_last_line() {
    let plugin = "#!/usr/bin/perl\n$SIG{TERM} = 'IGNORE';\nopen F, '>', 'count';\n\
                  for (my $n = 1;; $n++) { syswrite STDOUT, \"$n\\n\"; sysseek F, 0, 0; syswrite F, $n; }\n";
    let sandbox = Sandbox::with([("all_x.pl", plugin)]);
    let running = sandbox.launcher(["run", "--grace-period", "0.2", "plugins"]).start();
    running.wait_for_stdout("[all_x.pl] 1000\n");
    running.signal("TERM");
    let logged = running.wait().lines_of("all_x.pl");
    assert!(logged.iter().enumerate().all(|(index, line)| *line == (index + 1).to_string()), "in order, without a gap");
    // Killed between the two writes it has written one line more than it counted.
    let counted: usize = sandbox.read("count").parse().expect("a number");
    assert!(logged.len() == counted || logged.len() == counted + 1, "{} logged, {counted} written", logged.len());
}

#[test]
fn an_idle_plugin_costs_little_memory() {
    const PLUGINS: usize = 100;
    let sleeping = "#!/bin/sh\necho ready\nexec sleep 1000\n";
    let cost = |plugins: usize| {
        let sandbox = Sandbox::new();
        for n in 0..plugins {
            sandbox.plugin(format!("all_{n}.sh"), sleeping);
        }
        let running = sandbox.launcher(["run", "plugins"]).start();
        within(sandbox::PATIENCE, "all are ready", || running.stdout().matches("] ready\n").count() == plugins);
        let supervisor = running.supervisor();
        [running.pid(), supervisor].into_iter().map(|pid| processes::status_figure(pid, "RssAnon")).sum::<usize>()
    };
    let (one, many) = (cost(1), cost(1 + PLUGINS));
    let each = many.saturating_sub(one) / PLUGINS;
    assert!(each <= 20, "{each} kB for each plugin: {one} kB with one, {many} kB with {}", 1 + PLUGINS);
}

#[test]
fn the_memory_of_a_burst_is_given_back_and_nothing_wakes_up_any_more() {
    let plugin = "#!/usr/bin/perl\n$| = 1; print \"ready\\n\"; until (-e 'go') { select undef, undef, undef, 0.02; }\n\
                  for my $out (*STDOUT, *STDERR) { print $out 'x' x 99, \"\\n\" for 1..50000; }\n\
                  open F, '>', 'written'; print F \"yes\\n\"; close F; sleep 1000;\n";
    let sandbox = Sandbox::with([("all_x.pl", plugin)]);
    let running = sandbox.launcher(["run", "--stderr", "separate", "plugins"]).start();
    running.wait_for_stdout("ready");
    let supervisor = running.supervisor();
    let memory = || processes::status_figure(supervisor, "RssAnon");
    let before = memory();
    sandbox.write("go", "");
    sandbox.wait_for_file("written");
    wait_for("all is read", || running.stderr().len() >= 50_000 * 111);
    wait_for("it takes no more than before", || memory() <= before + 64);
    processes::wait_for_rest(&[supervisor], Duration::from_millis(1300));
}
